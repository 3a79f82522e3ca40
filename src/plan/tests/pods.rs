//! How many pods run where, and with which rights.

use stompbroker_config::{ByteSize, Config, Engine};

use super::*;

#[test]
fn pods_are_spread_over_the_zones_of_the_spec_and_bound_to_them() {
    let plan = relayed(", replicas: 5, zones: [{name: a}, {name: b}]");
    assert_eq!(replicas(&plan), [Some(3), Some(2)]);
    for (deployment, zone) in plan.objects.deployments.iter().zip(["a", "b"]) {
        assert_eq!(deployment.metadata.name, Some(format!("trading-{zone}")));
        let value = serde_json::to_value(deployment).unwrap();
        let terms = "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        let expected = json!([{"matchExpressions": [
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}]}]);
        assert_eq!(value.pointer(terms), Some(&expected));
        assert_eq!(value["spec"]["selector"]["matchLabels"]["stompbroker.dev/zone"], zone);
        assert_eq!(value["spec"]["template"]["metadata"]["labels"]["stompbroker.dev/zone"], zone);
        let constraints = value["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array().unwrap();
        assert_eq!(constraints.len(), 1);
        assert_eq!(constraints[0]["topologyKey"], "kubernetes.io/hostname");
        assert_eq!(constraints[0]["labelSelector"], value["spec"]["selector"]);
    }
}

#[test]
fn without_zones_pods_run_anywhere_but_prefer_to_be_spread() {
    let pod = pod(&relayed(", replicas: 2"));
    assert_eq!(pod.affinity, None);
    let keys: Vec<_> =
        pod.topology_spread_constraints.unwrap().into_iter().map(|constraint| constraint.topology_key).collect();
    assert_eq!(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]);
}

#[test]
fn the_selector_picks_the_pods_of_its_own_template() {
    for deployment in relayed(", zones: [{name: a}, {name: b}]").objects.deployments {
        let spec = deployment.spec.unwrap();
        let labels = spec.template.metadata.unwrap().labels.unwrap();
        for (key, value) in spec.selector.match_labels.unwrap() {
            assert_eq!(labels.get(&key), Some(&value));
        }
    }
}

#[test]
fn an_embedded_pod_is_gone_before_the_next_one_starts() {
    let strategy = |plan: Plan| serde_json::to_value(&plan.objects.deployments[0]).unwrap()["spec"]["strategy"].clone();
    assert_eq!(strategy(planned("{}")), json!({"type": "Recreate"}));
    assert_eq!(
        strategy(relayed("")),
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    );
}

#[test]
fn persistent_messages_get_a_volume_without_an_owner_and_the_pod_mounts_it_where_its_configuration_says() {
    let spec = "{zones: [{name: a}, {name: b, replicas: 0}], \
                engine: {embedded: {persistence: {size: 2Gi, storageClassName: fast}}}}";
    let plan = planned(&spec.replace("{name: a}", "{name: a, replicas: 1}"));
    let [claim] = &plan.objects.persistent_volume_claims[..] else { panic!("{plan:?}") };
    let claim = serde_json::to_value(claim).unwrap();
    assert_eq!((&claim["metadata"]["name"], claim["metadata"].get("ownerReferences")), (&json!("trading-a"), None));
    assert_eq!(
        claim["spec"],
        json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}, "storageClassName": "fast"})
    );
    let pods: Vec<_> = templates(&plan).into_iter().map(|template| template.spec.unwrap()).collect();
    let [with, without] = &pods[..] else { panic!("{pods:?}") };
    let volume = with.volumes.as_ref().unwrap().last().unwrap();
    assert_eq!(volume.persistent_volume_claim.as_ref().unwrap().claim_name, "trading-a");
    let mount = with.containers[0].volume_mounts.as_ref().unwrap().last().unwrap().clone();
    assert_eq!((&mount.name, mount.read_only), (&volume.name, None));
    let config = &plan.objects.config_maps[0].data.as_ref().unwrap()["broker.yaml"];
    let Engine::Embedded(embedded) = Config::parse(config).unwrap().engine else { panic!("{config}") };
    let persistence = embedded.persistence.unwrap();
    assert_eq!((persistence.directory.to_str(), persistence.size), (Some(&*mount.mount_path), ByteSize(3 << 29)));
    assert_eq!(without.volumes.as_ref().unwrap().len(), 1, "a zone without a pod needs no volume");
    assert!(planned("{}").objects.persistent_volume_claims.is_empty());
}

#[test]
fn the_kubelet_waits_longer_than_the_drain_takes() {
    let grace = |spec: &str| pod(&planned(spec)).termination_grace_period_seconds.unwrap();
    assert_eq!(grace("{drain: {deadline: 5m}}"), 315);
    assert_eq!(grace("{drain: {deadline: 90s500ms}}"), 106);
}

#[test]
fn pods_keep_to_the_restricted_level_and_get_no_token() {
    let value = serde_json::to_value(pod(&relayed(""))).unwrap();
    assert_eq!(value["automountServiceAccountToken"], false);
    assert_eq!(value["serviceAccountName"], "trading");
    assert_eq!(value["securityContext"]["runAsNonRoot"], true);
    assert_eq!(value["securityContext"]["runAsUser"], 65532);
    assert_eq!(value["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &value["containers"][0]["securityContext"];
    assert_eq!(
        *container,
        json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
    );
}

#[test]
fn probes_ask_the_admin_port() {
    let value = serde_json::to_value(pod(&planned("{}"))).unwrap();
    let container = &value["containers"][0];
    for (probe, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "admin"}));
    }
    let ports = container["ports"].as_array().unwrap();
    assert!(ports.contains(&json!({"name": "admin", "containerPort": 15020, "protocol": "TCP"})));
}
