//! All or nothing, over queues that JetStream keeps in several streams.

use crate::{
    queues::{consume, send_safely, settle},
    support::{BrokerUnderTest, Peer, config, pods},
};

#[tokio::test]
async fn a_commit_sends_and_settles_all_in_order_and_what_follows_comes_later() {
    let [here, there] = pods("");
    let (mut client, mut worker) = (here.tcp_session().await, there.tcp_session().await);
    send_safely(&mut client, "/queue/in", "work").await;
    consume(&mut client, "/queue/in", "").await;
    let work = client.frame().await;
    let queues = ["/queue/a", "/queue/b", "/queue/c"];
    client.send_frame("BEGIN\ntransaction:t\n\n").await;
    for round in 0..3 {
        for queue in queues {
            client.send_frame(&format!("SEND\ndestination:{queue}\ntransaction:t\n\n{round}")).await;
        }
    }
    settle(&mut client, "ACK", &work, "transaction:t\n").await;
    client.send_frame("COMMIT\ntransaction:t\nreceipt:done\n\n").await;
    client.send("/queue/a", "after").await;
    assert_eq!(client.frame().await.header("receipt-id"), Some("done"));
    for queue in queues {
        let id = &queue[7..];
        worker.send_frame(&format!("SUBSCRIBE\nid:{id}\ndestination:{queue}\n\n")).await;
        for round in 0..3 {
            let frame = worker.frame().await;
            assert_eq!((frame.text(), frame.header("subscription")), (&*round.to_string(), Some(id)));
        }
        if queue == "/queue/a" {
            assert_eq!(worker.message().await, "after");
        }
    }
    drop((client, here));
    consume(&mut worker, "/queue/in", "").await;
    worker.send("/queue/in", "next").await;
    assert_eq!(worker.frame().await.text(), "next", "what was acknowledged in the transaction is done");
}

#[tokio::test]
async fn what_is_aborted_never_was() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp_session().await;
    for end in ["ABORT", "COMMIT"] {
        client.send_frame("BEGIN\ntransaction:t\n\n").await;
        for queue in ["/queue/a", "/queue/b"] {
            client.send_frame(&format!("SEND\ndestination:{queue}\ntransaction:t\n\n{end}")).await;
        }
        client.send_frame(&format!("{end}\ntransaction:t\nreceipt:{end}\n\n")).await;
        assert_eq!(client.frame().await.header("receipt-id"), Some(end));
    }
    for queue in ["/queue/a", "/queue/b"] {
        client.consume(queue, queue).await;
        assert_eq!(client.message().await, "COMMIT");
    }
}

#[tokio::test]
async fn a_transaction_that_is_too_large_for_nats_leaves_nothing() {
    let broker = BrokerUnderTest::start(&config("limits: {messageSize: 8Mi, transactionSize: 32Mi}"));
    let mut client = broker.tcp_session().await;
    client.send_frame("BEGIN\ntransaction:t\n\n").await;
    for queue in ["/queue/a", "/queue/b"] {
        let body = "x".repeat(5 << 20);
        client.send_frame(&format!("SEND\ndestination:{queue}\ntransaction:t\n\n{body}")).await;
    }
    client.send_frame("COMMIT\ntransaction:t\nreceipt:done\n\n").await;
    client.frame().await.assert_error("max_payload of NATS");
    let mut client = broker.tcp_session().await;
    for queue in ["/queue/a", "/queue/b"] {
        client.consume(queue, queue).await;
        send_safely(&mut client, "/queue/other", "").await;
        client.send(queue, "small").await;
        assert_eq!(client.message().await, "small");
    }
}
