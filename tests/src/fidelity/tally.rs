//! Counts per feature, and the tables.

use std::collections::BTreeMap;

use super::ask::{Aspect, Verdict};
use super::classify::Class;
use super::generate::Feature;
use crate::bench::table;

/// What came of the questions about one feature.
#[derive(Clone, Debug, Default)]
struct Count {
    asked: usize,
    identical: usize,
    up_to_ties: usize,
    differ: BTreeMap<Aspect, usize>,
    unexplained: usize,
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.identical += other.identical;
        self.up_to_ties += other.up_to_ties;
        self.unexplained += other.unexplained;
        for (aspect, number) in &other.differ {
            *self.differ.entry(*aspect).or_default() += number;
        }
    }
}

/// What came of all questions.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    features: BTreeMap<Feature, Count>,
    classes: BTreeMap<(Class, Aspect), usize>,
}

impl Tally {
    pub(super) fn count(&mut self, feature: Feature, verdict: &Verdict) {
        let count = self.features.entry(feature).or_default();
        count.asked += 1;
        let ordered = !verdict.has(Aspect::Order) && !verdict.has(Aspect::Status);
        count.identical += usize::from(ordered && verdict.identical);
        count.up_to_ties += usize::from(ordered && !verdict.identical);
        count.unexplained += usize::from(verdict.differences.iter().any(|difference| difference.class.is_none()));
        for difference in &verdict.differences {
            *count.differ.entry(difference.aspect).or_default() += 1;
            if let Some(class) = difference.class {
                *self.classes.entry((class, difference.aspect)).or_default() += 1;
            }
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        for (feature, count) in other.features {
            self.features.entry(feature).or_default().add(&count);
        }
        for (class, number) in other.classes {
            *self.classes.entry(class).or_default() += number;
        }
    }

    /// Answers with a difference that has no class.
    pub(super) fn unexplained(&self) -> usize {
        self.features.values().map(|count| count.unexplained).sum()
    }

    /// The part of the answers in the node's order, hits that rank alike aside.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn ordered(&self) -> f64 {
        let sum = |part: fn(&Count) -> usize| self.features.values().map(part).sum::<usize>() as f64;
        sum(|count| count.identical + count.up_to_ties) / sum(|count| count.asked).max(1.0)
    }

    pub(super) fn print(&self, title: &str) {
        let mut sum = Count::default();
        let row = |name: String, count: &Count| {
            let differ = |aspect| count.differ.get(&aspect).copied().unwrap_or_default();
            let figures = [
                count.asked,
                count.identical,
                count.up_to_ties,
                differ(Aspect::Order) + differ(Aspect::Status),
                differ(Aspect::Totals),
                differ(Aspect::Facets),
                differ(Aspect::Content),
                differ(Aspect::Scores),
                count.unexplained,
            ];
            std::iter::once(name).chain(figures.iter().map(ToString::to_string)).collect::<Vec<_>>()
        };
        let mut rows: Vec<_> =
            self.features.iter().map(|(feature, count)| row(format!("{feature:?}"), count)).collect();
        self.features.values().for_each(|count| sum.add(count));
        rows.push(row("sum".to_owned(), &sum));
        table::print(
            title,
            &[
                "feature",
                "asked",
                "same order",
                "same up to ties",
                "other order",
                "totals differ",
                "facets differ",
                "content differs",
                "scores differ",
                "unexplained",
            ],
            &rows,
        );
        let classes = self.classes.iter();
        let rows: Vec<_> = classes
            .map(|((class, aspect), count)| {
                vec![class.name().to_owned(), format!("{aspect:?}").to_lowercase(), count.to_string()]
            })
            .collect();
        table::print("Why they differ", &["reason", "what", "answers"], &rows);
    }
}

#[cfg(test)]
mod tests {
    use super::super::ask::Difference;
    use super::*;

    #[test]
    fn what_differs_is_counted_once_for_each_aspect() {
        let told = |aspect, class| Difference { aspect, detail: String::new(), class };
        let mut tally = Tally::default();
        tally.count(Feature::Word, &Verdict { identical: true, differences: Vec::new() });
        tally.count(Feature::Word, &Verdict { identical: false, differences: Vec::new() });
        let differences = vec![told(Aspect::Order, Some(Class::Splits)), told(Aspect::Totals, None)];
        tally.count(Feature::Word, &Verdict { identical: false, differences });
        assert_eq!(tally.unexplained(), 1);
        assert!((tally.ordered() - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(tally.classes, BTreeMap::from([((Class::Splits, Aspect::Order), 1)]));
    }
}
