//! `stompbroker bench` against a broker and against its own do-nothing peer: what is sent arrives and is counted.

use clap::Parser as _;
use stompbroker::{
    bench::{BenchError, Peer, PeerTransport, Report, measure},
    cli::{Cli, Command},
};

use super::support::{BrokerUnderTest, config};

/// Runs a load for a short while.
async fn run(url: &str, arguments: &str) -> Result<Report, BenchError> {
    let line = format!("stompbroker bench --url {url} --duration 200ms --warm-up 50ms {arguments}");
    match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
        Command::Bench(arguments) => measure(arguments).await,
        other => panic!("{other:?}"),
    }
}

fn urls(broker: &BrokerUnderTest) -> [String; 2] {
    [format!("tcp://{}", broker.stomp()), format!("ws://{}/chat", broker.websocket())]
}

/// All loads, small enough for any machine.
const LOADS: [&str; 4] = [
    "fan-out --publishers 2 --subscribers 7 --size 100 --batch 10",
    "fan-out --publishers 3 --subscribers 4 --rate 400",
    "queues --pairs 3 --window 20",
    "sessions --sessions 20 --rate 300",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_a_load_arrives() {
    let broker = BrokerUnderTest::start(&config(""));
    for url in urls(&broker) {
        for load in LOADS {
            let report = run(&url, load).await.unwrap();
            assert_eq!(report.lost, 0, "{report}");
            assert!(report.sent > 0 && report.received > 0, "{report}");
            assert_eq!(report.latency.is_some(), load.contains("--rate"), "{report}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_a_load_go_to_one_address_after_the_other_and_meet() {
    let broker = BrokerUnderTest::start(&config(""));
    let load = "queues --pairs 3 --window 5 --receipts --header persistent:true --header kind:test";
    let report = run(&urls(&broker).join(","), load).await.unwrap();
    assert_eq!(report.lost, 0, "{report}");
    assert!(report.received > 0 && report.work.contains("a receipt each"), "{report}");
    for transport in ["tcp", "websocket"] {
        let name = format!("stompbroker_sessions_opened_total{{transport=\"{transport}\"}}");
        assert_eq!(broker.metric(&name).await, 3, "{name}");
    }
    // More than fit under way: receipts came, and made room.
    assert!(report.sent > 15, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_do_nothing_peer_serves_every_load() {
    for transport in [PeerTransport::Tcp, PeerTransport::Websocket] {
        let peer = Peer::bind("127.0.0.1:0".parse().unwrap(), transport).await.unwrap();
        let url = peer.url().to_string();
        let serving = tokio::spawn(peer.serve());
        for load in LOADS {
            let report = run(&url, load).await.unwrap();
            assert_eq!(report.lost, 0, "{report}");
            assert!(report.received > 0, "{report}");
        }
        serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_use_of_a_process_of_this_machine_is_reported() {
    let broker = BrokerUnderTest::start(&config(""));
    let [url, _] = urls(&broker);
    let own = std::process::id();
    let report = run(&url, &format!("memory --sessions 10 --server-pid {own}")).await.unwrap();
    assert_eq!(report.memory.unwrap().sessions, 10);
    assert!(report.resident.unwrap() > 0);
    let report = run(&url, &format!("queues --pairs 1 --server-pid {own}")).await.unwrap();
    assert!(report.server.is_some() && report.resident.is_some(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_measured_is_told_with_the_remedy() {
    let broker = BrokerUnderTest::start(
        "listeners: {stomp: {port: 0}, websocket: {port: 0, path: /chat}}\nadmin: {port: 0}\nauthentication: {anonymous: false}\n",
    );
    let [tcp, websocket] = urls(&broker);
    let wrong_path = websocket.replace("/chat", "/other");
    for (url, arguments, part) in [
        (tcp.as_str(), "fan-out", "the broker answered with an ERROR"),
        (&wrong_path, "fan-out", "check the path and the allowed origins"),
        ("tcp://127.0.0.1:1", "fan-out", "does the broker listen there?"),
        (&tcp, "fan-out --size 15", "--size is 15; bodies have at least 16 octets"),
        (&tcp, "fan-out --subscribers 0", "--subscribers is 0; it must be at least 1"),
        (&tcp, "memory", "--server-pid is not given"),
        (&tcp, "queues --passcode-file /does/not/exist", "cannot read the passcode from \"/does/not/exist\""),
        (&tcp, "queues --server-pid 4294967295 --pairs 1", "ERROR"),
    ] {
        let error = run(url, arguments).await.unwrap_err().to_string();
        assert!(error.contains(part), "{arguments}: {error}");
    }
}
