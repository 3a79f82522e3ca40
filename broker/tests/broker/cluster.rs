//! Three brokers that know each other.

use crate::support::{BrokerUnderTest, config, eventually, secrets_with_token};

/// Brokers that are pods of the same one.
pub(crate) struct Cluster {
    pub(crate) pods: Vec<BrokerUnderTest>,
}

/// The configuration of a pod, which `ann` may log in to, that has peers at these addresses, with these further keys.
pub(crate) fn config_of_peers(addresses: &[String], more: &str) -> String {
    name_peers(&config_with_peers(more), addresses)
}

/// The same for all pods of one broker, which have the same engine.
fn name_peers(config: &str, addresses: &[String]) -> String {
    let addresses = addresses.iter().map(|address| format!("'{address}'")).collect::<Vec<_>>().join(", ");
    config.replace("PEERS", &addresses)
}

/// It says `PEERS` where the addresses of peers belong.
fn config_with_peers(more: &str) -> String {
    let keys = "{port: 0, path: /chat, allowedOrigins: ['*'], \
                forwardedHeaders: {trustedAddresses: [127.0.0.0/8]}, sockJs: {disconnectDelay: 2s}}";
    let credentials = "credentials: {client: {directory: FOLDER/client}}";
    config(&format!("{credentials}\npeers: {{port: 0, addresses: [PEERS]}}\n{more}"))
        .replace("{port: 0, path: /chat}", keys)
}

impl Cluster {
    /// Starts three pods, and waits until each knows the two others; with these further keys.
    pub(crate) async fn start(more: &str) -> Self {
        // Nobody is there: what they listen on is known only once they do.
        let config = config_with_peers(more);
        let alone = name_peers(&config, &["127.0.0.1:9".to_owned()]);
        let pods: Vec<_> = (0..3).map(|_| start_pod(&alone)).collect();
        let addresses: Vec<_> = pods.iter().map(|pod| pod.peers().to_string()).collect();
        for pod in &pods {
            pod.write_config(&name_peers(&config, &addresses));
        }
        for pod in &pods {
            let known = async || (pod.metric("stompbroker_peers").await == 2).then_some(());
            eventually("a pod to know its peers", known).await;
            pod.connected().await;
        }
        Self { pods }
    }
}

/// A broker that the user `ann` may log in to.
pub(crate) fn start_pod(config: &str) -> BrokerUnderTest {
    BrokerUnderTest::start_in(secrets_with_token(), config)
}
