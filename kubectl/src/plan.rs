//! `plan`: what a manifest would do. Pure.
//!
//! Each changed field is put into the spec that is in force, by itself, and the operator's own `plan` is asked what
//! becomes of it: whatever restarts pods there, does so here.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::Value;
use stompbroker_operator::{
    api::{StompBroker, StompBrokerSpec},
    difference::{Difference, short},
    observed::Observed,
    plan::{self, Plan, PlanError, Settings},
    validate::{SpecError, validate},
};

use crate::paint::{Painted, Tone};

/// What one changed field leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Effect {
    /// Nothing that runs is touched.
    None,
    /// Running pods take it up.
    HotReload,
    /// Objects beside the pods change, such as the Service.
    Objects,
    /// Pods are added or taken away.
    Scale,
    /// All pods are replaced, zone by zone.
    RollingRestart,
    /// It can only be taken together with other changes, which are shown as one.
    Together,
}

/// One changed field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Change {
    /// Its path.
    pub(crate) field: String,
    /// What it was; null when it was not there.
    pub(crate) before: Value,
    /// What it will be; null when it is taken away.
    pub(crate) after: Value,
    /// What that leads to.
    pub(crate) effects: BTreeSet<Effect>,
}

/// What a manifest would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Preview {
    /// Why it would not be taken; empty when it would.
    pub(crate) refused: Vec<String>,
    /// What changes.
    pub(crate) changes: Vec<Change>,
    /// What all of it together leads to.
    pub(crate) effects: BTreeSet<Effect>,
    /// Live sessions that have to connect again.
    pub(crate) sessions_hit: i64,
    /// Live sessions.
    pub(crate) sessions: i64,
}

/// What the operator makes of one spec, as far as it can be compared.
#[derive(PartialEq)]
struct Outcome {
    revision: String,
    configurations: BTreeMap<String, String>,
    pods: BTreeMap<String, Option<i32>>,
    others: String,
}

/// What `wanted` would change of `live`, the broker in force; absent when it does not exist yet.
///
/// # Errors
/// When the operator's own plan fails, which is a fault of the program.
pub(crate) fn preview(
    live: Option<&StompBroker>,
    wanted: &StompBroker,
    settings: &Settings,
) -> Result<Preview, PlanError> {
    let after = match outcome(wanted, settings)? {
        Ok(after) => after,
        Err(refused) => return Ok(Preview { refused, ..Preview::default() }),
    };
    let Some(live) = live else {
        return Ok(Preview { effects: BTreeSet::from([Effect::Scale]), ..Preview::default() });
    };
    let sessions = live.status.as_ref().map_or(0, |status| status.sessions);
    // A spec that is not in force itself gives nothing to compare with.
    let Ok(before) = outcome(live, settings)? else {
        return Ok(Preview { effects: BTreeSet::from([Effect::RollingRestart]), sessions, ..Preview::default() });
    };
    let (old, new) = (tree(&live.spec), tree(&wanted.spec));
    let mut changes = Vec::new();
    for Difference { path, before: was, after: will } in Difference::all(&old, &new) {
        let effects = match with(&old, &path, will.clone()).map(|spec| outcome(&named(live, spec), settings)) {
            Some(Ok(Ok(alone))) => effects(&before, &alone),
            Some(Err(error)) => return Err(error),
            Some(Ok(Err(_))) | None => BTreeSet::from([Effect::Together]),
        };
        changes.push(Change { field: format!("spec.{}", path.join(".")), before: was, after: will, effects });
    }
    let effects = effects(&before, &after);
    let sessions_hit =
        if effects.contains(&Effect::RollingRestart) { sessions } else { leaving(live, &before, &after) };
    Ok(Preview { refused: Vec::new(), changes, effects, sessions_hit, sessions })
}

fn outcome(broker: &StompBroker, settings: &Settings) -> Result<Result<Outcome, Vec<String>>, PlanError> {
    let observed = Observed::assuming_references(broker);
    let refused = |errors: &[SpecError]| Ok(Err(errors.iter().map(ToString::to_string).collect()));
    let validated = match validate(broker, &observed) {
        Ok(validated) => validated,
        Err(errors) => return refused(&errors),
    };
    let Plan { mut objects, config_hashes, rollout, .. } = match plan::plan(&validated, &observed, settings) {
        Err(PlanError::Overrides(errors)) => return refused(&errors),
        plan => plan?,
    };
    let deployments = std::mem::take(&mut objects.deployments);
    objects.config_maps.clear();
    let pods = deployments
        .into_iter()
        .map(|deployment| (deployment.name_any(), deployment.spec.and_then(|spec| spec.replicas)))
        .collect();
    let others = objects.to_yaml().unwrap_or_default();
    Ok(Ok(Outcome { revision: rollout.newest, configurations: config_hashes, pods, others }))
}

fn effects(before: &Outcome, after: &Outcome) -> BTreeSet<Effect> {
    let mut effects = BTreeSet::new();
    let restart = before.revision != after.revision;
    if restart {
        effects.insert(Effect::RollingRestart);
    }
    if before.pods != after.pods {
        effects.insert(Effect::Scale);
    }
    let reloads = |(pool, hash): (&String, &String)| before.configurations.get(pool).is_some_and(|old| old != hash);
    if !restart && after.configurations.iter().any(reloads) {
        effects.insert(Effect::HotReload);
    }
    if before.others != after.others {
        effects.insert(Effect::Objects);
    }
    if effects.is_empty() {
        effects.insert(Effect::None);
    }
    effects
}

/// Sessions on pods that go, when sessions are spread evenly over the pods of a zone.
fn leaving(live: &StompBroker, before: &Outcome, after: &Outcome) -> i64 {
    let status = live.status.clone().unwrap_or_default();
    let name = live.name_any();
    let of_zone = |pool: &str| {
        let zone = status.zones.iter().find(|zone| pool == format!("{name}-{}", zone.name));
        zone.map_or(if status.zones.is_empty() { status.sessions } else { 0 }, |zone| zone.sessions)
    };
    let gone = before.pods.iter().map(|(pool, pods)| {
        let was = i64::from(pods.unwrap_or(1));
        let will = i64::from(after.pods.get(pool).map_or(0, |pods| pods.unwrap_or(1)));
        if will < was { of_zone(pool) * (was - will) / was.max(1) } else { 0 }
    });
    gone.sum()
}

fn tree(spec: &StompBrokerSpec) -> Value {
    serde_json::to_value(spec).unwrap_or_default()
}

fn named(live: &StompBroker, spec: StompBrokerSpec) -> StompBroker {
    StompBroker { metadata: live.metadata.clone(), spec, status: None }
}

/// `spec` with another value at `path`; absent when that is none.
fn with(spec: &Value, path: &[String], value: Value) -> Option<StompBrokerSpec> {
    let mut spec = spec.clone();
    let (last, parents) = path.split_last()?;
    let mut at = &mut spec;
    for name in parents {
        at = at.as_object_mut()?.entry(name).or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    let fields = at.as_object_mut()?;
    if value.is_null() {
        fields.remove(last);
    } else {
        fields.insert(last.clone(), value);
    }
    serde_json::from_value(spec).ok()
}

/// The preview for people.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn print(name: &str, is_new: bool, preview: &Preview, out: &mut impl io::Write) -> io::Result<()> {
    let name = Painted(Tone::Strong, name);
    if !preview.refused.is_empty() {
        writeln!(out, "{name}  {}", Painted(Tone::Bad, "refused"))?;
        return preview.refused.iter().try_for_each(|why| writeln!(out, "  {why}"));
    }
    if is_new {
        return writeln!(out, "{name}  {}", Painted(Tone::Good, "is new; nothing that runs is touched"));
    }
    if preview.changes.is_empty() {
        return writeln!(out, "{name}  {}", Painted(Tone::Good, "no change"));
    }
    writeln!(out, "{name}")?;
    for Change { field, before, after, effects } in &preview.changes {
        writeln!(out, "  {field}: {} -> {}  {}", short(before), short(after), words(effects))?;
    }
    let Preview { sessions_hit, sessions, effects, .. } = preview;
    let hit = match (sessions_hit, sessions) {
        (0, all) => format!("none of {all} sessions is hit"),
        (hit, all) => format!("{hit} of {all} sessions have to connect again"),
    };
    writeln!(out, "  together: {}; {hit}", words(effects))
}

fn words(effects: &BTreeSet<Effect>) -> String {
    let words = effects.iter().map(|effect| {
        let (tone, word) = match effect {
            Effect::None => (Tone::Faint, "touches nothing that runs"),
            Effect::HotReload => (Tone::Good, "hot reload"),
            Effect::Objects => (Tone::Good, "other objects change"),
            Effect::Scale => (Tone::Busy, "scaling"),
            Effect::RollingRestart => (Tone::Bad, "rolling restart"),
            Effect::Together => (Tone::Faint, "only together with the others"),
        };
        Painted(tone, word).to_string()
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings() -> Settings {
        Settings {
            image: "stompbroker:test".to_owned(),
            nats_image: "registry.example/nats:2".to_owned(),
            operator_namespace: "stompbroker-system".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            custom_metrics: true,
        }
    }

    fn broker(spec: Value, sessions: i64) -> StompBroker {
        let zones: Vec<_> = ["a", "b"]
            .iter()
            .map(|name| json!({"name": name, "desired": 2, "ready": 2, "updated": 2, "sessions": sessions / 2}))
            .collect();
        let mut spec = spec;
        spec["engine"] = json!({"relay": {"upstreams": [{"host": "rabbit"}],
            "systemCredentials": {"secretName": "s"}, "clientCredentials": {"secretName": "c"}}});
        serde_json::from_value(json!({
            "apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker",
            "metadata": {"name": "trading", "namespace": "markets"}, "spec": spec,
            "status": {"sessions": sessions, "zones": zones},
        }))
        .unwrap()
    }

    fn changes(before: Value, after: Value) -> (Vec<(String, Vec<Effect>)>, i64) {
        let (live, wanted) = (broker(before, 100), broker(after, 0));
        let preview = preview(Some(&live), &wanted, &settings()).unwrap();
        assert_eq!(preview.refused, Vec::<String>::new());
        let changes = preview.changes.into_iter().map(|one| (one.field, one.effects.into_iter().collect()));
        (changes.collect(), preview.sessions_hit)
    }

    fn zones(pods: i32) -> Value {
        json!([{"name": "a", "replicas": pods}, {"name": "b", "replicas": pods}])
    }

    #[test]
    fn what_pods_take_up_hits_no_session() {
        let zones = zones(2);
        let (changes, hit) =
            changes(json!({"zones": zones}), json!({"zones": zones, "limits": {"subscriptionsPerSession": 7}}));
        assert_eq!(changes, [("spec.limits.subscriptionsPerSession".to_owned(), vec![Effect::HotReload])]);
        assert_eq!(hit, 0);
    }

    #[test]
    fn what_restarts_pods_hits_all_sessions() {
        let zones = zones(2);
        let (changes, hit) = changes(json!({"zones": zones}), json!({"zones": zones, "image": "other:2"}));
        assert_eq!(changes, [("spec.image".to_owned(), vec![Effect::RollingRestart])]);
        assert_eq!(hit, 100);
    }

    #[test]
    fn fewer_pods_hit_the_sessions_that_are_on_them() {
        let (changes, hit) = changes(json!({"zones": zones(2)}), json!({"zones": zones(1)}));
        assert_eq!(changes, [("spec.zones".to_owned(), vec![Effect::Scale])]);
        assert_eq!(hit, 50);
    }

    #[test]
    fn a_field_that_only_the_operator_reads_touches_nothing() {
        let zones = zones(2);
        let (changes, _) = changes(json!({"zones": zones}), json!({"zones": zones, "upgradePolicy": "Automatic"}));
        assert_eq!(changes, [("spec.upgradePolicy".to_owned(), vec![Effect::None])]);
    }

    #[test]
    fn changes_that_need_each_other_are_said_to() {
        let autoscaling = json!({"minReplicasPerZone": 1, "maxReplicasPerZone": 3});
        let names = json!([{"name": "a"}, {"name": "b"}]);
        let before = json!({"zones": names, "replicas": 4});
        let after = json!({"zones": names, "autoscaling": autoscaling});
        let (changes, _) = changes(before, after);
        let autoscaling = changes.iter().find(|(field, _)| field == "spec.autoscaling").unwrap();
        assert_eq!(autoscaling.1, [Effect::Together]);
    }

    #[test]
    fn what_would_be_refused_is_told_with_its_remedy() {
        let mut wanted = broker(json!({}), 0);
        wanted.spec.heartbeat = stompbroker_config::GoDuration::from_secs(60);
        let preview = preview(None, &wanted, &settings()).unwrap();
        assert!(preview.refused.iter().any(|why| why.contains("spec.sessionTimeout")), "{preview:?}");
        let mut out = anstream::StripStream::new(Vec::new());
        print("trading", true, &preview, &mut out).unwrap();
        assert!(String::from_utf8(out.into_inner()).unwrap().starts_with("trading  refused\n  spec."));
    }

    #[test]
    fn the_same_manifest_changes_nothing() {
        let (changes, hit) = changes(json!({"zones": zones(2)}), json!({"zones": zones(2)}));
        assert_eq!((changes.len(), hit), (0, 0));
    }
}
