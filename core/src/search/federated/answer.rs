//! One node's answer to a federated search.

use super::Part;
use crate::search::BadAnswer;
use crate::search::facets::ReadFacets;
use crate::search::hits::{Hit, HitList};
use crate::search::rank::Key;
use crate::search::scan::{Scanner, Span, bad};
use crate::search::token::text_of;

/// What merging needs of it. Spans are positions in `body`.
pub(super) struct Answer {
    pub body: Vec<u8>,
    pub list: HitList,
    /// Of each hit.
    pub origins: Vec<Origin>,
    pub total: u64,
    /// By index uid.
    pub facets: Vec<(String, ReadFacets)>,
    pub request_uid: Option<Span>,
    pub metadata: Option<Span>,
    pub query_vectors: Option<Span>,
    pub performance: Option<Span>,
    pub semantic: bool,
}

/// Where a hit comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Origin {
    /// Position of its query.
    pub query: usize,
    /// `weightedRankingScore`.
    pub score: f64,
}

impl Answer {
    /// Reads an answer; `total_name` is that of the kind of paging.
    ///
    /// # Errors
    /// Where it is malformed, of wrong types, or lacks something.
    pub fn read(body: Vec<u8>, parts: &[Part], total_name: &[u8]) -> Result<Self, BadAnswer> {
        let mut scanner = Scanner::new(&body);
        let (mut hits, mut total, mut facets, mut semantic) = (None, None, Vec::new(), false);
        let (mut request_uid, mut metadata, mut query_vectors, mut performance) = (None, None, None, None);
        scanner.open_object()?;
        let mut first = true;
        while let Some(member) = scanner.member(&mut first)? {
            match scanner.slice(member.name) {
                b"hits" => hits = Some(read_hits(&body, &mut scanner, parts)?),
                name if name == total_name => total = Some(scanner.whole()?),
                b"facetsByIndex" => facets = read_facets(&mut scanner)?,
                b"requestUid" => request_uid = Some(scanner.value()?),
                b"metadata" => metadata = Some(scanner.value()?),
                b"queryVectors" => query_vectors = Some(scanner.value()?),
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
        let (Some((list, origins)), Some(total)) = (hits, total) else {
            return Err(BadAnswer("answer without hits or total".to_owned()));
        };
        Ok(Self { list, origins, total, facets, request_uid, metadata, query_vectors, performance, semantic, body })
    }

    /// A hit by its rank.
    pub fn hit(&self, rank: usize) -> Option<(Origin, &Hit, &[Key])> {
        let hit = self.list.get(rank)?;
        Some((*self.origins.get(rank)?, hit, self.list.keys(hit)))
    }
}

fn read_hits(body: &[u8], scanner: &mut Scanner<'_>, parts: &[Part]) -> Result<(HitList, Vec<Origin>), BadAnswer> {
    let (mut list, mut origins) = (HitList::default(), Vec::new());
    scanner.open_array()?;
    let mut first = true;
    while scanner.element(&mut first)? {
        // What is to be done with a hit depends on its query, which may stand behind all else.
        let origin = origin(&mut Scanner::resumed(body, scanner.at()))?;
        let part = parts.get(origin.query).ok_or_else(|| bad("hit of no query", scanner.at()))?;
        list.read_next(scanner, &part.rules, origin.query)?;
        origins.push(origin);
    }
    Ok((list, origins))
}

fn origin(scanner: &mut Scanner<'_>) -> Result<Origin, BadAnswer> {
    let (mut query, mut score) = (None, None);
    scanner.open_object()?;
    let start = scanner.at();
    let mut first = true;
    while let Some(member) = scanner.member(&mut first)? {
        if scanner.slice(member.name) != b"_federation" {
            scanner.value()?;
            continue;
        }
        scanner.open_object()?;
        let mut first = true;
        while let Some(member) = scanner.member(&mut first)? {
            match scanner.slice(member.name) {
                b"queriesPosition" => query = usize::try_from(scanner.whole()?).ok(),
                b"weightedRankingScore" => score = Some(scanner.number()?),
                _ => {
                    scanner.value()?;
                }
            }
        }
    }
    let (Some(query), Some(score)) = (query, score) else { return Err(bad("hit without its query", start)) };
    Ok(Origin { query, score })
}

fn read_facets(scanner: &mut Scanner<'_>) -> Result<Vec<(String, ReadFacets)>, BadAnswer> {
    let mut all = Vec::new();
    scanner.open_object()?;
    let mut first = true;
    while let Some(member) = scanner.member(&mut first)? {
        let uid = text_of(scanner.slice(member.name)).ok_or_else(|| bad("bad name", member.start))?;
        let mut facets = ReadFacets::default();
        scanner.open_object()?;
        let mut first = true;
        while let Some(member) = scanner.member(&mut first)? {
            match scanner.slice(member.name) {
                b"distribution" => facets.read_distribution(scanner)?,
                b"stats" => facets.read_stats(scanner)?,
                _ => {
                    scanner.value()?;
                }
            }
        }
        all.push((uid, facets));
    }
    Ok(all)
}
