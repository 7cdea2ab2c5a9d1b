//! Which copy of a shard is kept where they differ, and what it gets from the others. Nobody can tell a lost write from a
//! lost deletion by two documents; so nothing is dropped that might be an acknowledged write, unless it is known which
//! copies missed writes.

use std::collections::BTreeMap;

/// What a copy holds: by index, digests by key.
pub(super) type Content = BTreeMap<String, BTreeMap<String, u128>>;

/// A copy.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    /// Position of its node.
    pub(super) node: usize,
    pub(super) content: Content,
    /// Whether it was read, and so had missed nothing, when a note was left last; none where there is no note.
    pub(super) was_read: Option<bool>,
}

/// Documents that the copy that is kept has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addition {
    pub(super) index: String,
    /// Who has them.
    pub(super) from: usize,
    pub(super) keys: Vec<String>,
}

/// Versions that are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) index: String,
    /// Whose they are.
    pub(super) lost: usize,
    /// Documents that both have.
    pub(super) differing: Vec<String>,
    /// Documents that only it has.
    pub(super) extra: Vec<String>,
}

/// What becomes of the copies of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Copies that are equal, and whole after the additions; the one that is kept first.
    pub(super) whole: Vec<usize>,
    /// Copies that must be filled from it.
    pub(super) behind: Vec<usize>,
    /// What the copy that is kept gets first.
    pub(super) additions: Vec<Addition>,
    pub(super) dropped: Vec<Dropped>,
    /// Documents that are kept although not all copies that count have them.
    pub(super) doubtful: u64,
}

/// Judges the copies of a shard that hold anything.
pub(super) fn judge(mut copies: Vec<Copy>) -> Verdict {
    let like = |copy: &Copy, copies: &[Copy]| copies.iter().filter(|other| other.content == copy.content).count();
    let size = |copy: &Copy| copy.content.values().map(BTreeMap::len).sum::<usize>();
    let ranks: BTreeMap<usize, _> =
        copies.iter().map(|copy| (copy.node, (copy.was_read, like(copy, &copies), size(copy)))).collect();
    // Stable: of equals the first.
    copies.sort_by(|left, right| ranks.get(&right.node).cmp(&ranks.get(&left.node)));
    let mut copies = copies.into_iter();
    let Some(kept) = copies.next() else { return Verdict::default() };
    let mut verdict = Verdict { whole: vec![kept.node], ..Verdict::default() };
    let mut merged = kept.content.clone();
    let others: Vec<Copy> = copies.collect();
    for other in &others {
        // Whoever had missed writes while the one that is kept had not has nothing that counts.
        let counts = other.was_read == kept.was_read;
        for (index, documents) in &other.content {
            let mut dropped = Dropped { index: index.clone(), lost: other.node, ..Dropped::default() };
            let mut addition = Addition { index: index.clone(), from: other.node, keys: Vec::new() };
            let into = merged.entry(index.clone()).or_default();
            for (key, digest) in documents {
                match into.get(key) {
                    Some(same) if same == digest => {}
                    Some(_) => dropped.differing.push(key.clone()),
                    None if counts => {
                        into.insert(key.clone(), *digest);
                        addition.keys.push(key.clone());
                    }
                    None => dropped.extra.push(key.clone()),
                }
            }
            if !addition.keys.is_empty() {
                verdict.additions.push(addition);
            }
            if !dropped.differing.is_empty() || !dropped.extra.is_empty() {
                verdict.dropped.push(dropped);
            }
        }
    }
    merged.retain(|_, documents| !documents.is_empty());
    let counting = || others.iter().filter(|other| other.was_read == kept.was_read).chain([&kept]);
    let lacks = |copy: &Copy, index: &String, key: &String| {
        copy.content.get(index).is_none_or(|documents| !documents.contains_key(key))
    };
    for (index, documents) in &merged {
        let doubtful = documents.keys().filter(|key| counting().any(|copy| lacks(copy, index, key)));
        verdict.doubtful = verdict.doubtful.saturating_add(u64::try_from(doubtful.count()).unwrap_or(u64::MAX));
    }
    for other in others {
        match other.content == merged {
            true => verdict.whole.push(other.node),
            false => verdict.behind.push(other.node),
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(node: usize, was_read: Option<bool>, documents: &[(&str, u128)]) -> Copy {
        let documents = documents.iter().map(|(key, digest)| ((*key).to_owned(), *digest)).collect();
        Copy { node, content: [("films".to_owned(), documents)].into(), was_read }
    }

    fn addition(from: usize, keys: &[&str]) -> Addition {
        Addition { index: "films".into(), from, keys: keys.iter().map(|key| (*key).to_owned()).collect() }
    }

    fn dropped(lost: usize, differing: &[&str], extra: &[&str]) -> Dropped {
        let text = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        Dropped { index: "films".into(), lost, differing: text(differing), extra: text(extra) }
    }

    #[test]
    fn equal_copies_are_whole() {
        let documents = [("1", 1), ("2", 2)];
        let verdict = judge(vec![copy(4, None, &documents), copy(7, None, &documents)]);
        assert_eq!(verdict, Verdict { whole: vec![4, 7], ..Verdict::default() });
        assert_eq!(judge(Vec::new()), Verdict::default());
    }

    #[test]
    fn without_evidence_nothing_is_dropped_but_other_versions() {
        let verdict = judge(vec![copy(0, None, &[("1", 1), ("2", 2)]), copy(1, None, &[("2", 9), ("3", 3)])]);
        assert_eq!((verdict.whole, verdict.behind), (vec![0], vec![1]));
        assert_eq!(verdict.additions, [addition(1, &["3"])]);
        assert_eq!((verdict.dropped, verdict.doubtful), (vec![dropped(1, &["2"], &[])], 2));
    }

    #[test]
    fn what_is_had_by_two_others_is_taken_once() {
        let verdict =
            judge(vec![copy(0, None, &[("1", 1), ("2", 2)]), copy(1, None, &[("3", 3)]), copy(2, None, &[("3", 4)])]);
        assert_eq!(verdict.additions, [addition(1, &["3"])]);
        assert_eq!(verdict.dropped, [dropped(2, &["3"], &[])]);
    }

    #[test]
    fn a_copy_that_lacks_nothing_in_the_end_is_whole() {
        // The larger one is kept; the other had all of it before.
        let verdict = judge(vec![copy(0, None, &[("1", 1)]), copy(1, None, &[("1", 1), ("2", 2)])]);
        assert_eq!((verdict.whole, verdict.behind, verdict.additions), (vec![1], vec![0], vec![]));
    }

    #[test]
    fn what_most_have_is_kept() {
        let verdict = judge(vec![
            copy(0, None, &[("1", 9), ("2", 2), ("3", 3)]),
            copy(1, None, &[("1", 1)]),
            copy(2, None, &[("1", 1)]),
        ]);
        assert_eq!(verdict.whole, [1]);
        assert_eq!(verdict.behind, [2, 0]);
        assert_eq!(verdict.dropped, [dropped(0, &["1"], &[])]);
    }

    #[test]
    fn a_copy_that_was_read_wins_and_deletions_hold() {
        let verdict =
            judge(vec![copy(0, Some(false), &[("1", 9), ("2", 2), ("3", 3)]), copy(1, Some(true), &[("1", 1)])]);
        assert_eq!((verdict.whole, verdict.behind), (vec![1], vec![0]));
        assert_eq!((verdict.additions, verdict.doubtful), (vec![], 0));
        assert_eq!(verdict.dropped, [dropped(0, &["1"], &["2", "3"])]);
    }

    #[test]
    fn copies_that_were_read_and_differ_are_joined() {
        let verdict = judge(vec![
            copy(0, Some(true), &[("1", 1)]),
            copy(1, Some(true), &[("2", 2)]),
            copy(2, Some(false), &[("1", 1), ("2", 2)]),
        ]);
        assert_eq!(verdict.whole, [0, 2]);
        assert_eq!(verdict.additions, [addition(1, &["2"])]);
        assert_eq!(verdict.behind, [1]);
    }

    #[test]
    fn an_index_that_one_lacks_is_joined_too() {
        let mut more = copy(1, None, &[("1", 1)]);
        more.content.insert("books".to_owned(), [("b".to_owned(), 5)].into());
        let verdict = judge(vec![copy(0, None, &[("1", 1)]), more]);
        assert_eq!((verdict.whole, verdict.behind), (vec![1], vec![0]));
    }
}
