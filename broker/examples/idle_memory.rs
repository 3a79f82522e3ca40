//! Prints how much resident memory one idle session costs when there are more of them than a machine has files.
//!
//! ```console
//! cargo run --release -p stompbroker --example idle_memory -- 100000
//! ```
//!
//! Clients and broker are in this one process and talk through pipes in memory, so the figure holds the pipes and the
//! clients' ends too. A session has logged in, agreed on heart-beats and holds one subscription. Memory that the first
//! sessions cause once for all is not counted. Over sockets: `stompbroker bench memory`.

use std::{
    env, fs,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use stompbroker::server::{Acceptor, Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const CONFIG: &str = "listeners: {stomp: {port: 0}}\nadmin: {port: 0}\nauthentication: {anonymous: true}\n\
                      limits: {connectionsPerPod: 1000000}\n";
/// Sessions that come and go before the measurement.
const WARM_UP: usize = 1000;
/// Octets that a pipe may hold; it takes memory only for those that it has held.
const PIPE: usize = 4096;
/// Every client comes from an address of its own of 127.0.0.0/8, for connections are limited by address.
const LOOPBACK: u32 = 0x7F00_0001;
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: &[u8] = b"CONNECT\naccept-version:1.2\nhost:x\nheart-beat:0,600000\n\n\0\
                         SUBSCRIBE\nid:0\ndestination:/topic/idle\nreceipt:done\n\n\0";

#[tokio::main]
async fn main() -> Result<()> {
    let sessions = env::args().nth(1).map_or(Ok(100_000), |sessions| sessions.parse())?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("broker.yaml");
    fs::write(&file, CONFIG)?;
    let server = Server::bind(&file)?;
    let acceptor = server.acceptor();
    let serving = tokio::spawn(server.run(CancellationToken::new()));
    drop(open(&acceptor, WARM_UP).await?);
    sleep(Duration::from_secs(1)).await;
    let before = resident()?;
    let kept = open(&acceptor, sessions).await?;
    sleep(Duration::from_secs(1)).await;
    let octets = (resident()? - before) * 1024 / sessions;
    writeln!(
        io::stdout(),
        "{octets} octets of resident memory a session with its pipe, {sessions} sessions in one process"
    )?;
    drop(kept);
    serving.abort();
    Ok(())
}

async fn open(acceptor: &Acceptor, sessions: usize) -> Result<Vec<DuplexStream>> {
    let mut clients = Vec::with_capacity(sessions);
    for number in 0..u32::try_from(sessions)? {
        let (mut client, served) = duplex(PIPE);
        if !acceptor.serve(served, SocketAddr::from((Ipv4Addr::from_bits(LOOPBACK + number), 0))) {
            return Err("the broker has no room for one more".into());
        }
        client.write_all(CONNECT).await?;
        timeout(PATIENCE, until(&mut client, b"receipt-id:done")).await??;
        clients.push(client);
    }
    Ok(clients)
}

/// Reads until these octets have come.
async fn until(stream: &mut DuplexStream, end: &[u8]) -> Result<()> {
    let (mut read, mut buffer) = (Vec::new(), [0; 1024]);
    while !read.windows(end.len()).any(|window| window == end) {
        match stream.read(&mut buffer).await? {
            0 => return Err("the broker closed the connection".into()),
            octets => read.extend_from_slice(&buffer[..octets]),
        }
    }
    Ok(())
}

/// Resident memory of this process in kibibytes.
fn resident() -> Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
