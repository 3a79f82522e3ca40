//! The admin port: probes, metrics, and what the operator polls. The table of paths is in [`stompbroker_config::admin`].
//!
//! `/readyz` says whether clients should be sent here: 503 with one reason a line while the broker is starting, draining or
//! its engine is not ready. A rejected configuration is told as a warning line and by `stompbroker_config_rejected`, but
//! leaves the pod ready: the configuration before still serves, and taking all pods away would turn a typing error into
//! an outage. `/livez` answers as long as the process serves requests at all.

mod cluster;
mod console;
mod lists;
mod routes;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming};
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::lists::{session_here, sessions_here};
use crate::{
    broker::Broker,
    transport::{
        http::{self, Answer, HttpTimeouts},
        sockjs::ResponseBody,
        websocket,
    },
};

/// Connections at once; probes, Prometheus and an operator need a handful.
const MOST_CONNECTIONS: usize = 64;
/// How long a client may take for the head of a request, and how long an idle connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a connection is kept in all; also the bound for a client that does not read its answer.
const CONNECTION_TIME: Duration = Duration::from_mins(5);

/// Serves the connections of the admin port.
#[derive(Debug)]
pub(crate) struct AdminServer {
    broker: Arc<Broker>,
    places: Arc<Semaphore>,
}

impl AdminServer {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        Self { broker, places: Arc::new(Semaphore::new(MOST_CONNECTIONS)) }
    }

    /// The conversation with one client; ends by itself.
    pub(crate) fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl Future<Output = ()> + Send + use<> + 'static {
        let (broker, place) = (Arc::clone(&self.broker), Arc::clone(&self.places).try_acquire_owned());
        async move {
            let Ok(_place) = place else {
                tracing::warn!(client.addr = %peer, "admin connection refused: {MOST_CONNECTIONS} are open already");
                return;
            };
            let answer = async |request: Request<Incoming>| {
                if request.uri().path() == console::WEBSOCKET_PATH {
                    return websocket::open_elsewhere(&broker, &request, peer, console::WEBSOCKET_PATH);
                }
                Answer { response: routes::answer(&broker, &request).await.map(ResponseBody::Whole), upgrade: None }
            };
            let timeouts = HttpTimeouts { head: HEAD_TIME, write: HEAD_TIME };
            // Never told to stop: the port serves until its tasks are dropped, also during a drain.
            let stop = CancellationToken::new();
            let served = http::serve(stream, timeouts, &stop, answer);
            if let Ok(Some(upgraded)) = timeout(CONNECTION_TIME, served).await {
                websocket::begin_elsewhere(upgraded, peer);
            }
        }
    }
}
