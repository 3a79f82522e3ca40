//! What tests of other modules need from here.

use kube::runtime::{reflector, watcher::Event};
use serde_json::json;
use stompbroker_config::admin::{ConfigStatus, LoginDigests, Sessions, Status};

use super::{
    managed::Managed,
    watches::{
        cache::{Key, Step},
        kept::KeptBroker,
        pod_views::PodEntry,
        world::World,
    },
};

/// An operator that looks after these StompBrokers of `namespace`.
pub(crate) fn managed(namespace: &str, brokers: &[&str]) -> Managed {
    let (store, mut writer) = reflector::store();
    for name in brokers {
        let broker = json!({"metadata": {"namespace": namespace, "name": name}, "spec": {}});
        writer.apply_watcher_event(&Event::Apply(serde_json::from_value::<KeptBroker>(broker).unwrap()));
    }
    Managed::new(store)
}

/// A world with running pods of `namespace`, each with its name, its broker and its zone. The UID is `uid of` the name.
pub(crate) fn world_with_pods(namespace: &str, pods: &[(&str, &str, &str)]) -> World {
    let world = World::default();
    for (name, broker, zone) in pods {
        let labels = json!({"app.kubernetes.io/instance": broker, "stompbroker.dev/zone": zone});
        let metadata = json!({"name": name, "uid": format!("uid of {name}"), "resourceVersion": "1", "labels": labels});
        let pod = json!({"metadata": metadata, "status": {"phase": "Running", "podIP": "10.0.0.1"}});
        let entry = PodEntry::from_pod(&serde_json::from_value(pod).unwrap());
        world.pods.lock().step(None, Step::Upsert(Key::new(namespace, *name), entry));
    }
    world
}

/// What a pod says that has these sessions and gets so many SEND frames in a second.
pub(crate) fn report(stomp: u64, inbound_per_second: f64) -> Status {
    Status {
        version: "1".to_owned(),
        config: ConfigStatus { hash: String::new(), rejected: None, needs_restart: Vec::new() },
        logins: LoginDigests::default(),
        sessions: Sessions { stomp, inbound_per_second, ..Sessions::default() },
        relay: None,
        draining: false,
        drain: None,
    }
}
