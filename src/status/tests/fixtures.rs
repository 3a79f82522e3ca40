//! StompBrokers with their status as files, which tests of tools that judge health read. `UPDATE_GOLDEN=1` writes them anew.

use std::{env, fs, path::Path};

use super::*;

/// Spoils a world in which all is well.
type Spoil = fn(&mut World);

const FIXTURES: [(&str, Spoil); 9] = [
    ("healthy", |_| {}),
    ("scaled-to-zero", |world| {
        world.broker.spec.replicas = Some(0);
        world.observed.pods.clear();
        for view in world.observed.deployments.values_mut() {
            *view = DeploymentView { current: true, revision: view.revision.clone(), ..DeploymentView::default() };
        }
    }),
    ("rolling-out", |world| world.zone_a().updated = 1),
    ("pods-not-answering", |world| world.observed.pods[3].admin = Some(Err("connection refused".to_owned()))),
    ("invalid", |world| world.broker.spec.heartbeat = "20s".parse().unwrap()),
    ("secret-not-found", |world| {
        world.observed.referenced_secrets.insert("s".to_owned(), SecretView::Missing);
    }),
    ("pods-failing", |world| {
        world.zone_a().ready = 1;
        world.observed.pods[0].ready = false;
        world.observed.pods[0].waiting = Some("ImagePullBackOff: no such image".to_owned());
    }),
    ("upstream-unreachable", |world| {
        let relay = world.answer_of(0).relay.as_mut().unwrap();
        (relay.connected, relay.upstreams[0].state) = (false, UpstreamState::Unreachable);
    }),
    ("zone-lost", |world| {
        world.zone_a().ready = 0;
        for pod in &mut world.observed.pods[..2] {
            (pod.ready, pod.node_lost) = (false, true);
        }
    }),
];

#[test]
fn the_fixtures_are_what_the_operator_writes() {
    for (name, spoil) in FIXTURES {
        let mut world = World::new();
        spoil(&mut world);
        world.broker.status = Some(world.status());
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/status/{name}.yaml"));
        let text = serde_saphyr::to_string(&world.broker).unwrap();
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let there = fs::read_to_string(&file).unwrap_or_default();
        assert!(there == text, "{} is stale; run: make generate", file.display());
    }
}
