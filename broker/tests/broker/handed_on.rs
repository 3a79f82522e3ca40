//! SockJS over several pods without sticky sessions: any pod takes any request.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    cluster::{Cluster, config_of_peers, start_pod},
    sockjs::Http,
    support::{BrokerUnderTest, Frame, Process, assert_ok, clients, eventually, script, secrets, stompbroker, within},
};

const CONNECT: &str = "CONNECT\naccept-version:1.2\nhost:x\n\n\0";

/// A load balancer that sends each request to the next pod; stopped when dropped.
struct RoundRobin {
    address: SocketAddr,
    _stop: DropGuard,
}

impl RoundRobin {
    async fn over(pods: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, next) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let pod = pods[next.fetch_add(1, Ordering::Relaxed) % pods.len()];
                tokio::spawn(Self::pass_on(client, pod));
            }
        }));
        Self { address, _stop: stop.drop_guard() }
    }

    /// One request of a connection, so that the next one may go elsewhere.
    async fn pass_on(mut client: TcpStream, pod: SocketAddr) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let lines = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let head = lines.collect::<Vec<_>>().join("\r\n") + "\r\nConnection: close\r\n\r\n";
        let mut server = TcpStream::connect(pod).await?;
        server.write_all(head.as_bytes()).await?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        Ok(())
    }
}

/// How often a pod has handed a request on with this result.
async fn handed_on(pod: &BrokerUnderTest, result: &str) -> u64 {
    pod.metric(&format!("stompbroker_sockjs_handed_on_total{{result=\"{result}\"}}")).await
}

async fn post(pod: SocketAddr, path: &str, body: &str) -> (u16, String) {
    let mut http = Http::connect(pod).await;
    http.send("POST", path, "1.1", "Origin: https://app.test\r\n", body).await;
    let response = http.response().await;
    response.assert_readable_by(Some("https://app.test"));
    (response.status, response.body)
}

/// Sends a STOMP frame to a session through this pod.
async fn send(pod: SocketAddr, session: &str, frame: &str) -> u16 {
    post(pod, &format!("/chat/000/{session}/xhr_send"), &serde_json::to_string(&[frame]).unwrap()).await.0
}

/// The next frame of SockJS of a session through this pod.
async fn poll(pod: SocketAddr, session: &str) -> String {
    let (status, frame) = post(pod, &format!("/chat/000/{session}/xhr"), "").await;
    assert_eq!(status, 200, "{frame}");
    frame.trim_end().to_owned()
}

fn stomp(frame: &str) -> Frame {
    let messages: Vec<String> =
        serde_json::from_str(frame.strip_prefix('a').unwrap_or_else(|| panic!("{frame}"))).unwrap();
    Frame::parse(messages[0].strip_suffix('\0').unwrap().as_bytes())
}

/// Begins a stream of a session through this pod, as far as its first frame.
async fn stream(pod: SocketAddr, session: &str, first: &str) -> Http {
    let mut http = Http::connect(pod).await;
    http.send("POST", &format!("/chat/000/{session}/xhr_streaming"), "1.1", "", "").await;
    let head = http.head().await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("application/javascript; charset=UTF-8"));
    let prelude = http.chunk().await;
    assert!(prelude.trim_end().bytes().all(|octet| octet == b'h'), "{prelude}");
    if !first.is_empty() {
        assert_eq!(http.chunk().await.trim_end(), first);
    }
    http
}

#[tokio::test]
async fn sockjs_client_works_over_three_pods_whichever_pod_gets_a_request() {
    let clients = clients();
    let cluster = Cluster::start("limits: {messageSize: 256Ki}\nheartbeat: 500ms\nsessionTimeout: 2s").await;
    let balancer = RoundRobin::over(cluster.pods.iter().map(BrokerUnderTest::websocket).collect()).await;
    let mut command = tokio::process::Command::new("node");
    command.arg(script("sockjs.mjs")).arg(balancer.address.port().to_string()).arg(clients.join("node"));
    command.args(["xhr-streaming", "xhr-polling", "eventsource"]);
    assert_ok(command).await;
    for pod in &cluster.pods {
        assert!(handed_on(pod, "answered").await > 0);
        assert_eq!((handed_on(pod, "gone").await, handed_on(pod, "failed").await), (0, 0));
    }
}

#[tokio::test]
async fn a_session_is_reached_through_every_pod_and_counted_in_its_own() {
    let cluster = Cluster::start("").await;
    let [one, two, three] = [0, 1, 2].map(|pod: usize| cluster.pods[pod].websocket());
    assert_eq!(poll(one, "a").await, "o");
    assert_eq!(send(two, "a", CONNECT).await, 204);
    assert_eq!(stomp(&poll(three, "a").await).command, "CONNECTED");
    assert_eq!(send(three, "a", "SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0").await, 204);
    assert_eq!(send(one, "a", "SEND\ndestination:/topic/a\n\nhello\0").await, 204);
    assert_eq!(stomp(&poll(two, "a").await).text(), "hello");
    for (pod, sessions) in cluster.pods.iter().zip([1, 0, 0]) {
        let polling = "stompbroker_sessions{transport=\"sockjs_polling\"}";
        assert_eq!(pod.metric(polling).await, sessions);
        assert_eq!(pod.admin("GET", "/sessions?scope=cluster").await.json()["total"], 1);
    }
    let (status, _) = post(two, "/chat/000/a/xhr_send", "no JSON").await;
    assert_eq!(status, 500, "what the pod of the session says to it");
    assert_eq!(send(two, "unknown", CONNECT).await, 404);

    let mut http = Http::connect(two).await;
    http.send("GET", "/chat/000/a/jsonp?c=callback", "1.1", "", "").await;
    send(three, "a", "SEND\ndestination:/topic/a\n\nquery\0").await;
    let response = http.response().await;
    assert!(response.body.starts_with("/**/callback(\"a[") && response.body.contains("query"), "{response:?}");
}

#[tokio::test]
async fn the_clients_address_counts_once_where_it_came_in_and_is_that_of_the_session() {
    let cluster = Cluster::start("limits: {connectionsPerAddress: 1}").await;
    let ask = async |pod: usize, way: &str, body: &str| {
        let mut http = Http::connect(cluster.pods[pod].websocket()).await;
        let headers = "X-Forwarded-For: 192.0.2.7\r\nCookie: JSESSIONID=mine\r\n";
        http.send("POST", &format!("/chat/000/a/{way}"), "1.1", headers, body).await;
        http.response().await
    };
    ask(0, "xhr", "").await.assert(200, "o\n");
    let connect = serde_json::to_string(&[CONNECT]).unwrap();
    assert_eq!(ask(1, "xhr_send", &connect).await.status, 204);
    assert!(ask(2, "xhr", "").await.body.starts_with("a[\"CONNECTED"));
    let session = async || {
        let list = cluster.pods[0].admin("GET", "/sessions").await.json();
        list["sessions"][0]["address"].as_str().map(str::to_owned)
    };
    assert_eq!(eventually("the session", session).await, "192.0.2.7:0");
    for pod in &cluster.pods {
        assert_eq!(pod.metric("stompbroker_connections_refused_total").await, 0);
    }
}

/// A poll through `entry` that waits at `owner` for messages of a session, whose name comes with it.
async fn waiting_poll(owner: SocketAddr, entry: SocketAddr, other: SocketAddr) -> (String, Http) {
    for number in 0..100 {
        let session = format!("polling{number}");
        assert_eq!(poll(owner, &session).await, "o");
        let mut http = Http::connect(entry).await;
        http.send("POST", &format!("/chat/000/{session}/xhr"), "1.1", "", "").await;
        // It waits if another one may not; without an answer the other one was first, and has spoilt the session.
        let refused = tokio::time::timeout(Duration::from_millis(500), poll(other, &session)).await;
        if refused.is_ok_and(|frame| frame == "c[2010,\"Another connection still open\"]") {
            return (session, http);
        }
    }
    panic!("no poll has come to wait");
}

#[tokio::test]
async fn a_client_that_breaks_off_at_another_pod_is_found_out() {
    let cluster = Cluster::start("").await;
    let [one, two, three] = [0, 1, 2].map(|pod: usize| cluster.pods[pod].websocket());
    let (session, polling) = waiting_poll(one, two, three).await;
    assert_eq!(poll(one, "streaming").await, "o");
    let streaming = stream(two, "streaming", "").await;
    drop((polling, streaming));
    for session in [session.as_str(), "streaming"] {
        let over = async || (poll(three, session).await == "c[1002,\"Connection interrupted\"]").then_some(());
        eventually("the session to be over", over).await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_held_back_through_another_pod() {
    let cluster = Cluster::start("limits: {messageSize: 256Ki, sendBufferSize: 1Mi, sendTimeout: 1s}").await;
    let [one, two] = [0, 1].map(|pod: usize| cluster.pods[pod].websocket());
    assert_eq!(poll(one, "a").await, "o");
    let _stream = stream(two, "a", "").await;
    assert_eq!(send(one, "a", CONNECT).await, 204);
    assert_eq!(send(one, "a", "SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0").await, 204);
    let frame = format!("SEND\ndestination:/topic/a\n\n{}\0", "x".repeat(200_000));
    // What waits has its bound in the pod of the session, however much the other one could hold.
    within("the session to end", async {
        while send(one, "a", &frame).await == 204
            && cluster.pods[0].metric("stompbroker_connections{transport=\"sockjs_polling\"}").await == 1
        {}
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_drains_passes_its_clients_on_and_keeps_its_sessions_reachable() {
    let mut cluster = Cluster::start("drain: {delay: 0s, connectionsPerSecond: 1, deadline: 15s}").await;
    let [one, two, three] = [0, 1, 2].map(|pod: usize| cluster.pods[pod].websocket());
    assert_eq!(poll(one, "streaming").await, "o");
    let mut streaming = stream(two, "streaming", "").await;
    let (polled, mut polling) = waiting_poll(one, two, three).await;
    assert_eq!(send(two, "streaming", CONNECT).await, 204);
    assert!(streaming.chunk().await.starts_with("a[\"CONNECTED"));
    cluster.pods[1].shutdown.cancel();
    assert_eq!(streaming.chunk().await, "", "an orderly end");
    polling.response().await.assert(200, "h\n");
    cluster.pods[1].ended().await;
    for session in ["streaming", &polled] {
        assert_eq!(send(three, session, "SEND\ndestination:/topic/a\nreceipt:r\n\n\0").await, 204);
    }
    assert_eq!(stomp(&poll(three, "streaming").await).header("receipt-id"), Some("r"));

    cluster.pods[0].shutdown.cancel();
    let last = eventually("the goodbye of the pod with the sessions", async || {
        let frame = poll(three, "streaming").await;
        frame.starts_with("c[").then_some(frame)
    })
    .await;
    assert!(last.starts_with("c[1012,"), "{last}");
}

/// A pod that can be killed: its process, its configuration, and where browsers and peers reach it.
struct Victim {
    process: Process,
    _folder: tempfile::TempDir,
    websocket: SocketAddr,
    peers: String,
}

impl Victim {
    async fn start() -> Self {
        let folder = secrets();
        let token = folder.path().join("token");
        std::fs::write(&token, BrokerUnderTest::TOKEN).unwrap();
        let config = config_of_peers(&["127.0.0.1:9".to_owned()], "")
            .replace("TOKEN", &token.to_string_lossy())
            .replace("FOLDER", &folder.path().to_string_lossy());
        let file = folder.path().join("broker.yaml");
        std::fs::write(&file, config).unwrap();
        let process = Process::spawn(&mut stompbroker(&["run", "--config", &file.to_string_lossy()]));
        let websocket = Self::port(&process, "serving STOMP over WebSocket").await;
        let peers = Self::port(&process, "serving the other pods").await;
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Self { process, _folder: folder, websocket: at(websocket), peers: at(peers).to_string() }
    }

    async fn port(process: &Process, words: &str) -> u16 {
        let line: serde_json::Value = serde_json::from_str(&process.logs(words).await).unwrap();
        line["listener"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// A pod that has this one as its only peer, and knows that it answers.
    async fn peer(&self) -> BrokerUnderTest {
        let pod = start_pod(&config_of_peers(std::slice::from_ref(&self.peers), ""));
        let known = async || (pod.metric("stompbroker_peers").await == 1).then_some(());
        eventually("the peer to be known", known).await;
        pod
    }
}

#[tokio::test]
async fn sessions_of_a_killed_pod_are_unknown_as_after_a_restart() {
    let mut victim = Victim::start().await;
    let pod = victim.peer().await;
    let entry = pod.websocket();
    for session in ["streaming", "polling"] {
        assert_eq!(poll(victim.websocket, session).await, "o");
    }
    assert_eq!(send(entry, "polling", CONNECT).await, 204);
    assert_eq!(stomp(&poll(entry, "polling").await).command, "CONNECTED");
    let mut streaming = stream(entry, "streaming", "").await;
    victim.process.kill();
    streaming.end().await;
    assert_eq!(send(entry, "polling", "SEND\ndestination:/topic/a\n\n\0").await, 404);
    assert_eq!(poll(entry, "polling").await, "o", "a new session, which tells the client that the old one is lost");
    assert!(handed_on(&pod, "gone").await > 0);
}

#[tokio::test]
async fn a_silent_pod_keeps_nobody_waiting_for_ever() {
    let victim = Victim::start().await;
    let pod = victim.peer().await;
    let entry = pod.websocket();
    assert_eq!(poll(victim.websocket, "old").await, "o");
    assert_eq!(send(entry, "old", CONNECT).await, 204);
    assert_eq!(stomp(&poll(entry, "old").await).command, "CONNECTED");
    let mut waiting = Http::connect(entry).await;
    victim.process.signal("-STOP");
    waiting.send("POST", "/chat/000/old/xhr", "1.1", "", "").await;
    assert_eq!(poll(entry, "new").await, "o");
    assert_eq!(waiting.response().await.status, 503);
    assert_eq!(send(entry, "old", "SEND\ndestination:/topic/a\n\n\0").await, 404);
    victim.process.signal("-CONT");
}
