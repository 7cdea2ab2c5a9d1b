//! Invariant 14: jobs leave nothing behind, at whatever step they end.

use super::{Breach, Invariant};

/// Invariant 14: a node holds documents only of shards of which it has a copy, be it one that is being deleted. `held`:
/// what lies there, as document and shard; `owned`: whether the node has a copy of a shard. All that there is of it is
/// in one breach.
#[must_use]
pub fn nothing_is_orphaned<'a>(
    node: &str,
    held: impl IntoIterator<Item = (&'a str, u32)>,
    owned: impl Fn(u32) -> bool,
) -> Option<Breach> {
    let orphans = held.into_iter().filter(|(_, shard)| !owned(*shard));
    let orphans: Vec<String> = orphans.map(|(key, shard)| format!("{key} of shard {shard}")).collect();
    let text = || format!("{node} holds {}, and has no copy of that", orphans.join(", "));
    (!orphans.is_empty()).then(|| Breach::new(Invariant::NoOrphans, text()))
}

/// Invariant 14: copies lie on members. `copies`: shard and node.
#[must_use]
pub fn copies_have_members<'a>(
    copies: impl IntoIterator<Item = (u32, &'a str)>,
    is_member: impl Fn(&str) -> bool,
) -> Vec<Breach> {
    let strangers = copies.into_iter().filter(|(_, node)| !is_member(node));
    let text = |(shard, node)| format!("a copy of shard {shard} is on {node}, which is no member");
    strangers.map(|copy| Breach::new(Invariant::NoOrphans, text(copy))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_no_copy_are_told() {
        assert_eq!(nothing_is_orphaned("n", [("k1", 0), ("k2", 1)], |_| true), None);
        let found = nothing_is_orphaned("n", [("k1", 0), ("k2", 1)], |shard| shard == 0).unwrap();
        assert_eq!(found.text, "n holds k2 of shard 1, and has no copy of that");
    }

    #[test]
    fn a_copy_on_a_stranger_is_told() {
        assert_eq!(copies_have_members([(0, "n")], |node| node == "n"), []);
        assert_eq!(copies_have_members([(0, "n"), (1, "m")], |node| node == "n").len(), 1);
    }
}
