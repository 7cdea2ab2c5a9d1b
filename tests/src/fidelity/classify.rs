//! Why an answer differs: what is known of the engine and of the cluster that makes it so. What has no class here is a
//! fault.

use serde_json::Value;

use super::ask::{Aspect, Difference};
use super::generate::{Feature, Question};
use super::words::Vocabulary;

/// A known reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// The engine takes no more than so many words for one with typos, or unfinished; each node takes as many of its
    /// own, so that the cluster finds more.
    Derivations,
    /// The engine has tables of the beginnings that a hundred words have, and finds with them what it does not find
    /// word by word, as a node does that knows fewer.
    Beginnings,
    /// A word can be read as two in several ways, of which each node takes the one most frequent with it.
    Splits,
    /// `matchingStrategy: frequency` leaves out what is most frequent on the node.
    Frequencies,
    /// Without pages the engine counts what it has not yet found to be double, which depends on how far it went. With
    /// pages, totals of distinct hits are upper bounds where nodes have more than they list.
    DistinctTotals,
    /// Without pages the engine counts what it has not yet found to be below a threshold, which depends on how far it
    /// went.
    ThresholdTotals,
    /// Up to 3,000 documents the engine orders numbers among facet values as texts, and cuts its list so; nodes have
    /// fewer than the whole.
    NumbersAsTexts,
    /// Nearest vectors are found by an approximation, in smaller sets on the nodes.
    Neighbours,
    /// A word with a typo, or unfinished, stands for words of the data; how much of a longer word is marked depends on
    /// which of them a node knows.
    Highlights,
    /// A score is a part of a maximum, such as the most typos possible, which depends on the words a node knows.
    Maxima,
}

impl Class {
    /// In a few words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Derivations => "the engine's limits on words derived from one",
            Self::Beginnings => "tables of beginnings that many words have",
            Self::Splits => "words that split in several ways",
            Self::Frequencies => "word frequencies of nodes",
            Self::DistinctTotals => "totals of distinct hits are estimates",
            Self::ThresholdTotals => "totals above a threshold are estimates",
            Self::NumbersAsTexts => "lists of numbers that small nodes cut as texts",
            Self::Neighbours => "approximate neighbours",
            Self::Highlights => "how much of a word is marked depends on a node's words",
            Self::Maxima => "maxima in scores depend on a node's words",
        }
    }

    /// The class of a difference, if there is one.
    pub(super) fn of(
        question: &Question,
        difference: &Difference,
        expected: &Value,
        found: &Value,
        words: &Vocabulary,
    ) -> Option<Self> {
        let queries = queries(&question.body);
        let by_words = || {
            [
                (Self::Derivations, queries.iter().any(|query| words.limited(query))),
                (Self::Beginnings, queries.iter().any(|query| words.is_tabled(query))),
                (Self::Splits, queries.iter().any(|query| words.splits_variously(query))),
            ]
            .into_iter()
            .find_map(|(class, holds)| holds.then_some(class))
        };
        match (question.feature, difference.aspect) {
            (_, Aspect::Content) => same_but_for_marks(expected, found).then_some(Self::Highlights),
            (_, Aspect::Status) => None,
            (Feature::MatchFrequency, _) => Some(Self::Frequencies),
            (Feature::Distinct, Aspect::Totals) if is_upper_bound(expected, found) => Some(Self::DistinctTotals),
            (Feature::Threshold, Aspect::Totals) if are_estimates(expected, found) => Some(Self::ThresholdTotals),
            (Feature::Vector | Feature::Hybrid | Feature::Similar, Aspect::Order | Aspect::Scores) => {
                Some(Self::Neighbours)
            }
            (Feature::Scores, Aspect::Scores) | (Feature::Federated, Aspect::Scores | Aspect::Order)
                if only_maxima(expected, found) =>
            {
                Some(Self::Maxima)
            }
            (_, Aspect::Facets) if is_cut_list_of_numbers(difference, expected) => Some(Self::NumbersAsTexts),
            _ => by_words(),
        }
    }
}

/// The words asked for.
fn queries(body: &Value) -> Vec<&str> {
    let all = body["queries"].as_array().into_iter().flatten().chain([body]);
    all.filter_map(|query| query["q"].as_str()).collect()
}

/// Whether the number of distinct hits is no fewer than the node's where that is beyond what nodes list, or neither is
/// exact.
fn is_upper_bound(expected: &Value, found: &Value) -> bool {
    /// `maxTotalHits`.
    const LISTED: u64 = 1_000;
    match (expected["totalHits"].as_u64(), found["totalHits"].as_u64()) {
        (Some(expected), Some(found)) => found >= expected && found > LISTED,
        _ => are_estimates(expected, found),
    }
}

fn are_estimates(expected: &Value, found: &Value) -> bool {
    [expected, found].iter().all(|answer| answer["estimatedTotalHits"].is_u64())
}

/// Whether the difference is about the values of a facet of numbers, of a list as long as the engine gives, over more
/// documents than it orders as texts.
fn is_cut_list_of_numbers(difference: &Difference, expected: &Value) -> bool {
    const ORDERED_AS_TEXTS: u64 = 3_000;
    const VALUES: usize = 100;
    let many = |answer: &Value| {
        let total = answer["estimatedTotalHits"].as_u64().or(answer["totalHits"].as_u64());
        let cut = answer["facetDistribution"].as_object().into_iter().flatten().any(|(name, values)| {
            let named = difference.detail.starts_with(&format!(".facetDistribution.{name}"));
            named && answer["facetStats"][name].is_object() && values.as_object().map_or(0, |all| all.len()) >= VALUES
        });
        cut && total.is_some_and(|total| total > ORDERED_AS_TEXTS)
    };
    many(expected) || expected["results"].as_array().into_iter().flatten().any(many)
}

/// Whether the hits that both answers have are the same but for what is marked in them.
fn same_but_for_marks(expected: &Value, found: &Value) -> bool {
    let bare = |hit: &Value| {
        let mut hit = hit.clone();
        if let Some(fields) = hit.as_object_mut() {
            fields.retain(|name, _| name != "_matchesPosition" && !name.starts_with("_rankingScore"));
        }
        hit.to_string().replace("<em>", "").replace("</em>", "")
    };
    same_hits(expected, found, |hit, other| bare(hit) == bare(other))
}

/// Whether this holds of every hit that both answers have.
fn same_hits(expected: &Value, found: &Value, holds: impl Fn(&Value, &Value) -> bool) -> bool {
    let hits = |answer: &Value| answer["hits"].as_array().cloned().unwrap_or_default();
    let others = hits(found);
    hits(expected).iter().all(|hit| {
        let other = others.iter().find(|other| other["id"] == hit["id"]);
        other.is_none_or(|other| holds(hit, other))
    })
}

/// Whether all that both answers say of the hits they share is the same but for scores and maxima.
fn only_maxima(expected: &Value, found: &Value) -> bool {
    let bare = |hit: &Value| {
        let mut details = hit["_rankingScoreDetails"].clone();
        for rule in details.as_object_mut().into_iter().flat_map(|rules| rules.values_mut()) {
            if let Some(rule) = rule.as_object_mut() {
                rule.retain(|name, _| !["score", "maxTypoCount"].contains(&name.as_str()));
            }
        }
        details
    };
    same_hits(expected, found, |hit, other| bare(hit) == bare(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn marks_may_differ_but_no_letter() {
        let answer =
            |text: &str, at: u32| json!({"hits": [{"id": 1, "_formatted": {"a": text}, "_matchesPosition": at}]});
        assert!(same_but_for_marks(&answer("a <em>lath</em>e", 1), &answer("a <em>lathe</em>", 2)));
        assert!(!same_but_for_marks(&answer("a <em>lath</em>e", 1), &answer("<em>lathe</em>", 1)));
    }

    #[test]
    fn few_distinct_hits_of_pages_are_counted_exactly() {
        let paged = |total: u32| json!({"totalHits": total});
        assert!(!is_upper_bound(&paged(7), &paged(9)));
        assert!(!is_upper_bound(&paged(1_100), &paged(1_050)));
        assert!(is_upper_bound(&paged(1_050), &paged(1_100)));
        assert!(is_upper_bound(&json!({"estimatedTotalHits": 9}), &json!({"estimatedTotalHits": 7})));
    }

    #[test]
    fn scores_may_differ_by_maxima_only() {
        let answer = |typos: u32, most: u32| {
            json!({"hits": [{"id": 1, "_rankingScoreDetails":
                {"typo": {"order": 1, "typoCount": typos, "maxTypoCount": most, "score": 0.5}}}]})
        };
        assert!(only_maxima(&answer(1, 2), &answer(1, 3)));
        assert!(!only_maxima(&answer(1, 2), &answer(2, 2)));
    }
}
