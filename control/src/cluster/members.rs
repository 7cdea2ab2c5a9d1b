//! The members as the shell needs them: where each node is. Kept from the durable rows, so that nobody talks to a node
//! that a lost disk would not remember.

use std::sync::Arc;

use miroir_sequencer::{MemberState, MemberView, NodePlace, NodeRow};
use tracing::error;

use crate::config::Node;

/// Members, by id.
pub(crate) type Members = Arc<Vec<Node>>;

fn node(id: &str, place: &NodePlace) -> Option<Node> {
    match place.url.parse() {
        Ok(url) => Some(Node {
            id: id.to_owned(),
            url,
            weight: place.weight,
            zone: place.zone.clone(),
            tls_ca: place.tls_ca.clone(),
        }),
        // Looked at before it got into a row; a damaged store is left.
        Err(fault) => {
            error!(node = id, url = place.url, %fault, "a member's URL cannot be read");
            None
        }
    }
}

/// Members at the start of a term.
pub(super) fn at_start(views: Vec<MemberView>) -> Members {
    let place = |view: &MemberView| NodePlace {
        url: view.url.clone(),
        weight: view.weight,
        zone: view.zone.clone(),
        tls_ca: view.tls_ca.clone(),
    };
    Arc::new(views.iter().filter_map(|view| node(&view.id, &place(view))).collect())
}

/// Members after a row has changed; none where they are the same.
pub(super) fn after(members: &Members, row: &NodeRow) -> Option<Members> {
    let known = members.binary_search_by(|node| node.id.as_str().cmp(&row.id));
    let wanted = (row.member != MemberState::Removed).then(|| node(&row.id, &row.place)).flatten();
    if known.ok().and_then(|at| members.get(at)) == wanted.as_ref() {
        return None;
    }
    let mut changed = members.as_ref().clone();
    match (known, wanted) {
        (Ok(at), Some(node)) => changed[at] = node,
        (Ok(at), None) => drop(changed.remove(at)),
        (Err(at), Some(node)) => changed.insert(at, node),
        (Err(_), None) => return None,
    }
    Some(Arc::new(changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, url: &str, member: MemberState) -> NodeRow {
        let place = NodePlace { url: url.to_owned(), ..NodePlace::default() };
        NodeRow { id: id.to_owned(), place, member, ..NodeRow::default() }
    }

    #[test]
    fn members_follow_the_rows() {
        let none = Members::default();
        let one = after(&none, &row("b", "http://b", MemberState::Active)).unwrap();
        let two = after(&one, &row("a", "http://a", MemberState::Joining)).unwrap();
        assert_eq!(two.iter().map(|node| node.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(after(&two, &row("a", "http://a", MemberState::Active)).is_none());
        let moved = after(&two, &row("a", "http://c:1", MemberState::Active)).unwrap();
        assert_eq!(moved[0].url.as_str(), "http://c:1/");
        let gone = after(&moved, &row("a", "http://c:1", MemberState::Removed)).unwrap();
        assert_eq!(gone.len(), 1);
        assert!(after(&gone, &row("a", "http://c:1", MemberState::Removed)).is_none());
    }
}
