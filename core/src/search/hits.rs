//! The hits of one answer: where each lies, its ranking keys, and what of its bytes the client does not get. A hit is
//! never parsed into a tree and never copied before the page is written.

use super::BadAnswer;
use super::distinct::values_at;
use super::members::{Named, Purpose};
use super::rank::{DetailsReader, Key, read_sort_values};
use super::scan::{Scanner, Span, bad};
use super::token::whole_number;
use crate::tag::TAG_FIELD;

/// Bytes that the client does not get, and what stands in their place.
#[derive(Clone, Debug)]
struct Cut {
    span: Span,
    text: Option<Box<str>>,
}

/// One hit. The spans after the first are positions in the lists of [`HitList`].
#[derive(Clone, Debug)]
pub(super) struct Hit {
    /// The object's bytes.
    span: Span,
    keys: Span,
    cuts: Span,
    distinct: Span,
    /// `_rankingScore`: where it lies, and its value.
    pub score: Option<(Span, f64)>,
    /// Its primary key, where that is a whole number.
    pub number: Option<i64>,
}

/// By what the hits of an answer are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ranked {
    /// `_rankingScoreDetails` of a search.
    Details,
    /// `_federation.weightedScoreValues` of a documents list.
    SortValues,
    /// Nothing: the order of parts and of hits within them.
    #[default]
    Unranked,
}

/// What to do with the members of a hit.
#[derive(Clone, Debug, Default)]
pub(super) struct HitRules {
    pub ranked: Ranked,
    /// Members that the client does not get (beside the reserved ones).
    pub hidden: Vec<Box<str>>,
    /// The same for the members of `_formatted`.
    pub hidden_formatted: Vec<Box<str>>,
    /// The client has asked for `_rankingScore`.
    pub keep_score: bool,
    /// The client has asked for `_rankingScoreDetails`.
    pub keep_details: bool,
    /// `displayedAttributes`, where it is a list.
    pub displayed: Option<Vec<String>>,
    /// Attribute of which each value may be seen once.
    pub distinct: Option<Box<str>>,
    /// The primary key, where it is no path.
    pub primary_key: Option<Box<str>>,
}

impl HitRules {
    /// Rules for hits without ranking, of which only the reserved members are hidden.
    pub fn plain(ranked: Ranked) -> Self {
        Self { ranked, ..Self::default() }
    }
}

/// Follows the members of one object and cuts out those that are dropped, each with one of its commas.
struct Trim {
    open: usize,
    kept_end: Option<usize>,
    dropped: bool,
}

impl Trim {
    fn new(open: usize) -> Self {
        Self { open, kept_end: None, dropped: false }
    }

    fn drop(&mut self) {
        self.dropped = true;
    }

    /// A member that starts at `start`, with the comma before it, is kept.
    fn keep(&mut self, comma: usize, start: usize, cuts: &mut Vec<Cut>) {
        if std::mem::take(&mut self.dropped) {
            let span = match self.kept_end {
                Some(kept_end) => Span { start: kept_end, end: comma },
                None => Span { start: self.open, end: start },
            };
            cuts.push(Cut { span, text: None });
        }
    }

    fn kept(&mut self, end: usize) {
        self.kept_end = Some(end);
    }

    fn close(self, end: usize, cuts: &mut Vec<Cut>) {
        if self.dropped {
            let span = Span { start: self.kept_end.unwrap_or(self.open), end: end.saturating_sub(1) };
            cuts.push(Cut { span, text: None });
        }
    }
}

/// All hits of one answer.
#[derive(Clone, Debug, Default)]
pub(super) struct HitList {
    hits: Vec<Hit>,
    keys: Vec<Key>,
    cuts: Vec<Cut>,
    distinct: Vec<Box<str>>,
    details: DetailsReader,
    /// Members of the hits that were read, by number of the rules and by position.
    members: Vec<Vec<Named>>,
}

/// Hits that there is room for at once: as many as one node usually has on a page.
const ROOM: usize = 8;

impl HitList {
    /// A hit by its rank within the answer.
    pub fn get(&self, rank: usize) -> Option<&Hit> {
        self.hits.get(rank)
    }

    /// The number of hits that have been read.
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    /// The hits in the order of the answer.
    pub fn iter(&self) -> impl Iterator<Item = &Hit> {
        self.hits.iter()
    }

    /// Ranking keys of a hit.
    pub fn keys(&self, hit: &Hit) -> &[Key] {
        self.keys.get(hit.keys.start..hit.keys.end).unwrap_or_default()
    }

    /// Values of the distinct attribute of a hit.
    pub fn distinct(&self, hit: &Hit) -> &[Box<str>] {
        self.distinct.get(hit.distinct.start..hit.distinct.end).unwrap_or_default()
    }

    /// Reads an array of hits.
    ///
    /// # Errors
    /// Where it is malformed, or a hit lacks its ranking.
    pub fn read(scanner: &mut Scanner<'_>, rules: &HitRules) -> Result<Self, BadAnswer> {
        let mut list = Self::default();
        scanner.open_array()?;
        let mut first = true;
        while scanner.element(&mut first)? {
            list.read_next(scanner, rules, 0)?;
        }
        Ok(list)
    }

    /// Reads one hit, which stands behind those that have been read of the same bytes. Other rules than those of an
    /// earlier hit have another `number`; numbers are small.
    ///
    /// # Errors
    /// Where it is malformed, or lacks its ranking.
    pub fn read_next(&mut self, scanner: &mut Scanner<'_>, rules: &HitRules, number: usize) -> Result<(), BadAnswer> {
        let hit = self.read_hit(scanner, rules, number)?;
        if self.hits.is_empty() {
            self.hits.reserve(ROOM);
            self.keys.reserve(self.keys.len().saturating_mul(ROOM));
            self.cuts.reserve(self.cuts.len().saturating_mul(ROOM));
        }
        self.hits.push(hit);
        Ok(())
    }

    /// Reads one hit, without adding it to the list.
    pub fn read_hit(&mut self, scanner: &mut Scanner<'_>, rules: &HitRules, number: usize) -> Result<Hit, BadAnswer> {
        let mut members = self.take_members(number);
        let (keys, cuts, distinct) = (self.keys.len(), self.cuts.len(), self.distinct.len());
        let (mut score, mut key, mut ranked) = (None, None, rules.ranked == Ranked::Unranked);
        scanner.open_object()?;
        let start = scanner.at().saturating_sub(1);
        let mut trim = Trim::new(scanner.at());
        let mut first = true;
        let mut position = 0usize;
        while let Some(comma) = scanner.another_member(&mut first)? {
            let start = scanner.at();
            let Named { keep, purpose, name, .. } = Named::next(&mut members, position, scanner, rules)?;
            position = position.wrapping_add(1);
            if keep {
                trim.keep(comma, start, &mut self.cuts);
            } else {
                trim.drop();
            }
            match purpose {
                Purpose::Page | Purpose::Key => {
                    let span = scanner.value()?;
                    if matches!(purpose, Purpose::Key) {
                        key = whole_number(scanner.slice(span));
                    }
                    if let Some(attribute) = &rules.distinct {
                        values_at(attribute, scanner.slice(name), scanner.slice(span), &mut self.distinct);
                    }
                }
                Purpose::Details => {
                    self.read_details(scanner, rules)?;
                    ranked = true;
                }
                Purpose::Score => {
                    scanner.peek();
                    let start = scanner.at();
                    let value = scanner.number()?;
                    score = Some((Span { start, end: scanner.at() }, value));
                }
                Purpose::Federation => {
                    self.read_federation(scanner)?;
                    ranked = true;
                }
                Purpose::Formatted => self.read_formatted(scanner, rules)?,
                Purpose::Positions => self.read_positions(scanner, rules)?,
            }
            if keep {
                trim.kept(scanner.at());
            }
        }
        let end = scanner.at();
        trim.close(end, &mut self.cuts);
        if let Some(known) = self.members.get_mut(number) {
            *known = members;
        }
        if !ranked {
            return Err(bad("hit without its ranking", start));
        }
        Ok(Hit {
            span: Span { start, end },
            keys: Span { start: keys, end: self.keys.len() },
            cuts: Span { start: cuts, end: self.cuts.len() },
            distinct: Span { start: distinct, end: self.distinct.len() },
            score,
            number: key,
        })
    }

    /// Takes the members that are known of hits read by rules of this number.
    fn take_members(&mut self, number: usize) -> Vec<Named> {
        if number >= self.members.len() {
            self.members.resize_with(number.saturating_add(1), || Vec::with_capacity(ROOM));
        }
        self.members.get_mut(number).map(std::mem::take).unwrap_or_default()
    }

    /// Reads the ranking keys. Sort rules on attributes that are not displayed are redacted as the engine does it.
    fn read_details(&mut self, scanner: &mut Scanner<'_>, rules: &HitRules) -> Result<(), BadAnswer> {
        let redact = rules.displayed.as_ref().filter(|_| rules.keep_details);
        let mut seen = Vec::new();
        self.details.read(scanner, &mut self.keys, |rule| {
            if redact.is_some() {
                seen.push(rule);
            }
        })?;
        for rule in seen {
            let name = scanner.slice(rule.name);
            let field = name.strip_suffix(b":asc").or_else(|| name.strip_suffix(b":desc"));
            let Some(field) = field.filter(|_| !name.starts_with(b"_geoPoint(")) else { continue };
            if !redact.is_some_and(|displayed| displayed.iter().any(|shown| shown.as_bytes() == field)) {
                let order = rule.order;
                let text = format!("\"<hidden-rule-{order}>\":{{\"order\":{order},\"value\":\"<hidden>\"}}");
                self.cuts.push(Cut { span: rule.span, text: Some(text.into_boxed_str()) });
            }
        }
        Ok(())
    }

    fn read_federation(&mut self, scanner: &mut Scanner<'_>) -> Result<(), BadAnswer> {
        scanner.open_object()?;
        let mut first = true;
        while let Some(member) = scanner.member(&mut first)? {
            if scanner.slice(member.name) == b"weightedScoreValues" {
                read_sort_values(scanner, &mut self.keys)?;
            } else {
                scanner.value()?;
            }
        }
        Ok(())
    }

    fn read_formatted(&mut self, scanner: &mut Scanner<'_>, rules: &HitRules) -> Result<(), BadAnswer> {
        self.read_trimmed(scanner, |name| {
            name != TAG_FIELD.as_bytes() && !rules.hidden_formatted.iter().any(|hidden| hidden.as_bytes() == name)
        })
    }

    fn read_positions(&mut self, scanner: &mut Scanner<'_>, rules: &HitRules) -> Result<(), BadAnswer> {
        self.read_trimmed(scanner, |name| {
            let shows = |shown: &String| {
                let rest = name.strip_prefix(shown.as_bytes());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
            };
            rules.displayed.as_ref().is_none_or(|displayed| displayed.iter().any(shows))
        })
    }

    fn read_trimmed(&mut self, scanner: &mut Scanner<'_>, keep: impl Fn(&[u8]) -> bool) -> Result<(), BadAnswer> {
        scanner.open_object()?;
        let mut trim = Trim::new(scanner.at());
        let mut first = true;
        while let Some(member) = scanner.member(&mut first)? {
            let keep = keep(scanner.slice(member.name));
            if keep {
                trim.keep(member.comma, member.start, &mut self.cuts);
            } else {
                trim.drop();
            }
            scanner.value()?;
            if keep {
                trim.kept(scanner.at());
            }
        }
        trim.close(scanner.at(), &mut self.cuts);
        Ok(())
    }

    /// Writes what the client gets of a hit; `score` takes the place of its `_rankingScore`.
    pub fn write(&self, hit: &Hit, body: &[u8], score: Option<f64>, out: &mut Vec<u8>) {
        let copy = |from: usize, to: usize, out: &mut Vec<u8>| {
            out.extend_from_slice(body.get(from..to).unwrap_or_default());
        };
        let mut score = score.and_then(|value| Some((hit.score?.0, value)));
        let mut at = hit.span.start;
        let cuts = self.cuts.get(hit.cuts.start..hit.cuts.end).unwrap_or_default();
        let end = Cut { span: Span { start: hit.span.end, end: hit.span.end }, text: None };
        for cut in cuts.iter().chain([&end]) {
            if let Some((span, value)) = score.take_if(|(span, _)| at <= span.start && span.end <= cut.span.start) {
                copy(at, span.start, out);
                out.extend_from_slice(serde_json::json!(value).to_string().as_bytes());
                at = span.end;
            }
            copy(at, cut.span.start, out);
            out.extend_from_slice(cut.text.as_deref().unwrap_or_default().as_bytes());
            at = cut.span.end;
        }
    }

    /// Bytes that a hit takes in its answer: no less than what [`Self::write`] writes, but for a few.
    pub fn size(&self, hit: &Hit) -> usize {
        hit.span.end.saturating_sub(hit.span.start)
    }
}
