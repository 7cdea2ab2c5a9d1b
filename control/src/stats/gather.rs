//! What nodes say, put together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use miroir_core::error::ErrorBody;
use miroir_core::shardmap::{CompiledMap, CoverPart};
use miroir_core::tag::{self, TAG_FIELD};
use serde_json::{Map, Value, json};

use super::size::shown;
use crate::cluster::{Handle, NodeAnswer, NodeFault, NodeRequest};

/// How sizes are to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    /// In words rather than bytes.
    pub human: bool,
    /// With the sizes of the engine's inner databases.
    pub internal: bool,
}

/// The sums over nodes for one index.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sums {
    documents: u64,
    raw_size: u64,
    weighted_size: u64,
    embeddings: u64,
    embedded: u64,
    fields: BTreeMap<String, u64>,
    internal: Map<String, Value>,
}

impl Sums {
    /// Adds a node's `GET /indexes/{uid}/stats`.
    pub(super) fn add(&mut self, stats: &Value) {
        let number = |key: &str| stats[key].as_u64().unwrap_or_default();
        self.documents += number("numberOfDocuments");
        self.raw_size += number("rawDocumentDbSize");
        self.weighted_size += number("avgDocumentSize").saturating_mul(number("numberOfDocuments"));
        self.embeddings += number("numberOfEmbeddings");
        self.embedded += number("numberOfEmbeddedDocuments");
        for (field, count) in stats["fieldDistribution"].as_object().into_iter().flatten() {
            if field != TAG_FIELD {
                *self.fields.entry(field.clone()).or_default() += count.as_u64().unwrap_or_default();
            }
        }
        for (name, size) in stats["internalDatabaseSizes"].as_object().into_iter().flatten() {
            let sum = self.internal.get(name).and_then(Value::as_u64).unwrap_or_default();
            self.internal.insert(name.clone(), (sum + size.as_u64().unwrap_or_default()).into());
        }
    }

    /// The index's stats. What nodes count by copy is scaled to `documents`, the count by shard: exact where every
    /// document has the same number of copies. Sizes stay sums: they are what the disks hold.
    pub(super) fn view(&self, documents: u64, is_indexing: bool, form: Form) -> Value {
        let scaled = |count: u64| match u128::from(self.documents) {
            0 => 0,
            copies => {
                let exact = (u128::from(count) * u128::from(documents) + copies / 2) / copies;
                u64::try_from(exact).unwrap_or(u64::MAX)
            }
        };
        let fields: Map<String, Value> =
            self.fields.iter().map(|(field, count)| (field.clone(), scaled(*count).into())).collect();
        let mut view = Map::new();
        view.insert("numberOfDocuments".to_owned(), documents.into());
        view.insert("rawDocumentDbSize".to_owned(), shown(self.raw_size, form.human));
        let average = self.weighted_size.checked_div(self.documents).unwrap_or_default();
        view.insert("avgDocumentSize".to_owned(), shown(average, form.human));
        view.insert("isIndexing".to_owned(), is_indexing.into());
        if form.internal {
            let sizes = self.internal.iter();
            let sizes = sizes.map(|(name, size)| (name.clone(), shown(size.as_u64().unwrap_or_default(), form.human)));
            view.insert("internalDatabaseSizes".to_owned(), Value::Object(sizes.collect()));
        }
        view.insert("numberOfEmbeddings".to_owned(), scaled(self.embeddings).into());
        view.insert("numberOfEmbeddedDocuments".to_owned(), scaled(self.embedded).into());
        view.insert("fieldDistribution".to_owned(), Value::Object(fields));
        Value::Object(view)
    }
}

/// Longest wait for nodes that have an index in their queue still: one engine has a new index at once, or not at all.
const UNPREPARED: Duration = Duration::from_secs(5);
/// Pause before such nodes are asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// The documents of an index: of each shard, those of one copy that may be read.
///
/// # Errors
/// `remote_could_not_send_request` with the shards that have no such copy, or whose copies did not answer.
pub async fn count(handle: &Handle, uid: &str) -> Result<u64, ErrorBody> {
    let began = Instant::now();
    loop {
        let map = CompiledMap::new(handle.map().as_ref().clone());
        let nodes = handle.nodes().into_iter().filter(|node| node.reachable);
        let reachable = nodes.map(|node| node.id).collect::<Vec<_>>();
        let unprepared = &AtomicBool::new(false);
        let ask = |node: &str, request| {
            let asked = handle.node_request(node, request);
            async move {
                let answer = asked.await;
                unprepared.fetch_or(answer.as_ref().is_ok_and(is_unprepared), Ordering::Relaxed);
                answer
            }
        };
        let counted = count_over(&map, &reachable, uid, ask).await;
        if counted.is_ok() || !unprepared.load(Ordering::Relaxed) || began.elapsed() >= UNPREPARED {
            return counted;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A node that has not come to the index yet, or not to its rule for shards.
fn is_unprepared(answer: &NodeAnswer) -> bool {
    let error = || serde_json::from_slice::<ErrorBody>(&answer.body);
    match answer.status {
        404 => error().is_ok_and(|error| error.code == "index_not_found"),
        400 => error().is_ok_and(|error| tag::lacks_rule(&error)),
        _ => false,
    }
}

/// [`count`] by another way of asking nodes.
pub(crate) async fn count_over<A>(
    map: &CompiledMap,
    reachable: &[String],
    uid: &str,
    ask: impl Fn(&str, NodeRequest) -> A,
) -> Result<u64, ErrorBody>
where
    A: Future<Output = Result<NodeAnswer, NodeFault>>,
{
    let Some(index) = map.map.indexes.get(uid) else { return Ok(0) };
    let mut failed: Vec<u16> =
        (0..).zip(&map.map.nodes).filter(|(_, node)| !reachable.contains(&node.id)).map(|(at, _)| at).collect();
    failed.extend(&index.unreadable);
    let mut wanted: Vec<u32> = (0..map.map.shards).collect();
    let mut total = 0;
    while !wanted.is_empty() {
        let cover = map.repair(index.placement, &wanted, &|node| failed.contains(&node));
        if !cover.missing.is_empty() {
            return Err(unreachable_shards(&cover.missing));
        }
        wanted.clear();
        let asked = cover.parts.iter().filter_map(|part| {
            let node = map.map.nodes.get(usize::from(part.node))?;
            let request = NodeRequest {
                method: "POST".to_owned(),
                path: format!("/indexes/{uid}/documents/fetch"),
                body: Some(json!({ "filter": clause(part), "limit": 0 })),
            };
            let asked = ask(&node.id, request);
            Some(async move { (part, asked.await) })
        });
        for (part, answer) in join_all(asked).await {
            match body(answer).and_then(|body| body["total"].as_u64()) {
                Some(documents) => total += documents,
                None => {
                    failed.push(part.node);
                    wanted.extend(&part.shards);
                }
            }
        }
    }
    Ok(total)
}

/// What a node is to count; null for all that it holds.
fn clause(part: &CoverPart) -> Value {
    serde_json::from_str(&part.clause).unwrap_or_default()
}

fn unreachable_shards(shards: &[u32]) -> ErrorBody {
    let names = shards.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    ErrorBody::new("remote_could_not_send_request", format!("No copy of these shards can be read: {names}."))
}

/// The JSON of a node's good answer.
pub(super) fn body(answer: Result<NodeAnswer, NodeFault>) -> Option<Value> {
    let answer = answer.ok().filter(|answer| answer.status == 200)?;
    serde_json::from_slice(&answer.body).ok()
}

/// Asks every node; the good answers.
pub(super) async fn every_node(handle: &Handle, path: &str) -> Vec<Value> {
    let request = NodeRequest { method: "GET".to_owned(), path: path.to_owned(), body: None };
    handle.every_node(request).await.into_iter().filter_map(|(_, answer)| body(answer)).collect()
}

/// Whether every shard has a copy that can be read now.
pub(super) fn available(handle: &Handle) -> bool {
    let map = CompiledMap::new(handle.map().as_ref().clone());
    let nodes = handle.nodes();
    let dead = |at: u16| {
        let node = map.map.nodes.get(usize::from(at));
        node.is_none_or(|node| !nodes.iter().any(|view| view.id == node.id && view.reachable))
    };
    let shards: Vec<u32> = (0..map.map.shards).collect();
    let placements = (0..).zip(&map.map.placements);
    placements.into_iter().all(|(placement, _)| map.repair(placement, &shards, &dead).missing.is_empty())
}
