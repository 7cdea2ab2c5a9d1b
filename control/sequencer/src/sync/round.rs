//! One round of comparison, as a function over what both sides showed.

use std::collections::BTreeMap;

use crate::api::OUTSIDER;
use crate::sync::IndexRun;

/// Takes up what two copies show (key and hash; from a mere list of keys, no hash): what differs goes to
/// [`IndexRun::copy`], what only `to` has to [`IndexRun::remove`]. A key that a ticket above `floor` touched says
/// nothing, as one side may show that ticket and the other not: it is set aside, unless a later write has made both
/// equal whatever they were.
pub(crate) fn compare(
    index: &mut IndexRun,
    floor: u32,
    to: &BTreeMap<String, u128>,
    from: &BTreeMap<String, Option<u128>>,
) {
    index.remove_floor = floor;
    let look = |index: &mut IndexRun, key: &String| {
        if index.touched_above(key, floor) {
            if !index.is_clean(key) {
                index.delay(key.clone());
            }
            return;
        }
        index.delays.remove(key);
        match (from.get(key), to.get(key)) {
            (None, Some(_)) => drop(index.remove.insert(key.clone())),
            (Some(theirs), ours) if theirs.is_none() || *theirs != ours.copied() => {
                index.copy.insert(key.clone());
            }
            _ => {}
        }
    };
    for key in from.keys() {
        look(index, key);
    }
    for key in to.keys().filter(|key| !from.contains_key(*key)) {
        look(index, key);
    }
}

/// What both sides show of their shard's documents. What the source has under a key that is not its document says
/// nothing of it: a proper one on the other side stays. There, too, it is none, and differs from any.
pub(crate) fn without_outsiders(
    mut to: BTreeMap<String, u128>,
    from: Vec<(String, u128)>,
) -> (BTreeMap<String, u128>, BTreeMap<String, Option<u128>>) {
    let (outsiders, from): (Vec<_>, Vec<_>) = from.into_iter().partition(|(_, digest)| *digest == OUTSIDER);
    for (key, _) in outsiders {
        if to.get(&key).is_some_and(|digest| *digest != OUTSIDER) {
            to.remove(&key);
        }
    }
    (to, from.into_iter().map(|(key, digest)| (key, Some(digest))).collect())
}

/// Takes up what two copies show where no moment can be found at which both show the same tickets: whatever is not known
/// to be equal is written under the lock. A key that neither shows either has been deleted on both since, or is none.
pub(crate) fn take_all(index: &mut IndexRun, to: &BTreeMap<String, u128>, from: &BTreeMap<String, Option<u128>>) {
    let unequal: Vec<String> = from.keys().chain(to.keys()).filter(|key| !index.is_clean(key)).cloned().collect();
    index.copy.extend(unequal);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Check, Touch};

    fn shown(pairs: &[(&str, u128)]) -> BTreeMap<String, u128> {
        pairs.iter().map(|(key, hash)| ((*key).to_owned(), *hash)).collect()
    }

    fn read(pairs: &[(&str, u128)]) -> BTreeMap<String, Option<u128>> {
        pairs.iter().map(|(key, hash)| ((*key).to_owned(), Some(*hash))).collect()
    }

    fn keys<'a>(set: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
        set.into_iter().map(String::as_str).collect()
    }

    #[test]
    fn what_differs_is_copied_and_what_is_left_over_goes() {
        let mut index = IndexRun::new(1, Check::none());
        compare(
            &mut index,
            9,
            &shown(&[("same", 1), ("old", 1), ("extra", 1)]),
            &read(&[("same", 1), ("old", 2), ("new", 3)]),
        );
        assert_eq!((keys(&index.copy), keys(&index.remove)), (vec!["new", "old"], vec!["extra"]));
        assert!(index.check.is_empty());
    }

    #[test]
    fn what_is_not_the_document_of_its_key_is_neither_copied_nor_kept() {
        let to = shown(&[("proper", 1), ("strange", OUTSIDER), ("both", OUTSIDER)]);
        let from = [("proper", OUTSIDER), ("strange", 1), ("both", OUTSIDER), ("new", OUTSIDER)];
        let from = from.map(|(key, digest)| (key.to_owned(), digest)).to_vec();
        let (to, from) = without_outsiders(to, from);
        let mut index = IndexRun::new(1, Check::none());
        compare(&mut index, 9, &to, &from);
        assert_eq!((keys(&index.copy), keys(&index.remove)), (vec!["strange"], vec!["both"]));
    }

    #[test]
    fn what_was_touched_meanwhile_says_nothing() {
        let mut index = IndexRun::new(1, Check::none());
        index.touched.insert("open".into(), Touch { last: 10, clean: false });
        index.touched.insert("over".into(), Touch { last: 10, clean: true });
        index.touched.insert("before".into(), Touch { last: 9, clean: false });
        compare(&mut index, 9, &shown(&[]), &read(&[("open", 1), ("over", 1), ("before", 1)]));
        assert_eq!(keys(&index.copy), ["before"]);
        assert_eq!(index.check, Check::Keys(["open".to_owned()].into()));
    }

    #[test]
    fn where_nothing_can_be_compared_all_is_written_that_is_not_known_to_be_equal() {
        let mut index = IndexRun::new(1, Check::none());
        index.touched.insert("clean".into(), Touch { last: 0, clean: true });
        take_all(&mut index, &shown(&[("extra", 1), ("clean", 1)]), &read(&[("same", 1), ("clean", 2)]));
        assert_eq!((keys(&index.copy), index.remove.len()), (vec!["extra", "same"], 0));
    }

    #[test]
    fn a_mere_list_of_keys_means_that_all_are_copied() {
        let mut index = IndexRun::new(1, Check::none());
        compare(&mut index, 9, &shown(&[]), &[("a".to_owned(), None), ("b".to_owned(), None)].into());
        assert_eq!(keys(&index.copy), ["a", "b"]);
    }
}
