//! Contact with nodes: losing it, and taking a node back (protocol 1.3, "node back").

use crate::Sequencer;
use crate::api::*;
use crate::fence;
use crate::state::{FenceStage, Join, Keys, N, Op, Reach, Timer, Todo};

/// Why a node that is to join takes no part.
const NOT_EMPTY: &str = "it is to join but holds indexes: empty it";

impl Sequencer {
    /// Answers of node operations.
    pub(crate) fn on_node(&mut self, op: OpId, result: Result<NodeAnswer, NodeFault>) {
        match self.ops.remove(&op) {
            Some(Op::Inspect(node)) => self.inspected(node, result),
            Some(Op::Read(node)) => self.read_answered(node, op, result),
            Some(Op::Keys(node)) => self.keys_answered(node, op, result),
            Some(Op::Step { node, ticket, step }) => self.step_answered(node, op, ticket, step, result),
            Some(Op::Prune(node, below)) => self.pruned(node, op, below, &result),
            Some(Op::Cancel(ticket)) => self.cancel_answered(ticket, op),
            Some(Op::Sync(place, run)) => self.sync_read(place, run, op, result),
            Some(Op::Page { ticket, place }) => self.page_answered(ticket, place, op, result),
            Some(Op::Divide { ticket, node }) => self.divided(ticket, node, op, &result),
            Some(Op::Tag { node, index }) => self.page_tagged(node, index, op, &result),
            Some(Op::Count(place)) => self.counted_shard(place, op, &result),
            Some(Op::Scrub(asked, node)) => self.scrub_answered(asked, node, result),
            Some(Op::Plan(_) | Op::Verify(_) | Op::Reconcile(_) | Op::Measure(_) | Op::WriteDown) | None => {
                if let Ok(NodeAnswer::Page { page, .. }) = result {
                    self.emit(Effect::DropPage(page));
                }
            }
        }
    }

    /// Does whatever a node can do now. Idempotent; called after every change of the node and by its timer.
    pub(crate) fn step_node(&mut self, n: N) {
        match self.nodes[n].reach {
            Reach::Down(retry) if retry <= self.now => self.join(n),
            Reach::Down(_) => {}
            Reach::Joining(Join::Inspect) => {}
            Reach::Joining(Join::Fence) => self.step_fence(n),
            Reach::Joining(Join::Replay) => {
                self.step_fence(n);
                self.pump_journal(n);
                self.finish_replay(n);
            }
            Reach::Up => {
                self.step_fence(n);
                self.pump_journal(n);
                self.check_drained(n);
                self.step_rebuild(n);
                self.prune_tasks(n);
                self.todo.insert(Todo::Tags);
            }
        }
        if self.nodes[n].reach == Reach::Up || matches!(self.nodes[n].reach, Reach::Joining(Join::Fence | Join::Replay))
        {
            self.schedule_read(n);
        }
    }

    /// First step of taking a node back.
    pub(crate) fn join(&mut self, n: N) {
        self.nodes[n].reach = Reach::Joining(Join::Inspect);
        self.inspect(n);
    }

    fn inspect(&mut self, n: N) {
        // What it showed before, it may have shown with another disk.
        self.ops.retain(|_, op| !matches!(op, Op::Inspect(asked) if *asked == n));
        let op = self.op(Op::Inspect(n));
        let node = self.nodes[n].row.id.clone();
        self.emit(Effect::Node { op, node, action: NodeAction::Inspect, timeout_ms: self.config.timing.probe });
    }

    fn inspected(&mut self, n: N, result: Result<NodeAnswer, NodeFault>) {
        if self.nodes[n].reach != Reach::Joining(Join::Inspect) {
            return;
        }
        match result {
            Ok(NodeAnswer::State { version, indexes, keys }) => {
                let first = self.nodes[n].row.version.is_none();
                self.nodes[n].upgraded = false;
                if let Some(refusal) = self.see_version(n, version) {
                    return self.lose(n, &refusal);
                }
                if self.is_newcomer(n)
                    && let Some(other) = self.double_of(n, &keys)
                {
                    return self.turn_away(n, other);
                }
                self.nodes[n].double = None;
                self.nodes[n].shown.clone_from(&indexes);
                if self.holds_anothers(n, &indexes) {
                    if first {
                        self.alert("node_not_empty", Some(n), NOT_EMPTY.to_owned());
                    }
                    return self.lose(n, NOT_EMPTY);
                }
                self.check_indexes(n, &indexes);
                self.nodes[n].reach = Reach::Joining(Join::Fence);
                self.nodes[n].fails = 0;
                self.start_fence(n);
            }
            _ => self.lose(n, "no contact"),
        }
    }

    /// Whether a node that has never taken part holds indexes: another cluster's, or the address is wrong. What is not
    /// ours is never cleared away.
    fn holds_anothers(&self, n: N, indexes: &[(String, String)]) -> bool {
        let row = &self.nodes[n].row;
        let at_first = !row.seen && !row.rebuild && indexes.iter().any(|(uid, _)| !self.indexes.contains_key(uid));
        at_first || self.is_newcomer(n) && !indexes.is_empty()
    }

    /// WITNESS by the indexes' creation times (F9): an index that the node has shown before, and that no operation has
    /// touched there since, must be the same.
    fn check_indexes(&mut self, n: N, shown: &[(String, String)]) {
        let known = &self.nodes[n].row.witness.indexes;
        let other = known.iter().find(|index| !shown.contains(index)).filter(|_| !self.planted.witness_off);
        if let Some((uid, created)) = other {
            let evidence = format!("its index {uid} is not the one that was created at {created}");
            self.new_incarnation(n, &evidence);
        }
        let node = &self.nodes[n];
        let mut unsettled = Vec::new();
        for ticket in node.journal.iter().map(|entry| &entry.ticket).chain(node.open.values()) {
            if let Some(TicketWork::Index(work)) = self.tickets.get(ticket).map(|ticket| &ticket.row.work) {
                unsettled.extend(crate::index_ops::uids_of(&work.operation));
            }
        }
        // Which ones a node is being told to make or to drop, its tasks do not say.
        let told = self.is_being_told(n);
        let settled = shown.iter().filter(|(uid, _)| !told && !unsettled.contains(uid)).cloned().collect();
        self.nodes[n].settled = settled;
    }

    /// The join's fence has ended: the node takes writes as soon as it has the index operations that it missed.
    pub(crate) fn fenced_in_join(&mut self, n: N) {
        self.nodes[n].reach = Reach::Joining(Join::Replay);
        // Its tasks have shown that the indexes are those of the disk that is meant.
        self.nodes[n].row.witness.indexes = std::mem::take(&mut self.nodes[n].settled);
        self.out.nodes.insert(n);
        self.nodes[n].backoff = self.config.timing.reconnect.0;
        if self.nodes[n].row.rebuild {
            for entry in self.nodes[n].journal.drain(..) {
                self.out.extra.push(Record::JournalGone(entry.node, entry.ticket, entry.step));
            }
        }
        self.todo.insert(Todo::Node(n));
    }

    fn finish_replay(&mut self, n: N) {
        let node = &mut self.nodes[n];
        if !node.journal.is_empty() || node.fence.is_some() {
            return;
        }
        node.reach = Reach::Up;
        node.starting = false;
        node.trouble = None;
        // What it had accepted before it was lost may still wait in its queue.
        let newest = node.open.keys().next_back().map_or(0, |uid| uid + 1);
        node.drain = node.row.floor.max(newest);
        node.closing = false;
        self.alert("node_up", Some(n), "in contact and fenced".to_owned());
        self.check_drained(n);
        self.wake_tickets(n);
    }

    /// Contact is lost: the node is unfenced, in no write set, and not read where another copy can be (F15).
    pub(crate) fn lose(&mut self, n: N, why: &str) {
        let first = self.config.timing.reconnect.0;
        let longest = self.config.timing.reconnect.1;
        self.break_syncs_to(n, why);
        let node = &mut self.nodes[n];
        let was_up = node.reach == Reach::Up || node.starting;
        let retry = self.now + node.backoff.max(first);
        node.backoff = (node.backoff.max(first) * 2).min(longest);
        node.reach = Reach::Down(retry);
        node.trouble = Some(why.to_owned());
        node.starting = false;
        node.keys = None;
        node.fence = None;
        node.reading = None;
        node.pruning = None;
        node.fails = 0;
        node.pause = first;
        node.closing = false;
        if !node.row.away {
            node.row.away = true;
            self.out.nodes.insert(n);
            self.nodes[n].away_epoch = self.touch_map();
        }
        if was_up {
            self.alert("node_down", Some(n), why.to_owned());
        }
        self.at(retry, Timer::Node(n));
        self.wake_tickets(n);
    }

    /// Tickets that may wait for this node look again.
    pub(crate) fn wake_tickets(&mut self, n: N) {
        let parts: Vec<u32> = self.nodes[n].parts.iter().copied().collect();
        for uid in parts {
            self.todo.insert(Todo::Settle(uid));
            self.todo.insert(Todo::Judge(uid));
        }
        // Queued tickets that hold their locks wait for nodes only.
        let queued = self.tickets.values().filter(|ticket| ticket.live == crate::state::Live::Queued);
        let queued: Vec<u32> = queued.map(|ticket| ticket.row.uid).filter(|uid| self.locks.holds(*uid)).collect();
        self.todo.extend(queued.into_iter().map(Todo::Grant));
        let index_ops = self.tickets.values().filter(|ticket| matches!(ticket.row.work, TicketWork::Index(_)));
        let index_ops: Vec<u32> = index_ops.map(|ticket| ticket.row.uid).collect();
        self.todo.extend(index_ops.into_iter().map(Todo::Judge));
        let renewing: Vec<u32> =
            self.tickets.values().filter(|ticket| !ticket.renewing.is_empty()).map(|ticket| ticket.row.uid).collect();
        for uid in renewing {
            self.answer_renewals(uid);
        }
    }

    fn keys_answered(&mut self, n: N, op: OpId, result: Result<NodeAnswer, NodeFault>) {
        let Some(fence) = self.nodes[n].fence.filter(|fence| fence.stage == FenceStage::Keys(op)) else { return };
        match result {
            Ok(NodeAnswer::Fenced { data, admin, edit }) => {
                let keys = Keys { data: Some(data), admin: Some(admin), edit: Some(edit) };
                self.keys_replaced(n, fence.generation, keys);
            }
            Ok(NodeAnswer::Outdated { generation, term }) => self.keys_outdated(n, generation, term),
            _ => self.lose(n, fence::FAILED),
        }
    }
}
