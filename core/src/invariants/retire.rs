//! Invariant 8: a copy is deleted only when nobody who may still serve reads reads it (rule RETIRE).

use super::{Breach, Invariant};

/// A filter's VM that is known to control.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    /// Its name.
    pub vm: &'a str,
    /// Epoch of the map that it reads by.
    pub epoch: u64,
    /// That map names the copy.
    pub reads: bool,
}

/// Invariant 8. `copy`: which copy is deleted, in words.
#[must_use]
pub fn deleted_unread<'a>(copy: &str, readers: impl IntoIterator<Item = Reader<'a>>) -> Vec<Breach> {
    let reading = readers.into_iter().filter(|reader| reader.reads);
    let text = |reader: Reader<'_>| format!("{copy} is deleted, and {} reads it at epoch {}", reader.vm, reader.epoch);
    reading.map(|reader| Breach::new(Invariant::DeletedUnread, text(reader))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_of_a_copy_that_is_deleted_is_told() {
        let reader = |vm, reads| Reader { vm, epoch: 7, reads };
        assert_eq!(deleted_unread("shard 1", [reader("a", false)]), []);
        let found = deleted_unread("shard 1", [reader("a", false), reader("b", true)]);
        assert_eq!(found.first().unwrap().text, "shard 1 is deleted, and b reads it at epoch 7");
    }
}
