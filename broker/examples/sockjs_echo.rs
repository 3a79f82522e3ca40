//! The services that tools for testing SockJS servers expect, on the broker's own SockJS layer and without STOMP.
//!
//! ```console
//! $ cargo run -p stompbroker --example sockjs_echo -- 8081
//! ```
//!
//! | service | does |
//! |---|---|
//! | `/echo` | sends back what it gets; `/echo/websocket` does so with text and binary messages |
//! | `/disabled_websocket_echo` | the same without WebSocket |
//! | `/cookie_needed_echo` | the same with the cookie `JSESSIONID` |
//! | `/close` | closes every session at once |
//! | `/amplify` | answers the number n with two to the power of n letters |
//!
//! Streaming responses end after 4,096 octets, as those tools expect.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use stompbroker::transport::{
    http::{self, Answer, HttpTimeouts, Upgraded},
    sockjs::{Application, CloseFrame, Framing, Message, Messages, Options, Pipe, ResponseBody, Service, Visitor},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;

const RESPONSE_LIMIT: usize = 4096;
/// Octets of one message; tools for testing WebSocket send some of 16 MiB.
const MOST_MESSAGE: usize = 64 << 20;
const TIMEOUTS: HttpTimeouts = HttpTimeouts { head: Duration::from_secs(30), write: Duration::from_secs(30) };

/// One of the services.
struct Endpoint {
    options: Options,
    service: Service,
    behaviour: Behaviour,
}

/// What a service does with its sessions.
#[derive(Clone, Copy)]
enum Behaviour {
    Echo,
    Close,
    Amplify,
}

impl Behaviour {
    /// Serves one session until it is over.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, mut session: Messages<S>) -> io::Result<()> {
        if let Self::Close = self {
            return session.close(CloseFrame::new(3000, "Go away!")).await;
        }
        while let Some(message) = session.receive().await? {
            let answer = match (self, message) {
                (Self::Amplify, Message::Text(text)) => Message::Text(amplify(&text)),
                (_, message) => message,
            };
            session.send(&answer).await?;
        }
        Ok(())
    }

    fn spawn<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(self, session: Messages<S>) {
        tokio::spawn(async move {
            // A client that breaks off is what happens to every server; nobody needs to be told.
            let _ = self.serve(session).await;
        });
    }
}

/// Two to the power of a number from 1 to 18 letters; of 1 for anything else.
fn amplify(text: &str) -> String {
    let power = text
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|number| (1.0..19.0).contains(number))
        .map_or(1, |number| (1..19).rev().find(|power| f64::from(*power) <= number).unwrap_or(1));
    "x".repeat(1 << power)
}

impl Application for Behaviour {
    fn open(&self, pipe: Pipe, _: Visitor) -> Result<(), String> {
        self.spawn(Messages::of_pipe(pipe, MOST_MESSAGE));
        Ok(())
    }
}

impl Endpoint {
    fn new(path: &str, behaviour: Behaviour, change: impl FnOnce(&mut Options)) -> Arc<Self> {
        let mut options = Options { path: path.to_owned(), response_limit: RESPONSE_LIMIT, ..Options::default() };
        change(&mut options);
        Arc::new(Self { options, service: Service::default(), behaviour })
    }

    fn is_at(&self, path: &str) -> bool {
        path.strip_prefix(self.options.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Serves until `stop`.
///
/// # Errors
/// When the port can take no more connections.
pub(crate) async fn serve(listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
    let endpoints: Arc<[Arc<Endpoint>]> = Arc::new([
        Endpoint::new("/echo", Behaviour::Echo, |_| ()),
        Endpoint::new("/disabled_websocket_echo", Behaviour::Echo, |options| options.websocket = false),
        Endpoint::new("/cookie_needed_echo", Behaviour::Echo, |options| options.session_cookie = true),
        Endpoint::new("/close", Behaviour::Close, |_| ()),
        Endpoint::new("/amplify", Behaviour::Amplify, |_| ()),
    ]);
    for endpoint in endpoints.iter() {
        let (endpoint, stop) = (Arc::clone(endpoint), stop.clone());
        tokio::spawn(async move {
            let tend = endpoint.service.tend(|| endpoint.options.disconnect_delay);
            stop.run_until_cancelled(tend).await;
        });
    }
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = stop.cancelled() => return Ok(()),
        };
        stream.set_nodelay(true)?;
        let (endpoints, stop) = (Arc::clone(&endpoints), stop.clone());
        tokio::spawn(async move {
            let answer = |request| answer(&endpoints, request, peer);
            let Some(upgraded) = http::serve(stream, TIMEOUTS, &stop, answer).await else { return };
            let Upgraded { stream, read_ahead, upgrade: (framing, behaviour) } = upgraded;
            if let (Behaviour::Close, Framing::Raw) = (behaviour, framing) {
                // Some clients lose what comes in one packet with the response to their upgrade.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let heartbeat = Options::default().heartbeat;
            behaviour.spawn(Messages::of_websocket(stream, &read_ahead, framing, heartbeat, MOST_MESSAGE));
        });
    }
}

async fn answer(
    endpoints: &[Arc<Endpoint>],
    request: hyper::Request<hyper::body::Incoming>,
    peer: SocketAddr,
) -> Answer<ResponseBody, (Framing, Behaviour)> {
    let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.is_at(request.uri().path())) else {
        let response = ResponseBody::text(hyper::StatusCode::NOT_FOUND, "There is nothing here; try /echo.\n");
        return Answer { response, upgrade: None };
    };
    let Endpoint { options, service, behaviour } = &**endpoint;
    let Answer { response, upgrade } = service.answer(options, behaviour, peer, request).await;
    Answer { response, upgrade: upgrade.map(|framing| (framing, *behaviour)) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(8081), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    #[expect(clippy::print_stdout, reason = "whoever started it wants to know where it is")]
    {
        println!("serving SockJS at http://{}", listener.local_addr()?);
    }
    let stop = CancellationToken::new();
    tokio::select! {
        served = serve(listener, stop.clone()) => served?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    stop.cancel();
    Ok(())
}
