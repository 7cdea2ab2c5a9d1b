//! What the rules said about a document, as the engine shows it.

use serde_json::{Map, Value, json};

use super::sort::Criterion;

/// The word of one rule.
#[derive(Clone, Debug)]
pub(crate) enum Detail {
    /// `words`
    Words {
        /// Words found.
        matching: usize,
        /// Words asked.
        max: usize,
    },
    /// A rule that charges a price, of at most `max`.
    Priced {
        /// The rule.
        rule: &'static str,
        /// The price.
        price: u32,
        /// The highest price.
        max: u32,
    },
    /// First half of `exactness`.
    ExactAttribute(&'static str),
    /// A sort criterion.
    By {
        /// The criterion.
        criterion: Criterion,
        /// The document's value.
        value: Value,
    },
}

type Rank = (u32, u32);

fn ratio((rank, max): Rank) -> f64 {
    f64::from(rank) / f64::from(max)
}

fn merge(outer: Rank, inner: Rank) -> Rank {
    (outer.0.saturating_sub(1) * inner.1 + inner.0, outer.1 * inner.1)
}

impl Detail {
    /// Of a price.
    pub(crate) fn rank(rule: &'static str, price: u32, max: u32) -> Self {
        Self::Priced { rule, price, max: max.max(price) }
    }

    fn as_rank(&self) -> Option<Rank> {
        match self {
            Self::Words { matching, max } => Some((u32::try_from(*matching).ok()?, u32::try_from(*max).ok()?)),
            Self::Priced { price, max, .. } => Some((max + 1 - price, max + 1)),
            Self::ExactAttribute(kind) => Some(match *kind {
                "exactMatch" => (3, 3),
                "matchesStart" => (2, 3),
                _ => (1, 3),
            }),
            Self::By { .. } => None,
        }
    }
}

/// The ranking score: all rules but the sorts, as one number.
pub(crate) fn score(details: &[Detail]) -> f64 {
    ratio(details.iter().filter_map(Detail::as_rank).fold((1, 1), merge))
}

/// `_rankingScoreDetails`.
pub(crate) fn map(details: &[Detail], displays: &dyn Fn(&str) -> bool) -> Map<String, Value> {
    let mut map = Map::new();
    let mut order = 0;
    let mut exact: Rank = (1, 3);
    let mut field: Rank = (1, 1);
    for detail in details {
        let score = detail.as_rank().map(ratio);
        match detail {
            Detail::Words { matching, max } => {
                map.insert(
                    "words".into(),
                    json!({"order": order, "matchingWords": matching, "maxMatchingWords": max, "score": score}),
                );
            }
            Detail::Priced { rule: "typo", price, max } => {
                map.insert(
                    "typo".into(),
                    json!({"order": order, "typoCount": price, "maxTypoCount": max, "score": score}),
                );
            }
            Detail::Priced { rule: "exactWords", price, max } => {
                if let Some(Value::Object(shown)) = map.get_mut("exactness")
                    && shown.get("matchType") == Some(&json!("noExactMatch"))
                {
                    shown.shift_remove("score");
                    shown.insert("matchingWords".into(), json!(max - price));
                    shown.insert("maxMatchingWords".into(), json!(max));
                    shown.insert("score".into(), json!(ratio(merge(exact, (max + 1 - price, max + 1)))));
                }
                continue;
            }
            Detail::Priced { rule: "attributeFirst", price, max } => {
                field = (max + 1 - price, max + 1);
                map.insert("attribute".into(), json!({"order": order, "attributeRankingOrderScore": score}));
            }
            Detail::Priced { rule: "attributeSecond", price, max } => {
                if let Some(Value::Object(shown)) = map.get_mut("attribute") {
                    shown.insert("queryWordDistanceScore".into(), json!(score));
                    shown.insert("score".into(), json!(ratio(merge(field, (max + 1 - price, max + 1)))));
                }
                continue;
            }
            Detail::Priced { rule, .. } => {
                map.insert((*rule).into(), json!({"order": order, "score": score}));
            }
            Detail::ExactAttribute(kind) => {
                exact = detail.as_rank().unwrap_or(exact);
                map.insert("exactness".into(), json!({"order": order, "matchType": kind, "score": score}));
            }
            Detail::By { criterion, value } => {
                let (name, shown) = criterion.explain(order, value, displays);
                map.insert(name, shown);
            }
        }
        order += 1;
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_the_engines() {
        let details = [
            Detail::Words { matching: 2, max: 2 },
            Detail::rank("typo", 0, 2),
            Detail::rank("proximity", 3, 3),
            Detail::rank("attributeRank", 0, 0),
            Detail::rank("wordPosition", 2, 20),
            Detail::ExactAttribute("noExactMatch"),
            Detail::rank("exactWords", 0, 2),
        ];
        assert_eq!(score(&details), 0.869_708_994_708_994_7);
        let shown = map(&details, &|_| true);
        assert_eq!(
            shown["exactness"],
            json!({"order": 5, "matchType": "noExactMatch", "matchingWords": 2, "maxMatchingWords": 2, "score": 1.0 / 3.0})
        );
    }
}
