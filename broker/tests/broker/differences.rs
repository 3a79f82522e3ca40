//! The embedded engine and the documentation against the table of what engines take.

use crate::{
    differences_table::{check_documentation, hold},
    support::{BrokerUnderTest, config},
};

#[tokio::test]
async fn this_engine_takes_and_refuses_what_the_table_says() {
    let broker = BrokerUnderTest::start(&config(""));
    hold(|| broker.tcp_session(), |offer| offer.embedded).await;
}

#[test]
fn the_documentation_of_engines_has_the_table() {
    check_documentation();
}
