//! What filters say after a grant: commit, abort, abandon, renew, heartbeat (protocol 1.1, steps 3 to 6).

use miroir_core::wire::{
    Abandon, Abort, Commit, CommitAnswer, CommitPart, ControlReply, Heartbeat, PartOutcome, Renew, RenewAnswer,
};

use crate::Sequencer;
use crate::api::*;
use crate::begin::{told_before, unavailable};
use crate::state::{Live, Reach, Timer, Todo, Vm};

impl Sequencer {
    pub(crate) fn on_commit(&mut self, request: RequestId, commit: Commit) {
        let Some(ticket) = self.tickets.get_mut(&commit.ticket) else {
            return self.answer_commit(request, unavailable("no such ticket: its outcome cannot be told"));
        };
        if !matches!(&ticket.row.work, TicketWork::Write(work) if work.attempt == commit.attempt) {
            return self.answer_commit(request, unavailable("no such ticket: its outcome cannot be told"));
        }
        match ticket.live {
            Live::Queued => self.answer_commit(request, unavailable("the ticket was not granted")),
            Live::Granted => {
                ticket.asking.push(request);
                ticket.live = Live::Settling { resolve: false };
                self.settling.insert(commit.ticket);
                ticket.probe = self.stamp + 1;
                self.take_word(commit.ticket, &commit.parts);
                self.todo.insert(Todo::Settle(commit.ticket));
            }
            Live::Settling { .. } => {
                ticket.asking.push(request);
                self.take_word(commit.ticket, &commit.parts);
                self.todo.insert(Todo::Settle(commit.ticket));
            }
            Live::Decided | Live::Over => {
                let reply = ticket.row.reply.clone();
                let reply = reply.map_or_else(|| unavailable("the outcome is unknown"), told_before);
                self.answer_commit(request, reply);
            }
        }
    }

    /// Notes what a filter says about parts. The node's own list stands above it.
    fn take_word(&mut self, uid: u32, words: &[CommitPart]) {
        for word in words {
            let Some(n) = self.node_at(&word.node) else { continue };
            let Some(ticket) = self.tickets.get_mut(&uid) else { return };
            let Some(part) = ticket.row.parts.iter_mut().find(|part| part.node == word.node) else { continue };
            if part.end.is_some() || part.task.is_some() {
                continue;
            }
            let accepted = matches!(word.outcome, PartOutcome::Accepted { .. });
            if ticket.resent && !accepted {
                // It may be the first commit again, that speaks of what was sent before: only a probe can tell.
                part.said.get_or_insert(PartOutcome::Unknown);
                continue;
            }
            part.said = Some(word.outcome.clone());
            let node = &mut self.nodes[n];
            match &word.outcome {
                PartOutcome::Accepted { uid: task }
                    if *task >= node.row.floor && node.row.incarnation == part.incarnation =>
                {
                    part.task = Some(*task);
                    node.open.insert(*task, uid);
                    self.expect_news(n);
                }
                // The list has been read beyond it, and it was not ours: the word cannot be true of this disk.
                PartOutcome::Accepted { .. } => part.said = Some(PartOutcome::Unknown),
                _ => {}
            }
        }
        self.touch_ticket(uid);
    }

    /// Nothing was dispatched, and nothing will be (F5).
    pub(crate) fn on_abort(&mut self, abort: &Abort) {
        if self.planted.abort_ignored {
            return;
        }
        let until = self.now + self.config.timing.tombstone;
        self.tombstones.insert(abort.attempt.clone(), until);
        self.at(until, Timer::Sweep);
        self.parked.retain(|waiting| waiting.begin.attempt != abort.attempt);
        self.early.retain(|(_, event)| !matches!(event, Event::Begin { begin, .. } if begin.attempt == abort.attempt));
        let Some(uid) = self.attempts.get(&abort.attempt).copied() else { return };
        let Some(ticket) = self.tickets.get(&uid) else { return };
        match ticket.live {
            Live::Queued => {
                if let Some(waiting) = ticket.waiting.clone() {
                    self.refuse(uid, waiting, unavailable("the attempt was given up"));
                }
            }
            // A list that already shows one of its tasks belies the abort: then it is resolved like any other.
            Live::Granted if ticket.row.parts.iter().all(|part| part.task.is_none()) => {
                self.forget_key(uid);
                self.drop_ticket(uid);
            }
            Live::Granted => self.resolve(uid),
            _ => {}
        }
    }

    /// Nobody will commit: find out at once (F4).
    pub(crate) fn on_abandon(&mut self, abandon: Abandon) {
        if self.planted.abandon_ignored {
            return;
        }
        let Some(uid) = self.attempts.get(&abandon.attempt).copied() else {
            return self.on_abort(&Abort { attempt: abandon.attempt });
        };
        let live = self.tickets.get(&uid).map(|ticket| ticket.live);
        match live {
            Some(Live::Granted) => {
                self.take_word(uid, &abandon.parts);
                self.resolve(uid);
            }
            // Its commit is here, and nobody to send anything again.
            Some(Live::Settling { resolve: false }) => {
                self.take_word(uid, &abandon.parts);
                self.resolve(uid);
            }
            Some(Live::Queued) => self.on_abort(&Abort { attempt: abandon.attempt }),
            _ => {}
        }
    }

    /// Starts to find out what became of a ticket without its filter (step 7).
    pub(crate) fn resolve(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        ticket.live = Live::Settling { resolve: true };
        self.settling.insert(uid);
        ticket.probe = self.stamp + 1;
        for (request, _) in std::mem::take(&mut ticket.renewing) {
            self.answer_renew(request, unavailable("the ticket is being resolved"));
        }
        self.todo.insert(Todo::Settle(uid));
    }

    /// A node refused the key of a grant since it had been fenced meanwhile: nothing was enqueued there.
    pub(crate) fn on_renew(&mut self, request: RequestId, renew: Renew) {
        let Some(ticket) = self.tickets.get_mut(&renew.ticket) else {
            return self.answer_renew(request, unavailable("no such ticket: its outcome cannot be told"));
        };
        let own = matches!(&ticket.row.work, TicketWork::Write(work) if work.attempt == renew.attempt);
        if !own || ticket.live != Live::Granted {
            return self.answer_renew(request, unavailable("the ticket is being resolved"));
        }
        let refused: Vec<(NodeId, u64)> = ticket
            .row
            .parts
            .iter()
            .filter(|part| renew.nodes.contains(&part.node))
            .map(|part| (part.node.clone(), part.generation))
            .collect();
        ticket.renewing.push((request, renew.nodes));
        for (id, generation) in refused {
            // It refuses the newest key: it has lost it, and needs another one.
            if let Some(n) = self.node_at(&id).filter(|n| self.is_writable(*n) && self.nodes[*n].live <= generation) {
                self.request_fence(n, generation);
            }
        }
        self.answer_renewals(renew.ticket);
    }

    /// Answers renewals whose nodes' keys are settled.
    pub(crate) fn answer_renewals(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        let (mut answered, mut left) = (Vec::new(), Vec::new());
        for (request, nodes) in std::mem::take(&mut ticket.renewing) {
            let waits = nodes
                .iter()
                .filter_map(|id| self.node_at(id))
                .any(|n| self.nodes[n].reach == Reach::Up && !self.is_writable(n));
            if waits { left.push((request, nodes)) } else { answered.push((request, nodes)) }
        }
        if let Some(ticket) = self.tickets.get_mut(&uid) {
            ticket.renewing = left;
        }
        for (request, nodes) in answered {
            let renewed = self.renew_parts(uid, &nodes);
            match self.grant(uid, Some(&renewed)) {
                Some(grant) => self.emit(Effect::Renewed { request, answer: RenewAnswer::Grant(grant) }),
                None => self.answer_renew(request, unavailable("the ticket is gone")),
            }
        }
    }

    /// Gives parts on these nodes the newest key; returns the nodes where that is possible.
    pub(crate) fn renew_parts(&mut self, uid: u32, nodes: &[NodeId]) -> Vec<NodeId> {
        let mut renewed = Vec::new();
        for id in nodes {
            let Some(n) = self.node_at(id).filter(|n| self.is_writable(*n)) else { continue };
            let node = &self.nodes[n];
            let (generation, incarnation, floor) = (node.live, node.row.incarnation, node.row.floor);
            let Some(ticket) = self.tickets.get_mut(&uid) else { break };
            let Some(part) = ticket.row.parts.iter_mut().find(|part| part.node == *id) else { continue };
            if part.task.is_some() || part.incarnation != incarnation {
                continue;
            }
            (part.generation, part.floor, part.said, part.end) = (generation, floor, None, None);
            self.nodes[n].parts.insert(uid);
            renewed.push(id.clone());
        }
        self.touch_ticket(uid);
        renewed
    }

    pub(crate) fn on_heartbeat(&mut self, heartbeat: &Heartbeat) {
        if heartbeat.gone {
            self.vms.remove(&heartbeat.vm);
            self.vm_gone(&heartbeat.vm);
            return self.check_adoption();
        }
        let epoch = heartbeat.epoch.min(heartbeat.oldest_epoch);
        self.vms.insert(heartbeat.vm.clone(), Vm { epoch, heard: self.now });
        self.vm_heard(&heartbeat.vm, epoch, heartbeat.envoy.as_ref());
        self.check_adoption();
    }

    pub(crate) fn answer_commit(&mut self, request: RequestId, reply: ControlReply) {
        self.emit(Effect::Committed { request, answer: CommitAnswer::Reply(reply) });
    }

    pub(crate) fn answer_renew(&mut self, request: RequestId, reply: ControlReply) {
        self.emit(Effect::Renewed { request, answer: RenewAnswer::Reply(reply) });
    }
}
