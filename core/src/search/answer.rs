//! One node's answer to a search, read in one pass.

use super::BadAnswer;
use super::facets::ReadFacets;
use super::hits::{HitList, HitRules};
use super::scan::{Scanner, Span};

/// What merging needs of an answer. Spans are positions in `body`.
#[derive(Debug)]
pub(super) struct Answer {
    pub body: Vec<u8>,
    pub hits: HitList,
    pub total: u64,
    pub took_ms: f64,
    pub query_vector: Option<Span>,
    pub request_uid: Option<Span>,
    pub metadata: Option<Span>,
    pub performance: Option<Span>,
    pub semantic: bool,
}

/// What an answer must hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// Name of the total.
    pub total: &'a [u8],
    /// Facets were asked for.
    pub facets: bool,
}

impl Answer {
    /// Reads an answer and the facets in it.
    ///
    /// # Errors
    /// Where it is malformed, of wrong types, or lacks something.
    pub fn read(body: Vec<u8>, rules: &HitRules, expected: Expected<'_>) -> Result<(Self, ReadFacets), BadAnswer> {
        let mut scanner = Scanner::new(&body);
        let (mut hits, mut total, mut took_ms) = (None, None, 0.0);
        let (mut query_vector, mut request_uid, mut metadata, mut performance) = (None, None, None, None);
        let (mut semantic, mut distribution) = (false, false);
        let mut facets = ReadFacets::default();
        scanner.open_object()?;
        let mut first = true;
        while let Some(member) = scanner.member(&mut first)? {
            match scanner.slice(member.name) {
                b"hits" => hits = Some(HitList::read(&mut scanner, rules)?),
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
        let answer = Self { body, hits, total, took_ms, query_vector, request_uid, metadata, performance, semantic };
        Ok((answer, facets))
    }

    /// The bytes of a span.
    pub fn raw(&self, span: Span) -> &[u8] {
        span.of(&self.body)
    }
}
