//! A scripted driver for the read machine: it holds the calls that the machine made, and answers them as a test says.

mod asleep;
mod denials;
mod entry;
mod failover;
mod held_back;
mod random;
mod rounds;
mod similar;

use std::sync::Arc;

use super::machine::ReadMachine;
use super::plan::{Planned, plan};
use super::{Decision, ReadRequest, decide};
use crate::call::{Action, Call, CallResult, Headers, Machine, NotSent, Reply, Unknown, header};
use crate::error::ErrorBody;
use crate::health::{NodeHealth, SharedHealth};
use crate::route::{Matched, Route, route};
use crate::search::{BadAnswer, Gather, NodeRequest};
use crate::shardmap::{CompiledMap, MapIndex, MapNode, NodeIndex, Placement, ShardMap, StaleMark};
use crate::tag;

/// A map of `nodes` nodes named n0, n1, … where shard s lies on nodes s, s + 1, … (`replicas` of them).
pub(super) fn shard_map(nodes: u16, replicas: u16, shards: u16) -> ShardMap {
    let index = MapIndex {
        incarnation: 1,
        primary_key: Some("id".into()),
        placement: 0,
        swapping: false,
        unreadable: vec![],
        view: Default::default(),
    };
    let node = |at: u16| MapNode {
        id: format!("n{at}"),
        cluster: format!("n{at}"),
        write_cluster: format!("n{at}-write"),
        readable: true,
        last_resort: false,
    };
    ShardMap {
        cluster: "c0ffee00".into(),
        epoch: 1,
        shards: u32::from(shards),
        replication_factor: u8::try_from(replicas).unwrap(),
        nodes: (0..nodes).map(node).collect(),
        stale: vec![],
        placements: vec![Placement {
            owners: (0..shards).map(|shard| (0..replicas).map(|at| (shard + at) % nodes).collect()).collect(),
        }],
        indexes: [("a".to_owned(), index.clone()), ("b".to_owned(), index)].into(),
        limits: Default::default(),
        policies: Default::default(),
        control_cluster: "control".into(),
        control_internal_cluster: "internal".into(),
    }
}

/// A gather whose answers are lists of shards, which it checks: no shard twice.
struct Fake {
    shards: u32,
    index: String,
    /// Rounds of [`Gather::again`] still wished for.
    more_rounds: usize,
    parts: Vec<usize>,
    merged: Vec<u32>,
    /// A part whose answer turns out to be unusable at the end: one with a blank before it.
    sour: Option<usize>,
    replay: bool,
}

impl Gather for Fake {
    fn index(&self) -> &str {
        &self.index
    }

    fn query_hash(&self) -> u64 {
        0
    }

    fn request(&self, clause: &str, part: usize) -> NodeRequest {
        // A node without a clause answers for all.
        let all = || tag::quoted_clause(&(0..self.shards).collect::<Vec<_>>(), self.shards);
        let body = Some(if clause.is_empty() { all() } else { clause.to_owned() }.into_bytes());
        NodeRequest { method: "POST", path: format!("/indexes/{}/fake?part={part}", self.index), headers: &[], body }
    }

    fn accept(&mut self, part: usize, body: Vec<u8>) -> Result<(), BadAnswer> {
        let shards: Vec<u32> = serde_json::from_slice(&body).map_err(|error| BadAnswer(error.to_string()))?;
        if self.parts.contains(&part) {
            return Ok(());
        }
        if body.starts_with(b" ") {
            self.sour = Some(part);
        }
        assert!(shards.iter().all(|shard| !self.merged.contains(shard)), "a shard was merged twice");
        self.merged.extend(shards);
        self.parts.push(part);
        Ok(())
    }

    fn again(&mut self) -> Vec<usize> {
        if self.more_rounds == 0 {
            return Vec::new();
        }
        self.more_rounds -= 1;
        self.parts.clone()
    }

    fn settle(&mut self) -> Result<(), usize> {
        self.sour.map_or(Ok(()), Err)
    }

    fn replay(&self) -> Option<NodeRequest> {
        let request = || NodeRequest { method: "POST", path: "/replay".into(), headers: &[], body: Some(vec![]) };
        self.replay.then(request)
    }

    fn finish(mut self: Box<Self>, _took_ms: u64) -> Vec<u8> {
        self.merged.sort_unstable();
        serde_json::to_vec(&self.merged).unwrap()
    }
}

/// Plans with [`Fake`] gathers; the request's body says which: `again`, `noreplay`, or nothing.
fn fake_plan(map: &CompiledMap, matched: &Matched, request: &ReadRequest) -> Option<Planned> {
    let wishes = String::from_utf8(request.body.clone()).unwrap();
    let leg = |uid: &str| {
        let fake = Fake {
            index: uid.into(),
            shards: map.map.shards,
            more_rounds: usize::from(wishes.contains("again")),
            parts: vec![],
            merged: vec![],
            sour: None,
            replay: !wishes.contains("noreplay"),
        };
        let shards = (0..map.map.shards).collect();
        super::leg::Leg::new(Box::new(fake), &map.map.indexes[uid], shards)
    };
    Some(match matched.index() {
        Some(uid) => Planned { legs: vec![leg(uid)], multi: None },
        None => {
            let whole = NodeRequest { method: "POST", path: "/multi-search".into(), headers: &[], body: Some(vec![]) };
            Planned { legs: vec![leg("a"), leg("b")], multi: Some(whole) }
        }
    })
}

/// A machine, and what it has done so far.
pub(super) struct Drive {
    machine: Box<ReadMachine>,
    pub(super) now_ms: u64,
    pub(super) calls: Vec<Call>,
    /// Every call ever made.
    pub(super) asked: Vec<Call>,
    pub(super) replies: Vec<Reply>,
    pub(super) done: bool,
    pub(super) wake_at: Option<u64>,
}

impl Drive {
    /// A search over `map` with fake gathers.
    pub(super) fn search(map: ShardMap, health: &SharedHealth, headers: &[(&str, &str)], wishes: &str) -> Self {
        Self::fake(map, health, headers, wishes, "/indexes/a/search", 1_000)
    }

    fn fake(
        map: ShardMap,
        health: &SharedHealth,
        headers: &[(&str, &str)],
        wishes: &str,
        path: &str,
        now_ms: u64,
    ) -> Self {
        let matched = matched("POST", path);
        let request = ReadRequest {
            path: path.into(),
            headers: owned(headers),
            body: wishes.as_bytes().to_vec(),
            ..Default::default()
        };
        let map = Arc::new(CompiledMap::new(map));
        match ReadMachine::decide(fake_plan, &map, health, &matched, request) {
            Decision::Machine(machine) => Self::run(machine, now_ms),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn run(machine: Box<ReadMachine>, now_ms: u64) -> Self {
        let (calls, asked, replies) = (vec![], vec![], vec![]);
        let mut drive = Self { machine, now_ms, calls, asked, replies, done: false, wake_at: None };
        let actions = drive.machine.start(now_ms);
        drive.take(actions);
        drive
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            assert!(!self.done, "{action:?} after the end");
            match action {
                Action::Call(call) => {
                    assert!(self.replies.is_empty() && call.timeout_ms > 0);
                    assert!(self.asked.iter().all(|earlier| earlier.id != call.id), "an id was used twice");
                    self.asked.push(call.clone());
                    self.calls.push(call);
                }
                Action::Notify(call) => panic!("a read notifies nobody: {call:?}"),
                Action::Reply(reply) => self.replies.push(reply),
                Action::WakeAt(at) => self.wake_at = Some(at),
                Action::Done => self.done = true,
            }
        }
        assert!(self.replies.len() <= 1, "two replies");
    }

    /// Ends the oldest call to a node.
    pub(super) fn end(&mut self, node: &str, result: impl FnOnce(&Call) -> CallResult) {
        let at = self.calls.iter().position(|call| call.cluster == node).unwrap_or_else(|| panic!("no call to {node}"));
        self.end_at(at, result);
    }

    pub(super) fn end_at(&mut self, at: usize, result: impl FnOnce(&Call) -> CallResult) {
        let call = self.calls.remove(at);
        let result = result(&call);
        let actions = self.machine.on_result(call.id, result, self.now_ms);
        self.take(actions);
    }

    /// Answers everything that is asked until nothing is.
    pub(super) fn end_all(&mut self, result: impl Fn(&Call) -> CallResult) {
        while !self.calls.is_empty() {
            self.end_at(0, &result);
        }
    }

    pub(super) fn wake(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        let actions = self.machine.on_wake(now_ms);
        self.take(actions);
    }

    pub(super) fn leave(&mut self) {
        let actions = self.machine.on_client_gone(self.now_ms);
        self.take(actions);
    }

    /// Clusters that are being asked, in order.
    pub(super) fn asking(&self) -> Vec<&str> {
        self.calls.iter().map(|call| call.cluster.as_str()).collect()
    }

    pub(super) fn reply(&self) -> &Reply {
        assert!(self.done, "not ended; asking {:?}", self.asking());
        &self.replies[0]
    }

    pub(super) fn reply_header(&self, name: &str) -> Option<&str> {
        header(&self.reply().headers, name)
    }

    pub(super) fn error(&self) -> (u16, ErrorBody) {
        (self.reply().status, serde_json::from_slice(&self.reply().body).unwrap())
    }

    /// The whole page of `shards` shards has been sent.
    pub(super) fn assert_whole(&self, shards: u32) {
        assert_eq!(self.reply().status, 200, "{:?}", String::from_utf8_lossy(&self.reply().body));
        assert_eq!(merged(self.reply()), (0..shards).collect::<Vec<_>>());
        assert_eq!(self.reply_header("x-miroir-shards"), Some(format!("{shards}/{shards}").as_str()));
        assert_eq!(self.reply_header("x-miroir-degraded"), None);
    }
}

pub(super) fn merged(reply: &Reply) -> Vec<u32> {
    serde_json::from_slice(&reply.body).unwrap()
}

pub(super) fn matched(method: &str, path: &str) -> Matched {
    match route(method, path) {
        Route::Found(matched) => matched,
        other => panic!("{other:?}"),
    }
}

pub(super) fn owned(headers: &[(&str, &str)]) -> Headers {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The shards that a call asks for, read out of its clause.
pub(super) fn shards_of(call: &Call) -> Vec<u32> {
    let clause: String = serde_json::from_slice(&call.body).unwrap_or_default();
    clause.split('"').skip(1).step_by(2).map(|value| tag::decode(value, 16).unwrap()).collect()
}

pub(super) fn ok(call: &Call) -> CallResult {
    answer(200, &serde_json::to_string(&shards_of(call)).unwrap())
}

pub(super) fn answer(status: u16, body: &str) -> CallResult {
    CallResult::Answer { status, headers: vec![], body: body.as_bytes().to_vec() }
}

pub(super) fn engine_error(status: u16, code: &str, message: &str) -> CallResult {
    let mut error = ErrorBody::new(code, message);
    error.message = message.to_owned();
    CallResult::Answer { status, headers: owned(&[("retry-after", "10")]), body: serde_json::to_vec(&error).unwrap() }
}

pub(super) fn dead(_: &Call) -> CallResult {
    CallResult::NotSent(NotSent::ConnectFailed)
}

/// A node of which the proxy thinks ill; it is well.
pub(super) fn held_back(call: &Call) -> CallResult {
    if call.cluster.ends_with("-write") { ok(call) } else { CallResult::NotSent(NotSent::NoHealthyHost) }
}

/// The node that a call goes to, by whatever cluster.
pub(super) fn node_of(call: &Call) -> u16 {
    call.cluster.trim_end_matches("-write")[1..].parse().unwrap()
}

pub(super) fn hung(_: &Call) -> CallResult {
    CallResult::Unknown(Unknown::Timeout)
}

pub(super) fn broken(_: &Call) -> CallResult {
    CallResult::Unknown(Unknown::Broken)
}

pub(super) fn forbidden(_: &Call) -> CallResult {
    engine_error(403, "invalid_api_key", "The provided API key is invalid.")
}

pub(super) fn no_index(_: &Call) -> CallResult {
    engine_error(404, "index_not_found", "Index `a` not found.")
}

pub(super) fn overloaded(_: &Call) -> CallResult {
    engine_error(503, "too_many_search_requests", "Too many search requests running at the same time.")
}

pub(super) fn healthy() -> SharedHealth {
    NodeHealth::shared()
}
