//! Pages: documents read from one copy and written to another one, as tickets of their own. A page takes the shard's
//! lock for one round trip and leaves out what a ticket touched since it was read (F20, F21). Deletions of documents
//! that are left over go the same way.

use std::collections::BTreeSet;

use crate::Sequencer;
use crate::api::*;
use crate::state::{Live, Op, Timer, Todo};
use crate::sync::{Check, Place, Step};

/// Longest wait for the target's answer while the lock is held (protocol 1.2, step 3), in milliseconds.
pub(crate) const ANSWER: u64 = 2_000;
/// Size of a page's documents aimed for, and most keys in one.
const BYTES: u64 = 500_000;
const MOST_KEYS: usize = 5_000;
/// Longest hold of a lock for hot keys, in milliseconds: less than a begin waits.
const LONGEST_HOLD: u64 = 8_000;

/// A page on its way: waiting for its lock, or for the answer of `to`.
#[derive(Debug)]
pub(crate) struct PageInHand {
    pub(crate) ticket: u32,
    pub(super) index: String,
    pub(super) keys: Vec<String>,
    pub(super) change: Change,
    pub(super) op: Option<OpId>,
}

#[derive(Debug)]
pub(super) enum Change {
    /// Documents that were read when `floor` had been finished.
    Put { page: PageId, bytes: u64, floor: u32 },
    /// What only `to` has; `held`: found so under the lock.
    Remove { floor: u32, held: bool },
    /// All of the shard: the index has no primary key, and so no document.
    Clear { floor: u32 },
    /// Read and written under the lock, until this time; the page once it is read.
    Hold { until: u64, page: Option<(PageId, u64)> },
}

/// A page in the queue of `to`.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(super) index: String,
    /// Keys that it makes equal whatever is written to them later.
    pub(super) held: Vec<String>,
    /// It clears the shard.
    pub(super) clears: bool,
    /// Its size.
    pub(super) bytes: u64,
}

impl super::Run {
    /// The next page has as many keys as make a good size, going by this one.
    pub(super) fn fit(&mut self, found: usize, bytes: u64) {
        let fitting = found as u64 * BYTES / bytes.max(1);
        self.page_keys = usize::try_from(fitting).unwrap_or(MOST_KEYS).clamp(1, MOST_KEYS).min(self.page_keys * 4);
    }
}

impl Sequencer {
    /// Documents have been read: they queue for the shard's lock.
    pub(crate) fn page_fetched(
        &mut self,
        place: Place,
        uid: String,
        asked: Vec<String>,
        floor: u32,
        (page, found, bytes): (PageId, Vec<String>, u64),
    ) {
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        run.fails = 0;
        run.fit(found.len(), bytes);
        let mut found: BTreeSet<String> = found.into_iter().collect();
        if self.planted.skips_keys {
            found.pop_last();
        }
        if let Some(index) = run.indexes.get_mut(&uid) {
            for key in asked {
                index.copy.remove(&key);
                // What is gone from the source is compared again.
                if !found.contains(&key) {
                    index.check.add(key);
                }
            }
        }
        if found.is_empty() {
            return self.emit(Effect::DropPage(page));
        }
        let change = if self.planted.page_keeps_touched {
            Change::Put { page, bytes, floor: u32::MAX }
        } else {
            Change::Put { page, bytes, floor }
        };
        self.queue_page(place, uid, found.into_iter().collect(), change);
    }

    /// Documents that only the target has.
    pub(crate) fn remove_extra(&mut self, place: Place, uid: &str) {
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        let most = run.page_keys;
        let Some(index) = run.indexes.get_mut(uid) else { return };
        let keys: Vec<String> = index.remove.iter().take(most).cloned().collect();
        index.remove.retain(|key| !keys.contains(key));
        let floor = index.remove_floor;
        self.queue_page(place, uid.to_owned(), keys, Change::Remove { floor, held: false });
    }

    /// An index without a primary key has no documents.
    pub(crate) fn clear_copy(&mut self, place: Place, uid: String) {
        let floor = self.floor_of(place.2, (place.0, place.1), &uid);
        if let Some(index) = self.syncs.runs.get_mut(&place).and_then(|run| run.indexes.get_mut(&uid)) {
            (index.copy, index.remove, index.check) = Default::default();
        }
        self.queue_page(place, uid, Vec::new(), Change::Clear { floor });
    }

    /// Keys that are written all the time: the lock is held while they are read and written.
    pub(crate) fn hold_for(&mut self, place: Place, uid: &str, keys: Vec<String>) {
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        let until = self.now + run.hold;
        if let Some(index) = run.indexes.get_mut(uid) {
            for key in &keys {
                index.copy.remove(key);
                index.remove.remove(key);
            }
        }
        self.queue_page(place, uid.to_owned(), keys, Change::Hold { until, page: None });
    }

    fn queue_page(&mut self, place: Place, index: String, keys: Vec<String>, change: Change) {
        let (placement, shard, to) = place;
        let Some(incarnation) = self.indexes.get(&index).map(|row| row.incarnation) else {
            return self.drop_change(&change);
        };
        let work = PageWork {
            placement,
            shard,
            index: index.clone(),
            incarnation,
            node: self.nodes[to].row.id.clone(),
            documents: 0,
        };
        let ticket = self.new_page_ticket(work);
        let hand = PageInHand { ticket, index, keys, change, op: None };
        if let Some(run) = self.syncs.runs.get_mut(&place) {
            run.step = Step::Page(hand);
        }
    }

    /// A ticket of control's own on one shard of one index.
    pub(crate) fn new_page_ticket(&mut self, work: PageWork) -> u32 {
        let uid = self.next_uid();
        let locks = vec![(work.index.clone(), vec![work.shard])];
        let mut ticket = self.new_ticket(uid, TicketWork::Page(work));
        ticket.locks = locks;
        if self.locks.enter(uid, &ticket.locks) {
            self.todo.insert(Todo::Grant(uid));
        }
        self.tickets.insert(uid, ticket);
        uid
    }

    /// The page's lock is held.
    pub(crate) fn grant_page(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Page(work) = ticket.row.work.clone() else { return };
        let Some(to) = self.node_at(&work.node) else { return self.drop_ticket(uid) };
        let place = (work.placement, work.shard, to);
        let same = |row: &IndexRow| row.incarnation == work.incarnation || self.planted.lives_confused;
        let current = self.indexes.get(&work.index).is_some_and(same);
        if self.syncs.retires.get(&place).is_some_and(|retire| retire.ticket == Some(uid)) {
            return self.grant_deletion(place, uid);
        }
        let in_hand = self.syncs.runs.get_mut(&place).and_then(|run| match &mut run.step {
            Step::Page(hand) if hand.ticket == uid => Some(hand),
            _ => None,
        });
        let Some(hand) = in_hand else { return self.drop_ticket(uid) };
        if !current {
            self.page_given_up(place, 0);
        } else if let Change::Hold { until, .. } = &mut hand.change {
            *until = self.now + ANSWER.max(until.saturating_sub(self.now));
            let until = *until;
            self.at(until, Timer::Sync(place));
            self.todo.insert(Todo::Sync(place));
        } else {
            self.send_page(place);
        }
    }

    /// Sends what is in hand; the lock is held.
    pub(super) fn send_page(&mut self, place: Place) {
        let writable = self.is_writable(place.2);
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        let Step::Page(hand) = &run.step else { return };
        let keyless = self.indexes.get(&hand.index).is_some_and(|row| row.primary_key.is_none());
        let Some(index) = run.indexes.get_mut(&hand.index) else { return self.page_given_up(place, 0) };
        if !writable {
            return self.page_given_up(place, 200);
        }
        let floor = match &hand.change {
            Change::Put { floor, .. } | Change::Remove { floor, .. } => *floor,
            Change::Hold { .. } => u32::MAX,
            Change::Clear { floor }
                if keyless && index.whole <= *floor && index.touched.values().all(|touch| touch.last <= *floor) =>
            {
                return self.dispatch_page(place, Vec::new(), Vec::new());
            }
            Change::Clear { .. } => return self.page_given_up(place, 50),
        };
        let (without, keys): (Vec<String>, Vec<String>) =
            hand.keys.iter().cloned().partition(|key| index.touched_above(key, floor));
        for key in &without {
            index.delay(key.clone());
        }
        if keys.is_empty() {
            return self.page_given_up(place, 0);
        }
        // What is written is compared afterwards, whatever becomes of it.
        keys.iter().for_each(|key| index.check.add(key.clone()));
        self.dispatch_page(place, keys, without);
    }

    fn dispatch_page(&mut self, place: Place, keys: Vec<String>, without: Vec<String>) {
        let (_, shard, to) = place;
        let Some(Step::Page(hand)) = self.syncs.runs.get(&place).map(|run| &run.step) else { return };
        let (uid, index) = (hand.ticket, hand.index.clone());
        let page = match &hand.change {
            Change::Put { page, .. } => Some(*page),
            Change::Hold { page, .. } => page.map(|(page, _)| page),
            Change::Remove { .. } | Change::Clear { .. } => None,
        };
        let clears = matches!(hand.change, Change::Clear { .. });
        let Some(row) = self.indexes.get(&index) else { return };
        let primary_key = row.primary_key.clone().unwrap_or_default();
        let key = self.nodes[to].data_key();
        let metadata = self.metadata(self.meta.term, uid);
        let documents = if page.is_some() { keys.len() as u64 } else { 0 };
        let action = match page {
            Some(page) => NodeAction::PutPage { key, index, primary_key, page, without, metadata },
            None if clears => NodeAction::DeleteShard { key, index, shard, metadata },
            None => NodeAction::DeleteKeys { key, index, keys: keys.clone(), metadata },
        };
        self.send_ticket(uid, to, shard, documents, action, place);
        if let Some(run) = self.syncs.runs.get_mut(&place)
            && let Step::Page(hand) = &mut run.step
        {
            hand.keys = keys;
        }
    }

    /// Grants a page ticket and sends its only part.
    pub(crate) fn send_ticket(
        &mut self,
        uid: u32,
        to: crate::state::N,
        shard: u32,
        documents: u64,
        action: NodeAction,
        place: Place,
    ) {
        let part = self.new_part(to, vec![shard]);
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        ticket.row.parts = vec![part];
        ticket.row.term = self.meta.term;
        ticket.row.stage = Stage::Granted;
        ticket.live = Live::Granted;
        if let TicketWork::Page(work) = &mut ticket.row.work {
            work.documents = documents;
        }
        self.nodes[to].parts.insert(uid);
        self.touch_ticket(uid);
        let op = self.op(Op::Page { ticket: uid, place });
        if let Some(run) = self.syncs.runs.get_mut(&place)
            && let Step::Page(hand) = &mut run.step
            && hand.ticket == uid
        {
            hand.op = Some(op);
        }
        let node = self.nodes[to].row.id.clone();
        self.emit(Effect::Node { op, node, action, timeout_ms: ANSWER });
    }

    /// Goes on with keys for which the lock is held: once the source has finished them, they are read.
    pub(crate) fn drive_hold(&mut self, place: Place) {
        let Some(run) = self.syncs.runs.get(&place) else { return };
        let Step::Page(hand) = &run.step else { return };
        let Change::Hold { until, page } = &hand.change else { return };
        let (ticket, from, until, index) = (hand.ticket, run.from, *until, hand.index.clone());
        let granted = self.tickets.get(&ticket).is_some_and(|ticket| ticket.live != Live::Queued);
        if granted || !self.locks.holds(ticket) {
            return;
        }
        if until <= self.now {
            let mut starved = false;
            if let Some(run) = self.syncs.runs.get_mut(&place) {
                run.hold = (run.hold * 2).min(LONGEST_HOLD);
                starved = run.indexes.get(&index).is_some_and(|index| index.blocked.is_some());
            }
            // The less gets in between two holds, the sooner the source has done with what came before.
            return self.page_given_up(place, if starved { 0 } else { 500 });
        }
        let finished = self.floor_of(from, (place.0, place.1), &index) >= ticket;
        if hand.op.is_some() || page.is_some() || !finished {
            return;
        }
        let row = self.indexes.get(&index);
        let Some(primary_key) = row.and_then(|row| row.primary_key.clone()) else { return };
        let keys = hand.keys.clone();
        let op = self.op(Op::Page { ticket, place });
        if let Some(run) = self.syncs.runs.get_mut(&place)
            && let Step::Page(hand) = &mut run.step
        {
            hand.op = Some(op);
            run.confirmed = None;
        }
        let node = self.nodes[from].row.id.clone();
        let action = NodeAction::FetchPage { index, primary_key, keys };
        self.emit(Effect::Node { op, node, action, timeout_ms: ANSWER });
    }

    /// The page in hand is not sent: its keys are looked at again.
    pub(super) fn page_given_up(&mut self, place: Place, pause: u64) {
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        let step = std::mem::replace(&mut run.step, Step::Idle);
        if let Step::Page(hand) = &step
            && let Some(index) = run.indexes.get_mut(&hand.index)
        {
            hand.keys.iter().for_each(|key| index.check.add(key.clone()));
            if matches!(hand.change, Change::Clear { .. }) {
                index.check = Check::All;
            }
        }
        self.drop_page_in_hand(step);
        self.sync_again(place, pause);
    }

    pub(super) fn drop_change(&mut self, change: &Change) {
        match change {
            Change::Put { page, .. } | Change::Hold { page: Some((page, _)), .. } => self.emit(Effect::DropPage(*page)),
            _ => {}
        }
    }

    /// Lets go of a page: one that was not sent is as if it had never been; of one that was, the node will tell.
    pub(crate) fn drop_page_in_hand(&mut self, step: Step) {
        let Step::Page(hand) = step else { return };
        self.drop_change(&hand.change);
        if self.tickets.get(&hand.ticket).is_some_and(|ticket| ticket.live == Live::Queued) {
            self.drop_ticket(hand.ticket);
        } else {
            self.page_unknown(hand.ticket);
        }
    }

    /// The lock is not held for a page whose outcome is unknown; its copy is in no write set any more.
    pub(crate) fn page_unknown(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        if ticket.live == Live::Granted {
            ticket.live = Live::Decided;
            ticket.row.stage = Stage::Decided;
            self.touch_ticket(uid);
            self.todo.insert(Todo::Settle(uid));
            self.todo.insert(Todo::Judge(uid));
        }
        self.release(uid);
    }
}
