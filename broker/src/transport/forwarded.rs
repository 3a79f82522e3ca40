//! `X-Forwarded-For`: where a request comes from, in the words of the proxies that passed it on. Pure.

use std::net::{IpAddr, SocketAddr};

use hyper::{HeaderMap, header::HeaderName};
use stompbroker_config::TrustedProxies;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request that `peer` has sent. Each proxy adds at the end whom it has heard, so the entries are believed
/// from there, for as long as they are proxies that are trusted: what comes before could have been written by the client.
pub(super) fn client(headers: &HeaderMap, peer: SocketAddr, trusted: Option<&TrustedProxies>) -> SocketAddr {
    let Some(trusted) = trusted else { return peer };
    let values = headers.get_all(X_FORWARDED_FOR).into_iter().rev().filter_map(|value| value.to_str().ok());
    let mut entries = values.flat_map(|value| value.rsplit(','));
    let mut client = peer;
    while trusted.contains(client.ip())
        && let Some(before) = entries.next().and_then(address)
    {
        client = before;
    }
    client
}

/// An entry, which may have a port; without one it is 0.
fn address(entry: &str) -> Option<SocketAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, 0)).or_else(|_| entry.parse()).ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_of(peer: &str, forwarded: &[&str]) -> String {
        let trusted = TrustedProxies {
            trusted_addresses: ["10.0.0.0/8", "2001:db8::/32"].map(|range| range.parse().unwrap()).into(),
        };
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, value.parse().unwrap());
        }
        client(&headers, peer.parse().unwrap(), Some(&trusted)).to_string()
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_is_the_client() {
        for (forwarded, client) in [
            (&["192.0.2.1"][..], "192.0.2.1:0"),
            (&["192.0.2.1:4711"], "192.0.2.1:4711"),
            (&["[2001:db9::1]:4711"], "[2001:db9::1]:4711"),
            (&["2001:db9::1"], "[2001:db9::1]:0"),
            (&["::ffff:192.0.2.1"], "192.0.2.1:0"),
            (&["192.0.2.1, 10.2.0.1,2001:db8::7"], "192.0.2.1:0"),
            (&["192.0.2.1", "10.2.0.1"], "192.0.2.1:0"),
            (&["10.3.0.1"], "10.3.0.1:0"),
        ] {
            assert_eq!(client_of("10.0.0.1:9", forwarded), client, "{forwarded:?}");
        }
    }

    #[test]
    fn what_a_client_could_have_written_itself_is_not_believed() {
        assert_eq!(client_of("192.0.2.9:9", &["198.51.100.1"]), "192.0.2.9:9", "no trusted proxy has sent it");
        assert_eq!(client_of("10.0.0.1:9", &["198.51.100.1, 192.0.2.1"]), "192.0.2.1:0", "a forged first entry");
        assert_eq!(
            client_of("10.0.0.1:9", &["198.51.100.1, unknown, 10.2.0.1"]),
            "10.2.0.1:0",
            "an entry without address"
        );
        assert_eq!(client_of("10.0.0.1:9", &[]), "10.0.0.1:9", "no header at all");
    }
}
