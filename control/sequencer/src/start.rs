//! Control's start (protocol 1.3): a new term; every node is fenced before it is granted anything; what was granted is
//! resolved, what was only queued is gone with its connection.

use std::collections::BTreeMap;

use crate::Sequencer;
use crate::api::*;
use crate::locks::Locks;
use crate::planted::Planted;
use crate::state::{Copy, Join, Live, Node, Reach, Timer, Todo};

pub(crate) fn build(config: Config, snapshot: Snapshot, now: u64, planted: Planted) -> Sequencer {
    let members = crate::members::at_start(&config.nodes, &snapshot.nodes, snapshot.meta.is_none());
    let mut meta = snapshot.meta.unwrap_or_default();
    meta.term += 1;
    let nodes: Vec<Node> = members.into_iter().map(|row| new_node(row, &config.timing)).collect();
    let copies = copies(&config, &snapshot.copies, &nodes);
    let (syncs, retires, vms) = (snapshot.syncs, snapshot.retires, snapshot.vms);
    let mut sequencer = Sequencer {
        planted,
        now,
        meta,
        nodes,
        copies,
        indexes: snapshot.indexes.into_iter().map(|row| (row.uid.clone(), row)).collect(),
        tickets: BTreeMap::new(),
        attempts: BTreeMap::new(),
        tombstones: BTreeMap::new(),
        locks: Locks::default(),
        idempotency: snapshot.idempotency.into_iter().map(|row| (row.scope.clone(), row)).collect(),
        unread: BTreeMap::new(),
        presence_epoch: 0,
        parked: Vec::new(),
        held: BTreeMap::new(),
        key_users: BTreeMap::new(),
        vms: BTreeMap::new(),
        adopting: Default::default(),
        settling: Default::default(),
        cancelations: Default::default(),
        ops: BTreeMap::new(),
        next_op: 0,
        stamp: 0,
        journal_order: 0,
        syncs: Default::default(),
        timers: Default::default(),
        wake: None,
        todo: Default::default(),
        started_ms: now,
        early: Vec::new(),
        out: Default::default(),
        jobs: Default::default(),
        scrub: Default::default(),
        tagging: Default::default(),
        watched: Default::default(),
        config,
    };
    sequencer.take_syncs_back(syncs, retires, vms);
    sequencer.restore_jobs(snapshot.jobs, snapshot.moves);
    sequencer.take_findings_back(snapshot.findings);
    let mut journal = snapshot.journal;
    journal.sort_by_key(|entry| entry.order);
    let away = sequencer.nodes.iter().flat_map(|node| &node.row.away_disks).flat_map(|disk| &disk.journal);
    sequencer.journal_order = journal.iter().chain(away).map(|entry| entry.order + 1).max().unwrap_or(0);
    for entry in journal {
        if let Some(n) = sequencer.node_at(&entry.node) {
            sequencer.nodes[n].journal.push_back(entry);
        }
    }
    let mut tickets = snapshot.tickets;
    // Those that held locks first: they are ahead of whatever was queued behind them.
    tickets.sort_by_key(|row| (row.stage == Stage::Queued, row.uid));
    for row in tickets {
        sequencer.take_back(row);
    }
    sequencer
}

pub(crate) fn new_node(mut row: NodeRow, timing: &Timing) -> Node {
    if !row.seen || row.rebuild {
        // The list of a disk that is not known yet is read from its start: it may show one that was away, and what it
        // has still to do.
        (row.floor, row.witness.last, row.seen) = (0, None, false);
    }
    let member = row.member != MemberState::Removed;
    Node {
        row,
        reach: if member { Reach::Joining(Join::Inspect) } else { Reach::Down(u64::MAX) },
        keys: None,
        live: 0,
        fenced: 0,
        fence: None,
        fence_wanted: 0,
        reading: None,
        read_done: 0,
        read_wanted: 0,
        next_read: 0,
        pause: timing.poll.0,
        fails: 0,
        backoff: timing.reconnect.0,
        open: BTreeMap::new(),
        accepted: BTreeMap::new(),
        no_read_before: 0,
        parts: Default::default(),
        journal: Default::default(),
        journal_op: None,
        taken_for: None,
        drain: 0,
        closing: false,
        owed: 0,
        owes: Default::default(),
        order: BTreeMap::new(),
        doubtful: BTreeMap::new(),
        dropped: BTreeMap::new(),
        away_epoch: 0,
        pruning: None,
        next_prune: 0,
        upgraded: false,
        shown: Vec::new(),
        settled: Vec::new(),
        resembles: Default::default(),
        shown_again: false,
        others_disk: None,
        double: None,
        trouble: None,
        starting: member,
    }
}

/// Copies by placement and shard: the stored ones, else those of the configuration's table.
fn copies(config: &Config, rows: &[CopyRow], nodes: &[Node]) -> Vec<Vec<Vec<Copy>>> {
    let at = |id: &str| nodes.iter().position(|node| node.row.id == id);
    if rows.is_empty() {
        let fresh = |node: &u16| Copy {
            node: usize::from(*node),
            incarnation: nodes.get(usize::from(*node)).map_or(0, |node| node.row.incarnation),
            state: CopyState::InSync,
            since: 0,
        };
        return vec![config.owners.iter().map(|owners| owners.iter().map(fresh).collect()).collect()];
    }
    let mut sorted: Vec<&CopyRow> = rows.iter().collect();
    sorted.sort_by_key(|row| (row.placement, row.shard, row.rank));
    let placements = sorted.iter().map(|row| usize::from(row.placement) + 1).max().unwrap_or(1);
    let mut copies = vec![vec![Vec::new(); config.shards as usize]; placements];
    for row in sorted {
        let shard = copies[usize::from(row.placement)].get_mut(row.shard as usize);
        if let (Some(shard), Some(node)) = (shard, at(&row.node)) {
            // What tickets touched while it was being filled is known no more: it starts over.
            let state = if row.state == CopyState::Dual { CopyState::Stale } else { row.state };
            shard.push(Copy { node, incarnation: row.incarnation, state, since: row.since });
        }
    }
    copies
}

impl Sequencer {
    /// A ticket of an earlier term.
    fn take_back(&mut self, mut row: TicketRow) {
        let uid = row.uid;
        self.end_on_gone_disks(&mut row);
        let mut ticket = self.new_ticket(uid, row.work.clone());
        ticket.live = match (row.stage, &row.work) {
            (Stage::Queued, _) => Live::Queued,
            (Stage::Granted, TicketWork::Write(_)) => Live::Settling { resolve: true },
            // Its copy is not written any more; the node will tell what became of it.
            (Stage::Granted, TicketWork::Page(_)) => Live::Decided,
            (Stage::Granted, _) => Live::Granted,
            (Stage::Decided, _) => Live::Decided,
            (Stage::Over, _) => Live::Over,
        };
        ticket.probe = 1;
        if matches!(ticket.live, Live::Settling { .. }) {
            self.settling.insert(uid);
        }
        let holds = matches!(row.stage, Stage::Queued | Stage::Granted);
        let swaps = matches!(&row.work, TicketWork::Index(work) if !work.moved && !work.operation.swaps().is_empty());
        let all: Vec<u32> = (0..self.config.shards).collect();
        match &row.work {
            TicketWork::Write(work) => {
                self.attempts.insert(work.attempt.clone(), uid);
                if holds {
                    ticket.locks = vec![(work.index.clone(), work.shards.iter().map(|count| count.shard).collect())];
                }
                let provisional = self.indexes.get(&work.index).is_some_and(|index| index.provisional);
                if provisional && row.stage != Stage::Over {
                    self.key_users.entry(work.index.clone()).or_default().insert(uid);
                }
            }
            TicketWork::Cancel(_) => drop(self.cancelations.insert(uid)),
            TicketWork::Index(work) if holds || swaps && row.stage == Stage::Decided => {
                let uids = crate::index_ops::uids_of(&work.operation);
                ticket.locks = uids.into_iter().map(|uid| (uid, all.clone())).collect();
            }
            _ => {}
        }
        let failed = row.task.as_ref().is_some_and(|task| task.status == TaskStatus::Failed);
        ticket.refused = row.stage == Stage::Decided && failed;
        for part in row.parts.iter().filter(|part| part.end.is_none()) {
            // Those of a disk that is away wait for it.
            let Some(n) = self.node_at(&part.node).filter(|n| part.is_on(&self.nodes[*n].row)) else { continue };
            self.nodes[n].parts.insert(uid);
            if let Some(task) = part.task {
                self.nodes[n].open.insert(task, uid);
            }
        }
        let index = match &row.work {
            TicketWork::Write(work) => Some(work.index.as_str()),
            TicketWork::Page(work) => Some(work.index.as_str()),
            _ => None,
        };
        for part in row.parts.iter().filter(|part| part.task.is_some()) {
            let Some(index) = index else { break };
            if let Some(n) = self.node_at(&part.node).filter(|n| part.is_on(&self.nodes[*n].row)) {
                self.overtaken(n, uid, index, &part.shards);
            }
        }
        ticket.row = row;
        self.locks.enter(uid, &ticket.locks);
        let forget = ticket.row.forget_ms;
        self.tickets.insert(uid, ticket);
        self.at(forget.max(self.now), Timer::Ticket(uid));
        self.todo.insert(Todo::Grant(uid));
        self.todo.insert(Todo::Settle(uid));
        self.todo.insert(Todo::Judge(uid));
    }

    /// How a part ended is not always kept, and who could tell it again may be gone with its disk since.
    fn end_on_gone_disks(&mut self, row: &mut TicketRow) {
        let mut changed = false;
        for part in row.parts.iter_mut().filter(|part| part.end.is_none()) {
            let Some(n) = self.node_at(&part.node) else { continue };
            let node = &self.nodes[n].row;
            let away = node.away_disks.iter().any(|disk| disk.incarnation == part.incarnation);
            if !away && !part.is_on(node) {
                part.end = Some(PartEnd::Lost);
                changed = true;
            }
        }
        if changed {
            self.touch_ticket(row.uid);
        }
    }

    pub(crate) fn start(&mut self) {
        self.out.meta = true;
        let epoch = self.touch_map();
        for placement in 0..self.copies.len() {
            for shard in 0..self.config.shards {
                self.out.copies.insert((placement as u16, shard));
                if self.shard_copies(placement as u16, shard).iter().any(|copy| !self.is_good(copy)) {
                    self.unread.insert((placement as u16, shard), epoch);
                }
            }
        }
        self.presence_epoch = epoch;
        for n in (0..self.nodes.len()).filter(|n| self.nodes[*n].row.away).collect::<Vec<_>>() {
            self.nodes[n].away_epoch = epoch;
            self.owe_again(n);
        }
        for n in 0..self.nodes.len() {
            self.end_doubt(n, false);
            if self.is_member(n) {
                self.join(n);
            }
        }
        self.report_members();
        for uid in self.cancelations.clone() {
            self.finish_cancelation(uid);
        }
        // A reservation that no open write stands behind any more is none.
        let reserved: Vec<String> =
            self.indexes.values().filter(|row| row.provisional).map(|row| row.uid.clone()).collect();
        for index in reserved.into_iter().filter(|index| !self.key_users.contains_key(index)) {
            if let Some(row) = self.indexes.get_mut(&index) {
                (row.primary_key, row.provisional) = (None, false);
                self.out.indexes.insert(index);
            }
        }
        self.sweep();
        self.at(self.started_ms + self.config.timing.quiet + self.config.timing.probe, Timer::Opening);
        self.scrub_goes_on();
    }

    /// Forgets what is too old, now and then.
    pub(crate) fn sweep(&mut self) {
        let now = self.now;
        self.sweep_vms();
        self.tombstones.retain(|_, until| *until > now);
        let old: Vec<String> =
            self.idempotency.values().filter(|row| row.until_ms <= now).map(|row| row.scope.clone()).collect();
        for scope in old {
            self.idempotency.remove(&scope);
            self.out.idempotency.insert(scope);
        }
        self.at(now + self.config.timing.tombstone, Timer::Sweep);
    }
}
