//! The port as kube-apiserver sees it, and as somebody sees it who is not kube-apiserver.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use k8s_openapi::{api::core::v1::ConfigMap, jiff::Timestamp};
use kube::{Client, client::Body};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use super::{
    answer::Loads,
    authority::Authority,
    certificate,
    front_proxy::FrontProxy,
    review::Reviews,
    server::Server,
    upkeep::{Doorway, Upkeep},
};
use crate::{
    controller::{
        polls::{asked::Asked, reports::Reports},
        testing,
        watches::cache::Key,
    },
    metrics::Metrics,
    settings,
};

const PATIENCE: Duration = Duration::from_secs(20);
const HOST: &str = "metrics.operators.svc";
const SESSIONS_OF_A: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/markets/pods/*/stompbroker_sessions?labelSelector=stompbroker.dev%2Fzone%3Da";

/// The authority of the front proxy.
struct Proxies {
    params: CertificateParams,
    key: KeyPair,
}

/// A certificate with its key.
struct Shown(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Proxies {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "front-proxy-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { params, key: KeyPair::generate().unwrap() }
    }

    fn pem(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    fn certificate(&self, name: &str) -> Shown {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        Shown(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }
}

/// A server with two pods in zone a, of which one answers, and what it needs to be reached.
struct Port {
    address: SocketAddr,
    authority: String,
    proxies: Proxies,
    asked: Arc<Asked>,
    /// Namespaces that were asked about in SubjectAccessReviews.
    reviewed: Arc<Mutex<Vec<Value>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// An API server that allows only the user `autoscaler` everything, and `anna` what is in the namespace markets.
fn api_server(reviewed: Arc<Mutex<Vec<Value>>>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let reviewed = reviewed.clone();
        async move {
            let body = request.into_body().collect_bytes().await.unwrap();
            let mut review: Value = serde_json::from_slice(&body).unwrap();
            let spec = &review["spec"];
            let namespace = spec["resourceAttributes"]["namespace"].clone();
            let allowed = spec["user"] == "autoscaler" || (spec["user"] == "anna" && namespace == "markets");
            reviewed.lock().push(namespace);
            review["status"] = json!({"allowed": allowed});
            Ok::<_, std::convert::Infallible>(Response::new(Body::from(serde_json::to_vec(&review).unwrap())))
        }
    });
    Client::new(service, "default")
}

impl Port {
    async fn open() -> Self {
        let now = Timestamp::now();
        let (authority, proxies) = (Authority::make(now).unwrap(), Proxies::new());
        let data = [
            ("requestheader-client-ca-file", proxies.pem()),
            ("requestheader-allowed-names", r#"["front-proxy-client"]"#.to_owned()),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#.to_owned()),
        ];
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let front_proxy = FrontProxy::of(&ConfigMap { data: Some(data), ..ConfigMap::default() }).unwrap();
        let tls = certificate::tls(&authority, HOST, &front_proxy.authorities, now).unwrap();
        let doorway = Doorway { tls: TlsAcceptor::from(Arc::new(tls)), front_proxy: Arc::new(front_proxy) };

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reviewed = Arc::new(Mutex::new(Vec::new()));
        let client = api_server(reviewed.clone());
        let settings =
            settings::CustomMetrics { address, namespace: "operators".to_owned(), service: "metrics".to_owned() };
        let upkeep = Upkeep::new(client.clone(), settings, Metrics::new());
        upkeep.open(doorway, &authority, now);
        let world = testing::world_with_pods("markets", &[("a-1", "trading", "a"), ("a-2", "trading", "a")]);
        let reports = Reports::default();
        reports.put("uid of a-1", Ok(testing::report(7, 0.0)));
        let asked = Arc::new(Asked::default());
        // As if they had been asked for before: nobody has to be waited for.
        asked.note(Key::new("markets", "trading"));
        let server = Server {
            loads: Loads {
                managed: testing::managed("markets", &["trading"]),
                world: Arc::new(world),
                reports: Arc::new(reports),
                good_for: PATIENCE,
            },
            asked: asked.clone(),
            reviews: Reviews::new(client),
            upkeep: Arc::new(upkeep),
            metrics: Metrics::new(),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(listener, stop.clone()));
        Self { address, authority: authority.certificate, proxies, asked, reviewed, stop, task }
    }

    /// Asks for `path` as `user`, showing `shown`.
    async fn get(&self, path: &str, user: Option<&str>, shown: Option<Shown>) -> std::io::Result<(u16, Value)> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = match shown {
            Some(Shown(chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
            None => config.with_no_client_auth(),
        };
        let stream = TcpStream::connect(self.address).await?;
        let host = ServerName::try_from(HOST).unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(host, stream).await?;
        let user = user.map(|user| format!("x-remote-user: {user}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n{user}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap()?;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok((status, serde_json::from_str(body).unwrap()))
    }

    async fn as_user(&self, path: &str, user: &str) -> (u16, Value) {
        self.get(path, Some(user), Some(self.proxies.certificate("front-proxy-client"))).await.unwrap()
    }

    async fn close(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn kube_apiserver_gets_discovery_and_metrics_by_the_name_of_the_service() {
    let port = Port::open().await;
    let (status, resources) = port.as_user("/apis/custom.metrics.k8s.io/v1beta2", "anybody").await;
    assert_eq!((status, &resources["resources"][0]["name"]), (200, &json!("pods/stompbroker_sessions")));
    let (status, list) = port.as_user(SESSIONS_OF_A, "autoscaler").await;
    assert_eq!(status, 200, "{list}");
    assert_eq!(list["kind"], "MetricValueList");
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "a pod that has not answered is missing: {list}");
    assert_eq!((&items[0]["describedObject"]["name"], &items[0]["value"]), (&json!("a-1"), &json!("7")));
    assert!(port.asked.wants(&Key::new("markets", "trading")));
    port.close().await;
}

#[tokio::test]
async fn nobody_else_gets_through_the_door() {
    let port = Port::open().await;
    let stranger = Proxies::new().certificate("front-proxy-client");
    assert!(port.get(SESSIONS_OF_A, Some("autoscaler"), None).await.is_err(), "without a certificate");
    assert!(port.get(SESSIONS_OF_A, Some("autoscaler"), Some(stranger)).await.is_err(), "of another authority");
    let other = port.proxies.certificate("kubelet");
    assert!(port.get(SESSIONS_OF_A, Some("autoscaler"), Some(other)).await.is_err(), "of another name");
    let shown = port.proxies.certificate("front-proxy-client");
    let (status, _) = port.get(SESSIONS_OF_A, None, Some(shown)).await.unwrap();
    assert_eq!(status, 401, "for nobody");
    assert_eq!(*port.reviewed.lock(), [] as [Value; 0]);
    port.close().await;
}

#[tokio::test]
async fn who_may_not_is_told_what_he_may_not() {
    let port = Port::open().await;
    let (status, refusal) = port.as_user(SESSIONS_OF_A, "mallory").await;
    assert_eq!((status, &refusal["reason"]), (403, &json!("Forbidden")));
    let message = refusal["message"].as_str().unwrap();
    assert!(message.contains("mallory") && message.contains("pods/stompbroker_sessions"), "{message}");
    let (status, _) = port.as_user(SESSIONS_OF_A, "anna").await;
    assert_eq!(status, 200, "a right in the namespace is enough");
    port.close().await;
}

#[tokio::test]
async fn the_api_server_is_asked_once_about_a_user_that_may_everywhere() {
    let port = Port::open().await;
    for _ in 0..3 {
        assert_eq!(port.as_user(SESSIONS_OF_A, "autoscaler").await.0, 200);
    }
    assert_eq!(*port.reviewed.lock(), [Value::Null]);
    port.close().await;
}
