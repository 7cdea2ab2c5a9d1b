//! The decision on a write ticket, once and durably, shard by shard (protocol 1.1, steps 5 and 7; F29). Stale marks are
//! in the same batch of records as the decision.

use std::collections::BTreeSet;

use miroir_core::error::ErrorBody;
use miroir_core::wire::{ControlReply, PartOutcome};

use crate::Sequencer;
use crate::api::*;
use crate::begin::{error_reply, unavailable};
use crate::grant::shards_down;
use crate::settle::Known;
use crate::state::{Copy, Live, N, Todo};

/// A shard's copies, as far as this ticket goes.
#[derive(Default)]
struct Tally {
    has: Vec<N>,
    absent: Vec<N>,
    away: Vec<N>,
}

impl Sequencer {
    pub(crate) fn decide(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let Live::Settling { resolve } = ticket.live else { return };
        let TicketWork::Write(work) = &ticket.row.work else { return };
        let shards: Vec<u32> = work.shards.iter().map(|count| count.shard).collect();
        let placement = self.placement_of(&ticket.row);
        let tallies: Vec<(u32, Tally)> = shards.iter().map(|shard| (*shard, self.tally(uid, *shard))).collect();
        let stuck: Vec<u32> = tallies
            .iter()
            .filter(|(_, tally)| tally.has.is_empty() && tally.absent.is_empty() && !tally.away.is_empty())
            .map(|(shard, _)| *shard)
            .collect();
        if !stuck.is_empty() && !self.planted.only_copy_given_up {
            return self.hold(uid, &stuck);
        }
        let wanted = if resolve { 1 } else { self.config.min_accept.max(1) as usize };
        let lacking: Vec<u32> =
            tallies.iter().filter(|(_, tally)| tally.has.len() < wanted).map(|(shard, _)| *shard).collect();
        let anything = ticket.row.parts.iter().any(|part| self.known(part) == Known::Enqueued);
        let refusal = self.common_refusal(uid).filter(|_| !anything);
        let mut missed = BTreeSet::new();
        for (shard, tally) in &tallies {
            // Where some replica has it, the others missed it. Where none has it for certain, those that may have it
            // must not be read any more: the write is given up there.
            let stale: Vec<N> =
                if tally.has.is_empty() { tally.away.clone() } else { [&tally.absent[..], &tally.away[..]].concat() };
            for n in stale {
                if self.planted.unknown_stays_in_sync && !tally.has.is_empty() {
                    continue;
                }
                self.mark_stale_for(uid, placement, *shard, n, &format!("missed ticket {uid}"));
                missed.insert(n);
            }
        }
        let degraded = !missed.is_empty() || self.lacks_replicas(placement, &shards);
        if !anything {
            let reply = refusal.unwrap_or_else(|| unavailable("no replica took the write: nothing was written"));
            return self.give_up(uid, reply);
        }
        let epoch = if missed.is_empty() { 0 } else { self.meta.epoch };
        let task = self.new_write_task(uid);
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        ticket.row.epoch = ticket.row.epoch.max(epoch);
        ticket.row.stage = Stage::Decided;
        ticket.live = Live::Decided;
        ticket.row.task = task;
        if lacking.is_empty() {
            self.say_committed(uid, degraded);
        } else {
            self.say_failed(uid, &lacking);
        }
        self.touch_ticket(uid);
        self.release(uid);
        self.todo.insert(Todo::Judge(uid));
        self.todo.insert(Todo::Settle(uid));
    }

    fn tally(&self, uid: u32, shard: u32) -> Tally {
        let mut tally = Tally::default();
        let Some(ticket) = self.tickets.get(&uid) else { return tally };
        let TicketWork::Write(work) = &ticket.row.work else { return tally };
        let Some(index) = self.indexes.get(&work.index) else { return tally };
        let counts = |copy: &&Copy| self.is_good(copy) || self.is_away_with_disk(copy) || self.planted.owners_from_map;
        for copy in self.shard_copies(index.placement, shard).iter().filter(counts) {
            let (n, id) = (copy.node, &self.nodes[copy.node].row.id);
            let on_disk = |part: &&PartRow| part.node == *id && part.incarnation == copy.incarnation;
            let part = ticket.row.parts.iter().filter(on_disk).find(|part| part.shards.contains(&shard));
            match part.map(|part| self.known(part)) {
                // On a disk that is not there it may be gone for good: nobody is told that it is safe.
                Some(Known::Enqueued) if self.is_good(copy) || self.planted.owners_from_map => tally.has.push(n),
                Some(Known::Away | Known::Open | Known::Enqueued) => tally.away.push(n),
                Some(Known::Absent) | None => tally.absent.push(n),
            }
        }
        tally
    }

    /// Only copies that cannot be asked may have the write: the shard is down until they can (F29, F8). The filter
    /// learns that the outcome is unknown.
    fn hold(&mut self, uid: u32, shards: &[u32]) {
        self.alert("shard_down", None, format!("ticket {uid} waits for the only copies of shards {shards:?}"));
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        ticket.live = Live::Settling { resolve: true };
        if let TicketWork::Write(work) = &ticket.row.work {
            self.held.insert(uid, (work.index.clone(), shards.to_vec()));
        }
        for request in std::mem::take(&mut ticket.asking) {
            self.answer_commit(request, unavailable("the outcome is unknown: its replicas cannot be reached"));
        }
    }

    /// The client's own fault: every part that counts was refused with the same 4xx.
    fn common_refusal(&self, uid: u32) -> Option<ControlReply> {
        let ticket = self.tickets.get(&uid)?;
        let mut common: Option<(u16, ErrorBody)> = None;
        for part in &ticket.row.parts {
            match &part.said {
                Some(PartOutcome::Refused { status, error: Some(error) })
                    if (400..500).contains(status) && *status != 401 && *status != 403 =>
                {
                    let alike = common.as_ref().is_none_or(|(seen, body)| seen == status && body.code == error.code);
                    if !alike {
                        return None;
                    }
                    common.get_or_insert((*status, error.clone()));
                }
                _ => return None,
            }
        }
        common.map(|(status, error)| error_reply(status, &error))
    }

    /// No node has any of it: as if it had never been.
    fn give_up(&mut self, uid: u32, reply: ControlReply) {
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        ticket.row.reply = reply.body.clone().map(|body| (reply.status, body));
        for request in std::mem::take(&mut ticket.asking) {
            self.answer_commit(request, reply.clone());
        }
        self.forget_key(uid);
        self.release_followers(uid);
        self.key_user_ended(uid, false);
        self.release(uid);
        self.over(uid);
        self.todo.insert(Todo::Settle(uid));
    }

    fn say_committed(&mut self, uid: u32, degraded: bool) {
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        let Some(task) = ticket.row.task.clone() else { return };
        let body = crate::details::summary(&task);
        ticket.row.reply = Some((202, body.clone()));
        let asking = std::mem::take(&mut ticket.asking);
        let followers = std::mem::take(&mut ticket.followers);
        self.out.extra.push(Record::Task(Box::new(task)));
        self.settle_key(uid);
        let mut headers = Vec::new();
        if degraded {
            headers.push(("x-miroir-degraded".to_owned(), "replicas".to_owned()));
        }
        let reply = ControlReply { status: 202, headers, body: Some(body) };
        for request in asking {
            self.answer_commit(request, reply.clone());
        }
        for follower in followers {
            self.answer_begin(follower.request, reply.clone());
        }
        self.emit(Effect::TaskChanged { uid, status: TaskStatus::Enqueued });
    }

    /// Some shard has no acceptance: the client is told so, and the task has failed; what was accepted is canceled
    /// where that is still possible, and replicas are compared as ever (F12).
    fn say_failed(&mut self, uid: u32, lacking: &[u32]) {
        let now = self.now;
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        let reply = shards_down(lacking);
        ticket.refused = true;
        ticket.row.reply = reply.body.clone().map(|body| (reply.status, body));
        let mut listed = lacking.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        listed.truncate(100);
        if let Some(task) = ticket.row.task.as_mut() {
            task.status = TaskStatus::Failed;
            task.started_ms = Some(now);
            task.finished_ms = Some(now);
            task.error = Some(ErrorBody::new("internal", format!("No replica took the documents of shards {listed}.")));
            self.out.extra.push(Record::Task(Box::new(task.clone())));
        }
        let asking = std::mem::take(&mut ticket.asking);
        for request in asking {
            self.answer_commit(request, reply.clone());
        }
        self.settle_key(uid);
        self.release_followers(uid);
        self.cancel_parts(uid);
        self.emit(Effect::TaskChanged { uid, status: TaskStatus::Failed });
    }

    fn release_followers(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        for follower in std::mem::take(&mut ticket.followers) {
            self.admit(follower);
        }
    }

    /// The idempotency row learns the answer.
    pub(crate) fn settle_key(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Write(work) = &ticket.row.work else { return };
        let Some(scope) = work.idempotency.clone() else { return };
        // A repeat gets the task, also where it has failed: it is the same write.
        let reply = ticket.row.task.as_ref().map(|task| (202, crate::details::summary(task)));
        if let Some(row) = self.idempotency.get_mut(&scope).filter(|row| row.ticket == uid) {
            row.reply = reply;
            self.out.idempotency.insert(scope);
        }
    }

    /// Whether a touched shard has fewer good copies than it should.
    fn lacks_replicas(&self, placement: u16, shards: &[u32]) -> bool {
        shards.iter().any(|shard| {
            let copies = self.shard_copies(placement, *shard);
            copies.iter().filter(|copy| self.is_good(copy)).count() < copies.len().min(self.replication_factor().into())
        })
    }
}
