//! The engine's filter language: parsing and evaluation over documents.

mod eval;
mod parse;
mod places;

pub(crate) use eval::{Scope, matches, normal, validate};
pub(crate) use parse::from_json;
#[cfg(test)]
pub(crate) use parse::parse;

/// A word of a filter with its place, for complaints.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    /// The text, unquoted.
    pub(crate) text: String,
    /// First character, from 0.
    pub(crate) start: usize,
    /// One behind the last character.
    pub(crate) end: usize,
}

/// What a condition asks of one attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// `= value`
    Equal(Word),
    /// `!= value`
    NotEqual(Word),
    /// `<`, `<=`, `>` or `>=` and a value
    Compare(&'static str, Word),
    /// `low TO high`
    Between(Word, Word),
    /// `IN [..]`
    In(Vec<Word>),
    /// `EXISTS`
    Exists,
    /// `IS NULL`
    Null,
    /// `IS EMPTY`
    Empty,
    /// `CONTAINS text`
    Contains(Word),
    /// `STARTS WITH text`
    StartsWith(Word),
}

/// A filter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    /// All of them.
    And(Vec<Filter>),
    /// One of them.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// A condition on an attribute.
    On(Word, Test),
    /// `_geoRadius(lat, lng, metres)`
    Radius([f64; 2], f64, Word),
    /// `_geoBoundingBox([lat, lng], [lat, lng])`: top right, bottom left.
    Box([f64; 2], [f64; 2], Word),
}

/// Why a filter is refused: text and place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FilterFault {
    /// Error code, where it is not the caller's own for filters.
    pub(crate) code: Option<&'static str>,
    /// The whole message.
    pub(crate) message: String,
}

impl FilterFault {
    fn new(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into() }
    }
}
