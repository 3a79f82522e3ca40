//! What GitOps tools do: apply what is in Git, and look again and again whether anything differs from it.

use crate::support::ControlPlane;

const CRD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/stompbrokers.yaml");
/// By the annotation of what was applied last, and by the fields that each manager owns.
const WAYS: [&[&str]; 2] = [&[], &["--server-side"]];

#[tokio::test]
async fn the_definition_of_the_kind_shows_no_difference_when_it_is_applied() {
    let plane = ControlPlane::own("crd").await;
    for way in WAYS {
        let force: &[&str] = if way.is_empty() { &[] } else { &["--force-conflicts"] };
        let all = |act| [&[act, "--filename", CRD], way, force].concat();
        let (code, text) = plane.kubectl(&all("apply")).await;
        assert_eq!(code, 0, "{way:?}: {text}");
        let (code, text) = plane.kubectl(&all("diff")).await;
        assert_eq!((code, text.as_str()), (0, ""), "{way:?}");
    }
}
