//! Invariant 2: copies in sync with empty queues are equal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::{Breach, Invariant};

/// Invariant 2. `contents`: what each node holds of the shard, by key.
#[must_use]
pub fn replicas_agree<D: PartialEq + Debug>(shard: u32, contents: &[(&str, &BTreeMap<String, D>)]) -> Vec<Breach> {
    let Some((first, reference)) = contents.first() else { return Vec::new() };
    let differing = contents.iter().skip(1).filter(|(_, content)| content != reference);
    differing
        .map(|(other, content)| {
            let keys: BTreeSet<&String> = reference.keys().chain(content.keys()).collect();
            let key = keys.into_iter().find(|key| reference.get(*key) != content.get(*key));
            let key = key.map(String::as_str).unwrap_or_default();
            let (one, two) = (reference.get(key), content.get(key));
            let text = format!("shard {shard}: {first} and {other} differ, first in {key}: {one:?} and {two:?}");
            Breach::new(Invariant::ReplicasEqual, text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_that_differs_from_the_first_is_named() {
        let holds = |value: &str| BTreeMap::from([("k".to_owned(), value.to_owned())]);
        let (one, two, none) = (holds("1"), holds("2"), BTreeMap::new());
        assert!(replicas_agree::<String>(0, &[]).is_empty());
        assert!(replicas_agree(0, &[("a", &one), ("b", &one)]).is_empty());
        let found = replicas_agree(3, &[("a", &one), ("b", &one), ("c", &two), ("d", &none)]);
        assert_eq!(found.len(), 2);
        assert!(found[0].text.contains("shard 3: a and c differ, first in k"), "{}", found[0]);
    }
}
