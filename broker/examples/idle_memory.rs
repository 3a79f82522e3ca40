//! Prints how much resident memory one idle session costs, over TCP, over WebSocket and over TLS.
//!
//! ```console
//! cargo run --release -p stompbroker --example idle_memory -- 5000
//! ```
//!
//! The broker runs in a process of its own, so that the clients are not measured. A session has logged in, agreed on
//! heart-beats and holds one subscription. Memory that the first sessions cause once for all is not counted.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{Arc, OnceLock},
    thread::sleep,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use stompbroker::server::Server;
use tokio_util::sync::CancellationToken;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Opens a session at a port.
type Open = fn(u16) -> Result<Box<dyn Stream>>;

/// A connection that is kept open.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

const CONFIG: &str = "listeners: {stomp: {port: 0, tls: {port: 0, directory: FOLDER}}, websocket: {port: 0}}\nadmin: {port: 0}\n\
                      authentication: {anonymous: true}\nlimits: {connectionsPerPod: 100000}\n";
/// Sessions that come and go before the measurement.
const WARM_UP: usize = 500;
const CONNECT: &[u8] = b"CONNECT\naccept-version:1.2\nhost:x\nheart-beat:10000,10000\n\n\0\
                         SUBSCRIBE\nid:0\ndestination:/topic/idle\nreceipt:done\n\n\0";

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        Some("serve") => serve(),
        Some(sessions) => measure(sessions.parse()?),
        None => measure(5000),
    }
}

/// The child: a broker that prints its ports and serves until its standard input ends.
#[tokio::main]
async fn serve() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("broker.yaml");
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(folder.path().join("tls.crt"), certificate.cert.pem())?;
    fs::write(folder.path().join("tls.key"), certificate.signing_key.serialize_pem())?;
    fs::write(&file, CONFIG.replace("FOLDER", &folder.path().to_string_lossy()))?;
    let server = Server::bind(&file)?;
    let addresses = server.addresses();
    let port = |address: Option<std::net::SocketAddr>| address.map_or(0, |address| address.port());
    let ports = [addresses.stomp, addresses.websocket, addresses.stomp_tls].map(|address| port(address).to_string());
    writeln!(io::stdout(), "{}", ports.join(" "))?;
    tokio::spawn(server.run(CancellationToken::new()));
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

fn measure(sessions: usize) -> Result<()> {
    let mut broker =
        Command::new(env::current_exe()?).arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut ports = String::new();
    BufReader::new(broker.stdout.take().ok_or("no output")?).read_line(&mut ports)?;
    let transports: [(&str, Open); 3] = [("TCP", open_tcp), ("WebSocket", open_websocket), ("TLS", open_tls)];
    let mut kept = Vec::new();
    for ((transport, open), port) in transports.into_iter().zip(ports.split_whitespace()) {
        let port = port.parse()?;
        drop((0..WARM_UP).map(|_| open(port)).collect::<Result<Vec<_>>>()?);
        sleep(Duration::from_secs(2));
        let before = resident(&broker)?;
        for _ in 0..sessions {
            kept.push(open(port)?);
        }
        sleep(Duration::from_secs(2));
        let octets = (resident(&broker)? - before) * 1024 / sessions;
        writeln!(io::stdout(), "{transport}: {octets} octets of resident memory a session, {sessions} sessions")?;
    }
    drop(broker.stdin.take());
    broker.wait()?;
    Ok(())
}

/// Resident memory of the broker in kibibytes.
fn resident(broker: &Child) -> Result<usize> {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn open_tcp(port: u16) -> Result<Box<dyn Stream>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(CONNECT)?;
    until(&mut stream, b"receipt-id:done")?;
    Ok(Box::new(stream))
}

fn open_tls(port: u16) -> Result<Box<dyn Stream>> {
    static CLIENT: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = CLIENT.get_or_init(|| {
        Arc::new(builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth())
    });
    let client = ClientConnection::new(Arc::clone(config), "localhost".try_into()?)?;
    let mut stream = StreamOwned::new(client, TcpStream::connect(("127.0.0.1", port))?);
    stream.write_all(CONNECT)?;
    until(&mut stream, b"receipt-id:done")?;
    Ok(Box::new(stream))
}

fn open_websocket(port: u16) -> Result<Box<dyn Stream>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n",
    )?;
    until(&mut stream, b"\r\n\r\n")?;
    // One text message of less than 126 octets, masked with zeros.
    let mut message = vec![0x81, 0x80 | u8::try_from(CONNECT.len())?, 0, 0, 0, 0];
    message.extend_from_slice(CONNECT);
    stream.write_all(&message)?;
    until(&mut stream, b"receipt-id:done")?;
    Ok(Box::new(stream))
}

/// Reads until these octets have come.
fn until(stream: &mut impl Read, end: &[u8]) -> Result<()> {
    let (mut read, mut buffer) = (Vec::new(), [0; 1024]);
    while !read.windows(end.len()).any(|window| window == end) {
        match stream.read(&mut buffer)? {
            0 => return Err("the broker closed the connection".into()),
            octets => read.extend_from_slice(&buffer[..octets]),
        }
    }
    Ok(())
}

/// Trusts the certificate that the child has made for itself.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
