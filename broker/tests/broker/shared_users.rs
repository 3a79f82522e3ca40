//! Users of pods and of a Spring application that share one `RabbitMQ`, each with sessions at several of them.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
};

use crate::{
    servers::{self, Kind, LOGIN, Server},
    spring::java,
    support::{BrokerUnderTest, Peer, StompClient, WebSocketClient, config, eventually, within},
};

/// A Spring application that does what it is told.
struct Application {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Application {
    async fn start(upstream: &Server) -> Self {
        let mut command = java("shared.UsersCheck").await;
        let address = upstream.address();
        command.args([address.ip().to_string(), address.port().to_string(), LOGIN.0.to_owned(), LOGIN.1.to_owned()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let minute = std::time::Duration::from_mins(2);
        let started = tokio::time::timeout(minute, answer(&mut output)).await.expect("the application has not started");
        let port = started.parse().unwrap();
        Self { _process: process, input, output, port }
    }

    /// Has it do something; returns its answer.
    async fn tell(&mut self, line: &str) -> String {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        within("an answer of the application", answer(&mut self.output)).await
    }

    /// A browser of the application, of this user.
    async fn browser(&self, user: &str) -> WebSocketClient {
        let address = ([127, 0, 0, 1], self.port).into();
        let mut browser = WebSocketClient::connect(address, &format!("/app-ws?user={user}"), "").await;
        browser.log_in("").await;
        browser
    }

    /// Waits until it knows of so many sessions of a user, at all servers together.
    async fn knows(&mut self, user: &str, sessions: usize) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while self.tell(&format!("sessions {user}")).await != sessions.to_string() {
            assert!(std::time::Instant::now() < deadline, "it never knew of {sessions} sessions of {user}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

/// The next answer of the application, among what its libraries log.
async fn answer(output: &mut Lines<BufReader<ChildStdout>>) -> String {
    loop {
        let line = output.next_line().await.unwrap().expect("the application has ended");
        if let Some(answer) = line.strip_prefix("answer: ") {
            return answer.to_owned();
        }
    }
}

/// A pod before this upstream, which this user and a service can log in to. It tells who is there on this topic, if any.
async fn pod(upstream: &Server, user: &str, registry: Option<&str>) -> BrokerUnderTest {
    let folder = tempfile::tempdir().unwrap();
    for (directory, user, password) in
        [("client", user, "secret"), ("system", "service", "secret"), ("upstream", LOGIN.0, LOGIN.1)]
    {
        let directory = folder.path().join(directory);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("username"), user).unwrap();
        std::fs::write(directory.join("password"), password).unwrap();
    }
    std::fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    let port = upstream.address().port();
    let registry = registry.map(|topic| format!(", userRegistryBroadcast: {topic}")).unwrap_or_default();
    let text = format!(
        "credentials: {{client: {{directory: FOLDER/client}}, system: {{directory: FOLDER/system}}}}\n\
         engine: {{relay: {{destinationPrefixes: [/topic, /queue], upstreams: [{{host: 127.0.0.1, port: {port}}}], \
         systemCredentials: {{directory: FOLDER/upstream}}, clientCredentials: {{directory: FOLDER/upstream}}, \
         userDestinationBroadcast: /topic/unresolved-user{registry}}}}}"
    );
    let broker = BrokerUnderTest::start_in(folder, &config(&text));
    eventually("the pod to be ready", async || (broker.admin("GET", "/readyz").await.status == 200).then_some(()))
        .await;
    broker
}

async fn client(pod: &BrokerUnderTest, user: &str) -> StompClient {
    let mut client = pod.tcp().await;
    client.log_in(&format!("login:{user}\npasscode:secret\n")).await;
    client
}

/// The next MESSAGE is this one, sent to `/user/queue/a` as far as the client can see.
async fn gets(client: &mut impl Peer, body: &str) {
    let frame = client.frame().await;
    assert_eq!((frame.command.as_str(), frame.text()), ("MESSAGE", body), "{frame:?}");
    assert_eq!(frame.header("destination"), Some("/user/queue/a"));
    for internal in ["simpOrigDestination", "stompbroker-user-destination"] {
        assert_eq!(frame.header(internal), None);
    }
}

/// A message to the user is received with its receipt upstream.
async fn send(client: &mut StompClient, user: &str, body: &str) {
    client.send_frame(&format!("SEND\ndestination:/user/{user}/queue/a\nreceipt:{body}\n\n{body}")).await;
    assert_eq!(client.frame().await.header("receipt-id"), Some(body));
}

#[tokio::test]
async fn a_message_for_a_user_reaches_each_session_at_pods_and_at_spring_exactly_once_from_wherever_it_is_sent() {
    let _turn = servers::turn().await;
    let upstream = tokio::task::spawn_blocking(|| Server::start(Kind::RabbitMq)).await.unwrap();
    let told = Some("/topic/registry");
    let (one, other) = (pod(&upstream, "ann", told).await, pod(&upstream, "ann", told).await);
    let silent = pod(&upstream, "dora", None).await;
    let mut application = Application::start(&upstream).await;
    let mut service = client(&one, "service").await;

    // Pods reach each other's sessions by a broadcast, which the application leaves to them whether it knows of Ann or not.
    let (mut first, mut second) = (client(&one, "ann").await, client(&other, "ann").await);
    for session in [&mut first, &mut second] {
        session.subscribe("0", "/user/queue/a").await;
    }
    send(&mut service, "ann", "from-pod").await;
    for session in [&mut first, &mut second] {
        gets(session, "from-pod").await;
    }

    // Of Dora's pod the application hears nothing: it broadcasts. Had it heard of her by the time that its own broadcast comes
    // back, it would send once more, as Spring does among its own.
    let mut dora = client(&silent, "dora").await;
    dora.subscribe("0", "/user/queue/a").await;
    assert_eq!(application.tell("send dora /queue/a broadcast").await, "sent");
    gets(&mut dora, "broadcast").await;

    // Of Ann it has heard: it sends to her sessions.
    application.knows("ann", 2).await;
    assert_eq!(application.tell("send ann /queue/a from-spring").await, "sent");
    for session in [&mut first, &mut second] {
        gets(session, "from-spring").await;
    }

    // A user who is only at the application is found by a broadcast, and once it has told of her, by her session.
    let mut carol = application.browser("carol").await;
    carol.send_frame("SUBSCRIBE\nid:0\ndestination:/user/queue/a\nreceipt:s\n\n").await;
    assert_eq!(carol.frame().await.header("receipt-id"), Some("s"));
    send(&mut service, "carol", "unknown").await;
    gets(&mut carol, "unknown").await;

    // Ann at the application, too. When all have told each other, everybody reaches all three of her sessions, once.
    let mut third = application.browser("ann").await;
    third.send_frame("SUBSCRIBE\nid:0\ndestination:/user/queue/a\nreceipt:s\n\n").await;
    assert_eq!(third.frame().await.header("receipt-id"), Some("s"));
    application.knows("ann", 3).await;
    // The pod knows of her third session when what it sends comes there.
    let mut rounds = 0;
    loop {
        let body = format!("round-{rounds}");
        send(&mut service, "ann", &body).await;
        for session in [&mut first, &mut second] {
            gets(session, &body).await;
        }
        send(&mut service, "carol", &body).await;
        gets(&mut carol, &body).await;
        if let Ok(frame) = tokio::time::timeout(std::time::Duration::from_secs(1), third.frame()).await {
            assert_eq!(frame.header("destination"), Some("/user/queue/a"));
            break;
        }
        rounds += 1;
        assert!(rounds < 60, "the pod never reached the session at the application");
    }
    assert_eq!(application.tell("send ann /queue/a all-from-spring").await, "sent");
    send(&mut service, "ann", "all-from-pod").await;
    for session in [&mut first, &mut second] {
        let mut bodies = [session.message().await, session.message().await];
        bodies.sort();
        assert_eq!(bodies, ["all-from-pod", "all-from-spring"]);
    }
    let mut bodies = [third.message().await, third.message().await];
    bodies.sort();
    assert_eq!(bodies, ["all-from-pod", "all-from-spring"]);

    // Had anything come twice, it would be before the last words now.
    for session in [&mut first, &mut second, &mut dora] {
        session.subscribe("1", "/topic/last").await;
    }
    service.send("/topic/last", "nothing more").await;
    for session in [&mut first, &mut second, &mut dora] {
        assert_eq!(session.message().await, "nothing more");
    }
    third.send_frame("SUBSCRIBE\nid:1\ndestination:/topic/last\nreceipt:s\n\n").await;
    assert_eq!(third.frame().await.header("receipt-id"), Some("s"));
    service.send("/topic/last", "nothing more").await;
    assert_eq!(third.message().await, "nothing more");

    // A session that has gone is not told of any longer.
    drop(second);
    application.knows("ann", 2).await;

    // Past the rules for users leads no way by the topics and queues that the servers use.
    service.send("/topic/unresolved-user", "forged").await;
    service.frame().await.assert_error("for the servers that share the upstream");
}
