//! From a client's request to the gathers that answer it.

use super::dispatch::ContentType;
use super::leg::Leg;
use super::one_node::OneNode;
use super::reply::unavailable;
use super::{ReadRequest, index_of};
use crate::call::{Reply, header};
use crate::error::ErrorBody;
use crate::hash;
use crate::key;
use crate::media;
use crate::route::{Matched, ReadOp, Serve};
use crate::search::{self, Gather, IndexFacts, MultiPlan, NodeRequest, Plan, ReadCall};
use crate::shardmap::{CompiledMap, MapIndex};
use crate::tag;

/// What a machine starts from.
pub(super) struct Planned {
    /// One for each query.
    pub(super) legs: Vec<Leg>,
    /// The whole client request of a multi-search: sent to one node to learn the exact refusal.
    pub(super) multi: Option<NodeRequest>,
}

/// Plans a read. Deterministic: a plan made again from the same request asks the same.
pub(super) fn plan(map: &CompiledMap, matched: &Matched, request: &ReadRequest) -> Option<Planned> {
    let Serve::Read(operation) = matched.rule.serve else { return None };
    let (path, query) = match request.path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.path.as_str(), None),
    };
    let call = ReadCall {
        method: matched.rule.method,
        path,
        query,
        body: &request.body,
        include_metadata: header(&request.headers, "meili-include-metadata") == Some("true"),
    };
    let planner = Planner { map, matched, request, call };
    match operation {
        ReadOp::Health => None,
        ReadOp::MultiSearch => Some(planner.multi_search()),
        ReadOp::Document => planner.document().map(single),
        ReadOp::Search => planner.one(search::plan_search).map(single),
        ReadOp::FacetSearch => planner.one(search::plan_facet_search).map(single),
        ReadOp::Similar => planner.one(search::plan_similar).map(single),
        ReadOp::Fields => planner.one(search::plan_fields).map(single),
        ReadOp::Documents => planner.one(search::plan_documents).map(single),
    }
}

fn single(leg: Leg) -> Planned {
    Planned { legs: vec![leg], multi: None }
}

struct Planner<'a> {
    map: &'a CompiledMap,
    matched: &'a Matched,
    request: &'a ReadRequest,
    call: ReadCall<'a>,
}

impl Planner<'_> {
    fn one(&self, planner: fn(&ReadCall<'_>, &IndexFacts<'_>) -> Plan) -> Option<Leg> {
        let (uid, index) = index_of(self.map, self.matched)?;
        if let Some(fault) = self.content_type_fault() {
            return Some(self.relay(Some(index), uid, self.as_sent(), Some(fault.reply())));
        }
        Some(match planner(&self.call, &facts(uid, index)) {
            Plan::Gather(gather) => Leg::new(gather, index, self.all_shards()),
            Plan::Relay { request, otherwise } => self.relay(Some(index), uid, request, Some(otherwise.reply())),
        })
    }

    fn document(&self) -> Option<Leg> {
        let (uid, index) = index_of(self.map, self.matched)?;
        let text = self.matched.last_segment()?;
        // No document can have an invalid id, so any node can say that there is none.
        let hash = key::canonical_from_text(text).map_or(0, |canonical| hash::key_hash(canonical.as_bytes()));
        let shard = hash::shard_of_hash(hash, self.map.map.shards);
        // The low bits have picked the shard; others pick the replica, so that both are spread.
        let query_hash = hash.rotate_left(32);
        // A node that alone holds everything may have documents whose tag is still to be written.
        let tag = (!self.map.is_sole(index.placement)).then(|| tag::encode(shard, self.map.map.shards));
        let gather = OneNode::document(uid, text, self.as_sent(), query_hash, tag);
        Some(Leg::new(Box::new(gather), index, vec![shard]))
    }

    fn multi_search(&self) -> Planned {
        let whole = self.as_sent();
        if let Some(fault) = self.content_type_fault() {
            return single(self.relay(None, "", whole, Some(fault.reply())));
        }
        let lookup = |uid: &str| self.map.map.indexes.get_key_value(uid).map(|(uid, index)| facts(uid, index));
        match search::plan_multi_search(&self.call, &lookup) {
            // A node answers this as a cluster would, once it has checked the key.
            MultiPlan::Separate(gathers) if gathers.is_empty() => single(self.relay(None, "", whole, None)),
            MultiPlan::Separate(gathers) => {
                let leg = |gather: Box<dyn Gather>| {
                    let index = self.map.map.indexes.get(gather.index())?;
                    Some(Leg::new(gather, index, self.all_shards()))
                };
                let judged = gathers.first().and_then(|gather| gather.replay()).unwrap_or(whole);
                Planned { legs: gathers.into_iter().filter_map(leg).collect(), multi: Some(judged) }
            }
            MultiPlan::Federated { gather, indexes } => single(self.federated(gather, &indexes, whole)),
            // The nodes tell the client which query is wrong; where they do have the index, this map is behind.
            MultiPlan::UnknownIndex { position, uid } => {
                let behind = unavailable(format!("Inside `.queries[{position}]`: Index `{uid}` is being created."));
                single(self.relay(None, &uid, whole, Some(behind)))
            }
            MultiPlan::Relay { request, otherwise } => self.relay_multi(request, otherwise),
        }
    }

    /// All queries in one leg, so that none of their indexes may be unreadable on a node that is asked.
    fn federated(&self, gather: Box<dyn Gather>, uids: &[String], whole: NodeRequest) -> Leg {
        let indexes: Vec<&MapIndex> = uids.iter().filter_map(|uid| self.map.map.indexes.get(uid)).collect();
        let placement = indexes.first().map_or(0, |index| index.placement);
        if indexes.iter().any(|index| index.placement != placement) {
            let message = "A federated search over indexes of several placements is not supported by Miroir.";
            let refusal = ErrorBody::new("feature_not_enabled", message).reply_with_status(501);
            return self.relay(None, "", whole, Some(refusal));
        }
        let mut unreadable: Vec<_> = indexes.iter().flat_map(|index| index.unreadable.iter().copied()).collect();
        unreadable.sort_unstable();
        unreadable.dedup();
        Leg::relay(gather, placement, unreadable, self.all_shards(), ContentType::Json, None)
    }

    fn relay_multi(&self, request: NodeRequest, otherwise: ErrorBody) -> Planned {
        single(self.relay(None, "", request, Some(otherwise.reply())))
    }

    /// A leg that sends one request to one node and relays its refusal; its 200 is relayed only without `otherwise`.
    fn relay(&self, index: Option<&MapIndex>, uid: &str, request: NodeRequest, otherwise: Option<Reply>) -> Leg {
        let placement = index.map_or(0, |index| index.placement);
        let query_hash = hash::key_hash(&self.request.body);
        let start = hash::shard_of_hash(query_hash, self.map.map.shards);
        // Any shard does; one that has a copy is found unless there is none at all.
        let shards = self.map.map.shards;
        let shard = (start..shards)
            .chain(0..start)
            .find(|shard| !self.map.readable(placement, *shard).is_empty())
            .unwrap_or(start);
        let gather = OneNode::relay(uid, request, query_hash);
        let content_type = ContentType::AsSent(header(&self.request.headers, "content-type").map(str::to_owned));
        let unreadable = index.map(|index| index.unreadable.clone()).unwrap_or_default();
        Leg::relay(Box::new(gather), placement, unreadable, vec![shard], content_type, otherwise)
    }

    /// The client's own request.
    fn as_sent(&self) -> NodeRequest {
        let body = (!self.request.body.is_empty()).then(|| self.request.body.clone());
        NodeRequest { method: self.matched.rule.method, path: self.request.path.clone(), headers: &[], body }
    }

    /// The engine's refusal of a body that is not declared as JSON.
    fn content_type_fault(&self) -> Option<ErrorBody> {
        if self.matched.rule.method == "GET" {
            return None;
        }
        media::require_json(header(&self.request.headers, "content-type")).err()
    }

    fn all_shards(&self) -> Vec<u32> {
        (0..self.map.map.shards).collect()
    }
}

fn facts<'a>(uid: &'a str, index: &'a MapIndex) -> IndexFacts<'a> {
    IndexFacts { uid, primary_key: index.primary_key.as_deref(), view: &index.view }
}
