//! Zones that are lost, come back, and come and go.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{cluster::Cluster, *};
use crate::{
    api::{ZoneOutage, ZoneStatus},
    observed::PodView,
    plan::respread::{ZoneLife, decide},
    validate::PoolSize,
};

const RESPREAD: &str = ", zoneOutagePolicy: Respread, zoneOutageWait: 60s";

fn sizes(cluster: &Cluster) -> Vec<i32> {
    cluster.observed.deployments.values().map(|view| view.desired).collect()
}

fn zones(cluster: &Cluster) -> Vec<ZoneStatus> {
    cluster.broker.status.clone().unwrap().zones
}

/// The nodes of a zone stop reporting.
fn lose(cluster: &mut Cluster, zone: &str) {
    cluster.zone(zone).ready = 0;
    for pod in cluster.pods(zone) {
        (pod.ready, pod.node_lost) = (false, true);
    }
}

/// Passes until nothing changes any more; the Deployments' pods come up, but for those of `lost` zones.
fn settle(cluster: &mut Cluster, lost: &[&str]) {
    for _ in 0..2 {
        cluster.pass();
        for zone in ["a", "b", "c"].into_iter().filter(|zone| !lost.contains(zone)) {
            cluster.come_up(zone);
        }
        cluster.pass();
    }
}

#[test]
fn others_stand_in_for_a_lost_zone_after_the_wait_and_until_it_has_been_back_for_as_long() {
    let mut cluster = Cluster::well(RESPREAD);
    lose(&mut cluster, "c");
    settle(&mut cluster, &["c"]);
    let outage = zones(&cluster)[2].outage.clone().unwrap();
    assert_eq!((outage.since, outage.respread_since), (Time(cluster.observed.now), None));
    cluster.later(59);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [2, 2, 2]);
    cluster.later(1);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [3, 3, 2], "and the lost zone is still to have its own");
    let told = zones(&cluster);
    assert_eq!(told.iter().map(|zone| (zone.desired, zone.standing_in)).collect::<Vec<_>>(), [(3, 1), (3, 1), (2, 0)]);
    assert!(told[2].outage.as_ref().unwrap().respread_since.is_some());
    let (_, reason, message) = cluster.condition("ZonesSatisfied");
    assert_eq!(reason, "ZoneLost");
    assert!(message.ends_with("; 2 pods elsewhere stand in for those of zone c"), "{message}");

    settle(&mut cluster, &[]);
    assert_eq!(sizes(&cluster), [3, 3, 2], "it may be lost again at once");
    assert!(zones(&cluster)[2].outage.as_ref().unwrap().back_since.is_some());
    assert_eq!(cluster.condition("Ready").0, "True", "and all is well meanwhile");
    cluster.later(60);
    settle(&mut cluster, &[]);
    assert_eq!(sizes(&cluster), [2, 2, 2]);
    assert!(zones(&cluster).iter().all(|zone| zone.outage.is_none() && zone.standing_in == 0));
}

#[test]
fn a_zone_that_comes_and_goes_changes_nothing() {
    let mut cluster = Cluster::well(RESPREAD);
    for _ in 0..5 {
        lose(&mut cluster, "c");
        settle(&mut cluster, &["c"]);
        cluster.later(50);
        settle(&mut cluster, &["c"]);
        assert_eq!(sizes(&cluster), [2, 2, 2], "it is never away for long enough");
        settle(&mut cluster, &[]);
    }
    lose(&mut cluster, "c");
    settle(&mut cluster, &["c"]);
    cluster.later(60);
    for _ in 0..5 {
        settle(&mut cluster, &["c"]);
        assert_eq!(sizes(&cluster), [3, 3, 2], "it is never back for long enough");
        settle(&mut cluster, &[]);
        cluster.later(50);
        lose(&mut cluster, "c");
    }
}

#[test]
fn one_pod_is_not_a_zone() {
    let mut cluster = Cluster::well(RESPREAD);
    lose(&mut cluster, "c");
    settle(&mut cluster, &["c"]);
    cluster.later(60);
    settle(&mut cluster, &["c"]);
    cluster.zone("c").ready = 1;
    cluster.pods("c").remove(0).ready = true;
    cluster.later(600);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [3, 3, 2]);
}

#[test]
fn what_replaces_the_pods_of_a_lost_zone_and_finds_no_node_is_lost_as_well() {
    let mut cluster = Cluster::well(RESPREAD);
    cluster.zone("c").ready = 0;
    for pod in cluster.pods("c") {
        (pod.ready, pod.unschedulable) = (false, Some("0/2 nodes are available".to_owned()));
    }
    settle(&mut cluster, &["c"]);
    cluster.later(60);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [3, 3, 2]);
    let (_, reason, message) = cluster.condition("ZonesSatisfied");
    assert_eq!(reason, "ZoneUnschedulable");
    assert!(message.contains("stand in"), "{message}");
}

#[test]
fn a_zone_whose_pods_fail_on_living_nodes_is_not_lost() {
    let mut cluster = Cluster::well(RESPREAD);
    lose(&mut cluster, "c");
    *cluster.pods("c").remove(0) = PodView {
        name: "trading-c-0".to_owned(),
        zone: "c".to_owned(),
        waiting: Some("CrashLoopBackOff: back-off 10s".to_owned()),
        ..PodView::default()
    };
    settle(&mut cluster, &["c"]);
    cluster.later(600);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [2, 2, 2]);
    assert_eq!(zones(&cluster)[2].outage, None);
}

#[test]
fn with_stay_a_lost_zone_is_told_and_nobody_stands_in() {
    let mut cluster = Cluster::well("");
    lose(&mut cluster, "c");
    for _ in 0..3 {
        settle(&mut cluster, &["c"]);
        cluster.later(10_000);
    }
    assert_eq!(sizes(&cluster), [2, 2, 2]);
    assert!(zones(&cluster)[2].outage.is_some());
    settle(&mut cluster, &[]);
    assert_eq!(zones(&cluster)[2].outage, None);
}

#[test]
fn who_changes_the_policy_to_stay_gets_the_pods_of_the_spec_at_once() {
    let mut cluster = Cluster::well(RESPREAD);
    lose(&mut cluster, "c");
    settle(&mut cluster, &["c"]);
    cluster.later(60);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [3, 3, 2]);
    cluster.edit("");
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [2, 2, 2]);
}

#[test]
fn pods_that_stand_in_replace_no_other_pod() {
    let mut cluster = Cluster::well(RESPREAD);
    let before = cluster.templates.clone();
    lose(&mut cluster, "c");
    settle(&mut cluster, &["c"]);
    cluster.later(60);
    settle(&mut cluster, &["c"]);
    assert_eq!(sizes(&cluster), [3, 3, 2]);
    assert_eq!(cluster.templates, before);
}

#[test]
fn autoscalers_of_the_other_zones_get_the_bounds_of_the_lost_one_on_top() {
    let broker = broker(&format!(
        "{{{RELAY}, zones: [{{name: a}}, {{name: b}}, {{name: c}}], zoneOutagePolicy: Respread, \
         autoscaling: {{minReplicasPerZone: 3, maxReplicasPerZone: 8}}}}"
    ));
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let outage = ZoneOutage { since: Time(Timestamp::UNIX_EPOCH), respread_since: None, back_since: None };
    let outages = BTreeMap::from([("b".to_owned(), outage)]);
    let observed = Observed { outages, now, ..Observed::assuming_references(&broker) };
    let plan = plan(&validate(&broker, &observed).unwrap(), &observed, &settings()).unwrap();
    let bounds = plan.objects.horizontal_pod_autoscalers.iter().map(|autoscaler| {
        let spec = autoscaler.spec.as_ref().unwrap();
        (spec.min_replicas, spec.max_replicas)
    });
    assert_eq!(bounds.collect::<Vec<_>>(), [(Some(5), 12), (Some(3), 8), (Some(4), 12)]);
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Zones with so many pods of their own, of which the marked ones have been lost for long.
fn shares(own: &[(i32, bool)]) -> Vec<i32> {
    let zones: Vec<_> = own
        .iter()
        .map(|&(own, lost)| ZoneLife {
            own: PoolSize::Fixed(own),
            takes: own > 0,
            out: lost,
            whole: !lost,
            before: lost.then(|| ZoneOutage { since: Time(at(0)), respread_since: None, back_since: None }),
        })
        .collect();
    decide(&zones, Some(Duration::from_mins(1)), at(1_000)).sizes.into_iter().map(fixed).collect()
}

pub(super) fn fixed(size: PoolSize) -> i32 {
    match size {
        PoolSize::Fixed(replicas) => replicas,
        PoolSize::Autoscaled { .. } | PoolSize::External { .. } => panic!("{size:?}"),
    }
}

#[test]
fn shares_are_even_and_the_smallest_zone_gets_the_odd_one() {
    assert_eq!(shares(&[(3, true), (2, false), (1, false)]), [3, 3, 3]);
    assert_eq!(shares(&[(2, true), (2, true), (1, false)]), [2, 2, 5]);
    assert_eq!(shares(&[(2, true), (0, false), (1, false)]), [2, 0, 3], "who is to have none gets none");
    assert_eq!(shares(&[(2, true), (2, true)]), [2, 2], "nobody is left");
}

#[test]
fn with_every_zone_lost_those_without_pods_of_their_own_are_tried_in_turn() {
    let mut status = vec![None; 3];
    let mut sizes = vec![1, 0, 0];
    let mut tried = Vec::new();
    for second in 0..360 {
        let life = |index: usize| ZoneLife {
            own: PoolSize::Fixed(i32::from(index == 0)),
            takes: true,
            out: sizes[index] > 0,
            whole: sizes[index] == 0,
            before: status[index].clone(),
        };
        let shares = decide(&[0, 1, 2].map(life), Some(Duration::from_mins(1)), at(second));
        sizes = shares.sizes.into_iter().map(fixed).collect();
        status = shares.outages;
        tried.push(sizes.iter().rposition(|size| *size == 1).unwrap());
    }
    assert_eq!(status[0].as_ref().unwrap().since, Time(at(0)));
    let turns: Vec<_> = tried.chunk_by(PartialEq::eq).map(|turn| (turn[0], turn.len() >= 60)).collect();
    let expected = [(0, true), (1, true), (2, true), (1, true), (2, true)];
    assert_eq!(turns[..5], expected, "and never for less than the wait");
}
