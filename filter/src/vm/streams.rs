//! Client streams: from the request's head to the machine that serves it, or to the cluster that does.

use std::sync::Arc;

use miroir_core::call::Reply;
use miroir_core::read::{self, Decision, ReadRequest};
use miroir_core::route::{Matched, Route, Serve, route};
use miroir_core::shardmap::CompiledMap;
use miroir_core::wire::{BULK_PREFIX, WriteKind};
use miroir_core::write::{WriteHead, WriteMachine, WriteSetup, decode_segment};

use super::jobs::Work;
use super::request::Head;
use super::task::Task;
use super::{Caller, Step, Vm, answers};
use crate::cors;
use crate::host::Host;

/// Header by which the route learns the cluster that a request goes to.
const CLUSTER_HEADER: &str = "x-miroir-cluster";

/// A client's stream.
pub(super) struct Stream {
    cross_origin: bool,
    pub state: State,
}

pub(super) enum State {
    /// The router has it.
    Passed,
    /// Its body is being read, or it waits for the end of a swap.
    Gathering(Box<Gathering>),
    /// A job works for it.
    Serving(u32),
    /// It has its answer.
    Answered,
}

/// A request that is not complete yet.
pub(super) struct Gathering {
    head: Head,
    pub task: Task,
    pub map: Arc<CompiledMap>,
    body: Vec<u8>,
    /// Bytes that count as held.
    charge: u64,
    complete: bool,
    pub parked_until: Option<u64>,
    pub started: u64,
}

impl<H: Host> Vm<H> {
    /// The head of a request; `end`: it has no body.
    pub fn on_request_headers(&mut self, stream: u32, end: bool) -> Step {
        self.called(Caller::Stream(stream));
        let head = Head::read(self.host.request_headers());
        for name in &head.forbidden {
            self.host.remove_request_header(name);
        }
        let cross_origin = head.header("origin").is_some();
        self.streams.insert(stream, Stream { cross_origin, state: State::Passed });
        let started = self.now;
        if let Some(reply) = cors::preflight(&head.method, &head.headers) {
            return self.stop(stream, reply, "preflight", started);
        }
        let Some(map) = self.map.clone() else { return self.stop(stream, answers::no_map(), "no_map", started) };
        let route = route(&head.method, &head.path);
        let matched = match route {
            Route::Found(matched) => matched,
            _ if matches!(route, Route::NotFound) && is_ours(&head.path) => {
                let cluster = map.map.control_cluster.clone();
                return self.forward(&cluster, "control");
            }
            _ => {
                let reply = route.dead_end().unwrap_or_else(answers::not_found);
                return self.stop(stream, reply, "unknown", started);
            }
        };
        match matched.rule.serve {
            // Control looks at the key before it refuses, as the engine does.
            Serve::Control | Serve::Refuse(_) => {
                let cluster = map.map.control_cluster.clone();
                self.forward(&cluster, "control")
            }
            Serve::Filter => self.stop(stream, answers::filter_state(map.map.epoch), "filter", started),
            Serve::Write(kind) => self.begin_write(stream, head, map, kind, &matched, end),
            Serve::Read(_) => self.begin_read(stream, head, map, matched, end),
        }
    }

    fn begin_write(
        &mut self,
        stream: u32,
        head: Head,
        map: Arc<CompiledMap>,
        kind: WriteKind,
        matched: &Matched,
        end: bool,
    ) -> Step {
        let started = self.now;
        let index = matched.index().unwrap_or_default();
        let read = WriteHead::read(kind, index, matched.last_segment(), head.query(), head.header("content-type"));
        let Ok(write) = read else {
            // Control looks at the key first, as the engine does, and then finds the same fault.
            return self.forward_to_bulk(&head.path, &map);
        };
        // What is decoded is larger than its length says.
        if head.encoding().is_some() && !end {
            return self.forward_to_bulk(&head.path, &map);
        }
        let large = |length: u64| length > map.map.limits.split_in_filter_bytes;
        if write.carries_documents() && !end {
            let length = head.content_length();
            if length.is_some_and(|length| length > map.map.limits.max_body_bytes) {
                return self.stop(stream, answers::too_large(map.map.limits.max_body_bytes), "too_large", started);
            }
            if length.is_none_or(large) {
                return self.forward_to_bulk(&head.path, &map);
            }
        }
        self.gather(stream, head, map, Task::Write(write), end, None)
    }

    fn begin_read(&mut self, stream: u32, head: Head, map: Arc<CompiledMap>, matched: Matched, end: bool) -> Step {
        let started = self.now;
        match read::early(&map, &matched, self.heartbeats.unreachable(started)) {
            Some(Decision::Forward(cluster)) => self.forward(&cluster, "control"),
            Some(Decision::Reply(reply)) => self.stop(stream, reply, "health", started),
            Some(Decision::Machine(_)) | None if self.heartbeats.confirmed => {
                self.gather(stream, head, map, Task::Read(matched), end, None)
            }
            Some(Decision::Machine(_) | Decision::Park) | None => {
                let until = started.saturating_add(read::PARK_MS);
                self.gather(stream, head, map, Task::Read(matched), end, Some(until))
            }
        }
    }

    /// Lets the router send the request on.
    fn forward(&mut self, cluster: &str, to: &str) -> Step {
        self.host.set_request_header(CLUSTER_HEADER, cluster);
        self.metrics.forwarded(&self.host, to);
        Step::Continue
    }

    /// Lets the router stream a write to control's bulk entry, which takes its path as the engine would.
    fn forward_to_bulk(&mut self, path: &str, map: &CompiledMap) -> Step {
        self.host.set_request_header(":path", &format!("{BULK_PREFIX}{path}"));
        self.forward(&map.map.control_internal_cluster, "bulk")
    }

    fn stop(&mut self, stream: u32, reply: Reply, op: &'static str, started: u64) -> Step {
        self.answer(stream, reply, op, started);
        Step::Pause
    }

    /// Starts to read a request's body.
    fn gather(
        &mut self,
        stream: u32,
        head: Head,
        map: Arc<CompiledMap>,
        task: Task,
        end: bool,
        parked_until: Option<u64>,
    ) -> Step {
        let started = self.now;
        let name = task.name();
        if let Some(encoding) = head.encoding().filter(|_| !end) {
            return self.stop(stream, answers::encoded(encoding), name, started);
        }
        let length = if end { 0 } else { head.content_length().unwrap_or_default() };
        let gathering =
            Gathering { head, task, map, body: Vec::new(), charge: 0, complete: end, parked_until, started };
        self.set_state(stream, State::Gathering(Box::new(gathering)));
        if self.reserve(stream, length) && end {
            self.launch(stream);
        }
        Step::Pause
    }

    /// Makes room for `more` bytes of a body, or answers why there is none.
    fn reserve(&mut self, stream: u32, more: u64) -> bool {
        let Some(Stream { state: State::Gathering(gathering), .. }) = self.streams.get_mut(&stream) else {
            return false;
        };
        let limits = &gathering.map.map.limits;
        let have = u64::try_from(gathering.body.len()).unwrap_or(u64::MAX);
        let wanted = have.saturating_add(more);
        let (name, started, limit) = (gathering.task.name(), gathering.started, limits.max_body_bytes);
        if wanted > limit {
            self.answer(stream, answers::too_large(limit), name, started);
            return false;
        }
        let extra = wanted.saturating_sub(gathering.charge);
        let room = self.held.saturating_add(extra) <= limits.worker_budget_bytes;
        let space = usize::try_from(more).is_ok_and(|more| gathering.body.try_reserve_exact(more).is_ok());
        if !room || !space {
            self.answer(stream, answers::full(), name, started);
            return false;
        }
        gathering.charge = gathering.charge.saturating_add(extra);
        self.held = self.held.saturating_add(extra);
        true
    }

    /// Answers that there is no memory for a body that is being read.
    fn refuse_gathering(&mut self, stream: u32) {
        if let Some(Stream { state: State::Gathering(gathering), .. }) = self.streams.get(&stream) {
            let (name, started) = (gathering.task.name(), gathering.started);
            self.answer(stream, answers::full(), name, started);
        }
    }

    /// A piece of a request's body has come; it is taken out of Envoy's buffer, which is small.
    pub fn on_request_body(&mut self, stream: u32, size: usize, end: bool) -> Step {
        self.called(Caller::Stream(stream));
        match self.streams.get(&stream).map(|stream| &stream.state) {
            Some(State::Passed) => return Step::Continue,
            Some(State::Gathering(_)) => {}
            Some(State::Serving(_) | State::Answered) | None => {
                self.host.take_request_body(size);
                return Step::Pause;
            }
        }
        let piece = if size == 0 { Some(Vec::new()) } else { self.host.take_request_body(size) };
        let Some(piece) = piece else {
            self.refuse_gathering(stream);
            return Step::Pause;
        };
        if !self.reserve(stream, u64::try_from(piece.len()).unwrap_or(u64::MAX)) {
            return Step::Pause;
        }
        if let Some(Stream { state: State::Gathering(gathering), .. }) = self.streams.get_mut(&stream) {
            if end && gathering.body.is_empty() {
                gathering.body = piece;
            } else {
                gathering.body.extend_from_slice(&piece);
            }
            gathering.complete = end;
        }
        if end {
            self.launch(stream);
        }
        Step::Pause
    }

    /// Serves a complete request.
    pub(super) fn launch(&mut self, stream: u32) {
        let Some(entry) = self.streams.get_mut(&stream) else { return };
        if !matches!(&entry.state, State::Gathering(gathering) if gathering.complete && gathering.parked_until.is_none())
        {
            return;
        }
        let State::Gathering(gathering) = std::mem::replace(&mut entry.state, State::Answered) else { return };
        let Gathering { head, task, map, body, charge, started, .. } = *gathering;
        // A body may take its time: what reads now reads by the newest map, which is the one that heartbeats tell of.
        let map = self.map.clone().unwrap_or(map);
        let name = task.name();
        let work = match task {
            Task::Write(write) => Ok(self.write(head, write, body, &map)),
            Task::Read(matched) => {
                let reader_key = self.heartbeats.reader_key();
                let request = ReadRequest { path: head.path, headers: head.headers, body, reader_key };
                match read::decide(&map, &self.health, &matched, request) {
                    Decision::Machine(machine) => Ok(Work::Read(machine)),
                    Decision::Reply(reply) => Err(reply),
                    // The body has been taken, so that it can be neither passed on nor parked.
                    Decision::Forward(_) | Decision::Park => Err(read::waited()),
                }
            }
        };
        match work {
            Ok(work) => self.start(work, stream, map, charge, name),
            Err(reply) => {
                self.held = self.held.saturating_sub(charge);
                self.answer(stream, reply, name, started);
            }
        }
    }

    fn write(&mut self, head: Head, write: WriteHead, body: Vec<u8>, map: &Arc<CompiledMap>) -> Work {
        let mapped = map.map.indexes.get(&write.index);
        let geo = mapped.is_some_and(|index| index.view.geo);
        let index = mapped.map(|index| (index.incarnation, index.primary_key.clone()));
        let setup = WriteSetup {
            head: write,
            body,
            node_body_bytes: map.map.limits.node_body_bytes,
            content_type: head.owned("content-type"),
            authorization: head.owned("authorization"),
            idempotency_key: head.owned("idempotency-key"),
            trace: head.trace(),
            path: head.path,
            attempt: self.host.random_id(),
            vm: self.id.clone(),
            epoch: map.map.epoch,
            shard_count: map.map.shards,
            index,
            geo,
            control_cluster: map.map.control_internal_cluster.clone(),
        };
        Work::Write(Box::new(WriteMachine::new(setup)))
    }

    /// Answers a stream, once.
    pub(super) fn answer(&mut self, stream: u32, mut reply: Reply, op: &'static str, started: u64) {
        let now = self.host.now_ms();
        let Some(entry) = self.streams.get_mut(&stream) else { return };
        if let State::Gathering(gathering) = &entry.state {
            self.held = self.held.saturating_sub(gathering.charge);
        }
        entry.state = State::Answered;
        cors::decorate(&mut reply.headers, entry.cross_origin);
        if let Some((name, value)) = self.heartbeats.warning(now)
            && reply.status < 300
        {
            match reply.headers.iter_mut().find(|(own, _)| own == name) {
                Some((_, own)) => *own = format!("{own}, {value}"),
                None => reply.headers.push((name.to_owned(), value)),
            }
        }
        self.metrics.request(&self.host, op, reply.status, now.saturating_sub(started));
        if self.host.enter(stream) {
            self.host.reply(&reply);
        }
    }

    /// An answer of somebody else's goes to the client.
    pub fn on_response_headers(&mut self, stream: u32) {
        let Some(Stream { cross_origin, state: State::Passed }) = self.streams.get(&stream) else { return };
        self.host.begin(stream);
        if self.host.response_header("vary").is_none() {
            self.host.set_response_header("vary", cors::VARY);
        }
        if *cross_origin && self.host.response_header("access-control-allow-origin").is_none() {
            self.host.set_response_header("access-control-allow-origin", "*");
        }
    }

    /// A stream is gone: a job goes on by its own rules, everything else is dropped.
    pub fn on_stream_deleted(&mut self, stream: u32) {
        self.called(Caller::Stream(stream));
        self.stop_listening(stream);
        let Some(entry) = self.streams.remove(&stream) else { return };
        match entry.state {
            State::Serving(job) => {
                self.metrics.client_gone(&self.host);
                self.leave(job);
            }
            State::Gathering(gathering) => {
                self.metrics.client_gone(&self.host);
                self.held = self.held.saturating_sub(gathering.charge);
            }
            State::Passed | State::Answered => {}
        }
    }

    /// A job works for a stream.
    pub(super) fn serve(&mut self, stream: u32, job: u32) {
        self.set_state(stream, State::Serving(job));
    }

    fn set_state(&mut self, stream: u32, state: State) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.state = state;
        }
    }
}

/// True for paths below `/_miroir/` that are not in the routing table: control's, which may be newer than this filter.
/// Segments that climb are nobody's.
fn is_ours(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty()).map(decode_segment);
    segments.next().is_some_and(|first| first == "_miroir")
        && !segments.any(|segment| segment == ".." || segment == ".")
}
