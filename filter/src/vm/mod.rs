//! One worker: its map, the client streams and the jobs that run for them, the calls in flight, and the timer.
//!
//! Everything lives here and nothing in Envoy's context objects: a job survives its stream, and a worker survives its
//! configuration. Calls are made in the name of the newest root context, so that their ends reach the worker whatever
//! has become of the stream.

mod answers;
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

use crate::host::{Host, Level};
use crate::metrics::Metrics;
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

/// One worker.
pub struct Vm<H: Host> {
    host: H,
    /// Random name of this VM, for control.
    id: String,
    /// The newest root context.
    root: u32,
    map: Option<Arc<CompiledMap>>,
    health: SharedHealth,
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
            root: 0,
            map: None,
            health: NodeHealth::shared(),
            metrics,
            streams: HashMap::new(),
            jobs: HashMap::new(),
            last_job: 0,
            sent: HashMap::new(),
            wakes: BTreeSet::new(),
            held: 0,
            draining: Vec::new(),
            heartbeats: Heartbeats::default(),
            swept_at: 0,
        }
    }

    /// Takes a configuration, or keeps the map in force when it cannot be read: a worker that refuses a configuration
    /// may lose its filter in Envoy, and the map that it has is better than none. Control learns of it by heartbeat.
    pub fn on_configure(&mut self, root: u32) {
        self.root = root;
        self.host.set_tick_ms(TICK_MS);
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
                self.host.log(Level::Info, &format!("vm {} runs on the shard map of epoch {}", self.id, map.epoch));
                self.metrics.epoch(&self.host, map.epoch);
                self.health.borrow_mut().retain(&|node| map.nodes.iter().any(|known| known.id == node));
                self.map = Some(Arc::new(CompiledMap::new(map)));
                self.heartbeats.adopted();
                self.retry_parked();
            }
            Err(fault) => {
                self.host.log(Level::Warn, &format!("vm {} keeps its shard map: {fault}", self.id));
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
        let now = self.host.now_ms();
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
        self.release_roots();
    }

    /// A context ends; false keeps it until [`Host::root_done`]. A root stays until its calls have ended, because Envoy
    /// would cut them off with it, and the newest one until the worker's requests have.
    pub fn on_done(&mut self, context: u32) -> bool {
        if self.is_idle(context) {
            return true;
        }
        self.draining.push(context);
        false
    }

    /// True when nothing in progress needs a context.
    fn is_idle(&self, context: u32) -> bool {
        let called = self.sent.values().any(|sent| sent.root == context);
        !called && (context != self.root || self.jobs.is_empty())
    }

    /// Lets go of the contexts that have ended and that nothing needs any more.
    fn release_roots(&mut self) {
        let draining = std::mem::take(&mut self.draining);
        let (idle, busy) = draining.into_iter().partition(|root| self.is_idle(*root));
        self.draining = busy;
        let idle: Vec<u32> = idle;
        for root in idle {
            if self.host.enter(root) {
                self.host.root_done();
            }
        }
    }

    /// A context is gone. The newest root takes the worker with it: a last word to control, and no more.
    pub fn on_delete(&mut self, context: u32) {
        self.draining.retain(|root| *root != context);
        if context == self.root {
            self.give_up();
        }
        self.on_stream_gone(context);
    }
}
