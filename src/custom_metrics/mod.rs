//! What the pods have to do, served to autoscalers as the API `custom.metrics.k8s.io`.
//!
//! | module | does | I/O |
//! |---|---|---|
//! | `question` | what a request asks for | none |
//! | `answer` | the objects of the API | none |
//! | `front_proxy` | who asks: kube-apiserver passes requests on and says for whom | none |
//! | `authority`, `certificate` | what the operator shows to kube-apiserver | one Secret |
//! | `review` | whether who asks may | SubjectAccessReviews |
//! | `registration` | tells kube-apiserver which certificates are ours | the APIService |
//! | `upkeep` | all of the above, again and again | client |
//! | `server` | the port | sockets |
//!
//! Every replica serves, leader or not. The leader has asked all pods anyway; another one begins to ask the pods of a
//! StompBroker when it is first asked for them, and stops when it is no longer. A pod that does not answer is missing from
//! the answer: autoscalers then assume the safe thing, which no number of ours could tell them.
//!
//! Only kube-apiserver can connect, by a client certificate of the front proxy's authority. It has authorized the request
//! before; whether the user may get the metric is asked once more, since the request may have come another way.

mod answer;
mod authority;
mod certificate;
mod front_proxy;
mod question;
mod registration;
mod review;
mod server;
#[cfg(test)]
mod tests;
mod upkeep;

use std::{sync::Arc, time::Duration};

use kube::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    controller::{
        managed::Managed,
        polls::{asked::Asked, reports::Reports},
        watches::world::World,
    },
    metrics::Metrics,
    settings,
};

/// The API group.
pub(crate) const GROUP: &str = "custom.metrics.k8s.io";
/// Its version; the one that the autoscaler of every API server that we support prefers.
pub(crate) const VERSION: &str = "v1beta2";

/// What is needed to serve.
pub(crate) struct CustomMetrics {
    pub(crate) client: Client,
    pub(crate) settings: settings::CustomMetrics,
    /// A report that is older than this is none.
    pub(crate) good_for: Duration,
    pub(crate) managed: Managed,
    pub(crate) world: Arc<World>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) asked: Arc<Asked>,
    pub(crate) metrics: Metrics,
}

impl CustomMetrics {
    /// Serves on `listener` until `stop`.
    pub(crate) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let upkeep = Arc::new(upkeep::Upkeep::new(self.client.clone(), self.settings.clone(), self.metrics.clone()));
        let server = server::Server {
            loads: answer::Loads {
                managed: self.managed,
                world: self.world,
                reports: self.reports,
                good_for: self.good_for,
            },
            asked: self.asked,
            reviews: review::Reviews::new(self.client),
            upkeep: upkeep.clone(),
            metrics: self.metrics,
        };
        tokio::join!(upkeep.run(stop.clone()), server.run(listener, stop));
    }
}
