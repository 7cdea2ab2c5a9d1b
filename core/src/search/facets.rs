//! Facet counts and statistics of several nodes put together.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::BadAnswer;
use super::normalise::normalise;
use super::scan::Scanner;
use crate::shardmap::{FacetOrder, SearchView};
use crate::tag::TAG_FIELD;

/// Up to this many documents the engine orders numbers as texts, above it as numbers.
const ORDERED_AS_TEXTS: u64 = 3000;

/// A value of a facet, as nodes spell it, with the number of its documents.
#[derive(Clone, Debug)]
struct Value {
    spelling: String,
    /// Documents of the node whose spelling it is.
    most: u64,
    count: u64,
}

/// Values by their normalised form.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(HashMap<String, Value>);

/// Smallest and largest number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    min: f64,
    max: f64,
}

impl Values {
    /// Adds what one node has counted. The spelling of the node with most documents is shown.
    pub fn add(&mut self, spelling: String, count: u64) {
        let form = normalise(&spelling).into_owned();
        match self.0.get_mut(&form) {
            None => {
                self.0.insert(form, Value { spelling, most: count, count });
            }
            Some(value) => {
                value.count = value.count.saturating_add(count);
                if count > value.most || (count == value.most && spelling < value.spelling) {
                    value.most = count;
                    value.spelling = spelling;
                }
            }
        }
    }

    /// The first values in the client's order. `numbers` is the range of the numbers among them, and `as_texts` says
    /// that numbers are ordered as texts.
    pub fn ordered(self, order: FacetOrder, numbers: Option<Range>, as_texts: bool, most: usize) -> Vec<(String, u64)> {
        let mut entries: Vec<Entry> =
            self.0.into_iter().map(|(form, value)| Entry::new(form, value, numbers)).collect();
        entries.sort_unstable_by(|left, right| left.compare(right, order, as_texts));
        entries.into_iter().take(most).map(|entry| (entry.value.spelling, entry.value.count)).collect()
    }
}

struct Entry {
    form: String,
    number: Option<f64>,
    value: Value,
}

impl Entry {
    fn new(form: String, value: Value, numbers: Option<Range>) -> Self {
        let number = numbers.and_then(|range| {
            let number: f64 = value.spelling.parse().ok()?;
            let written = number >= range.min && number <= range.max && number.to_string() == value.spelling;
            written.then_some(number)
        });
        Self { form, number, value }
    }

    /// Numbers before texts. By count: the higher one first, and of equal ones the greater value.
    fn compare(&self, other: &Self, order: FacetOrder, as_texts: bool) -> Ordering {
        let values = match (self.number, other.number) {
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (Some(left), Some(right)) if !as_texts || order == FacetOrder::Count => left.total_cmp(&right),
            _ => self.form.cmp(&other.form),
        };
        match order {
            FacetOrder::Alpha => values,
            FacetOrder::Count => other.value.count.cmp(&self.value.count).then(values.reverse()),
        }
    }
}

/// The order that the client has set for a facet.
pub(super) fn order_of(view: &SearchView, facet: &str) -> FacetOrder {
    let set = view.facet_order.get(facet).or_else(|| view.facet_order.get("*"));
    set.copied().unwrap_or(FacetOrder::Alpha)
}

/// Facets of all nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Facets {
    distribution: Option<BTreeMap<String, Values>>,
    stats: Option<BTreeMap<String, Range>>,
}

impl Facets {
    /// Adds the facets of one node.
    pub fn add(&mut self, read: ReadFacets) {
        if let Some(facets) = read.distribution {
            let all = self.distribution.get_or_insert_default();
            for (name, values) in facets {
                let sums = all.entry(name).or_default();
                values.into_iter().for_each(|(spelling, count)| sums.add(spelling, count));
            }
        }
        if let Some(stats) = read.stats {
            let all = self.stats.get_or_insert_default();
            for (name, range) in stats {
                let widest = all.entry(name).or_insert(range);
                widest.min = widest.min.min(range.min);
                widest.max = widest.max.max(range.max);
            }
        }
    }

    /// Writes `,"facetDistribution":{…},"facetStats":{…}` where nodes have facets. `documents` is the number of
    /// documents that were counted.
    pub fn write(self, view: &SearchView, documents: u64, out: &mut Vec<u8>) {
        if let Some(listed) = self.listed(view, documents) {
            out.push(b',');
            listed.write(["facetDistribution", "facetStats"], out);
        }
    }

    /// The facets in the client's order; none where nodes have none. `documents` is the number of documents that were
    /// counted.
    pub fn listed(self, view: &SearchView, documents: u64) -> Option<Listed> {
        let stats = self.stats.unwrap_or_default();
        let most = usize::try_from(view.max_values_per_facet).unwrap_or(usize::MAX);
        let as_texts = documents <= ORDERED_AS_TEXTS;
        let ordered = |(name, values): (String, Values)| {
            let (order, numbers) = (order_of(view, &name), stats.get(&name).copied());
            (name, values.ordered(order, numbers, as_texts, most))
        };
        let distribution = self.distribution?.into_iter().map(ordered).collect();
        Some(Listed { distribution, stats })
    }
}

/// Facets in the order in which the client gets them.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// By facet.
    pub distribution: Vec<(String, Counts)>,
    /// Of facets that have numbers.
    pub stats: BTreeMap<String, Range>,
}

impl Listed {
    /// Widens the range of a facet.
    pub fn add_range(&mut self, facet: String, range: Range) {
        let widest = self.stats.entry(facet).or_insert(range);
        widest.min = widest.min.min(range.min);
        widest.max = widest.max.max(range.max);
    }

    /// Writes both members under these names.
    pub fn write(self, names: [&str; 2], out: &mut Vec<u8>) {
        let [distribution, stats] = names;
        member(0, distribution, out);
        out.push(b'{');
        for (position, (name, values)) in self.distribution.into_iter().enumerate() {
            member(position, &name, out);
            out.push(b'{');
            for (position, (value, count)) in values.into_iter().enumerate() {
                member(position, &value, out);
                out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
            }
            out.push(b'}');
        }
        out.push(b'}');
        member(1, stats, out);
        out.push(b'{');
        for (position, (name, range)) in self.stats.into_iter().enumerate() {
            member(position, &name, out);
            let range = serde_json::json!({ "min": range.min, "max": range.max });
            out.extend_from_slice(range.to_string().as_bytes());
        }
        out.push(b'}');
    }
}

/// Writes a comma where needed, a member's name and the colon.
fn member(position: usize, name: &str, out: &mut Vec<u8>) {
    if position > 0 {
        out.push(b',');
    }
    out.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
    out.push(b':');
}

/// Values of one facet of one node with the numbers of their documents.
pub(super) type Counts = Vec<(String, u64)>;

/// Facets of one node.
#[derive(Debug, Default)]
pub(super) struct ReadFacets {
    distribution: Option<Vec<(String, Counts)>>,
    stats: Option<Vec<(String, Range)>>,
}

impl ReadFacets {
    /// Reads the value of `facetDistribution`.
    pub fn read_distribution(&mut self, scanner: &mut Scanner<'_>) -> Result<(), BadAnswer> {
        let facets = self.distribution.get_or_insert_default();
        each(scanner, |name, scanner| {
            let mut values = Vec::new();
            each(scanner, |value, scanner| {
                values.push((value, scanner.whole()?));
                Ok(())
            })?;
            if name != TAG_FIELD {
                facets.push((name, values));
            }
            Ok(())
        })
    }

    /// Reads the value of `facetStats`.
    pub fn read_stats(&mut self, scanner: &mut Scanner<'_>) -> Result<(), BadAnswer> {
        let stats = self.stats.get_or_insert_default();
        each(scanner, |name, scanner| {
            let (mut min, mut max) = (None, None);
            each(scanner, |bound, scanner| {
                let value = Some(scanner.number()?);
                if bound == "min" {
                    min = value
                } else {
                    max = value
                }
                Ok(())
            })?;
            let (Some(min), Some(max)) = (min, max) else {
                return Err(BadAnswer("facet statistics without bounds".to_owned()));
            };
            stats.push((name, Range { min, max }));
            Ok(())
        })
    }
}

fn each<'a>(
    scanner: &mut Scanner<'a>,
    mut visit: impl FnMut(String, &mut Scanner<'a>) -> Result<(), BadAnswer>,
) -> Result<(), BadAnswer> {
    scanner.open_object()?;
    let mut first = true;
    while let Some(member) = scanner.member(&mut first)? {
        let name = super::token::text_of(scanner.slice(member.name));
        visit(name.ok_or_else(|| super::scan::bad("bad name", member.start))?, scanner)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(answers: &[&str], view: &SearchView, documents: u64) -> String {
        let mut facets = Facets::default();
        for answer in answers {
            let mut read = ReadFacets::default();
            let (distribution, stats) = answer.split_once(' ').unwrap();
            read.read_distribution(&mut Scanner::new(distribution.as_bytes())).unwrap();
            read.read_stats(&mut Scanner::new(stats.as_bytes())).unwrap();
            facets.add(read);
        }
        let mut out = Vec::new();
        facets.write(view, documents, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn counts_are_summed_by_normalised_value() {
        let answers = [r#"{"genre":{"DRAMA":1,"War":2},"_miroir_shard":{}} {}"#, r#"{"genre":{"Drama":3}} {}"#];
        assert_eq!(
            merged(&answers, &SearchView::default(), 6),
            r#","facetDistribution":{"genre":{"Drama":4,"War":2}},"facetStats":{}"#
        );
    }

    #[test]
    fn numbers_are_ordered_as_the_engine_orders_them() {
        let answers = [
            r#"{"x":{"10":1,"9":1,"b":1}} {"x":{"min":9.0,"max":10.0}}"#,
            r#"{"x":{"a":1}} {"x":{"min":1.5,"max":2}}"#,
        ];
        let view = SearchView::default();
        let few = r#","facetDistribution":{"x":{"10":1,"9":1,"a":1,"b":1}},"facetStats":{"x":{"min":1.5,"max":10.0}}"#;
        assert_eq!(merged(&answers, &view, 3000), few);
        assert!(merged(&answers, &view, 3001).contains(r#"{"9":1,"10":1,"a":1,"b":1}"#));
    }

    #[test]
    fn by_count_ties_go_to_the_greater_value_and_the_list_is_cut() {
        let mut view = SearchView { max_values_per_facet: 3, ..SearchView::default() };
        view.facet_order.insert("*".to_owned(), FacetOrder::Count);
        let answers = [r#"{"x":{"a":1,"b":2,"c":1}} {}"#, r#"{"x":{"a":1,"d":5}} {}"#];
        assert!(merged(&answers, &view, 9).contains(r#"{"x":{"d":5,"b":2,"a":2}}"#));
        view.facet_order.insert("x".to_owned(), FacetOrder::Alpha);
        assert!(merged(&answers, &view, 9).contains(r#"{"x":{"a":2,"b":2,"c":1}}"#));
    }
}
