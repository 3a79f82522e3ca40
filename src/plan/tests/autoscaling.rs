//! Who decides the number of pods, and by what.

use super::*;

fn autoscaled(more: &str) -> String {
    format!("{{{RELAY}, zones: [{{name: a}}], autoscaling: {{minReplicasPerZone: 2, maxReplicasPerZone: 6{more}}}}}")
}

fn seen(desired: i32, owns_replicas: bool) -> BTreeMap<String, DeploymentView> {
    BTreeMap::from([("trading-a".to_owned(), DeploymentView { desired, owns_replicas, ..DeploymentView::default() })])
}

fn scalers(plan: &Plan) -> Vec<Value> {
    plan.objects.horizontal_pod_autoscalers.iter().map(|scaler| serde_json::to_value(scaler).unwrap()).collect()
}

#[test]
fn an_autoscaler_scales_the_deployment_of_its_zone_within_the_bounds() {
    let scaler = scalers(&planned(&autoscaled(""))).remove(0);
    assert_eq!(
        scaler["spec"]["scaleTargetRef"],
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "trading-a"})
    );
    assert_eq!((&scaler["spec"]["minReplicas"], &scaler["spec"]["maxReplicas"]), (&json!(2), &json!(6)));
    assert_eq!(scalers(&relayed("")), [] as [Value; 0]);
}

#[test]
fn targets_are_shares_of_the_limits_and_only_of_those_that_are_set() {
    let metrics = |more: &str| {
        let spec =
            autoscaled(", targets: {connections: 50, messageRate: 20, cpu: 60}").replacen('{', &format!("{{{more}"), 1);
        scalers(&planned(&spec)).remove(0)["spec"]["metrics"].clone()
    };
    let pods = |name: &str, value: &str| json!({"type": "Pods", "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": value}}});
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}});
    let sessions = pods("stompbroker_sessions", "150");
    assert_eq!(metrics("limits: {connectionsPerPod: 300}, "), json!([sessions, cpu]));
    let rate = pods("stompbroker_messages_per_second", "200");
    let both = "limits: {connectionsPerPod: 300, messagesPerSecondPerPod: 1000}, ";
    assert_eq!(metrics(both), json!([sessions, rate, cpu]));
    assert_eq!(metrics("limits: {connectionsPerPod: 1}, ")[0]["pods"]["target"]["averageValue"], "1");
}

#[test]
fn without_custom_metrics_the_cpu_alone_decides() {
    let broker = broker(&autoscaled(""));
    let observed = Observed::assuming_references(&broker);
    let settings = Settings { custom_metrics: false, ..settings() };
    let plan = plan(&validate(&broker, &observed).unwrap(), &observed, &settings).unwrap();
    let metrics = scalers(&plan).remove(0)["spec"]["metrics"].clone();
    assert_eq!(metrics.as_array().unwrap().len(), 1);
    assert_eq!(metrics[0]["resource"]["name"], "cpu");
}

#[test]
fn pods_go_one_after_the_other_with_time_to_let_their_sessions_go() {
    let spec = autoscaled("").replacen('{', "{drain: {deadline: 2m}, ", 1);
    let down = scalers(&planned(&spec)).remove(0)["spec"]["behavior"]["scaleDown"].clone();
    assert_eq!(down["stabilizationWindowSeconds"], 300);
    assert_eq!(down["policies"][0], json!({"type": "Pods", "value": 1, "periodSeconds": 120}));
}

#[test]
fn a_new_zone_begins_with_the_fewest_pods() {
    assert_eq!(replicas(&planned(&autoscaled(""))), [Some(2)]);
    assert_eq!(replicas(&planned(&autoscaled(", mode: External"))), [Some(2)]);
}

#[test]
fn switching_to_an_autoscaler_does_not_scale_to_one_pod_in_between() {
    let number = |desired, owns| replicas(&planned_in(&autoscaled(""), seen(desired, owns)));
    assert_eq!(number(4, true), [Some(4)]);
    assert_eq!(number(9, true), [Some(6)]);
    assert_eq!(number(1, true), [Some(2)]);
    assert_eq!(number(4, false), [None]);
}

#[test]
fn an_external_scaler_is_left_alone_within_bounds_and_without() {
    let external = autoscaled(", mode: External");
    assert_eq!(replicas(&planned_in(&external, seen(40, false))), [None]);
    assert_eq!(replicas(&planned_in(&external, seen(40, true))), [Some(40)], "kept until the scaler writes it");
    let plan = planned(&external);
    assert_eq!(scalers(&plan), [] as [Value; 0]);
    assert_eq!(plan.objects.scaled_objects, []);
}

#[test]
fn keda_gets_a_scaled_object_with_the_sessions_of_its_zone_and_what_the_user_adds() {
    let keda = "keda: {prometheusAddress: 'http://prometheus:9090', \
                triggers: [{type: cron, metadata: {start: 0 8 * * *}, authentication: login}]}";
    let plan = planned(&autoscaled(&format!(", mode: Keda, {keda}")));
    assert_eq!(scalers(&plan), [] as [Value; 0]);
    let scaled = serde_json::to_value(&plan.objects.scaled_objects[0]).unwrap();
    assert_eq!((&scaled["apiVersion"], &scaled["kind"]), (&json!("keda.sh/v1alpha1"), &json!("ScaledObject")));
    assert_eq!(scaled["metadata"]["name"], "trading-a");
    let spec = &scaled["spec"];
    assert_eq!(spec["scaleTargetRef"], json!({"name": "trading-a"}));
    assert_eq!((&spec["minReplicaCount"], &spec["maxReplicaCount"]), (&json!(2), &json!(6)));
    let sessions = &spec["triggers"][0];
    assert_eq!((&sessions["type"], &sessions["metricType"]), (&json!("prometheus"), &json!("AverageValue")));
    assert_eq!(
        sessions["metadata"],
        json!({"serverAddress": "http://prometheus:9090", "threshold": "7000",
               "query": r#"sum(stompbroker_sessions{namespace="markets",pod=~"trading-a-[0-9a-z]+-[0-9a-z]+"})"#})
    );
    assert_eq!(spec["triggers"][1], json!({"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}));
    assert_eq!(
        spec["triggers"][2],
        json!({"type": "cron", "metadata": {"start": "0 8 * * *"}, "authenticationRef": {"name": "login"}})
    );
}

#[test]
fn without_keda_no_object_of_its_kind_is_written() {
    let broker = broker(&autoscaled(", mode: Keda"));
    let observed = Observed { keda: false, ..Observed::assuming_references(&broker) };
    let plan = plan(&validate(&broker, &observed).unwrap(), &observed, &settings()).unwrap();
    assert_eq!(plan.objects.scaled_objects, []);
}
