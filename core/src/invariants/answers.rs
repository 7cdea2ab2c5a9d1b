//! Invariant 7: a complete answer has every document once, from copies that may be read.

use std::collections::BTreeSet;
use std::fmt::Debug;

use super::{Breach, Invariant};

/// Invariant 7: an answer of all shards has each document once. `answered`: the shards that answered, of `shards`; `ids`:
/// the documents of the answer. An answer that says that it is incomplete promises nothing.
#[must_use]
pub fn documents_once<K: Ord + Debug>(shards: u64, answered: u64, ids: &[K]) -> Option<Breach> {
    let mut seen = BTreeSet::new();
    let twice = ids.iter().filter(|_| answered == shards).find(|id| !seen.insert(*id))?;
    Some(Breach::new(Invariant::CountedOnce, format!("{twice:?} is there twice")))
}

/// Invariant 7: an answer of all shards that has all documents says how many there are. `total`: what it says.
#[must_use]
pub fn total_fits(shards: u64, answered: u64, documents: usize, total: u64) -> Option<Breach> {
    let text = || format!("{documents} documents are counted as {total}");
    let wrong = answered == shards && u64::try_from(documents) != Ok(total);
    wrong.then(|| Breach::new(Invariant::CountedOnce, text()))
}

/// Invariant 7: what was read was in sync in the map that the request began with. `used`: shards and the nodes that were
/// asked for them; `readable`: whether that map says so.
#[must_use]
pub fn only_readable_copies<'a>(
    used: impl IntoIterator<Item = (u32, &'a str)>,
    readable: impl Fn(u32, &str) -> bool,
) -> Vec<Breach> {
    let wrong = used.into_iter().filter(|(shard, node)| !readable(*shard, node));
    let text = |(shard, node)| format!("shard {shard} was read from {node}, whose copy may not be read");
    wrong.map(|copy| Breach::new(Invariant::CountedOnce, text(copy))).collect()
}

/// Invariant 7: an answer is of one index, also while indexes exchange their names. `seen`: those to which the documents
/// in it were written.
#[must_use]
pub fn of_one_index<K: Ord + Debug>(name: &str, seen: &BTreeSet<K>) -> Option<Breach> {
    let text = || format!("what was read as {name} is of {seen:?}");
    (seen.len() > 1).then(|| Breach::new(Invariant::CountedOnce, text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_two_indexes_is_told() {
        assert_eq!(of_one_index("a", &BTreeSet::from(["a"])), None);
        assert!(of_one_index("a", &BTreeSet::from(["a", "b"])).is_some());
    }

    #[test]
    fn documents_that_are_doubled_or_miscounted_are_told() {
        assert_eq!(documents_once(4, 4, &["a", "b"]), None);
        assert!(documents_once(4, 4, &["a", "b", "a"]).is_some());
        assert_eq!(documents_once(4, 3, &["a", "a"]), None);
        assert_eq!((total_fits(4, 4, 2, 2), total_fits(4, 3, 2, 3)), (None, None));
        assert!(total_fits(4, 4, 2, 3).is_some());
    }

    #[test]
    fn a_copy_that_may_not_be_read_is_told() {
        let readable = |shard: u32, node: &str| shard == 0 || node == "n";
        assert_eq!(only_readable_copies([(0, "m"), (1, "n")], readable), []);
        assert_eq!(only_readable_copies([(1, "m")], readable).len(), 1);
    }
}
