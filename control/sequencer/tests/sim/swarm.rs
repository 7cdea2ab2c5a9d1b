//! The mixture of troubles of a run, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use miroir_sequencer::{Alert, TaskRow};

use crate::random::Random;

/// The mixture of a run; rates of 1000.
#[derive(Clone, Debug)]
pub struct Swarm {
    pub fencing: bool,
    pub writes: u32,
    /// Of twenty writes, fifteen have documents, and so many of these update them rather than replace them.
    pub updates: u64,
    pub drop: u64,
    pub slow: u64,
    pub repeat: u64,
    pub task_fault: u64,
    pub hollow: u64,
    pub client_leaves: u64,
    pub crash_mid: u64,
    /// Edits that fail where they find a certain document, of 1000. Replicas of one shard may differ in what else they
    /// hold, so that some fail and some do not.
    pub fatal: u64,
    /// Longest pause between two writes of a client.
    pub rest: u64,
    /// Longest pause between two injected faults.
    pub pause: u64,
    pub kinds: Vec<&'static str>,
    /// Clients read while the world runs.
    pub reads: bool,
    /// A filter that has just started reads by the map that it has, whether control has heard of it or not (planted).
    pub reads_at_once: bool,
    /// Nodes count all that they hold of an index, whichever shards they are asked for (planted).
    pub whole_totals: bool,
    /// Calls from filters to nodes that end with a connection, of 1000: each goes well when it is made again.
    pub breaks: u64,
    /// Nodes hang one at a time, and nothing else happens: no lock waits for them beyond the soft limit.
    pub prompt: bool,
    /// The store takes what a leader writes whose lease is over (planted).
    pub store_unfenced: bool,
    /// Some documents go to an index `c`, and come with either of two keys.
    pub rivals: bool,
    /// Most tasks that a node does together; each time so many or fewer.
    pub batch: u64,
    /// Writes of documents that make none (`skipCreation`).
    pub skips: u64,
}

pub const KINDS: [&str; 15] = [
    "kill-node",
    "stop-node",
    "wipe-node",
    "restore-node",
    "late-disk",
    "kill-control",
    "stop-control",
    "depose",
    "kill-vm",
    "stop-vm",
    "cut",
    "operation",
    "cancel",
    "hollow",
    "move",
];

impl Swarm {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xABCD);
        let mut some = |rate: u64| if random.chance(500) { random.below(rate) } else { 0 };
        let (drop, slow, repeat) = (some(30), some(60), some(100));
        let (task_fault, hollow, client_leaves, crash_mid) = (some(100), some(50), some(300), some(15));
        let mut kinds: Vec<&'static str> = KINDS.iter().copied().filter(|_| random.chance(450)).collect();
        let pause = random.between(500, 6_000);
        let batch = if random.chance(500) { random.between(2, 6) } else { 1 };
        kinds.extend(random.chance(300).then_some("foreign-settings"));
        Self {
            fencing: true,
            writes: 14,
            updates: 3,
            fatal: 300,
            rest: 1_500,
            drop,
            slow,
            repeat,
            task_fault,
            hollow,
            client_leaves,
            crash_mid,
            pause,
            kinds,
            reads: true,
            reads_at_once: false,
            whole_totals: false,
            breaks: 0,
            prompt: false,
            store_unfenced: false,
            rivals: false,
            batch,
            skips: 200,
        }
    }

    /// The same with operators.
    pub fn operated(seed: u64) -> Self {
        let mut swarm = Self::of(seed);
        swarm.kinds.push("admin");
        swarm
    }

    pub fn calm() -> Self {
        Self {
            fencing: true,
            writes: 14,
            updates: 3,
            fatal: 300,
            rest: 1_500,
            drop: 0,
            slow: 0,
            repeat: 0,
            task_fault: 0,
            hollow: 0,
            client_leaves: 0,
            crash_mid: 0,
            pause: 1_000,
            kinds: Vec::new(),
            reads: true,
            reads_at_once: false,
            whole_totals: false,
            breaks: 0,
            prompt: false,
            store_unfenced: false,
            rivals: false,
            batch: 1,
            skips: 200,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub events: u64,
    pub reads: u64,
    /// Former leaders that woke up, and what they tried to store.
    pub formers: u64,
    pub refused: u64,
    pub alerts: BTreeMap<&'static str, u64>,
    pub replies: BTreeMap<u16, u64>,
    pub tasks: BTreeMap<String, u64>,
    /// Tickets that control reported as late on a disk that knew their keys again.
    pub late: BTreeSet<u32>,
    /// Tickets that control reported as lost with the disks that had them.
    pub lost: BTreeSet<u32>,
}

impl Stats {
    pub fn alert(&mut self, alert: &Alert) {
        *self.alerts.entry(alert.kind).or_default() += 1;
        if let Some((ticket, _)) = alert.text.strip_prefix("ticket ").and_then(|text| text.split_once(" is lost")) {
            self.lost.extend(ticket.parse::<u32>());
        }
    }

    pub fn reply(&mut self, status: u16) {
        *self.replies.entry(status).or_default() += 1;
    }

    pub fn task(&mut self, task: &TaskRow) {
        *self.tasks.entry(format!("{} {:?}", task.task_type, task.status)).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.reads += other.reads;
        self.formers += other.formers;
        self.refused += other.refused;
        other.alerts.iter().for_each(|(kind, count)| *self.alerts.entry(kind).or_default() += count);
        other.replies.iter().for_each(|(kind, count)| *self.replies.entry(*kind).or_default() += count);
        other.tasks.iter().for_each(|(kind, count)| *self.tasks.entry(kind.clone()).or_default() += count);
    }
}
