//! Granted and used rights, compared: what the operator has done in all integration tests together, by the API server's own
//! audit log, held against [`stompbroker_operator::rbac::RIGHTS`], which `tests/chart_rights.rs` holds against the chart.
//!
//! `hack/test/integration` runs it after them. The operators there are the chart's ServiceAccount with the chart's roles, so that
//! what is not granted is refused; here a right fails that nothing needed, and a request that was refused. To add a right, let an
//! integration test use it; one that cannot goes into [`UNUSED`] with the reason.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step ends its test")]

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde_json::Value;
use stompbroker_operator::rbac::{Place, RIGHTS};

/// Whom the operators of the integration tests are.
const ACCOUNT: &str = "system:serviceaccount:stompbroker-system:stompbroker-operator";
/// Rights that no integration test can use, and why.
const UNUSED: &[(&str, &str, &str, &str)] = &[];

/// Where, group, resource with subresource, verb.
type Use = (String, String, String, String);

fn used(place: Place, group: &str, resource: &str, verb: &str) -> Use {
    (format!("{place:?}"), group.to_owned(), resource.to_owned(), verb.to_owned())
}

/// What an audit log tells of the operator.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    used: BTreeSet<Use>,
    refused: BTreeSet<String>,
}

impl Told {
    fn take(&mut self, event: &Value) {
        let user = event.get("impersonatedUser").unwrap_or_else(|| &event["user"]);
        let object = &event["objectRef"];
        // Without an object it is discovery, which everybody may.
        if user["username"] != ACCOUNT || !object.is_object() {
            return;
        }
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let (group, namespace) = (text("apiGroup"), text("namespace"));
        let resource = match text("subresource") {
            "" => text("resource").to_owned(),
            subresource => format!("{}/{subresource}", text("resource")),
        };
        let verb = event["verb"].as_str().unwrap();
        let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
        if code == 401 || code == 403 {
            self.refused.insert(format!("{verb} {resource} of {group:?} in {namespace:?}"));
            return;
        }
        let place = place(group, &resource, namespace);
        self.used.insert(used(place, group, &resource, verb));
        // Server-side apply of what is not there needs both, and the log has one.
        if verb == "patch" && code == 201 {
            self.used.insert(used(place, group, &resource, "create"));
        }
    }
}

/// Which of the operator's roles a request goes by.
fn place(group: &str, resource: &str, namespace: &str) -> Place {
    match (group, resource, namespace) {
        ("coordination.k8s.io", "leases", _) => Place::Own,
        ("authorization.k8s.io" | "apiregistration.k8s.io", ..) => Place::CustomMetrics,
        ("", "configmaps", "kube-system") => Place::Authentication,
        ("", "secrets", "stompbroker-system") => Place::CustomMetricsSecret,
        _ => Place::Watched,
    }
}

fn granted() -> BTreeSet<Use> {
    let all = RIGHTS.iter().flat_map(|right| right.verbs.iter().map(move |verb| (right, verb)));
    all.map(|(right, verb)| used(right.place, right.group, right.resource, verb)).collect()
}

/// Reads the logs of a folder, older parts included.
fn read(folder: &Path) -> Told {
    let mut told = Told::default();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("audit") && path.extension().is_some_and(|extension| extension == "log") {
            for line in BufReader::new(fs::File::open(&path).unwrap()).lines() {
                // The last one may be half written.
                if let Ok(event) = serde_json::from_str(&line.unwrap()) {
                    told.take(&event);
                }
            }
        }
    }
    told
}

#[test]
#[ignore = "reads the audit log of the integration tests; hack/test/integration runs it after them"]
fn every_right_was_used_and_nothing_else_was_asked_for() {
    let folder = env::var_os("STOMPBROKER_TEST_AUDIT").unwrap_or_else(|| {
        panic!("STOMPBROKER_TEST_AUDIT has to name the folder with the audit log of an API server on which all integration tests ran")
    });
    let told = read(Path::new(&folder));
    assert!(!told.used.is_empty(), "{} tells nothing of the operator", folder.display());
    assert_eq!(told.refused, [].into(), "requests that were refused");
    let granted = granted();
    assert_eq!(
        told.used.difference(&granted).collect::<Vec<_>>(),
        [] as [&Use; 0],
        "used, but not in the table of rights"
    );
    let unused = granted.difference(&told.used).cloned().collect::<BTreeSet<_>>();
    let excused = UNUSED.iter().map(|(group, resource, verb, _)| used(Place::Watched, group, resource, verb)).collect();
    assert_eq!(unused, excused, "left: granted and never used; right: those that are excused");
}

#[test]
fn requests_of_the_operator_are_told_from_the_log_and_nobody_elses() {
    let event = |user: &str, verb: &str, object: Value, code: u16| {
        serde_json::json!({"verb": verb, "user": {"username": "admin"}, "impersonatedUser": {"username": user},
                           "objectRef": object, "responseStatus": {"code": code}})
    };
    let mut told = Told::default();
    let service = serde_json::json!({"resource": "services", "namespace": "a", "name": "b", "apiVersion": "v1"});
    let status =
        serde_json::json!({"apiGroup": "stompbroker.dev", "resource": "stompbrokers", "subresource": "status"});
    let secret = serde_json::json!({"resource": "secrets", "namespace": "a"});
    told.take(&event("somebody", "delete", service.clone(), 200));
    told.take(&event(ACCOUNT, "patch", service.clone(), 201));
    told.take(&event(ACCOUNT, "get", service, 404));
    told.take(&event(ACCOUNT, "patch", status, 200));
    told.take(&event(ACCOUNT, "list", secret, 403));
    told.take(&event(ACCOUNT, "get", Value::Null, 200));
    let watched = |group: &str, resource: &str, verb: &str| used(Place::Watched, group, resource, verb);
    let expected = [
        watched("", "services", "create"),
        watched("", "services", "get"),
        watched("", "services", "patch"),
        watched("stompbroker.dev", "stompbrokers/status", "patch"),
    ];
    assert_eq!(told.used, expected.into());
    assert_eq!(told.refused, ["list secrets of \"\" in \"a\"".to_owned()].into());
}
