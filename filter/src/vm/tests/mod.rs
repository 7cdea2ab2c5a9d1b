//! The worker on a host that the test plays: whole requests, from Envoy's callbacks to the client's answer.

mod gossip;
mod handover;
mod limits;
mod passing;
mod roots;
mod writes;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use miroir_core::call::{Call, Headers, NotSent, Reply, header};
use miroir_core::shardmap::{Limits, MapIndex, MapNode, Placement, SearchView, ShardMap, print};
use miroir_core::wire::*;

use super::*;
use crate::host::MetricKind;

const ROOT: u32 = 1;
/// Streams have numbers from here on, roots below.
const FIRST_STREAM: u32 = 10;
const BELL: u32 = 77;

/// Everything that Envoy and the SDK would hold.
#[derive(Default)]
struct World {
    now: u64,
    entered: u32,
    /// The context whose callback runs: the SDK's owner of the calls made meanwhile.
    active: u32,
    /// The SDK's owner of each call, by token.
    owners: HashMap<u32, u32>,
    /// The root that the bell belongs to.
    bell_root: Option<u32>,
    /// What the workers of one process share.
    shared: Rc<RefCell<HashMap<String, Vec<u8>>>>,
    rings: usize,
    ids: u32,
    configuration: Vec<u8>,
    requests: HashMap<u32, Headers>,
    piece: Vec<u8>,
    replies: HashMap<u32, Reply>,
    responses: HashMap<String, String>,
    calls: Vec<(u32, u32, Call)>,
    tokens: u32,
    refused_clusters: HashSet<String>,
    gone: HashSet<u32>,
    ended: (Headers, Vec<u8>),
    done_roots: Vec<u32>,
    /// Period of each root's timer.
    ticks: HashMap<u32, u32>,
    counted: HashMap<String, i64>,
    names: Vec<String>,
}

#[derive(Clone, Default)]
struct Mock(Rc<RefCell<World>>);

impl Host for Mock {
    fn now_ms(&self) -> u64 {
        self.0.borrow().now
    }
    fn random_id(&self) -> String {
        let mut world = self.0.borrow_mut();
        world.ids += 1;
        format!("{:032x}", world.ids)
    }
    fn proxy_id(&self) -> Option<String> {
        Some("edge-1".to_owned())
    }
    fn configuration(&self) -> Option<Vec<u8>> {
        Some(self.0.borrow().configuration.clone())
    }
    fn set_tick_ms(&self, period: u32) {
        let mut world = self.0.borrow_mut();
        let root = world.entered;
        world.ticks.insert(root, period);
    }
    fn begin(&self, context: u32) {
        self.0.borrow_mut().entered = context;
    }
    fn enter(&self, context: u32) -> bool {
        let mut world = self.0.borrow_mut();
        world.entered = context;
        !world.gone.contains(&context)
    }
    fn root_done(&self) {
        let mut world = self.0.borrow_mut();
        let root = world.entered;
        world.done_roots.push(root);
    }
    fn register_queue(&self, _name: &str) -> Option<u32> {
        let mut world = self.0.borrow_mut();
        world.bell_root = Some(world.entered);
        Some(BELL)
    }
    fn ring(&self, queue: u32) -> bool {
        assert_eq!(queue, BELL);
        self.0.borrow_mut().rings += 1;
        true
    }
    fn empty_queue(&self, _queue: u32) {
        self.0.borrow_mut().rings = 0;
    }
    fn share(&self, key: &str, value: &[u8]) {
        self.0.borrow().shared.borrow_mut().insert(key.to_owned(), value.to_vec());
    }
    fn shared(&self, key: &str) -> Option<Vec<u8>> {
        self.0.borrow().shared.borrow().get(key).cloned()
    }
    fn request_headers(&self) -> Headers {
        let world = self.0.borrow();
        world.requests.get(&world.entered).cloned().unwrap_or_default()
    }
    fn set_request_header(&self, name: &str, value: &str) {
        self.remove_request_header(name);
        let mut world = self.0.borrow_mut();
        let context = world.entered;
        world.requests.entry(context).or_default().push((name.to_owned(), value.to_owned()));
    }
    fn remove_request_header(&self, name: &str) {
        let mut world = self.0.borrow_mut();
        let context = world.entered;
        world.requests.entry(context).or_default().retain(|(own, _)| own != name);
    }
    fn take_request_body(&self, _size: usize) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.0.borrow_mut().piece))
    }
    fn response_header(&self, name: &str) -> Option<String> {
        self.0.borrow().responses.get(name).cloned()
    }
    fn set_response_header(&self, name: &str, value: &str) {
        self.0.borrow_mut().responses.insert(name.to_owned(), value.to_owned());
    }
    fn reply(&self, reply: &Reply) -> bool {
        let mut world = self.0.borrow_mut();
        let stream = world.entered;
        assert!(world.replies.insert(stream, reply.clone()).is_none(), "a second reply to {stream}");
        true
    }
    fn call(&self, call: &Call) -> Result<u32, NotSent> {
        let mut world = self.0.borrow_mut();
        if world.refused_clusters.contains(&call.cluster) {
            return Err(NotSent::NoHealthyHost);
        }
        world.tokens += 1;
        let (token, root, active) = (world.tokens, world.entered, world.active);
        assert!(root < FIRST_STREAM, "Envoy would cut the call off with its stream");
        assert!(active == root || active >= FIRST_STREAM, "the call would be lost with one of two roots");
        world.owners.insert(token, active);
        world.calls.push((token, root, call.clone()));
        Ok(token)
    }
    fn call_status(&self) -> Option<u16> {
        header(&self.0.borrow().ended.0, ":status").and_then(|status| status.parse().ok())
    }
    fn call_headers(&self) -> Headers {
        self.0.borrow().ended.0.clone()
    }
    fn call_body(&self, _size: usize) -> Option<Vec<u8>> {
        Some(self.0.borrow().ended.1.clone())
    }
    fn define_metric(&self, _kind: MetricKind, name: &str) -> Option<u32> {
        let mut world = self.0.borrow_mut();
        world.names.push(name.to_owned());
        u32::try_from(world.names.len()).ok()
    }
    fn record_metric(&self, _id: u32, _value: u64) {}
    fn increment_metric(&self, id: u32, by: i64) {
        let mut world = self.0.borrow_mut();
        let name = world.names[id as usize - 1].clone();
        *world.counted.entry(name).or_default() += by;
    }
}

/// A worker with its host.
struct Bench {
    vm: Vm<Mock>,
    world: Rc<RefCell<World>>,
}

fn shard_map(epoch: u64) -> ShardMap {
    let index = MapIndex {
        incarnation: 1,
        primary_key: Some("id".into()),
        placement: 0,
        swapping: false,
        unreadable: vec![],
        view: SearchView::default(),
    };
    ShardMap {
        cluster: "c0ffee00".into(),
        epoch,
        shards: 4,
        replication_factor: 2,
        nodes: (0..2)
            .map(|at| MapNode {
                id: format!("n{at}"),
                cluster: format!("n{at}"),
                write_cluster: format!("n{at}-w"),
                readable: true,
                last_resort: false,
            })
            .collect(),
        stale: vec![],
        placements: vec![Placement { owners: vec![vec![0, 1]; 4] }],
        indexes: [("m".to_owned(), index)].into(),
        limits: Limits {
            max_body_bytes: 1_000,
            split_in_filter_bytes: 500,
            worker_budget_bytes: 1_200,
            ..Limits::default()
        },
        policies: Default::default(),
        control_cluster: "control".into(),
        control_internal_cluster: "internal".into(),
    }
}

impl Bench {
    fn empty() -> Self {
        let mock = Mock::default();
        let world = Rc::clone(&mock.0);
        world.borrow_mut().now = 5_000;
        Self { vm: Vm::new(mock), world }
    }

    fn new() -> Self {
        let mut bench = Self::empty();
        bench.vm.heartbeats.confirmed = true;
        bench.configure(ROOT, &shard_map(7));
        bench
    }

    fn configure(&mut self, root: u32, map: &ShardMap) {
        self.configure_text(root, &print(map).unwrap());
    }

    fn configure_text(&mut self, root: u32, text: &str) {
        self.world.borrow_mut().configuration = text.into();
        self.activate(root);
        self.vm.on_configure(root);
    }

    fn activate(&self, context: u32) {
        self.world.borrow_mut().active = context;
    }

    /// The callback that the bell asks for.
    fn settle(&mut self) {
        let (rings, root) = (self.world.borrow().rings, self.world.borrow().bell_root);
        if let (true, Some(root)) = (rings > 0, root) {
            self.activate(root);
            self.vm.on_queue_ready(root, BELL);
        }
    }

    /// The head of a request; `extra` headers on top of the pseudo headers.
    fn head(&mut self, stream: u32, method: &str, path: &str, extra: &[(&str, &str)], end: bool) -> Step {
        let pseudo = [(":method", method), (":path", path), (":authority", "search.example")];
        let all = pseudo.iter().chain(extra);
        let headers = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.world.borrow_mut().requests.insert(stream, headers);
        self.activate(stream);
        let step = self.vm.on_request_headers(stream, end);
        if end {
            self.settle();
        }
        step
    }

    fn body(&mut self, stream: u32, piece: &str, end: bool) -> Step {
        let step = self.hold(stream, piece, end);
        self.settle();
        step
    }

    /// A piece of a body, without the root's callback that it may ask for.
    fn hold(&mut self, stream: u32, piece: &str, end: bool) -> Step {
        self.world.borrow_mut().piece = piece.into();
        self.activate(stream);
        self.vm.on_request_body(stream, piece.len(), end)
    }

    /// A whole request with a JSON body.
    fn post(&mut self, stream: u32, path: &str, body: &str) -> Step {
        let length = body.len().to_string();
        let extra = [("content-type", "application/json"), ("content-length", &length), ("x-request-id", "r")];
        match self.head(stream, "POST", path, &extra, false) {
            Step::Pause => self.body(stream, body, true),
            step => step,
        }
    }

    fn leave(&mut self, stream: u32) {
        self.world.borrow_mut().gone.insert(stream);
        self.activate(stream);
        self.vm.on_stream_deleted(stream);
    }

    fn sleep(&mut self, ms: u64) {
        self.world.borrow_mut().now += ms;
        let root = self.vm.root;
        self.activate(root);
        self.vm.on_tick(root);
    }

    fn reply(&self, stream: u32) -> Option<Reply> {
        self.world.borrow().replies.get(&stream).cloned()
    }

    fn status(&self, stream: u32) -> u16 {
        self.reply(stream).expect("an answer").status
    }

    fn request_header(&self, stream: u32, name: &str) -> Option<String> {
        header(&self.world.borrow().requests[&stream], name).map(str::to_owned)
    }

    /// Calls in flight, heartbeats left out: cluster and path.
    fn open(&self) -> Vec<(String, String)> {
        let world = self.world.borrow();
        let calls = world.calls.iter().filter(|(_, _, call)| call.path != HEARTBEAT_PATH);
        calls.map(|(_, _, call)| (call.cluster.clone(), call.path.clone())).collect()
    }

    /// Takes the oldest call in flight to this cluster or path.
    fn call(&mut self, which: &str) -> (u32, u32, Call) {
        let mut world = self.world.borrow_mut();
        let at = world.calls.iter().position(|(_, _, call)| call.cluster == which || call.path == which);
        let at = at.unwrap_or_else(|| panic!("no call to {which}"));
        world.calls.remove(at)
    }

    /// The oldest call in flight to this cluster or path, and the root in whose name it was made.
    fn look(&self, which: &str) -> (u32, Call) {
        let world = self.world.borrow();
        let found = world.calls.iter().find(|(_, _, call)| call.cluster == which || call.path == which);
        found.map(|(_, root, call)| (*root, call.clone())).unwrap_or_else(|| panic!("no call to {which}"))
    }

    fn answer(&mut self, which: &str, status: u16, body: &str) {
        let (token, _, _) = self.call(which);
        let headers =
            vec![(":status".to_owned(), status.to_string()), ("x-envoy-upstream-service-time".into(), "1".into())];
        self.world.borrow_mut().ended = (headers, body.into());
        self.deliver(token, 2, body.len());
    }

    /// The end of a call on its way through the SDK, which drops it where its owner has gone.
    fn deliver(&mut self, token: u32, headers: usize, size: usize) {
        let owner = self.world.borrow_mut().owners.remove(&token).expect("a call");
        if self.world.borrow().gone.contains(&owner) {
            return;
        }
        self.activate(owner);
        let caller = if owner < FIRST_STREAM { Caller::Root(owner) } else { Caller::Stream(owner) };
        self.vm.on_call_end(caller, token, headers, size);
    }

    fn break_off(&mut self, which: &str) {
        let (token, _, _) = self.call(which);
        self.deliver(token, 0, 0);
    }

    fn grant(&mut self) {
        let part = |node: &str| GrantPart {
            node: node.into(),
            cluster: format!("{node}-w"),
            key: Some("key".into()),
            shards: (0..4).map(|shard| PartShard { shard, counts: true }).collect(),
        };
        let grant = BeginAnswer::Grant(Grant {
            ticket: 70,
            metadata: "c0ffee00.1.70".into(),
            primary_key: Some("id".into()),
            deadline_ms: 20_000,
            soft_ms: 2_000,
            min_accept: 1,
            parts: vec![part("n0"), part("n1")],
        });
        self.answer(BEGIN_PATH, 200, &serde_json::to_string(&grant).unwrap());
    }

    fn commit(&mut self) {
        let reply = ControlReply { status: 202, headers: vec![], body: Some(serde_json::json!({"taskUid": 70})) };
        self.answer(COMMIT_PATH, 200, &serde_json::to_string(&CommitAnswer::Reply(reply)).unwrap());
    }

    fn counted(&self, name: &str) -> i64 {
        self.world.borrow().counted.get(name).copied().unwrap_or_default()
    }
}

const DOCUMENTS: &str = r#"[{"id":1},{"id":2}]"#;
const ACCEPTED: &str = r#"{"taskUid":3}"#;
