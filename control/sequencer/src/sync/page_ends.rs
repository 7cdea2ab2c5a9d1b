//! What becomes of a page: the node's answer, and the end of its task.

use crate::Sequencer;
use crate::api::*;
use crate::state::{Live, Todo};
use crate::sync::pages::{Change, Sent};
use crate::sync::{Check, Place, Step};

impl Sequencer {
    /// A node answered to a page, or to the reading of one under the lock.
    pub(crate) fn page_answered(&mut self, uid: u32, place: Place, op: OpId, result: Result<NodeAnswer, NodeFault>) {
        self.todo.insert(Todo::Sync(place));
        let hand = self.syncs.runs.get_mut(&place).and_then(|run| match &mut run.step {
            Step::Page(hand) if hand.ticket == uid && hand.op == Some(op) => Some(hand),
            _ => None,
        });
        if let Ok(NodeAnswer::Page { page, keys, bytes }) = result {
            let Some(hand) = hand else { return self.emit(Effect::DropPage(page)) };
            hand.op = None;
            let read = keys.len();
            if let Change::Hold { page: held, .. } = &mut hand.change {
                *held = Some((page, bytes));
            }
            let (found, gone): (Vec<String>, Vec<String>) =
                std::mem::take(&mut hand.keys).into_iter().partition(|key| keys.contains(key));
            if found.is_empty() {
                // Nothing can touch them meanwhile: what is left of them goes.
                hand.keys = gone;
                hand.change = Change::Remove { floor: u32::MAX, held: true };
                self.emit(Effect::DropPage(page));
                return self.send_page(place);
            }
            hand.keys = found;
            let uid = hand.index.clone();
            if let Some(run) = self.syncs.runs.get_mut(&place) {
                run.fit(read, bytes);
                if let Some(index) = run.indexes.get_mut(&uid) {
                    gone.into_iter().for_each(|key| index.check.add(key));
                }
            }
            return self.send_page(place);
        }
        let sent = self.tickets.get(&uid).is_some_and(|ticket| ticket.live == Live::Granted);
        if !sent {
            if hand.is_some() {
                self.page_given_up(place, 200);
            }
            return;
        }
        match result {
            Ok(NodeAnswer::Enqueued { uid: task, enqueued_at }) => {
                let to = place.2;
                let known = self.tickets.get_mut(&uid).and_then(|ticket| ticket.row.parts.first_mut());
                if let Some(part) = known.filter(|part| part.task.is_none() && part.end.is_none()) {
                    part.task = Some(task);
                    self.nodes[to].open.insert(task, uid);
                    self.nodes[to].accepted.insert(task, enqueued_at);
                }
                self.expect_news(to);
                self.page_enqueued(uid, place);
            }
            Ok(NodeAnswer::Refused { status, .. }) if (400..500).contains(&status) => {
                self.page_absent(uid, place, &format!("a page was refused ({status})"));
                if status == 401 || status == 403 {
                    let live = self.nodes[place.2].live;
                    self.request_fence(place.2, live);
                }
            }
            Err(NodeFault::NotSent) => self.page_absent(uid, place, "a page could not be sent"),
            _ => {
                // It may still come: the copy leaves the write sets, and is filled again after a fence.
                self.page_unknown(uid);
                self.deletion_unknown(place, uid);
                if self.syncs.runs.get(&place).is_some_and(|run| is_in_hand(&run.step, uid)) {
                    self.break_sync(place, "the outcome of a page is unknown");
                }
            }
        }
    }

    fn page_absent(&mut self, uid: u32, place: Place, why: &str) {
        self.end_parts(uid, place.2, |_| Some(PartEnd::Absent));
        self.page_unknown(uid);
        self.deletion_unknown(place, uid);
        if self.syncs.runs.get(&place).is_some_and(|run| is_in_hand(&run.step, uid)) {
            self.page_given_up(place, 0);
            self.sync_failed(place, why);
        }
    }

    /// The page is in the queue of `to`: the lock is free.
    fn page_enqueued(&mut self, uid: u32, place: Place) {
        self.page_unknown(uid);
        let now = self.now;
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        if !is_in_hand(&run.step, uid) {
            return;
        }
        let Step::Page(hand) = std::mem::replace(&mut run.step, Step::Idle) else { return };
        let bytes = match &hand.change {
            Change::Put { bytes, .. } => *bytes,
            Change::Hold { page, .. } => page.map_or(0, |(_, bytes)| bytes),
            Change::Remove { .. } | Change::Clear { .. } => 0,
        };
        let held = matches!(hand.change, Change::Hold { .. } | Change::Remove { held: true, .. });
        let held = if held { hand.keys.clone() } else { Vec::new() };
        let clears = matches!(hand.change, Change::Clear { .. });
        run.pages.insert(uid, Sent { index: hand.index.clone(), held, clears, bytes });
        let documents = hand.keys.len() as u64;
        if let Some(row) = self.syncs.rows.get_mut(&place) {
            row.documents += documents;
            row.bytes += bytes;
            self.out.syncs.insert(place);
        }
        let limits = self.syncs.limits;
        let time = |amount: u64, rate: u64| (amount * 1000).checked_div(rate).unwrap_or(0);
        let spent = time(documents, limits.documents_per_s).max(time(bytes, limits.bytes_per_s));
        self.syncs.next_page = self.syncs.next_page.max(now) + spent;
        self.drop_change(&hand.change);
    }

    /// Looks whether a page's end is known.
    pub(crate) fn judge_page(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Page(work) = &ticket.row.work else { return };
        let (placement, shard, index) = (work.placement, work.shard, work.index.clone());
        let (live, part) = (ticket.live, ticket.row.parts.first().cloned());
        let (Some(part), Some(to)) = (part, self.node_at(&work.node)) else { return };
        let place = (placement, shard, to);
        if live == Live::Granted && part.task.is_some() {
            // The task list told first.
            self.page_enqueued(uid, place);
        }
        let Some(end) = part.end.filter(|_| live != Live::Queued) else { return };
        let good = matches!(end, PartEnd::Succeeded { .. });
        self.drop_ticket(uid);
        // One that has failed, for want of the index as it may be, is no worse than one that found nothing to delete:
        // what counts is what is left.
        let done = good || matches!(end, PartEnd::Failed { .. });
        self.deletion_ended(place, uid, &index, done);
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        let Some(sent) = run.pages.remove(&uid) else { return };
        self.todo.insert(Todo::Sync(place));
        if !good {
            if let Some(index) = run.indexes.get_mut(&sent.index).filter(|_| sent.clears) {
                index.check = Check::All;
            }
            return self.sync_failed(place, "a page was not carried out by its node");
        }
        if let Some(index) = run.indexes.get_mut(&sent.index) {
            for key in sent.held {
                index.delays.remove(&key);
                index.touched.entry(key).or_default().clean = true;
            }
        }
    }
}

fn is_in_hand(step: &Step, uid: u32) -> bool {
    matches!(step, Step::Page(hand) if hand.ticket == uid)
}
