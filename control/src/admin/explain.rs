//! How a search is carried out: control runs it in the filter's place, by the same machine, and notes every call.
//!
//! It asks the nodes directly with the master key, on control's newest map, and with no memory of earlier failures, as
//! a worker of the filter that has just started.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use miroir_admin::{ExplainedAnswer, ExplainedCall, Explanation, Question};
use miroir_core::call::{Action, Call, CallId, CallResult, Machine, NotSent, Reply, Unknown, header};
use miroir_core::error::ErrorBody;
use miroir_core::health::NodeHealth;
use miroir_core::read::{self, Decision, ReadRequest};
use miroir_core::route::{self, Route};
use miroir_core::shardmap::{CompiledMap, ShardMap};
use miroir_core::tag;
use serde_json::Value;

use crate::cluster::NodeFault;
use crate::node::{Client, Right};

/// Runs the search and tells how. Takes as long as the search, at most the map's `request_timeout_ms`.
///
/// # Errors
/// `index_not_found`, and `bad_request` for an index uid that is none.
pub(super) async fn explain(client: Client, map: Arc<ShardMap>, question: Question) -> Result<Explanation, ErrorBody> {
    // The machine is made for one thread.
    let handle = tokio::runtime::Handle::current();
    let work = move || handle.block_on(run(&client, &map, &question));
    tokio::task::spawn_blocking(work).await.map_err(|error| ErrorBody::new("internal", error.to_string()))?
}

async fn run(client: &Client, map: &ShardMap, question: &Question) -> Result<Explanation, ErrorBody> {
    let uid = &question.index;
    let Some(index) = map.indexes.get(uid) else {
        return Err(ErrorBody::new("index_not_found", format!("Index `{uid}` not found.")));
    };
    let path = format!("/indexes/{uid}/search");
    let Route::Found(matched) = route::route("POST", &path) else {
        return Err(ErrorBody::new("bad_request", format!("`{uid}` is no index uid.")));
    };
    let search = if question.search.is_null() { Value::Object(Default::default()) } else { question.search.clone() };
    let request = ReadRequest {
        path,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: search.to_string().into_bytes(),
        reader_key: None,
    };
    let compiled = Arc::new(CompiledMap::new(map.clone()));
    let mut run = Run { client, map, started: Instant::now(), calls: Vec::new(), reply: None };
    match read::decide(&compiled, &NodeHealth::shared(), &matched, request) {
        Decision::Machine(mut machine) => run.drive(machine.as_mut()).await,
        Decision::Reply(reply) => run.reply = Some(reply),
        Decision::Park | Decision::Forward(_) => run.reply = Some(read::waited()),
    }
    let took_ms = millis(run.started.elapsed());
    let answer = run.reply.map(|reply| answered(&reply, took_ms)).unwrap_or_else(|| unanswered(took_ms));
    Ok(Explanation {
        index: uid.clone(),
        epoch: map.epoch,
        placement: index.placement,
        shard_count: map.shards,
        calls: run.calls,
        answer,
    })
}

/// A call that has ended: which of the machine's, which of the list, and how.
type Ended = (CallId, usize, CallResult, String, f64);

struct Run<'a> {
    client: &'a Client,
    map: &'a ShardMap,
    started: Instant,
    calls: Vec<ExplainedCall>,
    reply: Option<Reply>,
}

impl<'a> Run<'a> {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn drive(&mut self, machine: &mut dyn Machine) {
        let mut open: FuturesUnordered<LocalBoxFuture<'a, Ended>> = FuturesUnordered::new();
        let mut wake = None;
        let mut actions = machine.start(self.now_ms());
        loop {
            for action in actions {
                match action {
                    Action::Call(call) => open.push(self.send(call)),
                    Action::Reply(reply) => self.reply = Some(reply),
                    Action::WakeAt(at) => wake = Some(at),
                    Action::Notify(_) => {}
                    Action::Done => return,
                }
            }
            let until = Duration::from_millis(wake.unwrap_or(u64::MAX).saturating_sub(self.now_ms()).min(3_600_000));
            actions = tokio::select! {
                Some(ended) = open.next(), if !open.is_empty() => {
                    let (id, at, result, outcome, took_ms) = ended;
                    self.note(at, &result, outcome, took_ms);
                    machine.on_result(id, result, self.now_ms())
                }
                () = tokio::time::sleep(until) => {
                    wake = None;
                    machine.on_wake(self.now_ms())
                }
            };
        }
    }

    /// Sends a call of the machine's; the list has it from now on.
    fn send(&mut self, call: Call) -> LocalBoxFuture<'a, Ended> {
        let node = self.map.nodes.iter().find(|node| node.cluster == call.cluster).map(|node| node.id.clone());
        let body: Value = serde_json::from_slice(&call.body).unwrap_or(Value::Null);
        let filter = body.get("filter").filter(|filter| !filter.is_null()).map(readable);
        let at = self.calls.len();
        self.calls.push(ExplainedCall {
            node: node.clone().unwrap_or_else(|| call.cluster.clone()),
            shards: body.get("filter").map(|filter| shards(&filter.to_string(), self.map.shards)).unwrap_or_default(),
            request: format!("{} {}", call.method, call.path),
            filter,
            body,
            sent_ms: millis(self.started.elapsed()),
            took_ms: None,
            node_ms: None,
            outcome: "no answer was waited for".to_owned(),
            hits: None,
            bytes: 0,
        });
        let client = self.client;
        async move {
            let sent = Instant::now();
            let (result, outcome) = match node {
                Some(node) => ask(client, &node, &call).await,
                None => (CallResult::NotSent(NotSent::NoCluster), "no such node".to_owned()),
            };
            (call.id, at, result, outcome, millis(sent.elapsed()))
        }
        .boxed_local()
    }

    fn note(&mut self, at: usize, result: &CallResult, outcome: String, took_ms: f64) {
        let Some(call) = self.calls.get_mut(at) else { return };
        call.took_ms = Some(took_ms);
        call.outcome = outcome;
        if let CallResult::Answer { body, .. } = result {
            call.bytes = body.len();
            if let Ok(answer) = serde_json::from_slice::<Value>(body) {
                call.node_ms = answer.get("processingTimeMs").and_then(Value::as_u64);
                call.hits = answer.get("hits").and_then(Value::as_array).map(Vec::len);
            }
        }
    }
}

async fn ask(client: &Client, node: &str, call: &Call) -> (CallResult, String) {
    let sending = client.request(node, call.method, &call.path, Right::Master);
    let answer = async {
        let mut request = sending?.timeout(Duration::from_millis(call.timeout_ms)).body(call.body.clone());
        for (name, value) in call.headers.iter().filter(|(name, _)| name != "authorization") {
            request = request.header(name, value);
        }
        crate::node::receive(request).await
    };
    match answer.await {
        Ok(answer) => {
            let outcome = answer.status.to_string();
            let body = answer.body.to_vec();
            (CallResult::Answer { status: answer.status, headers: Vec::new(), body }, outcome)
        }
        Err(fault @ (NodeFault::NotSent(_) | NodeFault::NoSuchNode)) => {
            (CallResult::NotSent(NotSent::ConnectFailed), fault.to_string())
        }
        Err(NodeFault::Unknown(why)) if why.contains("timed out") => {
            (CallResult::Unknown(Unknown::Timeout), format!("no answer within {} ms", call.timeout_ms))
        }
        Err(fault) => (CallResult::Unknown(Unknown::Broken), fault.to_string()),
    }
}

/// Shards whose tags stand in a filter.
fn shards(filter: &str, shard_count: u32) -> Vec<u32> {
    let mut shards: Vec<u32> = filter
        .split(|character| !tag::is_digit(character))
        .filter(|text| !text.is_empty())
        .filter_map(|text| tag::decode(text, shard_count))
        .collect();
    shards.sort_unstable();
    shards.dedup();
    shards
}

/// A filter in one line: a text as it is, a list as JSON.
fn readable(filter: &Value) -> String {
    filter.as_str().map_or_else(|| filter.to_string(), str::to_owned)
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn answered(reply: &Reply, took_ms: f64) -> ExplainedAnswer {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let total = body.get("estimatedTotalHits").or_else(|| body.get("totalHits"));
    let text = |name: &str| header(&reply.headers, name).map(str::to_owned);
    ExplainedAnswer {
        status: reply.status,
        took_ms,
        shards: text("x-miroir-shards"),
        degraded: text("x-miroir-degraded"),
        hits: body.get("hits").and_then(Value::as_array).map(Vec::len),
        total: total.and_then(Value::as_u64),
        error: body.get("message").and_then(Value::as_str).map(str::to_owned),
    }
}

fn unanswered(took_ms: f64) -> ExplainedAnswer {
    ExplainedAnswer {
        status: 500,
        took_ms,
        shards: None,
        degraded: None,
        hits: None,
        total: None,
        error: Some("The search ended without an answer.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_read_from_the_filter() {
        let clause = tag::filter_clause(&[0, 17, 127], 128);
        assert_eq!(shards(&format!("(genre = a) AND {clause}"), 128), [0, 17, 127]);
        assert_eq!(shards(&serde_json::json!([["a = b"], clause]).to_string(), 128), [0, 17, 127]);
        assert!(shards("genre = a", 128).is_empty());
    }
}
