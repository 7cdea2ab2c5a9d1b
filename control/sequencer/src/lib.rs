//! Orders writes over the replicas: tickets, fences, audit and recovery (`docs/protocol.md`), as one pure state
//! machine. Events in, effects out; no I/O, no clock, no randomness: the same events give the same effects, which is
//! what the simulation in `tests/` lives by.

pub mod admin;
pub mod api;
mod audit;
mod away;
mod begin;
mod cancel;
mod commit;
mod config;
mod copies;
mod decide;
mod details;
mod disk;
mod divide;
mod doubles;
mod fence;
mod foregone;
mod grant;
mod index_ends;
mod index_ops;
pub mod jobs;
mod journal;
mod locks;
mod map;
pub mod members;
mod names;
mod node;
mod node_ops;
mod node_rows;
mod numbers;
mod out;
mod outcome;
mod plan_view;
pub mod planted;
mod prune;
mod read;
mod revert;
pub mod rows;
mod scrub;
mod settle;
mod start;
mod state;
mod swap;
mod sync;
mod tagging;
mod task_rows;
mod ticket;
mod ticket_rows;
mod time;
mod versions;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

pub use api::*;
pub use audit::INDEX_TASKS;
use locks::Locks;
pub use names::ClusterNames;
use out::Out;
use planted::Planted;
use state::{Copy, Live, Node, Op, Ticket, Timer, Todo, Vm, Waiting};
pub use tagging::TaggingView;
pub use time::rfc3339;
pub use versions::is_served;
pub use watch::WATCHED;

/// Most uids in [`NodeAction::ReadTasks::open`].
pub const OPEN_LIMIT: usize = 200;

/// The sequencer. One per leader.
#[derive(Debug)]
pub struct Sequencer {
    config: Config,
    planted: Planted,
    now: u64,
    meta: MetaRow,
    nodes: Vec<Node>,
    /// By placement and shard, in order of rank.
    copies: Vec<Vec<Vec<Copy>>>,
    indexes: BTreeMap<String, IndexRow>,
    tickets: BTreeMap<u32, Ticket>,
    attempts: BTreeMap<String, u32>,
    /// Aborted attempts and when to forget them.
    tombstones: BTreeMap<String, u64>,
    locks: Locks,
    idempotency: BTreeMap<String, IdempotencyRow>,
    /// Epoch since which maps keep readers from some copy of a shard, by placement and shard (F7).
    unread: BTreeMap<(u16, u32), u64>,
    /// Epoch since which the last node that came back is read again: up to then, copies that are away may have been
    /// read in its place (F7).
    presence_epoch: u64,
    /// Begins that wait for a provisional primary key to be settled (F31), in order of arrival.
    parked: Vec<Waiting>,
    /// Tickets whose outcome only copies out of reach know, with index and shards: these are down.
    held: BTreeMap<u32, (String, Vec<u32>)>,
    /// Open writes of each index whose primary key is provisional.
    key_users: BTreeMap<String, BTreeSet<u32>>,
    vms: BTreeMap<String, Vm>,
    /// Tickets whose success waits for the live VMs (F7).
    adopting: BTreeSet<u32>,
    /// Tickets that look for certainty about their parts.
    settling: BTreeSet<u32>,
    /// Cancelations that are not over.
    cancelations: BTreeSet<u32>,
    ops: BTreeMap<OpId, Op>,
    next_op: u64,
    /// Counts starts of reads: a read that starts later has the higher stamp.
    stamp: u64,
    /// Place of the next journal entry.
    journal_order: u64,
    /// Moves and repair.
    syncs: sync::Syncs,
    timers: BTreeSet<(u64, Timer)>,
    wake: Option<u64>,
    todo: BTreeSet<Todo>,
    started_ms: u64,
    /// What came before tickets could be numbered, with the time of its arrival.
    early: Vec<(u64, Event)>,
    jobs: jobs::Jobs,
    /// The comparison of copies in the background.
    scrub: scrub::Scrub,
    /// Documents without their shard's tag.
    tagging: tagging::Tagging,
    watched: watch::Watched,
    out: Out,
}

impl Sequencer {
    /// Starts a term: takes what the store has, and fences every node before its first grant.
    #[must_use]
    pub fn new(config: Config, snapshot: Snapshot, now_ms: u64) -> (Self, Vec<Effect>) {
        Self::with_planted(config, snapshot, now_ms, Planted::default())
    }

    /// The same with rules switched off; for the simulation alone.
    #[doc(hidden)]
    #[must_use]
    pub fn with_planted(config: Config, snapshot: Snapshot, now_ms: u64, planted: Planted) -> (Self, Vec<Effect>) {
        let mut sequencer = start::build(config, snapshot, now_ms, planted);
        sequencer.begin_watch();
        sequencer.start();
        let effects = sequencer.finish();
        (sequencer, effects)
    }

    /// Takes one event.
    #[must_use]
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Vec<Effect> {
        self.now = self.now.max(now_ms);
        match event {
            Event::Tick => {}
            event @ (Event::Begin { .. }
            | Event::IndexOperation { .. }
            | Event::Cancel { .. }
            | Event::Recorded { .. }) => {
                if self.is_open() {
                    self.on_numbered(self.now, event);
                } else {
                    self.early.push((self.now, event));
                }
            }
            Event::Commit { request, commit } => self.on_commit(request, commit),
            Event::Abort(abort) => self.on_abort(&abort),
            Event::Abandon(abandon) => self.on_abandon(abandon),
            Event::Renew { request, renew } => self.on_renew(request, renew),
            Event::Heartbeat(heartbeat) => self.on_heartbeat(&heartbeat),
            Event::Planned { op, plan } => self.on_planned(op, plan),
            Event::Verified { op, differing } => self.on_verified(op, &differing),
            Event::Node { op, result } => self.on_node(op, result),
            Event::Reconciled { op, look } => self.on_reconciled(op, look),
            Event::WrittenDown { op, result } => self.on_written_down(op, result),
            Event::Sync(command) => self.on_sync_command(command),
            Event::Admin { request, command } => self.on_admin(request, command),
            Event::Measured { op, nodes } => self.on_measured(op, &nodes),
        }
        self.finish()
    }

    /// Takes what needs a number.
    fn on_numbered(&mut self, arrived: u64, event: Event) {
        match event {
            Event::Begin { request, begin, api_key, may_create } => {
                let until = arrived + self.config.timing.begin_wait;
                self.admit(Waiting { request, begin: Box::new(begin), api_key, may_create, until });
            }
            Event::IndexOperation { request, operation, custom_metadata } => {
                self.on_index_operation(Some(request), operation, custom_metadata);
            }
            Event::Cancel { request, tasks, original_filter } => self.on_cancel(request, tasks, original_filter),
            Event::Recorded { request, task, known } => self.on_recorded(request, *task, known),
            _ => {}
        }
    }

    /// Epoch of [`Sequencer::map`].
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.meta.epoch
    }

    /// Writes that a client or its filter may still hear of: granted and not committed, or being decided. Those that
    /// only wait in the queue, and those that nobody will commit, are not among them.
    #[must_use]
    pub fn open_writes(&self) -> usize {
        let open = |ticket: &&Ticket| match ticket.live {
            Live::Granted => matches!(ticket.row.work, TicketWork::Write(_)),
            Live::Settling { resolve } => !resolve || !ticket.asking.is_empty(),
            Live::Queued | Live::Decided | Live::Over => false,
        };
        self.tickets.values().filter(open).count()
    }

    /// An index.
    #[must_use]
    pub fn index(&self, uid: &str) -> Option<&IndexRow> {
        self.indexes.get(uid)
    }

    /// All indexes, by uid.
    pub fn indexes(&self) -> impl Iterator<Item = &IndexRow> {
        self.indexes.values()
    }

    fn run_timers(&mut self) {
        while let Some((at, timer)) = self.timers.first().cloned() {
            if at > self.now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Node(node) => drop(self.todo.insert(Todo::Node(node))),
                Timer::Ticket(uid) => self.ticket_timer(uid),
                Timer::Parked => self.parked_timer(),
                Timer::Sweep => self.sweep(),
                Timer::Adoption => self.check_adoption(),
                Timer::Opening => {}
                Timer::Jobs => drop(self.todo.insert(Todo::Jobs)),
                Timer::Sync(place) => drop(self.todo.insert(Todo::Sync(place))),
                Timer::Retire(place) => drop(self.todo.insert(Todo::Retire(place))),
                Timer::Scan => drop(self.todo.insert(Todo::Scan)),
                Timer::Scrub => drop(self.todo.insert(Todo::Scrub)),
                Timer::Tags => drop(self.todo.insert(Todo::Tags)),
            }
        }
    }

    fn run_todo(&mut self) {
        while let Some(todo) = self.todo.pop_first() {
            match todo {
                Todo::Grant(uid) => self.try_grant(uid),
                Todo::Settle(uid) => {
                    self.settle(uid);
                    self.sync_ticket(uid);
                }
                Todo::Judge(uid) => {
                    self.judge(uid);
                    self.sync_ticket(uid);
                }
                Todo::Node(node) => self.step_node(node),
                Todo::Jobs => self.pump_jobs(),
                Todo::Sync(place) => {
                    self.drive_hold(place);
                    self.drive_sync(place);
                }
                Todo::Retire(place) => self.drive_retire(place),
                Todo::Scan => self.scan_syncs(),
                Todo::Scrub => self.drive_scrub(),
                Todo::Tags => self.drive_tagging(),
                Todo::Unwritten(op) => self.on_written_down(op, Ok(())),
            }
        }
    }

    fn at(&mut self, time: u64, timer: Timer) {
        self.timers.insert((time, timer));
    }

    fn op(&mut self, op: Op) -> OpId {
        self.next_op += 1;
        self.ops.insert(OpId(self.next_op), op);
        OpId(self.next_op)
    }
}
