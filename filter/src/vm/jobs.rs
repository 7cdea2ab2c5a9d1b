//! Jobs: request machines at work, their calls and wake-ups.

use std::collections::VecDeque;
use std::sync::Arc;

use miroir_core::call::{Action, Call, CallId, CallResult, Machine, Reply, Unknown};
use miroir_core::read::ReadMachine;
use miroir_core::shardmap::CompiledMap;
use miroir_core::write::WriteMachine;

use super::{Caller, Vm, outcome};
use crate::host::Host;

/// How often calls whose end never came are looked for.
pub(super) const SWEEP_MS: u64 = 1_000;
/// How long after its timeout a call may still end by itself.
const LOST_AFTER_MS: u64 = 2_000;

/// A machine at work.
pub(super) enum Work {
    /// A read.
    Read(Box<ReadMachine>),
    /// A write.
    Write(Box<WriteMachine>),
}

impl Work {
    fn machine(&mut self) -> &mut dyn Machine {
        match self {
            Self::Read(machine) => machine.as_mut(),
            Self::Write(machine) => machine.as_mut(),
        }
    }
}

/// A request in progress.
pub(super) struct Job {
    work: Work,
    /// The client's stream, while it is there.
    stream: Option<u32>,
    /// The map that the request began with.
    map: Arc<CompiledMap>,
    /// Bytes of its body that count as held.
    charge: u64,
    op: &'static str,
    started: u64,
    /// When it wishes to be woken, as it said last.
    wake_at: Option<u64>,
}

/// A call in flight.
pub(super) struct Sent {
    pub purpose: Purpose,
    /// The root context in whose name it was made: Envoy's owner.
    pub root: u32,
    /// The stream in whose callback it was made, if it was one's: the SDK's owner.
    pub stream: Option<u32>,
    cluster: String,
    at: u64,
    lost_at: u64,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A machine waits for it.
    Job(u32, CallId),
    /// Nobody waits for it.
    Notice,
    /// Its stream has gone, and the SDK will not tell its end.
    Unheard,
    /// A sign of life.
    Heartbeat,
}

impl<H: Host> Vm<H> {
    /// Starts a machine for a stream: a read at once, a write in the next callback of the root.
    pub(super) fn start(&mut self, work: Work, stream: u32, map: Arc<CompiledMap>, charge: u64, op: &'static str) {
        let now = self.now;
        self.last_job = self.last_job.wrapping_add(1);
        let id = self.last_job;
        let outlives_stream = matches!(work, Work::Write(_));
        self.jobs.insert(id, Job { work, stream: Some(stream), map, charge, op, started: now, wake_at: None });
        self.serve(stream, id);
        match self.caller {
            Caller::Stream(_) if outlives_stream => self.hand_over(id),
            _ => self.begin(id),
        }
    }

    /// The first step of a job, unless its client has left meanwhile.
    pub(super) fn begin(&mut self, id: u32) {
        let now = self.now;
        if let Some(job) = self.jobs.get_mut(&id) {
            let actions = job.work.machine().start(now);
            self.run(id, actions);
        }
    }

    /// Lowest epoch that a job still works with.
    pub(super) fn oldest_epoch(&self) -> Option<u64> {
        self.jobs.values().map(|job| job.map.map.epoch).min()
    }

    /// Carries out what a machine wants. A call that cannot be sent ends at once, which may make the machine want more.
    fn run(&mut self, id: u32, actions: Vec<Action>) {
        let mut queue = VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            match action {
                Action::Call(call) => {
                    let call_id = call.id;
                    if let Err(result) = self.send(&call, Purpose::Job(id, call_id)) {
                        let now = self.now;
                        let Some(job) = self.jobs.get_mut(&id) else { return };
                        queue.extend(job.work.machine().on_result(call_id, result, now));
                    }
                }
                Action::Notify(call) => {
                    let _ = self.send(&call, Purpose::Notice);
                }
                Action::Reply(reply) => self.answer_job(id, reply),
                Action::WakeAt(at) => {
                    self.wakes.insert((at, id));
                    if let Some(job) = self.jobs.get_mut(&id) {
                        job.wake_at = Some(at);
                    }
                }
                Action::Done => {
                    self.end_job(id);
                    return;
                }
            }
        }
    }

    fn answer_job(&mut self, id: u32, reply: Reply) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (op, started) = (job.op, job.started);
        if let Some(stream) = job.stream.take() {
            self.answer(stream, reply, op, started);
        }
    }

    fn end_job(&mut self, id: u32) {
        if let Some(job) = self.jobs.remove(&id) {
            self.held = self.held.saturating_sub(job.charge);
            // Deadlines lie far behind the ends of most requests, and would pile up until then.
            if let Some(at) = job.wake_at {
                self.wakes.remove(&(at, id));
            }
            // A machine that ends without a word has failed; the client must not wait for ever.
            if let Some(stream) = job.stream {
                self.answer(stream, super::answers::broken(), job.op, job.started);
            }
        }
    }

    /// Sends a call in the name of the root context whose callback runs, or of the newest one. Envoy's owner and the
    /// SDK's have to be the same root, or the end of one would lose the call.
    pub(super) fn send(&mut self, call: &Call, purpose: Purpose) -> Result<(), CallResult> {
        let now = self.now;
        let (root, stream) = match self.caller {
            Caller::Root(root) => (root, None),
            Caller::Stream(stream) => (self.root, Some(stream)),
        };
        self.host.enter(root);
        match self.host.call(call) {
            Ok(token) => {
                let lost_at = now.saturating_add(call.timeout_ms).saturating_add(LOST_AFTER_MS);
                let sent = Sent { purpose, root, stream, cluster: call.cluster.clone(), at: now, lost_at };
                self.sent.insert(token, sent);
                Ok(())
            }
            Err(reason) => {
                let result = CallResult::NotSent(reason);
                self.count_call(&call.cluster, &result, 0);
                Err(result)
            }
        }
    }

    fn count_call(&mut self, cluster: &str, result: &CallResult, took: u64) {
        let Some(map) = &self.map else { return };
        let mut nodes = map.map.nodes.iter();
        let node = nodes.find(|node| node.cluster == cluster || node.write_cluster == cluster);
        self.metrics.call(&self.host, node.map_or("control", |node| &node.id), outcome::name(result), took);
    }

    /// A call has ended.
    pub fn on_call_end(&mut self, caller: Caller, token: u32, header_count: usize, body_size: usize) {
        self.called(caller);
        let Some(sent) = self.sent.remove(&token) else { return };
        let there = self.host.enter(sent.root) && header_count > 0;
        let body = if there { self.host.call_body(body_size) } else { None };
        let result = match body {
            Some(body) => outcome::result(self.host.call_status(), body, || self.host.call_headers()),
            None => CallResult::Unknown(Unknown::Broken),
        };
        self.finish_call(sent, result);
    }

    fn finish_call(&mut self, sent: Sent, result: CallResult) {
        let now = self.now;
        self.count_call(&sent.cluster, &result, now.saturating_sub(sent.at));
        match sent.purpose {
            Purpose::Job(id, call) => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    let actions = job.work.machine().on_result(call, result, now);
                    self.run(id, actions);
                }
            }
            Purpose::Notice | Purpose::Unheard => {}
            Purpose::Heartbeat => self.on_heartbeat(&result, now),
        }
    }

    /// Ends calls that Envoy has forgotten, so that no machine waits for ever.
    pub(super) fn sweep(&mut self, now: u64) {
        let lost: Vec<u32> =
            self.sent.iter().filter(|(_, sent)| now >= sent.lost_at).map(|(token, _)| *token).collect();
        for token in lost {
            if let Some(sent) = self.sent.remove(&token).filter(|sent| sent.purpose != Purpose::Unheard) {
                self.finish_call(sent, CallResult::Unknown(Unknown::Timeout));
            }
        }
    }

    pub(super) fn wake(&mut self, id: u32, now: u64) {
        if let Some(job) = self.jobs.get_mut(&id) {
            let actions = job.work.machine().on_wake(now);
            self.run(id, actions);
        }
    }

    /// The client of a job has left.
    pub(super) fn leave(&mut self, id: u32) {
        let now = self.now;
        if let Some(job) = self.jobs.get_mut(&id) {
            job.stream = None;
            let actions = job.work.machine().on_client_gone(now);
            self.run(id, actions);
        }
    }

    /// A stream has gone: the ends of the calls made from it will not be told. They stay on the list for as long as
    /// they may run, so that their root does.
    pub(super) fn stop_listening(&mut self, stream: u32) {
        for sent in self.sent.values_mut().filter(|sent| sent.stream == Some(stream)) {
            sent.purpose = Purpose::Unheard;
        }
    }

    /// The worker ends: control is told of every write that it leaves open.
    pub(super) fn give_up(&mut self) {
        let notices: Vec<Call> = self
            .jobs
            .values_mut()
            .filter_map(|job| match &mut job.work {
                Work::Write(machine) => machine.give_up(),
                Work::Read(_) => None,
            })
            .collect();
        for call in notices {
            let _ = self.send(&call, Purpose::Notice);
        }
        self.jobs.clear();
    }
}
