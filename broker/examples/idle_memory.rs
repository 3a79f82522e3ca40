//! Prints how much resident memory one idle session costs, over TCP and over WebSocket.
//!
//! ```console
//! cargo run --release -p stompbroker --example idle_memory -- 5000
//! ```
//!
//! The broker runs in a process of its own, so that the clients are not measured. A session has logged in, agreed on
//! heart-beats and holds one subscription. Memory that the first sessions cause once for all is not counted.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use stompbroker::server::Server;
use tokio_util::sync::CancellationToken;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Opens a session at a port.
type Open = fn(u16) -> Result<TcpStream>;

const CONFIG: &str = "listeners: {stomp: {port: 0}, websocket: {port: 0}}\nadmin: {port: 0}\n\
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
    fs::write(&file, CONFIG)?;
    let server = Server::bind(&file)?;
    let addresses = server.addresses();
    let port = |address: Option<std::net::SocketAddr>| address.map_or(0, |address| address.port());
    writeln!(io::stdout(), "{} {}", port(addresses.stomp), port(addresses.websocket))?;
    tokio::spawn(server.run(CancellationToken::new()));
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

fn measure(sessions: usize) -> Result<()> {
    let mut broker =
        Command::new(env::current_exe()?).arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut ports = String::new();
    BufReader::new(broker.stdout.take().ok_or("no output")?).read_line(&mut ports)?;
    let (stomp, websocket) = ports.trim().split_once(' ').ok_or("no ports")?;
    let transports: [(&str, u16, Open); 2] =
        [("TCP", stomp.parse()?, open_tcp), ("WebSocket", websocket.parse()?, open_websocket)];
    let mut kept = Vec::new();
    for (transport, port, open) in transports {
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

fn open_tcp(port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(CONNECT)?;
    until(&mut stream, b"receipt-id:done")?;
    Ok(stream)
}

fn open_websocket(port: u16) -> Result<TcpStream> {
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
    Ok(stream)
}

/// Reads until these octets have come.
fn until(stream: &mut TcpStream, end: &[u8]) -> Result<()> {
    let (mut read, mut buffer) = (Vec::new(), [0; 1024]);
    while !read.windows(end.len()).any(|window| window == end) {
        match stream.read(&mut buffer)? {
            0 => return Err("the broker closed the connection".into()),
            octets => read.extend_from_slice(&buffer[..octets]),
        }
    }
    Ok(())
}
