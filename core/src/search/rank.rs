//! The keys by which the engine ranks, read from `_rankingScoreDetails`, and their order. Counts are compared, never the
//! scores made of them: a score is a share of a maximum that depends on the words of one node.

use std::cmp::Ordering;

use super::BadAnswer;
use super::scan::{Scanner, Span, bad};
use super::token::{number_length, short_number, text_of};

/// Value of a sort rule. The engine has lower-cased texts already.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SortValue {
    Missing,
    Number(f64),
    Text(Box<str>),
}

/// What one ranking rule said about one hit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Key {
    Words {
        matching: u32,
        max: u32,
    },
    Typo {
        count: u32,
        max: u32,
    },
    Ratio(f64),
    Exactness {
        kind: u8,
        words: u32,
    },
    Sort {
        ascending: bool,
        value: SortValue,
    },
    Distance {
        ascending: bool,
        metres: Option<f64>,
    },
    /// None for a document without a vector.
    Similarity(Option<f64>),
    Skipped,
}

fn higher(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or(Ordering::Equal)
}

fn directed(order: Ordering, ascending: bool) -> Ordering {
    if ascending { order.reverse() } else { order }
}

pub(super) fn compare_values(left: &SortValue, right: &SortValue, ascending: bool) -> Ordering {
    use SortValue::{Missing, Number, Text};
    match (left, right) {
        (Number(left), Number(right)) => directed(higher(*left, *right), ascending),
        (Text(left), Text(right)) => directed(left.cmp(right), ascending),
        // Whatever the direction: numbers, then texts, then documents without the attribute.
        (Missing, Missing) => Ordering::Equal,
        (Missing, _) | (Text(_), Number(_)) => Ordering::Less,
        (_, Missing) | (Number(_), Text(_)) => Ordering::Greater,
    }
}

pub(super) fn compare_distances(left: Option<f64>, right: Option<f64>, ascending: bool) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => directed(higher(left, right), ascending),
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
    }
}

fn compare_keys(left: &Key, right: &Key) -> Ordering {
    match (left, right) {
        (Key::Words { matching: left, .. }, Key::Words { matching: right, .. }) => left.cmp(right),
        (Key::Typo { count: left, .. }, Key::Typo { count: right, .. }) => right.cmp(left),
        (Key::Ratio(left), Key::Ratio(right)) => higher(*left, *right),
        // A document without a vector comes behind all that have one.
        (Key::Similarity(left), Key::Similarity(right)) => left.partial_cmp(right).unwrap_or(Ordering::Equal),
        (Key::Exactness { kind: left, words: some }, Key::Exactness { kind: right, words: other }) => {
            left.cmp(right).then(some.cmp(other))
        }
        (Key::Sort { ascending, value: left }, Key::Sort { value: right, .. }) => {
            compare_values(left, right, *ascending)
        }
        (Key::Distance { ascending, metres: left }, Key::Distance { metres: right, .. }) => {
            compare_distances(*left, *right, *ascending)
        }
        (Key::Skipped, Key::Skipped) => Ordering::Equal,
        (Key::Skipped, _) => Ordering::Less,
        (_, Key::Skipped) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

/// Compares two hits of one query; the greater one comes first.
pub(super) fn compare(left: &[Key], right: &[Key]) -> Ordering {
    left.iter()
        .zip(right)
        .map(|(left, right)| compare_keys(left, right))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// True for a hit that the vector side of a search has found.
pub(super) fn is_semantic(keys: &[Key]) -> bool {
    keys.iter().any(|key| matches!(key, Key::Similarity(_)))
}

/// The members that details of all rules are made of.
#[derive(Default)]
struct Details<'a> {
    order: Option<u64>,
    /// Read only where a rule is ranked by it.
    score: Option<Span>,
    matching_words: Option<u64>,
    max_matching_words: Option<u64>,
    typo_count: Option<u64>,
    max_typo_count: Option<u64>,
    attribute_order: Option<f64>,
    word_distance: Option<f64>,
    match_type: Option<&'a [u8]>,
    similarity: Option<f64>,
    distance: Option<f64>,
    value: Span,
}

fn optional(scanner: &mut Scanner<'_>) -> Result<Option<f64>, BadAnswer> {
    if scanner.peek() == Some(b'n') { scanner.value().map(|_| None) } else { scanner.number().map(Some) }
}

impl<'a> Details<'a> {
    fn read(scanner: &mut Scanner<'a>) -> Result<Self, BadAnswer> {
        let mut details = Self::default();
        scanner.open_object()?;
        let mut first = true;
        while let Some(member) = scanner.member(&mut first)? {
            match scanner.slice(member.name) {
                b"order" => details.order = Some(scanner.whole()?),
                b"score" => details.score = Some(scanner.value()?),
                b"matchingWords" => details.matching_words = Some(scanner.whole()?),
                b"maxMatchingWords" => details.max_matching_words = Some(scanner.whole()?),
                b"typoCount" => details.typo_count = Some(scanner.whole()?),
                b"maxTypoCount" => details.max_typo_count = Some(scanner.whole()?),
                b"attributeRankingOrderScore" => details.attribute_order = Some(scanner.number()?),
                b"queryWordDistanceScore" => details.word_distance = Some(scanner.number()?),
                b"matchType" => {
                    let span = scanner.string()?;
                    details.match_type = Some(scanner.slice(span));
                }
                b"similarity" => details.similarity = optional(scanner)?,
                b"distance" => details.distance = optional(scanner)?,
                b"value" => details.value = scanner.value()?,
                _ => {
                    scanner.value()?;
                }
            }
        }
        Ok(details)
    }

    fn key(&self, name: &[u8], scanner: &Scanner<'_>) -> Option<Key> {
        let count = |value: Option<u64>| u32::try_from(value?).ok();
        Some(match name {
            b"words" => Key::Words { matching: count(self.matching_words)?, max: count(self.max_matching_words)? },
            b"typo" => Key::Typo { count: count(self.typo_count)?, max: count(self.max_typo_count)? },
            b"attribute" => Key::Ratio(self.attribute_order?),
            b"exactness" => match self.match_type? {
                b"exactMatch" => Key::Exactness { kind: 3, words: 0 },
                b"matchesStart" => Key::Exactness { kind: 2, words: 0 },
                b"noExactMatch" => Key::Exactness { kind: 1, words: count(self.matching_words).unwrap_or_default() },
                _ => return None,
            },
            b"vectorSort" => Key::Similarity(self.similarity),
            b"skipped" => Key::Skipped,
            _ if name.starts_with(b"_geoPoint(") => {
                Key::Distance { ascending: ascending(name)?, metres: self.distance }
            }
            _ => match ascending(name) {
                Some(ascending) => Key::Sort { ascending, value: sort_value(scanner.slice(self.value))? },
                None => Key::Ratio(number_of(scanner.slice(self.score?))?),
            },
        })
    }
}

fn ascending(name: &[u8]) -> Option<bool> {
    if name.ends_with(b":asc") {
        Some(true)
    } else if name.ends_with(b":desc") {
        Some(false)
    } else {
        None
    }
}

fn number_of(raw: &[u8]) -> Option<f64> {
    short_number(raw).or_else(|| std::str::from_utf8(raw).ok()?.parse().ok())
}

/// Reads the value of a sort rule.
pub(super) fn sort_value(raw: &[u8]) -> Option<SortValue> {
    match raw.first()? {
        b'n' => Some(SortValue::Missing),
        b'"' => {
            let inner = raw.get(1..raw.len().saturating_sub(1))?;
            Some(SortValue::Text(text_of(inner)?.into_boxed_str()))
        }
        _ => std::str::from_utf8(raw).ok()?.parse().ok().map(SortValue::Number),
    }
}

/// A rule's place within the details of a hit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Its member, name and value.
    pub span: Span,
    /// Its name.
    pub name: Span,
    /// Its position among the rules.
    pub order: u64,
}

/// What was read of one rule of the last hit: hits that are ranked alike say the same of most rules, byte for byte, or
/// all the same but for the score.
#[derive(Clone, Debug)]
struct Known {
    rule: Rule,
    key: Option<Key>,
    /// Second key of `attribute`, which holds two rules in one.
    distance: Option<f64>,
    /// The rule's score, where nothing stands behind it.
    score: Option<Span>,
    /// The key is the score.
    by_score: bool,
}

/// Reads the details of one hit after another.
#[derive(Clone, Debug, Default)]
pub(super) struct DetailsReader {
    known: Vec<Known>,
    /// Where the keys of a hit belong: twice the order of their rule, since one rule may have two.
    places: Vec<u64>,
}

impl DetailsReader {
    /// Reads one `_rankingScoreDetails` and appends its keys in the order of the rules. Each rule is shown to `seen`.
    /// All of the hits must be read from the same bytes.
    ///
    /// # Errors
    /// Where it is malformed, or holds a rule that cannot be ranked by (a redacted one too).
    pub fn read(
        &mut self,
        scanner: &mut Scanner<'_>,
        keys: &mut Vec<Key>,
        mut seen: impl FnMut(Rule),
    ) -> Result<(), BadAnswer> {
        self.places.clear();
        let begin = keys.len();
        scanner.open_object()?;
        let (mut first, mut position) = (true, 0usize);
        while scanner.another_member(&mut first)?.is_some() {
            let start = scanner.at();
            let known = match self.known.get_mut(position) {
                Some(known) => {
                    if !known.repeats(scanner, start) {
                        *known = Known::read(scanner, start)?;
                    }
                    known
                }
                None => {
                    self.known.push(Known::read(scanner, start)?);
                    let Some(known) = self.known.last_mut() else { continue };
                    known
                }
            };
            position = position.wrapping_add(1);
            let Some(key) = &known.key else { continue };
            let place = known.rule.order.saturating_mul(2);
            self.places.push(place);
            keys.push(key.clone());
            if let Some(distance) = known.distance {
                self.places.push(place.saturating_add(1));
                keys.push(Key::Ratio(distance));
            }
            seen(known.rule);
        }
        if !self.places.is_sorted() {
            let mut placed: Vec<(u64, Key)> = self.places.drain(..).zip(keys.drain(begin..)).collect();
            placed.sort_by_key(|(place, _)| *place);
            keys.extend(placed.into_iter().map(|(_, key)| key));
        }
        Ok(())
    }
}

impl Rule {
    /// The same rule in a later hit.
    fn moved_to(self, start: usize) -> Self {
        let moved = |at: usize| at.wrapping_sub(self.span.start).wrapping_add(start);
        let shift = |span: Span| Span { start: moved(span.start), end: moved(span.end) };
        Self { span: shift(self.span), name: shift(self.name), order: self.order }
    }
}

impl Known {
    /// Reads a rule, name and value.
    fn read(scanner: &mut Scanner<'_>, start: usize) -> Result<Self, BadAnswer> {
        let name = scanner.name()?;
        let details = Details::read(scanner)?;
        let span = Span { start, end: scanner.at() };
        let text = scanner.slice(name);
        if text == b"pin" {
            let rule = Rule { span, name, order: 0 };
            return Ok(Self { rule, key: None, distance: None, score: None, by_score: false });
        }
        let unknown = || bad("unknown ranking rule", start);
        let order = details.order.ok_or_else(unknown)?;
        let key = details.key(text, scanner).ok_or_else(unknown)?;
        let score = details.score.filter(|score| score.end.wrapping_add(1) == span.end);
        let by_score = matches!(key, Key::Ratio(_)) && text != b"attribute";
        let rule = Rule { span, name, order };
        Ok(Self { rule, key: Some(key), distance: details.word_distance, score, by_score })
    }

    /// Moves over a rule that is this one again, whatever its score, and takes its place. Otherwise nothing has moved.
    fn repeats(&mut self, scanner: &mut Scanner<'_>, start: usize) -> bool {
        let Some(score) = self.score else {
            let same = scanner.skip_repeated(self.rule.span);
            if same {
                self.rule = self.rule.moved_to(start);
            }
            return same;
        };
        if !scanner.skip_repeated(Span { start: self.rule.span.start, end: score.start }) {
            return false;
        }
        let number = Span { start: scanner.at(), end: scanner.at().wrapping_add(number_length(scanner.rest())) };
        let raw = scanner.slice(number);
        let key = if self.by_score { number_of(raw).map(Key::Ratio) } else { None };
        let whole = Span { start, end: number.end.wrapping_add(1) };
        let ends = !raw.is_empty() && scanner.slice(whole).last() == Some(&b'}');
        if !ends || (self.by_score && key.is_none()) {
            scanner.go_to(start);
            return false;
        }
        if key.is_some() {
            self.key = key;
        }
        scanner.go_to(whole.end);
        self.rule = Rule { span: whole, ..self.rule.moved_to(start) };
        self.score = Some(number);
        true
    }
}

/// Reads the `weightedScoreValues` of a documents list.
///
/// # Errors
/// Where it is malformed or of another shape.
pub(super) fn read_sort_values(scanner: &mut Scanner<'_>, keys: &mut Vec<Key>) -> Result<(), BadAnswer> {
    scanner.open_array()?;
    let mut first = true;
    while scanner.element(&mut first)? {
        let at = scanner.at();
        let value: serde_json::Value = {
            let span = scanner.value()?;
            serde_json::from_slice(scanner.slice(span)).map_err(|_| bad("bad sort value", at))?
        };
        keys.push(weighted(&value).ok_or_else(|| bad("bad sort value", at))?);
    }
    Ok(())
}

fn weighted(value: &serde_json::Value) -> Option<Key> {
    use serde_json::Value::{Bool, Null, Number, String};
    if let Some(sort) = value.get("sort") {
        let value = match sort.get("value")? {
            Null => SortValue::Missing,
            Number(number) => SortValue::Number(number.as_f64()?),
            String(text) => SortValue::Text(text.as_str().into()),
            Bool(flag) => SortValue::Text(flag.to_string().into_boxed_str()),
            _ => return None,
        };
        return Some(Key::Sort { ascending: sort.get("asc")?.as_bool()?, value });
    }
    let geo = value.get("geoSort")?;
    Some(Key::Distance { ascending: geo.get("asc")?.as_bool()?, metres: geo.get("distance").and_then(|d| d.as_f64()) })
}
