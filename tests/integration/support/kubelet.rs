//! The test as Deployment controller, scheduler, kubelet and broker.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Secret},
};
use kube::{
    Resource as _, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use stompbroker_config::{
    Admin,
    admin::{ConfigStatus, LoginDigests, Sessions, Status},
};
use tokio::{net::TcpListener, task::JoinSet};

use super::World;

/// The admin port of one broker pod, on a loopback address of its own.
pub struct AdminServer {
    pub address: Ipv4Addr,
    status: Arc<Mutex<Status>>,
    token: Arc<Mutex<String>>,
    _task: JoinSet<()>,
}

impl AdminServer {
    pub async fn start(status: Status, token: String) -> Self {
        let (listener, address) = admin_listener().await;
        let (status, token) = (Arc::new(Mutex::new(status)), Arc::new(Mutex::new(token)));
        let state = (status.clone(), token.clone());
        let task = serve(listener, move |request| answer(request, &state.0.lock().unwrap(), &state.1.lock().unwrap()));
        Self { address, status, token, _task: task }
    }

    /// Changes what the pod says of itself.
    pub fn say(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap());
    }

    /// Changes the token that the pod knows.
    pub fn know(&self, token: &str) {
        token.clone_into(&mut self.token.lock().unwrap());
    }
}

/// Answers all requests on `listener`.
pub fn serve(
    listener: TcpListener,
    answer: impl Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Clone + Send + 'static,
) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let answer = answer(&request);
                    async { Ok::<_, Infallible>(answer) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    task
}

/// An admin port on a loopback address of its own.
pub async fn admin_listener() -> (TcpListener, Ipv4Addr) {
    listener(Admin::default().port).await
}

/// An address that nobody listens on; its part of 127.0.0.0/8 is this process's own.
pub async fn free_address() -> SocketAddr {
    listener(0).await.0.local_addr().unwrap()
}

/// A port on a loopback address of its own: each test process has a part of 127.0.0.0/8, each server in it an address.
pub async fn listener(port: u16) -> (TcpListener, Ipv4Addr) {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let process = std::process::id() % 250 + 1;
    loop {
        let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let address = Ipv4Addr::new(127, u8::try_from(process).unwrap(), high, low);
        if let Ok(listener) = TcpListener::bind(SocketAddr::from((address, port))).await {
            return (listener, address);
        }
    }
}

fn answer(request: &Request<Incoming>, status: &Status, token: &str) -> Response<Full<Bytes>> {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (code, body) = if request.uri().path() != "/status" {
        (StatusCode::NOT_FOUND, String::new())
    } else if given == Some(&format!("Bearer {token}")) {
        (StatusCode::OK, serde_json::to_string(status).unwrap())
    } else {
        (StatusCode::UNAUTHORIZED, String::new())
    };
    Response::builder().status(code).body(Full::new(Bytes::from(body))).unwrap()
}

/// Brings the pods of a Deployment to life.
pub struct Kubelet<'a>(pub &'a World);

impl Kubelet<'_> {
    /// What a pod of `deployment` says after it has loaded its configuration.
    pub async fn healthy(&self, deployment: &str) -> Status {
        let config: ConfigMap = self.0.exists(deployment).await;
        let yaml = &config.data.unwrap()["broker.yaml"];
        Status {
            version: "1".to_owned(),
            config: ConfigStatus {
                hash: stompbroker_config::config_hash(yaml),
                rejected: None,
                needs_restart: Vec::new(),
            },
            logins: LoginDigests::default(),
            sessions: Sessions::default(),
            relay: None,
            draining: false,
            drain: None,
        }
    }

    /// The token that the pods of `broker` find in their Secret.
    pub async fn token(&self, broker: &str) -> String {
        let secret: Secret = self.0.exists(&format!("{broker}-admin")).await;
        String::from_utf8(secret.data.unwrap()["token"].0.clone()).unwrap()
    }

    /// Starts the one pod of `deployment`, ready and answering.
    pub async fn run(&self, broker: &str, deployment: &str) -> AdminServer {
        let admin = AdminServer::start(self.healthy(deployment).await, self.token(broker).await).await;
        self.pod(deployment, admin.address).await;
        self.rolled_out(deployment).await;
        admin
    }

    /// Creates a ready pod of `deployment` with this address.
    pub async fn pod(&self, deployment: &str, address: Ipv4Addr) -> Pod {
        let owner: Deployment = self.0.exists(deployment).await;
        let template = owner.spec.as_ref().unwrap().template.clone();
        let metadata = json!({
            "generateName": format!("{deployment}-"),
            "labels": template.metadata.unwrap().labels,
            "ownerReferences": [owner.controller_owner_ref(&())],
        });
        let mut spec = serde_json::to_value(template.spec.unwrap()).unwrap();
        spec["nodeName"] = json!("node-a");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        let api = self.0.api::<Pod>();
        let pod = api.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        self.pod_status(&pod.name_any(), address, true).await;
        pod
    }

    /// Says of a pod that it runs and is ready or not.
    pub async fn pod_status(&self, name: &str, address: Ipv4Addr, ready: bool) {
        let status = json!({"status": {
            "phase": "Running",
            "podIP": address.to_string(),
            "podIPs": [{"ip": address.to_string()}],
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            "containerStatuses": [{"name": "broker", "image": "i", "imageID": "", "ready": ready, "restartCount": 0,
                                   "started": true, "state": {"running": {}}}],
        }});
        self.0.api::<Pod>().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// Says of a pod what the node controller says when the node stops reporting: not ready, and all else as last heard of.
    pub async fn node_lost(&self, name: &str) {
        let status =
            json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "NodeNotReady"}]}});
        self.0.api::<Pod>().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// Says of a Deployment that so many of its pods are ready.
    pub async fn ready(&self, name: &str, ready: i32) {
        let status = json!({"status": {"readyReplicas": ready, "availableReplicas": ready}});
        self.0.api::<Deployment>().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// Says of a Deployment that all its pods are there, new and ready.
    pub async fn rolled_out(&self, name: &str) {
        let deployment: Deployment = self.0.exists(name).await;
        let replicas = deployment.spec.unwrap().replicas.unwrap_or(1);
        let status = json!({"status": {
            "observedGeneration": deployment.metadata.generation,
            "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas,
        }});
        self.0.api::<Deployment>().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }
}
