//! Proxies and load balancers before a listener, whose word about a client's address counts.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The proxies that are believed. Anybody could write what they write, so only their addresses tell them from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustedProxies {
    /// Where they connect from; at least one.
    pub trusted_addresses: Vec<AddressRange>,
}

impl TrustedProxies {
    /// Whether a connection from this address is one of a proxy.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_addresses.iter().any(|AddressRange(range)| range.contains(&address))
    }

    /// Checks what the types cannot say; an error is the key, and what is wrong and would be right.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.trusted_addresses.is_empty() {
            let problem =
                "the list is empty, so that no proxy is believed; name the addresses of yours, or leave its parent out";
            return Err(("trustedAddresses", problem.to_owned()));
        }
        Ok(())
    }
}

/// An IP address such as `192.0.2.7`, or a range of them in CIDR notation such as `10.0.0.0/8` or `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange(IpNet);

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        range.map(Self).map_err(|_| {
            format!("{text:?} is neither an IP address nor a range of them; write for example 192.0.2.7 or 10.0.0.0/8")
        })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(range) = self;
        if range.prefix_len() == range.max_prefix_len() { range.addr().fmt(f) } else { range.fmt(f) }
    }
}

impl Serialize for AddressRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddressRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_believed() {
        let proxies: TrustedProxies =
            serde_saphyr::from_str("{trustedAddresses: [192.0.2.7, 10.1.0.0/16, '2001:db8::/32']}").unwrap();
        for (address, believed) in [
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("10.1.255.9", true),
            ("10.2.0.1", false),
            ("::ffff:10.1.0.1", true),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(proxies.contains(address.parse().unwrap()), believed, "{address}");
        }
    }

    #[test]
    fn a_range_is_written_as_it_was_read_and_what_is_none_is_told_so() {
        for text in ["192.0.2.7", "10.0.0.0/8", "2001:db8::1", "2001:db8::/32", "0.0.0.0/0"] {
            assert_eq!(text.parse::<AddressRange>().unwrap().to_string(), text);
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "lb.example.com", "10.0.0.0/8 "] {
            assert!(text.parse::<AddressRange>().unwrap_err().contains("10.0.0.0/8"), "{text}");
        }
    }
}
