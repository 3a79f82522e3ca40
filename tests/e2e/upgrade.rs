//! The chart of the version before, its upgrade, and the way back.
//!
//! The operator's image is today's throughout, for that of the version before is in no registry that tests reach. So it need
//! not come up with the rights that the older chart gives; what is tested is what Helm makes of the two charts, and that
//! brokers notice nothing.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::world::{SOON, World, eventually, example, hack, helm, uids};

const PREVIOUS: &str = "tests/fixtures/chart/stompbroker-operator-0.1.0.tgz";

/// The values of the release that the previous chart has, too: which images to take.
fn images() -> Value {
    let values: Value = serde_json::from_str(&helm(&["get", "values", "stompbroker", "--output", "json"])).unwrap();
    json!({"image": values["image"], "broker": values["broker"]})
}

/// Waits until the API server knows, or does not know, a field that the previous version did not have.
async fn knows_the_new_field(world: &World, name: &str, wanted: bool) {
    let mut manifest = example("minimal.yaml");
    manifest["metadata"]["name"] = json!(name);
    manifest["spec"]["suspend"] = json!(false);
    eventually(SOON, "the CustomResourceDefinition to be replaced", || async {
        match (world.apply(&manifest).await, wanted) {
            (Ok(_), true) => Ok(()),
            (Err(error), false) if error.to_string().contains("spec.suspend") => Ok(()),
            (told, _) => Err(format!("{told:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_previous_chart_is_upgraded_and_taken_back_and_brokers_notice_nothing() {
    let world = World::new("e2e-upgrade").await;
    let manifest = example("minimal.yaml");
    let name = manifest["metadata"]["name"].as_str().unwrap();
    world.apply(&manifest).await.unwrap();
    world.ready(name).await;
    let pods = uids(&world.pods(name).await);

    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    fs::write(&values, images().to_string()).unwrap();
    helm(&["uninstall", "stompbroker", "--wait"]);
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(PREVIOUS).is_file());
    helm(&["install", "stompbroker", PREVIOUS, "--values", values.to_str().unwrap()]);
    knows_the_new_field(&world, name, false).await;

    for back in [true, false] {
        hack("demo/install", &[]);
        knows_the_new_field(&world, name, true).await;
        world.ready(name).await;
        assert_eq!(uids(&world.pods(name).await), pods, "an upgrade must restart no broker");
        if back {
            helm(&["rollback", "stompbroker", "1"]);
            knows_the_new_field(&world, name, false).await;
        }
    }
    world.remove().await;
}
