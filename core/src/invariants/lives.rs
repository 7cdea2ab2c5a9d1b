//! Invariant 18: documents of one life of an index never appear in another one of the same name.

use super::{Breach, Invariant};

/// Invariant 18. The incarnation of an index is the number of the ticket that made it: what is in it was written by later
/// ones. `written_by`: the ticket that wrote what was found.
#[must_use]
pub fn of_this_life(index: &str, incarnation: u64, key: &str, written_by: u32) -> Option<Breach> {
    let text = || format!("{key} of ticket {written_by} is in {index}, which ticket {incarnation} made");
    (u64::from(written_by) < incarnation).then(|| Breach::new(Invariant::LivesApart, text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_an_earlier_life_is_told() {
        assert_eq!(of_this_life("a", 4, "k", 5), None);
        assert!(of_this_life("a", 4, "k", 3).is_some());
    }
}
