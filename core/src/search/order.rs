//! How the engine orders hits of several queries, or of both sides of a hybrid one, among each other: by lists of values,
//! each either the weighted score of ranking rules that follow one another, or what a sort rule between them says.

use std::cmp::Ordering;

use super::rank::{Key, SortValue, compare_distances, compare_values};

/// Steps of a rule that tells a share only. The engine knows their number; it matters only where a sort rule follows.
const STEPS: f64 = 10.0;

/// A hit among those of other queries or sides.
pub(super) struct Rank<'a> {
    pub keys: &'a [Key],
    /// The weighted score.
    pub score: f64,
    pub weight: f64,
}

/// One value of the list.
enum Value<'a> {
    Score(f64),
    Sort(bool, &'a SortValue),
    Distance(bool, Option<f64>),
}

/// The greater one comes first.
pub(super) fn compare(left: &Rank<'_>, right: &Rank<'_>) -> Ordering {
    let (of_left, of_right) = (values(left), values(right));
    for (position, (one, other)) in of_left.iter().zip(&of_right).enumerate() {
        match compare_pair(one, other) {
            Some(Ordering::Equal) => {}
            Some(order) => return order,
            // Rules of different kinds: the hit that is told apart by more of them wins.
            None => {
                let left_over = |list: &[Value<'_>]| list.len().saturating_sub(position);
                let more = left_over(&of_left).cmp(&left_over(&of_right));
                return more.then(left.score.total_cmp(&right.score));
            }
        }
    }
    of_left.len().cmp(&of_right.len())
}

fn compare_pair(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Score(left), Value::Score(right)) if (left - right).abs() <= f64::EPSILON => Some(Ordering::Equal),
        (Value::Score(left), Value::Score(right)) => Some(left.total_cmp(right)),
        (Value::Sort(ascending, left), Value::Sort(same, right)) if ascending == same => {
            Some(compare_values(left, right, *ascending))
        }
        (Value::Distance(ascending, left), Value::Distance(same, right)) if ascending == same => {
            Some(compare_distances(*left, *right, *ascending))
        }
        _ => None,
    }
}

fn values<'a>(rank: &Rank<'a>) -> Vec<Value<'a>> {
    let mut values = Vec::new();
    let is_rule = |key: &Key| !matches!(key, Key::Sort { .. } | Key::Distance { .. } | Key::Similarity(_));
    let rules = rank.keys.iter().filter(|key| is_rule(key)).count();
    for run in rank.keys.chunk_by(|one, next| is_rule(one) && is_rule(next)) {
        values.push(match run {
            [Key::Sort { ascending, value }] => Value::Sort(*ascending, value),
            [Key::Distance { ascending, metres }] => Value::Distance(*ascending, *metres),
            [Key::Similarity(similarity)] => Value::Score(similarity.unwrap_or_default() * rank.weight),
            // All rules together are what the engine shows as the score.
            run if run.len() == rules => Value::Score(rank.score),
            run => Value::Score(score(run) * rank.weight),
        });
    }
    values
}

/// The score of rules that follow one another: each splits the share that the rule before it leaves.
fn score(rules: &[Key]) -> f64 {
    rules.iter().rev().fold(1.0, |rest, rule| match rule {
        Key::Words { matching, max } => (f64::from(*matching) - 1.0 + rest) / f64::from(*max).max(1.0),
        Key::Typo { count, max } => (f64::from(max.saturating_sub(*count)) + rest) / (f64::from(*max) + 1.0),
        Key::Exactness { kind, .. } => (f64::from(*kind) - 1.0 + rest) / 3.0,
        Key::Ratio(share) => (share.mul_add(STEPS, -1.0) + rest) / STEPS,
        _ => 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(keys: &[Key], score: f64, weight: f64) -> Rank<'_> {
        Rank { keys, score, weight }
    }

    #[test]
    fn scores_are_weighted_and_no_score_loses() {
        let keys = [Key::Ratio(0.5)];
        assert!(compare(&rank(&keys, 0.9, 1.0), &rank(&keys, 0.8, 1.0)).is_gt());
        assert!(compare(&rank(&keys, 0.9, 1.0), &rank(&keys, 0.9, 1.0)).is_eq());
        assert!(compare(&rank(&keys, 0.1, 1.0), &rank(&[], 1.0, 1.0)).is_gt());
        assert!(compare(&rank(&[], 1.0, 1.0), &rank(&[], 1.0, 2.0)).is_eq());
    }

    #[test]
    fn sort_values_stand_where_their_rule_does() {
        let sort = |ascending, value| Key::Sort { ascending, value: SortValue::Number(value) };
        let (low, high) = ([sort(true, 1.0), Key::Ratio(0.1)], [sort(true, 2.0), Key::Ratio(0.9)]);
        assert!(compare(&rank(&low, 0.1, 1.0), &rank(&high, 0.9, 1.0)).is_gt());
        let same = [sort(true, 1.0), Key::Ratio(0.3)];
        assert!(compare(&rank(&low, 0.1, 1.0), &rank(&same, 0.3, 1.0)).is_lt());
        assert!(compare(&rank(&low, 0.1, 1.0), &rank(&[sort(false, 1.0)], 0.9, 1.0)).is_gt());
    }

    #[test]
    fn a_vector_and_words_are_compared_by_their_weighted_scores() {
        let (vector, words) = ([Key::Similarity(Some(0.8))], [Key::Ratio(0.5)]);
        assert!(compare(&rank(&vector, 0.8, 1.0), &rank(&words, 0.7, 1.0)).is_gt());
        assert!(compare(&rank(&vector, 0.4, 0.5), &rank(&words, 0.7, 1.0)).is_lt());
    }

    #[test]
    fn scores_of_rules_are_the_engines() {
        let rules = [Key::Words { matching: 2, max: 2 }, Key::Typo { count: 1, max: 3 }];
        assert!((score(&rules) - (1.0 + 0.75) / 2.0).abs() < 1e-12);
    }
}
