//! Three brokers that know each other.

use std::fs;

use crate::{
    clients::secrets,
    support::{BrokerUnderTest, config, eventually},
};

/// Brokers that are pods of the same one.
pub(crate) struct Cluster {
    pub(crate) pods: Vec<BrokerUnderTest>,
}

/// The configuration of a pod, which `ann` may log in to, that has peers at these addresses, with these further keys.
pub(crate) fn config_of_peers(addresses: &[String], more: &str) -> String {
    let addresses = addresses.iter().map(|address| format!("'{address}'")).collect::<Vec<_>>().join(", ");
    let keys = "{port: 0, path: /chat, allowedOrigins: ['*'], \
                forwardedHeaders: {trustedAddresses: [127.0.0.0/8]}, sockJs: {disconnectDelay: 2s}}";
    let credentials = "credentials: {client: {directory: FOLDER/client}}";
    config(&format!("{credentials}\npeers: {{port: 0, addresses: [{addresses}]}}\n{more}"))
        .replace("{port: 0, path: /chat}", keys)
}

impl Cluster {
    /// Starts three pods, and waits until each knows the two others; with these further keys.
    pub(crate) async fn start(more: &str) -> Self {
        // Nobody is there: what they listen on is known only once they do.
        let alone = config_of_peers(&["127.0.0.1:9".to_owned()], more);
        let pods: Vec<_> = (0..3).map(|_| start_pod(&alone)).collect();
        let addresses: Vec<_> = pods.iter().map(|pod| pod.peers().to_string()).collect();
        for pod in &pods {
            pod.write_config(&config_of_peers(&addresses, more));
        }
        for pod in &pods {
            let known = async || (pod.metric("stompbroker_peers").await == 2).then_some(());
            eventually("a pod to know its peers", known).await;
        }
        Self { pods }
    }
}

/// A broker that the user `ann` may log in to.
pub(crate) fn start_pod(config: &str) -> BrokerUnderTest {
    let folder = secrets();
    fs::write(folder.path().join("token"), BrokerUnderTest::TOKEN).unwrap();
    BrokerUnderTest::start_in(folder, config)
}
