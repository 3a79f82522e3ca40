//! The other pods of the same broker, and how this one finds them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Where the pods of one broker meet: for the sessions of the whole cluster, and for requests of SockJS that came to another
/// pod than their session. They know each other by a token that is made of the one in `admin.tokenFile`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peers {
    /// TCP port where they connect to this pod; 0 lets the system choose one.
    #[serde(default = "default_port")]
    pub port: u16,
    /// DNS name that resolves to the addresses of all pods, where each listens on the same port; such as that of a headless
    /// Service. Absent: `addresses` names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_name: Option<String>,
    /// Addresses and ports of the pods, in place of `dnsName`; that of this pod may be among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<SocketAddr>,
}

impl Peers {
    /// The customary port.
    pub const PORT: u16 = 15021;

    /// The key whose value cannot work, and why.
    pub(crate) fn check(&self, has_token: bool) -> Result<(), (&'static str, String)> {
        let one_of = "keep dnsName, or addresses for pods whose addresses never change";
        match (&self.dns_name, self.addresses.is_empty()) {
            (Some(_), false) => return Err((".addresses", format!("dnsName is set, too; {one_of}"))),
            (None, true) => return Err(("", format!("nothing says where the other pods are; {one_of}"))),
            (Some(name), true) if name.is_empty() => {
                return Err((".dnsName", "it is empty; name a headless Service".to_owned()));
            }
            _ => {}
        }
        if !has_token {
            let problem =
                "the pods would not know each other from strangers; set admin.tokenFile, the same for all of them";
            return Err(("", problem.to_owned()));
        }
        Ok(())
    }
}

const fn default_port() -> u16 {
    Peers::PORT
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn problem(peers: &str) -> Option<(String, String)> {
        let text = format!("listeners: {{stomp: {{port: 1}}}}\n{peers}\n");
        Config::parse(&text).err().map(|error| (error.key, error.problem))
    }

    #[test]
    fn pods_are_found_in_one_way_and_have_a_token() {
        let token = "admin: {tokenFile: /t}";
        assert_eq!(problem(&format!("peers: {{dnsName: pods.test.}}\n{token}")), None);
        assert_eq!(problem(&format!("peers: {{addresses: ['10.0.0.1:15021', '[2001:db8::1]:15021']}}\n{token}")), None);
        for (peers, key, words) in [
            (
                "peers: {dnsName: a, addresses: ['10.0.0.1:1']}\nadmin: {tokenFile: /t}",
                "peers.addresses",
                "keep dnsName",
            ),
            ("peers: {}\nadmin: {tokenFile: /t}", "peers", "keep dnsName"),
            ("peers: {dnsName: ''}\nadmin: {tokenFile: /t}", "peers.dnsName", "headless"),
            ("peers: {dnsName: a}", "peers", "set admin.tokenFile"),
        ] {
            let (found, problem) = problem(peers).unwrap();
            assert!(found == key && problem.contains(words), "{peers}: {found}: {problem}");
        }
    }
}
