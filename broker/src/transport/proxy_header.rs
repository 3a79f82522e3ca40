//! The PROXY header, versions 1 and 2, by which a proxy says for whom it has connected. It comes before all else, TLS too.
//!
//! The octets are looked at before they are taken, so that what follows the header stays in the socket for the next reader.

use std::{
    io::{self, ErrorKind::InvalidData},
    net::SocketAddr,
};

use proxy_header::{ParseConfig, ProxiedAddress, ProxyHeader};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// Octets of a header. Version 1 has 107 at most; version 2 may bring a certificate, for which nobody here asks.
const MOST_HEADER: usize = 4 << 10;
/// Version 2 is parsed without what is beyond the addresses.
const ADDRESSES: ParseConfig = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };

/// What the first octets of a connection are.
#[derive(Debug, PartialEq, Eq)]
enum Begin {
    /// A header may still come of them.
    Partial,
    /// A header of `length` octets.
    Header {
        length: usize,
        /// Whom it names; none for a connection of the proxy's own, such as a health check.
        client: Option<SocketAddr>,
    },
}

/// Takes the header from a connection; whom it names, if anybody. Has no deadline of its own.
///
/// # Errors
/// `InvalidData` where there is something else than a header; `UnexpectedEof` where the proxy closes before its end.
pub(super) async fn take(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut octets = vec![0; MOST_HEADER];
    let mut taken = 0;
    loop {
        let seen = stream.peek(&mut octets[taken..]).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let begin = look(&octets[..taken + seen])?;
        let end = match begin {
            Begin::Partial => taken + seen,
            Begin::Header { length, .. } => length,
        };
        taken += stream.read_exact(&mut octets[taken..end]).await?;
        if let Begin::Header { client, .. } = begin {
            return Ok(client);
        }
        if taken == MOST_HEADER {
            return Err(io::Error::new(InvalidData, format!("it is longer than {MOST_HEADER} octets")));
        }
    }
}

fn look(octets: &[u8]) -> io::Result<Begin> {
    match ProxyHeader::parse(octets, ADDRESSES) {
        Ok((header, length)) => {
            let client = header.proxied_address().map(|ProxiedAddress { source, .. }| *source);
            Ok(Begin::Header {
                length,
                client: client.map(|client| (client.ip().to_canonical(), client.port()).into()),
            })
        }
        Err(proxy_header::Error::BufferTooShort) => Ok(Begin::Partial),
        Err(error) => Err(io::Error::new(InvalidData, error)),
    }
}
