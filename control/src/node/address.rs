//! Where nodes are, and by which connections they are reached. Members come and go while the cluster runs.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::config::Node;

/// Nodes close idle connections after 5 s; ours go before that, so that a request seldom meets a closing one.
const IDLE: Duration = Duration::from_secs(4);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(1);

/// A node cannot be talked to as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node}: {why}")]
pub struct AddressFault {
    /// The node.
    pub node: String,
    /// Why.
    pub why: String,
}

/// One node's.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) url: reqwest::Url,
    /// The connections, or why there can be none.
    pub(super) http: Result<reqwest::Client, String>,
    tls_ca: Option<String>,
}

/// All nodes'.
#[derive(Debug, Default)]
pub(super) struct Addresses(RwLock<BTreeMap<String, Address>>);

impl Addresses {
    /// Takes the list of nodes over; connections to those that stay the same are kept. Returns what is wrong with
    /// some: requests to them are not sent.
    pub(super) fn set(&self, nodes: &[Node]) -> Vec<AddressFault> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut shared: BTreeMap<Option<String>, Result<reqwest::Client, String>> = BTreeMap::new();
        for address in known.values() {
            shared.insert(address.tls_ca.clone(), address.http.clone());
        }
        let mut faults = Vec::new();
        let mut next = BTreeMap::new();
        for Node { id, url, tls_ca, .. } in nodes {
            let http = shared.entry(tls_ca.clone()).or_insert_with(|| connections(tls_ca.as_deref())).clone();
            if let Err(why) = &http {
                faults.push(AddressFault { node: id.clone(), why: why.clone() });
            }
            next.insert(id.clone(), Address { url: url.clone(), http, tls_ca: tls_ca.clone() });
        }
        *known = next;
        faults
    }

    pub(super) fn get(&self, node: &str) -> Option<Address> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }
}

/// Connections that trust this bundle alone, as Envoy's do; without one, the roots that are built in.
fn connections(tls_ca: Option<&str>) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(path) = tls_ca {
        let pem = std::fs::read(path).map_err(|error| format!("reading tls_ca {path}: {error}"))?;
        let certificates =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| format!("tls_ca {path}: {error}"))?;
        if certificates.is_empty() {
            return Err(format!("tls_ca {path} holds no certificate"));
        }
        builder = builder.tls_built_in_root_certs(false);
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, url: &str, tls_ca: Option<&str>) -> Node {
        let url = url.parse().unwrap();
        Node { id: id.to_owned(), url, weight: 1.0, zone: None, tls_ca: tls_ca.map(str::to_owned) }
    }

    #[test]
    fn nodes_come_move_and_go() {
        let addresses = Addresses::default();
        assert_eq!(addresses.set(&[node("a", "http://x:1", None), node("b", "http://x:2", None)]), []);
        assert_eq!(addresses.set(&[node("b", "http://y:3", None)]), []);
        assert!(addresses.get("a").is_none());
        assert_eq!(addresses.get("b").unwrap().url.as_str(), "http://y:3/");
    }

    #[test]
    fn a_bundle_that_cannot_be_used_is_named() {
        let addresses = Addresses::default();
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty.pem");
        std::fs::write(&empty, "nothing").unwrap();
        let empty = empty.to_str().unwrap();
        let faults = addresses.set(&[
            node("a", "https://x", Some("/nowhere/ca.pem")),
            node("b", "https://x", Some(empty)),
            node("c", "http://x", None),
        ]);
        let named: Vec<&str> = faults.iter().map(|fault| fault.node.as_str()).collect();
        assert_eq!(named, ["a", "b"]);
        assert!(faults[0].to_string().starts_with("node a: reading tls_ca /nowhere/ca.pem:"), "{}", faults[0]);
        assert!(addresses.get("c").unwrap().http.is_ok());
    }
}
