//! The hits of all nodes put together into a page.

use std::collections::HashSet;

use super::answer::Answer;
use super::hits::{Hit, HitList};
use super::merge::{BrokenList, Comparison, Merged, Place, Source};
use super::rank::is_semantic;

/// Some of the merged hits.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub places: Vec<Place>,
    /// Their bytes, no less than they take.
    pub size: usize,
    /// Hits that were left out for a value that had been seen.
    pub repeated: u64,
    /// Hits of the page that the vector side has found.
    pub semantic: u64,
}

/// Merges hits; the page is those from `skip` to `end`. Where `distinct`, all hits are gone through.
///
/// # Errors
/// The list that cannot be read on.
pub(super) fn merge<'a>(
    answers: impl Iterator<Item = &'a mut Answer>,
    comparison: Comparison,
    (skip, end): (usize, usize),
    distinct: bool,
) -> Result<Page, BrokenList> {
    let mut page = Page::default();
    let mut accepted = 0usize;
    let mut seen: HashSet<Box<str>> = HashSet::new();
    let mut merged = Merged::new(answers, comparison)?;
    // Values that repeat behind the page are not counted as hits either.
    while accepted < end || distinct {
        let look = |list: &HitList, hit: &Hit| {
            let repeats = list.distinct(hit).iter().any(|value| seen.contains(value));
            if !repeats {
                seen.extend(list.distinct(hit).iter().cloned());
            }
            (repeats, is_semantic(list.keys(hit)), list.size(hit))
        };
        let Some((place, (repeats, semantic, size))) = merged.next(look)? else { break };
        if repeats {
            page.repeated = page.repeated.saturating_add(1);
            continue;
        }
        if accepted >= skip && accepted < end {
            page.semantic = page.semantic.saturating_add(u64::from(semantic));
            page.size = page.size.saturating_add(size).saturating_add(1);
            page.places.push(place);
        }
        accepted = accepted.saturating_add(1);
    }
    Ok(page)
}

/// The number of hits of all lists, of which each has a value of its own.
pub(super) fn distinct_hits<'a>(answers: impl Iterator<Item = &'a Answer>) -> u64 {
    let mut seen: HashSet<&str> = HashSet::new();
    let mut total = 0u64;
    for answer in answers {
        let list = answer.list();
        let mut repeated = 0u64;
        for values in list.iter().map(|hit| list.distinct(hit)) {
            if values.iter().any(|value| seen.contains(&**value)) {
                repeated = repeated.saturating_add(1);
            } else {
                seen.extend(values.iter().map(|value| &**value));
            }
        }
        total = total.saturating_add(answer.total.saturating_sub(repeated));
    }
    total
}
