//! The end of a connection: the client always receives the last frame, then FIN, never RST.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::support::{BrokerUnderTest, Peer, config, eventually};

#[tokio::test]
async fn an_error_is_followed_by_fin() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp().await;
    client.send_frame("SEND\ndestination:/queue/a\n\nbefore the login").await;
    client.frame().await.assert_error("CONNECT");
    client.end().await;
}

#[tokio::test]
async fn an_error_is_received_even_while_the_client_goes_on_sending() {
    let broker = BrokerUnderTest::start(&config(""));
    for _ in 0..20 {
        let mut client = broker.tcp_session().await;
        let mut octets = b"NONSENSE\n\n\0".to_vec();
        octets.extend(b"SEND\ndestination:/queue/a\n\nunread\0".repeat(20_000));
        let (_, mut write) = client.stream.split();
        write.write_all(&octets).await.unwrap();
        client.frame().await.assert_error("NONSENSE");
        client.end().await;
        // An RST, which would overtake the ERROR on a real network, makes the second of these fail.
        for _ in 0..2 {
            client.write(b"\n").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn disconnect_is_answered_by_its_receipt_and_fin() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp_session().await;
    client.send_frame("SEND\ndestination:/queue/a\n\nkept").await;
    client.send_frame("DISCONNECT\nreceipt:bye\n\n").await;
    client.send_frame("SEND\ndestination:/queue/a\n\nignored").await;
    let receipt = client.frame().await;
    assert_eq!((receipt.command.as_str(), receipt.header("receipt-id")), ("RECEIPT", Some("bye")));
    client.end().await;

    let mut reader = broker.tcp_session().await;
    reader.consume("0", "/queue/a").await;
    assert_eq!(reader.message().await, "kept");
    reader.send("/queue/a", "next").await;
    assert_eq!(reader.message().await, "next");
}

#[tokio::test]
async fn a_client_that_closes_its_side_still_gets_every_receipt_that_it_asked_for() {
    const MESSAGES: usize = 50;
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp_session().await;
    let frame = |number| format!("SEND\ndestination:/queue/a\nreceipt:{number}\n\n{number}\0");
    client.write((0..MESSAGES).map(frame).collect::<Vec<_>>().concat().as_bytes()).await;
    client.stream.shutdown().await.unwrap();
    for number in 0..MESSAGES {
        let receipt = client.frame().await;
        let expected = number.to_string();
        assert_eq!((receipt.command.as_str(), receipt.header("receipt-id")), ("RECEIPT", Some(&*expected)));
    }
    client.end().await;
}

#[tokio::test]
async fn every_end_is_counted_by_its_reason_and_leaves_nothing_behind() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut orderly = broker.tcp_session().await;
    orderly.send_frame("DISCONNECT\n\n").await;
    orderly.end().await;
    drop(broker.tcp_session().await);
    let mut wrong = broker.tcp_session().await;
    wrong.send_frame("ACK\nid:unknown\n\n").await;
    wrong.frame().await.assert_error("unknown");
    wrong.end().await;
    drop(wrong);
    eventually("all connections to be gone", async || {
        (broker.metric("stompbroker_connections{transport=\"tcp\"}").await == 0).then_some(())
    })
    .await;
    assert_eq!(broker.metric("stompbroker_sessions{transport=\"tcp\"}").await, 0);
    assert_eq!(broker.metric("stompbroker_sessions_opened_total{transport=\"tcp\"}").await, 3);
    for reason in ["disconnect", "client_closed", "protocol_error"] {
        let metric = format!("stompbroker_sessions_closed_total{{reason=\"{reason}\"}}");
        assert_eq!(broker.metric(&metric).await, 1, "{reason}");
    }
    assert_eq!(broker.metric("stompbroker_sessions_closed_abnormally_total").await, 1);
}

#[tokio::test]
async fn two_thousand_clients_that_come_and_go_leave_nothing_behind() {
    let broker = BrokerUnderTest::start(&config(""));
    for _ in 0..20 {
        let mut clients = Vec::new();
        for _ in 0..100 {
            let mut client = broker.tcp().await;
            client.write(b"CONNECT\naccept-version:1.2\nhost:x\n\n\0SUBSCRIBE\nid:0\ndestination:/topic/a\n\n\0").await;
            clients.push(client);
        }
        for client in &mut clients {
            assert_eq!(client.frame().await.command, "CONNECTED");
        }
    }
    eventually("all connections to be gone", async || {
        let open = broker.metric("stompbroker_connections{transport=\"tcp\"}").await;
        let subscriptions = broker.metric("stompbroker_all_subscriptions").await;
        (open == 0 && subscriptions == 0).then_some(())
    })
    .await;
    assert_eq!(broker.metric("stompbroker_sessions_opened_total{transport=\"tcp\"}").await, 2000);
}

#[tokio::test]
async fn octets_of_any_kind_harm_nobody_else() {
    let broker = BrokerUnderTest::start(&config("limits: {loginTimeout: 1s}"));
    let mut neighbour = broker.tcp_session().await;
    // A fixed walk through all octets, so that a failure can be repeated.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[3]
        };
        (0..length).map(next).collect()
    };
    let starts: [&[u8]; 6] = [
        b"",
        b"CONNECT\naccept-version:1.2\nhost:x\n\n\0",
        b"CONNECT\naccept-version:1.2\nhost:x\n\n\0SEND\ndestination:/queue/a\ncontent-length:1000\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"GET /chat HTTP/1.1\r\nHost: x\r\n",
    ];
    for length in [1, 2, 14, 100, 3000, 70_000] {
        for start in starts {
            for port in [broker.stomp(), broker.websocket()] {
                let mut stream = tokio::net::TcpStream::connect(port).await.unwrap();
                let octets = [start, &noise(length)].concat();
                // The broker may hang up while it is written to.
                let _ = stream.write_all(&octets).await;
            }
        }
    }
    eventually("the noise to be gone", async || {
        let tcp = broker.metric("stompbroker_connections{transport=\"tcp\"}").await;
        let websocket = broker.metric("stompbroker_connections{transport=\"websocket\"}").await;
        (tcp == 1 && websocket == 0).then_some(())
    })
    .await;
    neighbour.subscribe("0", "/topic/a").await;
    neighbour.send("/topic/a", "unharmed").await;
    assert_eq!(neighbour.message().await, "unharmed");
}
