//! What the sequencer keeps in memory. All maps are ordered: the same events give the same effects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use miroir_core::wire;

use crate::api::*;
use crate::locks::Wanted;
use crate::sync::Place;

/// Position of a node in the configuration.
pub(crate) type N = usize;

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) row: NodeRow,
    pub(crate) reach: Reach,
    /// Keys of generation `live`, once made.
    pub(crate) keys: Option<Keys>,
    /// Generation that grants carry.
    pub(crate) live: u64,
    /// No request with a key of a lower generation can be enqueued any more, and the tasks have been read since.
    pub(crate) fenced: u64,
    pub(crate) fence: Option<Fence>,
    /// A fence to at least this generation is wanted.
    pub(crate) fence_wanted: u64,
    pub(crate) reading: Option<Reading>,
    /// Stamp of the newest read of the task list that reached its end.
    pub(crate) read_done: u64,
    /// A read that starts at this stamp or later is wanted.
    pub(crate) read_wanted: u64,
    pub(crate) next_read: u64,
    /// No read that nobody waits for begins before this.
    pub(crate) no_read_before: u64,
    pub(crate) pause: u64,
    pub(crate) fails: u32,
    pub(crate) backoff: u64,
    /// Unfinished node tasks, and the tickets that they belong to.
    pub(crate) open: BTreeMap<u32, u32>,
    /// Tasks that it has accepted and not yet listed, with the times at which it enqueued them.
    pub(crate) accepted: BTreeMap<u32, String>,
    /// Tickets with a part here that has not ended.
    pub(crate) parts: BTreeSet<u32>,
    pub(crate) journal: VecDeque<JournalRow>,
    pub(crate) journal_op: Option<OpId>,
    /// A step whose answer is awaited still, and the task that was taken for it because it looks like it.
    pub(crate) taken_for: Option<(OpId, u32)>,
    /// Not read until its tasks below this uid have ended.
    pub(crate) drain: u32,
    /// By index and shard: one more than the newest ticket that the node has enqueued (F3).
    pub(crate) order: BTreeMap<String, Vec<u32>>,
    /// Tasks that report nothing, and the read that showed it first (F11).
    pub(crate) doubtful: BTreeMap<u32, u64>,
    /// Newest task of each index that has deleted it, where older ones are not over. Not known after a restart: what then
    /// seems to have done nothing is compared once more than it need be.
    pub(crate) dropped: BTreeMap<String, u32>,
    /// All that it missed up to `drain` is done: from here on writes wait for it again, so that it gets to the end.
    pub(crate) closing: bool,
    /// Not read until its tasks below this uid have ended: others have been reported as done without it.
    pub(crate) owed: u32,
    /// While it is away: shards in which others have done writes that it has only accepted, and below which uid its tasks
    /// must have ended for it to have done them too. Until then it is not read there, not even where no other copy can be.
    pub(crate) owes: BTreeMap<(u16, u32), u32>,
    /// Epoch since which maps keep readers from it, on account of being away or of owing.
    pub(crate) away_epoch: u64,
    /// The deletion of its oldest tasks that is under way.
    pub(crate) pruning: Option<OpId>,
    pub(crate) next_prune: u64,
    /// An engine of another version has been started on its disk since it was last inspected.
    pub(crate) upgraded: bool,
    /// Its indexes with their creation times, as the inspection of this contact showed them.
    pub(crate) shown: Vec<(String, String)>,
    /// Those of them that no operation under way concerned.
    pub(crate) settled: Vec<(String, String)>,
    /// Disks that were away, by incarnation, whose last known task the present disk has shown.
    pub(crate) resembles: BTreeSet<u64>,
    /// Its indexes have been looked at once more, since they were not those of a disk that its tasks resemble.
    pub(crate) shown_again: bool,
    /// The present disk is the one of this other node.
    pub(crate) others_disk: Option<N>,
    /// The member whose Meilisearch this newcomer turned out to be.
    pub(crate) double: Option<N>,
    /// Why contact was lost, or could not be made, until there is contact.
    pub(crate) trouble: Option<String>,
    /// The first attempt to reach it in this term is not over.
    pub(crate) starting: bool,
}

impl Node {
    /// The key by which documents are written there; none where nodes are open.
    pub(crate) fn data_key(&self) -> Option<String> {
        self.keys.as_ref().and_then(|keys| keys.data.clone())
    }
}

/// Contact with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// None; tried again at this time.
    Down(u64),
    /// Being taken back.
    Joining(Join),
    /// Fenced in this term and in contact since.
    Up,
}

/// Steps of taking a node back (protocol 1.3, "node back").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// Health, version.
    Inspect,
    /// Keys, quiet, tasks; the read of the tasks checks the witness first.
    Fence,
    /// Index operations that it missed.
    Replay,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) data: Option<String>,
    pub(crate) admin: Option<String>,
    pub(crate) edit: Option<String>,
}

/// A fence under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) generation: u64,
    pub(crate) stage: FenceStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FenceStage {
    /// The keys are being replaced.
    Keys(OpId),
    /// Requests authorised before may still be on their way into the queue, until this time.
    Quiet(u64),
    /// A read of the tasks that started at this stamp or later ends it.
    Read(u64),
}

/// A read of a node's task list, page by page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) op: OpId,
    pub(crate) stamp: u64,
    /// Tasks below this uid were known, from answers of the node, when the read began: it must show them.
    pub(crate) expected: u32,
}

/// A copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) node: N,
    pub(crate) incarnation: u64,
    pub(crate) state: CopyState,
    /// Epoch since which it has been in sync without a break; of two copies, the one with the lower is senior.
    pub(crate) since: u64,
}

/// A ticket.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) row: TicketRow,
    pub(crate) locks: Wanted,
    pub(crate) live: Live,
    /// Begin that waits in the queue.
    pub(crate) waiting: Option<Waiting>,
    /// Commits that wait for the decision.
    pub(crate) asking: Vec<RequestId>,
    /// Renewals that wait for new keys.
    pub(crate) renewing: Vec<(RequestId, Vec<NodeId>)>,
    /// Begins with the same idempotency key that wait for the decision.
    pub(crate) followers: Vec<Waiting>,
    pub(crate) resent: bool,
    /// Unix milliseconds after which a granted ticket is resolved without its filter.
    pub(crate) deadline: u64,
    /// Probes for its parts must have started at this stamp or later.
    pub(crate) probe: u64,
    /// When the first in-sync part ended well.
    pub(crate) first_end: Option<u64>,
    /// Body of the write was answered with an error although parts were accepted.
    pub(crate) refused: bool,
    /// An operation with the caller is under way (plan, verify), or a cancelation's calls.
    pub(crate) ops: BTreeSet<OpId>,
    /// The read-back has been done.
    pub(crate) verified: bool,
    /// The task's final state is fixed but waits for the live VMs (F7).
    pub(crate) adopting: bool,
    /// Swap: queues are empty and filters know.
    pub(crate) announced: Option<u64>,
    /// Canonical keys that a write names; none where they are not known.
    pub(crate) keys: Option<Vec<String>>,
    /// `skipCreation` (or not known): it does nothing where there is no document.
    pub(crate) skips_creation: bool,
    /// Nodes that are asked for a task between this and what came before, or (none) have it.
    pub(crate) divided: BTreeMap<N, Option<OpId>>,
}

/// What a ticket waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Live {
    /// Its locks, or nodes that are about to be known.
    Queued,
    /// The filter's commit, or the steps of an index operation.
    Granted,
    /// Certainty about its parts; `resolve`: no filter to send anything again.
    Settling {
        /// Nobody will commit.
        resolve: bool,
    },
    /// Its node tasks.
    Decided,
    /// Only to be forgotten.
    Over,
}

/// A begin that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) request: RequestId,
    pub(crate) begin: Box<wire::Begin>,
    pub(crate) api_key: Option<String>,
    pub(crate) may_create: bool,
    pub(crate) until: u64,
}

/// A filter's VM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vm {
    pub(crate) epoch: u64,
    pub(crate) heard: u64,
}

/// Operations under way.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Inspect(N),
    Read(N),
    Keys(N),
    Step {
        node: N,
        ticket: u32,
        step: u32,
    },
    Cancel(u32),
    Prune(N, u32),
    Plan(u32),
    Verify(u32),
    Measure(crate::jobs::Asked),
    Reconcile(N),
    /// Reads of a sync, by its run.
    Sync(Place, u64),
    Page {
        ticket: u32,
        place: Place,
    },
    Count(Place),
    Divide {
        ticket: u32,
        node: N,
    },
    /// A page of an index whose documents get their tags.
    Tag {
        node: N,
        index: String,
    },
    /// A question of the comparison, by its number.
    Scrub(u64, N),
    WriteDown,
}

/// Work left to do within one event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Todo {
    /// Grant it if it can be.
    Grant(u32),
    /// Look for certainty about its parts.
    Settle(u32),
    /// Look for its end.
    Judge(u32),
    /// Its node changed: whatever it may do now.
    Node(N),
    /// The job under way.
    Jobs,
    /// A sync goes on, if it can.
    Sync(Place),
    /// A retirement goes on, if it can.
    Retire(Place),
    /// Syncs may be started.
    Scan,
    /// The comparison goes on, if it can.
    Scrub,
    /// Documents get their tags, if some have none.
    Tags,
    /// What was to be written down counts as written ([`crate::planted`]).
    Unwritten(OpId),
}

/// Timers; what they mean is looked up when they fire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Node(N),
    Ticket(u32),
    Parked,
    Sweep,
    Adoption,
    /// What came early is taken up ([`crate::numbers`]).
    Opening,
    Jobs,
    Sync(Place),
    Retire(Place),
    Scan,
    Scrub,
    Tags,
}
