//! `bench`: `stompbroker bench` in a Job beside the broker, since a forwarded port would measure the API server.

use std::{collections::BTreeMap, io, time::Duration};

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams, LogParams, PostParams},
};
use serde_json::json;
use stompbroker_operator::{api::StompBroker, plan::labels};
use tokio::time::{Instant, sleep};

use crate::{
    cluster::{Cluster, request},
    error::Failure,
    tail::system_secret,
};

/// How long the Job may take, its image's pull included; Kubernetes ends it then by itself.
const PATIENCE: Duration = Duration::from_mins(15);
/// How often it is looked at.
const PERIOD: Duration = Duration::from_millis(500);
/// Kubernetes removes a Job that this command could not remove after so many seconds.
const LEFT_OVER: i32 = 300;
/// Where the Job finds what it logs in with.
const LOGIN: &str = "/login";

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The operator has not told where clients connect.
    #[error("{0} has no endpoint for STOMP over TCP or WebSocket yet; see kubectl stompbroker status {0}")]
    NoEndpoint(String),
    /// The Job did not end.
    #[error("the Job {job} did not end within {} min: {state}", PATIENCE.as_secs() / 60)]
    Late {
        /// Which Job.
        job: String,
        /// What its pod is doing.
        state: String,
    },
    /// The Job failed.
    #[error("the Job {job} failed:\n{log}")]
    Failed {
        /// Which Job.
        job: String,
        /// What it printed.
        log: String,
    },
}

/// Runs the Job, prints what it printed, and removes it.
///
/// # Errors
/// When the Job cannot be made, or fails.
pub(crate) async fn bench(
    cluster: &Cluster,
    name: &str,
    work: &[String],
    out: &mut impl io::Write,
) -> Result<(), Failure> {
    let broker = cluster.broker(Some(name)).await?;
    let login = cluster.secret(&system_secret(&broker), "username").await?;
    let wanted = job(&broker, &login, work).ok_or_else(|| BenchError::NoEndpoint(name.to_owned()))?;
    let jobs = cluster.api::<Job>();
    let made = request("create the Job", jobs.create(&PostParams::default(), &wanted)).await?.name_any();
    let log = tokio::select! {
        log = outcome(cluster, &made) => log,
        _ = tokio::signal::ctrl_c() => Ok(String::new()),
    };
    let removed = request("delete the Job", jobs.delete(&made, &DeleteParams::background())).await;
    out.write_all(log?.as_bytes())?;
    removed?;
    Ok(())
}

async fn outcome(cluster: &Cluster, job: &str) -> Result<String, Failure> {
    let end = Instant::now() + PATIENCE;
    let pods = cluster.api::<Pod>();
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    loop {
        let found = request("list the Job's pods", pods.list(&of_job)).await?.items;
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        let pod = found.first().map(|pod| (pod.name_any(), phase(pod)));
        match pod {
            Some((pod, phase)) if phase == "Succeeded" || phase == "Failed" => {
                let log = request("read the Job's log", pods.logs(&pod, &LogParams::default())).await?;
                return match phase.as_str() {
                    "Succeeded" => Ok(log),
                    _ => Err(BenchError::Failed { job: job.to_owned(), log }.into()),
                };
            }
            pod if Instant::now() > end => {
                let state = match found.first().and_then(crate::facts::obstacle) {
                    Some(obstacle) => obstacle,
                    None => pod.map_or_else(|| "it has no pod".to_owned(), |(_, phase)| format!("its pod is {phase}")),
                };
                return Err(BenchError::Late { job: job.to_owned(), state }.into());
            }
            _ => sleep(PERIOD).await,
        }
    }
}

/// The Job; absent while the broker has no endpoint.
fn job(broker: &StompBroker, login: &str, work: &[String]) -> Option<Job> {
    let status = broker.status.as_ref()?;
    let endpoints = status.endpoints.as_ref()?;
    let url = match (&endpoints.stomp, &endpoints.websocket) {
        (Some(stomp), _) => format!("tcp://{stomp}"),
        (None, Some(websocket)) => websocket.clone(),
        (None, None) => return None,
    };
    let name = broker.name_any();
    let passcode_file = format!("{LOGIN}/password");
    let mut arguments = vec!["bench".to_owned()];
    arguments.extend_from_slice(work);
    arguments.extend(["--url", &url, "--login", login, "--passcode-file", &passcode_file].map(str::to_owned));
    let template = json!({
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "imagePullSecrets": broker.spec.image_pull_secrets,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "bench",
                "image": status.image,
                "args": arguments,
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                                    "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "login", "mountPath": LOGIN, "readOnly": true}],
            }],
            "volumes": [{"name": "login", "secret": {"secretName": system_secret(broker),
                                                      "items": [{"key": "password", "path": "password"}]}}],
        },
    });
    Some(Job {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-bench-")),
            // Not the broker's own labels: it is none of its pods.
            labels: Some(BTreeMap::from([(labels::PART_OF.to_owned(), labels::PRODUCT.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            active_deadline_seconds: Some(i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX)),
            ttl_seconds_after_finished: Some(LEFT_OVER),
            template: serde_json::from_value(template).ok()?,
            ..JobSpec::default()
        }),
        ..Job::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passcode_is_a_mounted_file_and_no_argument() {
        let broker = serde_json::from_value(json!({
            "apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker", "metadata": {"name": "trading"}, "spec": {},
            "status": {"image": "stompbroker:1", "endpoints": {"stomp": "trading.markets.svc:61613"}},
        }));
        let job = job(&broker.unwrap(), "system", &["queues".to_owned(), "--pairs=3".to_owned()]).unwrap();
        let pod = job.spec.unwrap().template.spec.unwrap();
        let arguments = pod.containers[0].args.clone().unwrap().join(" ");
        let expected = "bench queues --pairs=3 --url tcp://trading.markets.svc:61613 --login system --passcode-file \
                        /login/password";
        assert_eq!(arguments, expected);
        let volume = pod.volumes.unwrap().remove(0).secret.unwrap();
        assert_eq!(volume.secret_name.as_deref(), Some("trading-system"));
    }
}
