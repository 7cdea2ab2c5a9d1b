//! Hybrid searches. The engine (1.50) searches by words first, and leaves the semantic side out where as many hits as the
//! page ends at are all good enough. Each node decides that for its own hits; here it is decided for those of all.

use super::hits::{Hit, HitList};
use super::order::Rank;
use super::query::{NotUnderstood, Query};
use super::rank::{Key, compare, is_semantic};
use super::score::MostTypos;

/// Weighted score from which a hit by words is good enough.
const GOOD_ENOUGH: f64 = 0.45;

/// Members that make a search a hybrid one.
const MEMBERS: [&str; 3] = ["hybrid", "vector", "media"];

/// What the scores of both sides weigh, in the engine's own precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sides {
    semantic: f64,
    words: f64,
}

impl Sides {
    /// The weights of a query; none where it has but one side.
    ///
    /// # Errors
    /// Where the query has a form that the engine refuses.
    pub fn of(query: &Query, q: Option<&str>) -> Result<Option<Self>, NotUnderstood> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Hybrid {
            semantic_ratio: Option<f32>,
        }
        let Some(hybrid) = query.get::<Hybrid>("hybrid")? else { return Ok(None) };
        let ratio = hybrid.semantic_ratio.unwrap_or(0.5);
        let both = ratio > 0.0 && ratio < 1.0 && q.is_some_and(|q| !q.trim().is_empty());
        Ok(both.then(|| Self { semantic: f64::from(ratio), words: f64::from(1.0 - ratio) }))
    }

    /// What a hit is compared by with one of the other side.
    pub fn rank<'a>(self, hit: &Hit, keys: &'a [Key], semantic: bool) -> Rank<'a> {
        Rank { keys, score: self.weighted(hit, semantic), weight: self.weight(semantic) }
    }

    fn weight(self, semantic: bool) -> f64 {
        if semantic { self.semantic } else { self.words }
    }

    fn weighted(self, hit: &Hit, semantic: bool) -> f64 {
        hit.score.map_or(0.0, |(_, score)| score) * self.weight(semantic)
    }

    /// False where not even the best hit by words is good enough.
    pub fn may_leave_out(self) -> bool {
        self.words >= GOOD_ENOUGH
    }

    /// Whether the node of this list has left out its semantic side, where `needed` hits were asked for.
    pub fn has_left_out(self, list: &HitList, needed: usize) -> bool {
        let good = |hit: &Hit| !is_semantic(list.keys(hit)) && self.weighted(hit, false) >= GOOD_ENOUGH;
        list.len() >= needed && list.iter().all(good)
    }

    /// Whether a hit by words is good enough, by the score that it has among those of all nodes.
    pub fn is_good(self, hit: &Hit, keys: &[Key], most_typos: &MostTypos) -> bool {
        let score = hit.score.map_or(0.0, |(_, score)| most_typos.score(keys, score).unwrap_or(score));
        score * self.words >= GOOD_ENOUGH
    }

    /// False where the first `needed` hits by words of all lists are surely not all good enough. A hit of the semantic
    /// side may stand for one by words of the same document, which then has no higher weighted score; where sort rules
    /// order the hits, nothing can be said of that score, nor of what a list does not reach.
    pub fn may_be_good(self, lists: &[&HitList], needed: usize) -> bool {
        let hits = || lists.iter().flat_map(|list| list.iter().map(|hit| (hit, list.keys(hit))));
        let sorts = |key: &Key| matches!(key, Key::Sort { .. } | Key::Distance { .. });
        let sorted = hits().any(|(_, keys)| keys.iter().any(sorts));
        let most_typos = MostTypos::of(lists.iter().copied());
        let is_good = |hit: &Hit, keys: &[Key]| self.is_good(hit, keys, &most_typos);
        let poor = hits().filter(|(hit, keys)| !is_semantic(keys) && !is_good(hit, keys));
        let poor = poor.map(|(_, keys)| keys).max_by(|left, right| compare(left, right));
        // No more good ones than these stand before the first one that is not.
        let counts = |(hit, keys): &(&Hit, &[Key])| {
            if is_semantic(keys) {
                sorted || self.weighted(hit, true) >= GOOD_ENOUGH
            } else {
                is_good(hit, keys) && poor.is_none_or(|poor| compare(keys, poor).is_ge())
            }
        };
        hits().filter(counts).count() >= needed
    }
}

/// Makes a hybrid search one by words alone.
pub(super) fn by_words(query: &mut Query) {
    MEMBERS.iter().for_each(|name| query.remove(name));
}
