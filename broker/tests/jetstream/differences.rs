//! This engine against the table of what engines take.

use crate::{
    differences_table::hold,
    support::{BrokerUnderTest, config},
};

#[tokio::test]
async fn this_engine_takes_and_refuses_what_the_table_says() {
    let broker = BrokerUnderTest::start(&config(""));
    hold(|| broker.tcp_session(), |offer| offer.jetstream).await;
}
