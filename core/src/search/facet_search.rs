//! `POST /indexes/{uid}/facet-search`.

use super::facets::{Values, order_of};
use super::query::{Filter, NotUnderstood, Query};
use super::scan::{Scanner, bad};
use super::token::text_of;
use super::{BadAnswer, Gather, IndexFacts, NodeRequest};
use crate::shardmap::SearchView;

/// A facet search over all shards.
pub(super) struct FacetSearch {
    index: String,
    hash: u64,
    body: Vec<u8>,
    filter: Filter,
    facet: String,
    /// The client's `facetQuery`, as JSON.
    facet_query: String,
    view: SearchView,
    replay: NodeRequest,
    values: Values,
}

impl FacetSearch {
    /// Plans a facet search. `replay` is the client's own request.
    ///
    /// # Errors
    /// Where the query has a form that cannot be rewritten.
    pub fn plan(mut query: Query, index: &IndexFacts<'_>, replay: NodeRequest) -> Result<Self, NotUnderstood> {
        let hash = query.hash(index.uid);
        if query.get::<bool>("useNetwork")? == Some(true) {
            return Err(NotUnderstood);
        }
        let facet: String = query.strict("facetName")?.ok_or(NotUnderstood)?;
        let facet_query: Option<String> = query.get("facetQuery")?;
        let filter = Filter::of(&query)?;
        query.remove("filter");
        Ok(Self {
            index: index.uid.to_owned(),
            hash,
            body: query.open_json(),
            filter,
            facet,
            facet_query: serde_json::Value::from(facet_query).to_string(),
            view: index.view.clone(),
            replay,
            values: Values::default(),
        })
    }
}

fn read_hit(scanner: &mut Scanner<'_>) -> Result<(String, u64), BadAnswer> {
    let (mut value, mut count) = (None, None);
    scanner.open_object()?;
    let start = scanner.at();
    let mut first = true;
    while let Some(member) = scanner.member(&mut first)? {
        match scanner.slice(member.name) {
            b"value" => {
                let span = scanner.string()?;
                value = text_of(scanner.slice(span));
            }
            b"count" => count = Some(scanner.whole()?),
            _ => {
                scanner.value()?;
            }
        }
    }
    value.zip(count).ok_or_else(|| bad("facet hit without value or count", start))
}

impl Gather for FacetSearch {
    fn index(&self) -> &str {
        &self.index
    }

    fn query_hash(&self) -> u64 {
        self.hash
    }

    fn request(&self, clause: &str, _part: usize) -> NodeRequest {
        let mut body = self.body.clone();
        body.extend_from_slice(b",\"filter\":");
        self.filter.write(clause, &mut body);
        body.push(b'}');
        let path = format!("/indexes/{}/facet-search", self.index);
        NodeRequest { method: "POST", path, headers: &[], body: Some(body) }
    }

    fn accept(&mut self, _part: usize, body: Vec<u8>) -> Result<(), BadAnswer> {
        let mut scanner = Scanner::new(&body);
        let mut hits = None;
        scanner.open_object()?;
        let mut first = true;
        while let Some(member) = scanner.member(&mut first)? {
            if scanner.slice(member.name) != b"facetHits" {
                scanner.value()?;
                continue;
            }
            let mut read = Vec::new();
            scanner.open_array()?;
            let mut first = true;
            while scanner.element(&mut first)? {
                read.push(read_hit(&mut scanner)?);
            }
            hits = Some(read);
        }
        scanner.end()?;
        let hits = hits.ok_or_else(|| BadAnswer("answer without facet hits".to_owned()))?;
        hits.into_iter().for_each(|(value, count)| self.values.add(value, count));
        Ok(())
    }

    fn replay(&self) -> Option<NodeRequest> {
        Some(self.replay.clone())
    }

    fn finish(self: Box<Self>, took_ms: u64) -> Vec<u8> {
        let most = usize::try_from(self.view.max_values_per_facet).unwrap_or(usize::MAX);
        let order = order_of(&self.view, &self.facet);
        let hits = self.values.ordered(order, None, false, most);
        let hits: Vec<_> =
            hits.into_iter().map(|(value, count)| serde_json::json!({ "value": value, "count": count })).collect();
        let hits = serde_json::Value::from(hits);
        format!("{{\"facetHits\":{hits},\"facetQuery\":{},\"processingTimeMs\":{took_ms}}}", self.facet_query)
            .into_bytes()
    }
}
