//! One node's answer to a search, read in one pass. Of its hits only those are read that the page asks for, where
//! nothing else needs them: the lists of all nodes together hold many times the page.

use super::BadAnswer;
use super::facets::ReadFacets;
use super::hits::{HitList, HitRules};
use super::merge::Source;
use super::scan::{Scanner, Span};

/// What follows the hits in the engine's answers. The first quote cannot stand within a string, where it would be
/// escaped, nor end one, since no colon or comma follows: in JSON this is always an array's end and a member's name.
const BEHIND_HITS: &[u8] = b"],\"query\":";

/// What merging needs of an answer. Spans are positions in `body`.
#[derive(Debug)]
pub(super) struct Answer {
    pub body: Vec<u8>,
    hits: Hits,
    pub total: u64,
    pub took_ms: f64,
    pub query_vector: Option<Span>,
    pub request_uid: Option<Span>,
    pub metadata: Option<Span>,
    pub performance: Option<Span>,
    pub semantic: bool,
    pub facets: ReadFacets,
}

/// The hits, as far as they have been read.
#[derive(Debug, Default)]
struct Hits {
    list: HitList,
    rest: Option<Rest>,
    rules: HitRules,
}

/// Hits that have not been read.
#[derive(Clone, Copy, Debug)]
struct Rest {
    /// Behind the last one that was read.
    at: usize,
    /// None was read.
    first: bool,
    /// The bracket behind all of them.
    end: usize,
}

/// What an answer must hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// Name of the total.
    pub total: &'a [u8],
    /// Facets were asked for.
    pub facets: bool,
    /// Every hit counts for more than its place on the page.
    pub all_hits: bool,
}

impl Hits {
    /// Reads on until there is a hit of this rank; false where there is none.
    fn reach(&mut self, body: &[u8], rank: usize) -> Result<bool, BadAnswer> {
        while self.list.get(rank).is_none() {
            let Some(rest) = &mut self.rest else { return Ok(false) };
            let mut scanner = Scanner::resumed(body, rest.at);
            if scanner.element(&mut rest.first)? {
                self.list.read_next(&mut scanner, &self.rules, 0)?;
                rest.at = scanner.at();
            } else if scanner.at() == rest.end.saturating_add(1) {
                self.rest = None;
            } else {
                return Err(BadAnswer("hits end twice".to_owned()));
            }
        }
        Ok(true)
    }
}

impl Source for Answer {
    fn list(&self) -> &HitList {
        &self.hits.list
    }

    fn reach(&mut self, rank: usize) -> Result<bool, BadAnswer> {
        self.hits.reach(&self.body, rank)
    }
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// Where it is malformed, of wrong types, or lacks something. What is wrong with hits behind the first may show
    /// only when they are reached.
    pub fn read(body: Vec<u8>, rules: &HitRules, expected: Expected<'_>) -> Result<Self, BadAnswer> {
        let end = if expected.all_hits { None } else { memchr::memmem::rfind(&body, BEHIND_HITS) };
        // An array within the last hit can look like the end of the hits; what follows it does not add up then.
        let early = end.and_then(|end| Self::parts(&body, rules, expected, Some(end)).ok());
        let mut answer = match early {
            Some(read) => read,
            None => Self::parts(&body, rules, expected, None)?,
        };
        answer.body = body;
        Ok(answer)
    }

    /// Reads all but the body; `hits_end` is where the hits end, if they need not be read.
    fn parts(
        body: &[u8],
        rules: &HitRules,
        expected: Expected<'_>,
        hits_end: Option<usize>,
    ) -> Result<Self, BadAnswer> {
        let mut scanner = Scanner::new(body);
        let (mut hits, mut total, mut took_ms) = (None, None, 0.0);
        let (mut query_vector, mut request_uid, mut metadata, mut performance) = (None, None, None, None);
        let (mut semantic, mut distribution) = (false, false);
        let mut facets = ReadFacets::default();
        scanner.open_object()?;
        let mut first = true;
        while let Some(member) = scanner.member(&mut first)? {
            match scanner.slice(member.name) {
                b"hits" => {
                    let mut found = Hits { rules: rules.clone(), ..Hits::default() };
                    scanner.open_array()?;
                    match hits_end.filter(|end| hits.is_none() && scanner.at() <= *end) {
                        Some(end) => {
                            found.rest = Some(Rest { at: scanner.at(), first: true, end });
                            // The first one shows whether the node speaks our language at all.
                            found.reach(body, 0)?;
                            scanner = Scanner::resumed(body, end.saturating_add(1));
                        }
                        None => {
                            let mut first = true;
                            while scanner.element(&mut first)? {
                                found.list.read_next(&mut scanner, rules, 0)?;
                            }
                        }
                    }
                    hits = Some(found);
                }
                name if name == expected.total => total = Some(scanner.whole()?),
                b"processingTimeMs" => took_ms = scanner.number()?,
                b"facetDistribution" => {
                    facets.read_distribution(&mut scanner)?;
                    distribution = true;
                }
                b"facetStats" => facets.read_stats(&mut scanner)?,
                b"queryVector" => query_vector = Some(scanner.value()?),
                b"requestUid" => request_uid = Some(scanner.value()?),
                b"metadata" => metadata = Some(scanner.value()?),
                b"performanceDetails" => performance = Some(scanner.value()?),
                b"semanticHitCount" => {
                    scanner.whole()?;
                    semantic = true;
                }
                _ => {
                    scanner.value()?;
                }
            }
        }
        scanner.end()?;
        let (Some(hits), Some(total)) = (hits, total) else {
            return Err(BadAnswer("answer without hits or total".to_owned()));
        };
        if expected.facets && !distribution {
            return Err(BadAnswer("answer without facets".to_owned()));
        }
        let body = Vec::new();
        Ok(Self { body, hits, total, took_ms, query_vector, request_uid, metadata, performance, semantic, facets })
    }

    /// The bytes of a span.
    pub fn raw(&self, span: Span) -> &[u8] {
        span.of(&self.body)
    }
}
