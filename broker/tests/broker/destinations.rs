//! What the admin port tells of destinations.

use serde_json::json;

use crate::{
    sessions::list,
    support::{BrokerUnderTest, Peer, config},
};

#[tokio::test]
async fn destinations_come_page_by_page_with_what_waits_there() {
    let broker = BrokerUnderTest::start(&config(""));
    let mut client = broker.tcp_session().await;
    for destination in ["/queue/b", "/queue/a", "/topic/c"] {
        client.subscribe(destination, destination).await;
    }
    let first = list(&broker, "/destinations?limit=2").await;
    assert_eq!((&first["total"], &first["next"]), (&json!(3), &json!("/queue/b")));
    assert_eq!(first["destinations"][0], json!({"name": "/queue/a", "depth": 0, "unsettled": 0, "consumers": 1}));
    let last = list(&broker, "/destinations?limit=2&after=%2Fqueue%2Fb").await;
    assert_eq!((&last["destinations"][0]["name"], last.get("next")), (&json!("/topic/c"), None));
}
