//! What tests of this module share.

use crate::config::Node;

/// A node of this id.
pub(super) fn node(id: &str) -> Node {
    let url = format!("http://{id}:7700").parse().unwrap();
    Node { id: id.to_owned(), url, weight: 1.0, zone: None, tls_ca: None }
}
