//! One look at an index of a shard, as plain data: what is still to be looked at, what differed, what was being written.

use std::collections::{BTreeMap, BTreeSet};

use super::documents::Difference;
use crate::api::OUTSIDER;
use crate::state::N;
use crate::sync::round::compare;
use crate::sync::{Check, IndexRun};

/// Looks at documents that are being written, before they are given up.
const PATIENCE: u32 = 20;

/// Copies that are being read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) asked: u64,
    /// Keys whose digests are read; none: the keys are listed.
    pub(super) keys: Option<BTreeSet<String>>,
    /// All copies had finished all tickets up to this one when the reading began.
    floor: u32,
    /// What tickets above the floor touch.
    pub(super) touched: IndexRun,
    answers: BTreeMap<N, BTreeMap<String, u128>>,
}

impl Reading {
    pub(super) fn new(asked: u64, keys: Option<BTreeSet<String>>, floor: u32, touched: IndexRun) -> Self {
        Self { asked, keys, floor, touched, answers: BTreeMap::new() }
    }

    /// Any document may be under way.
    pub(super) fn says_nothing(&self) -> bool {
        self.keys.is_some() && self.touched.whole > self.floor
    }

    pub(super) fn answer(&mut self, n: N, shown: BTreeMap<String, u128>) {
        self.answers.insert(n, shown);
    }

    pub(super) fn answers(&self) -> usize {
        self.answers.len()
    }

    /// Takes the keys out under which some copy has what is not their document; gives them, by node.
    pub(super) fn set_outsiders_aside(&mut self) -> BTreeMap<N, Vec<String>> {
        let is_outsider = |(key, digest): (&String, &u128)| (*digest == OUTSIDER).then(|| key.clone());
        let mut found: BTreeMap<N, Vec<String>> = BTreeMap::new();
        for (n, shown) in &self.answers {
            let keys: Vec<String> = shown.iter().filter_map(is_outsider).collect();
            if !keys.is_empty() {
                found.insert(*n, keys);
            }
        }
        let all: BTreeSet<&String> = found.values().flatten().collect();
        self.answers.values_mut().for_each(|shown| shown.retain(|key, _| !all.contains(key)));
        found
    }

    /// Keys that some copy has.
    pub(super) fn all_keys(self) -> BTreeSet<String> {
        self.answers.into_values().flat_map(BTreeMap::into_keys).collect()
    }
}

/// A look at all keys, or at those that the look before left open.
#[derive(Debug, Default)]
pub(super) struct Look {
    number: u32,
    left: BTreeSet<String>,
    /// What differed in the look before.
    before: BTreeSet<(N, String)>,
    differs: BTreeMap<(N, String), Difference>,
    /// What was being written.
    again: BTreeSet<String>,
}

/// What a look came to.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// It differed twice, and nobody knows why.
    pub(super) certain: BTreeMap<(N, String), Difference>,
    /// What is to be looked at again.
    pub(super) next: Option<Look>,
    /// Some documents are written all the time.
    pub(super) given_up: bool,
}

impl Look {
    /// The first look.
    pub(super) fn of(keys: BTreeSet<String>) -> Self {
        Self { left: keys, ..Self::default() }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn is_first(&self) -> bool {
        self.number == 0
    }

    /// Takes out the next keys.
    pub(super) fn take(&mut self, most: usize) -> BTreeSet<String> {
        match self.left.iter().nth(most).cloned() {
            Some(first_left) => {
                let left = self.left.split_off(&first_left);
                std::mem::replace(&mut self.left, left)
            }
            None => std::mem::take(&mut self.left),
        }
    }

    pub(super) fn put_back(&mut self, keys: BTreeSet<String>) {
        self.left.extend(keys);
    }

    /// Takes in what all copies have shown of some keys.
    pub(super) fn take_in(&mut self, reading: Reading, nodes: &[N]) {
        let Reading { keys, floor, touched, mut answers, .. } = reading;
        if touched.whole > floor {
            return self.put_back(keys.unwrap_or_default());
        }
        let Some((senior, juniors)) = nodes.split_first() else { return };
        let senior = answers.remove(senior).unwrap_or_default();
        let senior: BTreeMap<String, Option<u128>> = senior.into_iter().map(|(key, hash)| (key, Some(hash))).collect();
        for n in juniors {
            let shown = answers.remove(n).unwrap_or_default();
            let mut round = touched.clone();
            compare(&mut round, floor, &shown, &senior);
            for key in round.copy {
                let difference = if shown.contains_key(&key) { Difference::Content } else { Difference::Missing };
                self.differs.insert((*n, key), difference);
            }
            self.differs.extend(round.remove.into_iter().map(|key| ((*n, key), Difference::Extra)));
            match round.check {
                Check::Keys(keys) => self.again.extend(keys),
                // More than are compared at once.
                Check::All => self.again.extend(keys.iter().flatten().cloned()),
            }
        }
    }

    /// All keys have been looked at.
    pub(super) fn end(self) -> Ended {
        let Self { number, before, differs, again, .. } = self;
        let (certain, differs): (BTreeMap<_, _>, BTreeMap<_, _>) =
            differs.into_iter().partition(|(at, _)| before.contains(at));
        let before: BTreeSet<(N, String)> = differs.into_keys().collect();
        let left: BTreeSet<String> = before.iter().map(|(_, key)| key.clone()).chain(again).collect();
        if left.is_empty() {
            return Ended { certain, ..Ended::default() };
        }
        if number >= PATIENCE {
            return Ended { certain, given_up: true, ..Ended::default() };
        }
        let next = Self { number: number + 1, left, before, ..Self::default() };
        Ended { certain, next: Some(next), given_up: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Touch;

    fn keys(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|key| (*key).to_owned()).collect()
    }

    /// Nodes 0 (senior) and 1 show these documents.
    fn reading(touched: IndexRun, senior: &[(&str, u128)], junior: &[(&str, u128)]) -> Reading {
        let shown = |list: &[(&str, u128)]| list.iter().map(|(key, hash)| ((*key).to_owned(), *hash)).collect();
        let all = senior.iter().chain(junior).map(|(key, _)| (*key).to_owned()).collect();
        let mut reading = Reading::new(1, Some(all), 9, touched);
        reading.answer(0, shown(senior));
        reading.answer(1, shown(junior));
        reading
    }

    fn quiet() -> IndexRun {
        IndexRun::new(0, Check::none())
    }

    #[test]
    fn what_differs_once_is_looked_at_again_and_what_differs_twice_is_certain() {
        let mut look = Look::of(keys(&["a", "b", "c", "d"]));
        assert_eq!(look.take(3).len(), 3);
        assert_eq!(look.take(3), keys(&["d"]));
        let senior = [("a", 1), ("b", 1), ("c", 1)];
        look.take_in(reading(quiet(), &senior, &[("a", 1), ("b", 2), ("d", 1)]), &[0, 1]);
        let first = look.end();
        assert!(first.certain.is_empty());
        let mut look = first.next.unwrap();
        assert_eq!(look.take(9), keys(&["b", "c", "d"]));
        look.take_in(reading(quiet(), &senior, &[("a", 1), ("b", 1), ("d", 1)]), &[0, 1]);
        let second = look.end();
        let certain: Vec<_> = second.certain.into_iter().map(|((n, key), what)| (n, key, what)).collect();
        assert_eq!(certain, [(1, "c".to_owned(), Difference::Missing), (1, "d".to_owned(), Difference::Extra)]);
        assert!(second.next.is_none() && !second.given_up);
    }

    #[test]
    fn what_is_not_the_document_of_its_key_says_nothing_of_either_copy() {
        let mut reading = reading(quiet(), &[("a", OUTSIDER), ("b", 1)], &[("a", 1), ("b", 2)]);
        assert_eq!(reading.set_outsiders_aside(), [(0, vec!["a".to_owned()])].into());
        let mut look = Look::of(keys(&["a", "b"]));
        look.take(9);
        look.take_in(reading, &[0, 1]);
        assert_eq!(look.end().next.unwrap().take(9), keys(&["b"]));
    }

    #[test]
    fn what_is_being_written_says_nothing_until_it_is_given_up() {
        let mut look = Look::of(keys(&["a"]));
        for _ in 0..PATIENCE {
            let mut touched = quiet();
            touched.touched.insert("a".into(), Touch { last: 10, clean: false });
            look.take(9);
            look.take_in(reading(touched, &[("a", 1)], &[("a", 2)]), &[0, 1]);
            let ended = look.end();
            assert!(ended.certain.is_empty() && !ended.given_up);
            look = ended.next.unwrap();
        }
        let mut touched = quiet();
        touched.touched.insert("a".into(), Touch { last: 10, clean: false });
        look.take_in(reading(touched, &[("a", 1)], &[("a", 2)]), &[0, 1]);
        let ended = look.end();
        assert!(ended.certain.is_empty() && ended.next.is_none() && ended.given_up);
    }

    #[test]
    fn an_operation_on_the_whole_index_makes_the_look_void() {
        let mut look = Look::of(keys(&["a"]));
        look.take(9);
        let touched = IndexRun { whole: 10, ..quiet() };
        look.take_in(reading(touched, &[("a", 1)], &[("a", 2)]), &[0, 1]);
        assert_eq!(look.take(9), keys(&["a"]));
        assert!(look.end().next.is_none());
    }
}
