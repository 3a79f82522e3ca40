//! Those who have not logged in, over every transport of SockJS and over WebSocket: they get no more time and no more octets
//! than over TCP.

use std::time::Instant;

use super::stomp::{Session, sockjs};
use crate::support::{BrokerUnderTest, Message, WebSocketClient};

const ACCESS: &str = "credentials: {system: {directory: FOLDER/system}}";

/// Sends this frame over each way in turn, where there is one to send; the ERROR that comes of it, and the code that the way
/// is closed with.
async fn answers(broker: &BrokerUnderTest, frame: Option<&str>) -> Vec<(&'static str, String, u16)> {
    let frame = frame.map(|frame| format!("{frame}\0"));
    let polling = Session::new(broker, "polling");
    assert_eq!(polling.poll().await, "o");
    if let Some(frame) = &frame {
        assert_eq!(polling.send(frame).await, 204);
    }
    let error = polling.messages().await.concat();
    let answers = vec![("polling", error, code_of(&polling.poll().await))];

    let mut sockjs = WebSocketClient::connect(broker.websocket(), "/chat/000/one/websocket", "").await;
    assert_eq!(sockjs.message_or_control().await, Message::Text("o".to_owned()));
    if let Some(frame) = &frame {
        sockjs.send_text(&serde_json::to_string(&[frame]).unwrap()).await;
    }
    let mut texts = Vec::new();
    for _ in ["ERROR", "c[]"] {
        let Message::Text(text) = sockjs.message_or_control().await else { panic!("not text") };
        texts.push(text);
    }
    assert_eq!(sockjs.close().await.0, code_of(&texts[1]));
    let answers = [answers, vec![("sockjs", texts[0].clone(), code_of(&texts[1]))]].concat();

    let mut websocket = broker.websocket_client().await;
    if let Some(frame) = &frame {
        websocket.send_text(frame).await;
    }
    let Message::Text(error) = websocket.message_or_control().await else { panic!("not text") };
    [answers, vec![("websocket", error, websocket.close().await.0)]].concat()
}

/// The code of SockJS's close frame.
fn code_of(frame: &str) -> u16 {
    let code = frame.strip_prefix("c[").unwrap_or_else(|| panic!("{frame} is no close frame"));
    code.split_once(',').unwrap().0.parse().unwrap()
}

fn assert_all(answers: &[(&str, String, u16)], words: &str, code: u16) {
    for (way, error, closed) in answers {
        assert!(error.contains("ERROR") && error.contains(words), "{way}: {error}");
        assert_eq!(*closed, code, "{way}");
    }
}

#[tokio::test]
async fn who_does_not_log_in_in_time_is_let_go() {
    let broker = BrokerUnderTest::start(&sockjs("", "limits: {loginTimeout: 300ms}"));
    assert_all(&answers(&broker, None).await, "limits.loginTimeout", 1008);
    assert_eq!(broker.metric("stompbroker_sessions_closed_total{reason=\"login_timeout\"}").await, 3);
}

#[tokio::test]
async fn a_frame_before_the_login_is_bounded() {
    let broker = BrokerUnderTest::start(&sockjs("", "limits: {unauthenticatedFrameSize: 500}"));
    let frame = format!("CONNECT\naccept-version:1.2\n{}\n", "some-header:with a value\n".repeat(30));
    assert_all(&answers(&broker, Some(&frame)).await, "limits.unauthenticatedFrameSize", 1009);
}

#[tokio::test]
async fn a_wrong_login_is_refused_late() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    let secret = folder.path().join("system");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("username"), "ann").unwrap();
    std::fs::write(secret.join("password"), "right").unwrap();
    let broker = BrokerUnderTest::start_in(folder, &sockjs("", ACCESS));
    let begun = Instant::now();
    let frame = "CONNECT\naccept-version:1.2\nhost:x\nlogin:ann\npasscode:wrong\n\n";
    assert_all(&answers(&broker, Some(frame)).await, "login", 1008);
    assert!(begun.elapsed().as_millis() >= 3 * 1000, "each of three guesses has to wait");
    assert_eq!(broker.metric("stompbroker_sessions_closed_total{reason=\"login_refused\"}").await, 3);
}
