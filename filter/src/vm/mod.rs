//! One worker: its map, the client streams and the jobs that run for them, the calls in flight, and the timer.
//!
//! Everything lives here and nothing in Envoy's context objects: a job survives its stream, and a worker survives its
//! configuration. A call has two owners. Envoy's is the entered context: always a root, so that a call goes on to its
//! end whatever becomes of the stream. The SDK's is the context whose callback runs: an answer to a stream that has gone
//! is dropped. So reads call straight from their stream's callbacks, and writes are handed over to the root first
//! (`handover`).

mod answers;
mod gossip;
mod handover;
mod heartbeat;
mod jobs;
mod outcome;
mod parking;
mod request;
mod streams;
mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use miroir_core::health::{NodeHealth, SharedHealth};
use miroir_core::shardmap::{CompiledMap, parse};

use crate::host::Host;
use crate::metrics::Metrics;
use gossip::Gossip;
use handover::Handover;
use heartbeat::Heartbeats;
use jobs::{Job, Sent};
use streams::Stream;

/// Period of the timer: how late a wake-up may be.
const TICK_MS: u32 = 10;

/// What Envoy does with the request after a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Goes on to the router.
    Continue,
    /// Stays with the filter.
    Pause,
}

/// The context whose callback runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A root context.
    Root(u32),
    /// A client's stream.
    Stream(u32),
}

/// One worker.
pub struct Vm<H: Host> {
    host: H,
    /// Random name of this VM, for control.
    id: String,
    /// Name of the proxy that runs it, for control.
    proxy: Option<String>,
    /// The newest root context.
    root: u32,
    caller: Caller,
    /// When the callback began that runs.
    now: u64,
    handover: Handover,
    map: Option<Arc<CompiledMap>>,
    health: SharedHealth,
    gossip: Gossip,
    metrics: Metrics,
    streams: HashMap<u32, Stream>,
    jobs: HashMap<u32, Job>,
    last_job: u32,
    sent: HashMap<u32, Sent>,
    /// Jobs to wake, by time.
    wakes: BTreeSet<(u64, u32)>,
    /// Bytes of clients' bodies that are held.
    held: u64,
    /// Replaced root contexts that wait for the ends of their calls.
    draining: Vec<u32>,
    /// Root contexts that have not ended.
    roots: BTreeSet<u32>,
    /// Control has been told that it ends.
    ended: bool,
    heartbeats: Heartbeats,
    swept_at: u64,
}

impl<H: Host> Vm<H> {
    /// A worker without a map.
    pub fn new(host: H) -> Self {
        let id = host.random_id();
        let metrics = Metrics::new(&host);
        Self {
            host,
            id,
            proxy: None,
            root: 0,
            caller: Caller::Root(0),
            now: 0,
            handover: Handover::default(),
            map: None,
            health: NodeHealth::shared(),
            gossip: Gossip::default(),
            metrics,
            streams: HashMap::new(),
            jobs: HashMap::new(),
            last_job: 0,
            sent: HashMap::new(),
            wakes: BTreeSet::new(),
            held: 0,
            draining: Vec::new(),
            roots: BTreeSet::new(),
            ended: false,
            heartbeats: Heartbeats::default(),
            swept_at: 0,
        }
    }

    /// A callback has begun.
    fn called(&mut self, caller: Caller) {
        self.caller = caller;
        let (Caller::Root(context) | Caller::Stream(context)) = caller;
        self.host.begin(context);
        self.now = self.host.now_ms();
    }

    /// Takes a configuration, or keeps the map in force when it cannot be read: a worker that refuses a configuration
    /// may lose its filter in Envoy, and the map that it has is better than none. Control learns of it by heartbeat.
    pub fn on_configure(&mut self, root: u32) {
        self.root = root;
        self.roots.insert(root);
        self.ended = false;
        self.called(Caller::Root(root));
        self.host.set_tick_ms(TICK_MS);
        self.proxy = self.host.proxy_id();
        self.move_bell();
        let text = self.host.configuration().unwrap_or_default();
        let parsed = std::str::from_utf8(&text).map_err(|error| error.to_string()).and_then(|text| {
            let map = parse(text).map_err(|error| error.to_string())?;
            match &self.map {
                Some(own) if own.map.cluster == map.cluster && map.epoch < own.map.epoch => {
                    Err(format!("epoch {} is older than {}", map.epoch, own.map.epoch))
                }
                _ => Ok(map),
            }
        });
        match parsed {
            Ok(map) => {
                log::info!("vm {} runs on the shard map of epoch {}", self.id, map.epoch);
                self.metrics.epoch(&self.host, map.epoch);
                self.health.borrow_mut().retain(&|node| map.nodes.iter().any(|known| known.id == node));
                self.map = Some(Arc::new(CompiledMap::new(map)));
                self.heartbeats.adopted();
                self.retry_parked();
            }
            Err(fault) => {
                log::warn!("vm {} keeps its shard map: {fault}", self.id);
                self.metrics.rejected(&self.host);
                self.heartbeats.rejected(fault);
            }
        }
    }

    /// The timer. Only the newest root's counts.
    pub fn on_tick(&mut self, root: u32) {
        if root != self.root {
            return;
        }
        self.called(Caller::Root(root));
        let now = self.now;
        self.gossip(now);
        self.begin_waiting();
        while let Some((at, job)) = self.wakes.first().copied() {
            if at > now {
                break;
            }
            self.wakes.pop_first();
            self.wake(job, now);
        }
        self.tick_parked(now);
        if !self.draining.contains(&self.root) {
            self.beat(now);
        }
        if now.saturating_sub(self.swept_at) >= jobs::SWEEP_MS {
            self.swept_at = now;
            self.sweep(now);
            self.metrics.load(&self.host, self.jobs.len(), self.held);
        }
        self.release_root();
    }

    /// A root context ends; false keeps it until [`Host::root_done`]. A root stays until its calls have ended, because
    /// Envoy would cut them off with it, and the newest one until the worker's requests have.
    pub fn on_done(&mut self, root: u32) -> bool {
        self.called(Caller::Root(root));
        if self.roots.remove(&root) && self.roots.is_empty() {
            // The worker is replaced or taken down. What is left of it goes by this root.
            self.root = root;
        }
        let idle = self.is_idle(root) && !self.ends_with(root);
        if idle || root != self.root {
            self.stop_ticks();
        }
        if !idle {
            self.draining.push(root);
        }
        idle
    }

    /// Whether the worker ends with this root, and control is being told so: when the last call has ended, no request
    /// reads by any map of this worker.
    fn ends_with(&mut self, root: u32) -> bool {
        let last = root == self.root && self.roots.is_empty();
        last && self.streams.is_empty() && !std::mem::replace(&mut self.ended, true) && self.say_goodbye()
    }

    /// Ends the timer of the entered root context, which would outlive it: Envoy 1.40 sets a root's timer anew whether
    /// the context is still there or not, so that each configuration would leave one more running.
    fn stop_ticks(&self) {
        self.host.set_tick_ms(0);
    }

    /// True when nothing in progress needs a root context.
    fn is_idle(&self, root: u32) -> bool {
        let called = self.sent.values().any(|sent| sent.root == root);
        !called && (root != self.root || self.jobs.is_empty())
    }

    /// Lets go of a root context that has ended and that nothing needs any more. One a tick, and in no other callback:
    /// Envoy 1.40 deletes roots when the callback returns, each deletion looks at the list of those to delete anew, and
    /// with two on it the first is deleted twice, which takes the whole process down. The end of a call that failed at
    /// once is told between the callback that made it and that deletion, so a call's end must not add a second one; a
    /// tick is never told in between.
    fn release_root(&mut self) {
        let Some(at) = self.draining.iter().position(|root| self.is_idle(*root)) else { return };
        let Some(root) = self.draining.get(at).copied() else { return };
        if self.ends_with(root) {
            return;
        }
        self.draining.remove(at);
        if self.host.enter(root) {
            self.stop_ticks();
            self.host.root_done();
        }
    }

    /// A root context is gone. The newest one takes the worker with it: a last word to control, and no more.
    pub fn on_root_deleted(&mut self, root: u32) {
        self.called(Caller::Root(root));
        self.draining.retain(|draining| *draining != root);
        if root == self.root {
            self.give_up();
        }
    }
}
