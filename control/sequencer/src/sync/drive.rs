//! One sync from its start to the flip: what it does next, given all that is known (protocol 1.2).

use std::collections::{BTreeMap, BTreeSet};

use crate::Sequencer;
use crate::api::*;
use crate::scrub::take_strangers;
use crate::state::{Op, Reach, Timer, Todo};
use crate::sync::rows::MANY_KEYS;
use crate::sync::{Check, IndexRun, Place, Reading, Step};

/// Longest reading of a shard, in milliseconds.
const READ: u64 = 120_000;
/// Pages in the queue of `to` beyond which it is waited for.
const MOST_PAGES: usize = 4;
/// Failures in a row after which the sync starts over.
const PATIENCE: u32 = 5;
/// How often a key may be set aside before the lock is held for it.
const HOT: u32 = 6;
/// Touched keys beyond which those that matter no more are forgotten ahead of the next round.
const CROWDED: usize = 20_000;
/// Most documents that only the target has and that are looked at by their keys before they are deleted.
const CONFIRMED: usize = 1_000;
/// Most hot keys in one page.
const MOST_HOT: usize = 50;

impl Sequencer {
    /// Goes on with a sync as far as it can. Called after everything that may matter to it.
    pub(crate) fn drive_sync(&mut self, place: Place) {
        if !self.syncs.runs.contains_key(&place) || !self.check_run(place) {
            return;
        }
        self.match_indexes(place);
        let Some(run) = self.syncs.runs.get(&place) else { return };
        if !matches!(run.step, Step::Idle) || !run.before.is_empty() {
            return;
        }
        if run.pause > self.now {
            let pause = run.pause;
            return self.at(pause, Timer::Sync(place));
        }
        let busy = |index: &&String| run.indexes.get(*index).is_some_and(|index| !index.is_done());
        let Some(index) = run.indexes.keys().find(busy).cloned() else { return self.close(place) };
        if let Some(run) = self.syncs.runs.get_mut(&place)
            && std::mem::take(&mut run.closing)
        {
            // Tasks need not wait for it yet.
            self.todo.extend(run.open.iter().copied().map(Todo::Judge));
        }
        if !self.syncs.limits.paused {
            self.work_on(place, index);
        }
    }

    /// Whether it may go on: its node in contact, its source good. Breaks it, or changes the source, otherwise.
    fn check_run(&mut self, place: Place) -> bool {
        let to = &self.nodes[place.2];
        if to.reach != Reach::Up || to.row.rebuild {
            self.break_sync(place, "its node is not in contact");
            return false;
        }
        let Some(run) = self.syncs.runs.get(&place) else { return false };
        let from = run.from;
        let copies = self.shard_copies(place.0, place.1);
        let good = copies.iter().any(|copy| copy.node == from && self.is_good(copy));
        if (!good && !self.planted.stale_source) || self.nodes[from].reach != Reach::Up {
            // What it showed may be what it deviated in: all is compared with another one (F22).
            self.break_sync(place, "the copy that it is filled from is not in sync, or out of reach");
            return false;
        }
        let source = &self.nodes[from].row;
        let finished = |uid: &u32| {
            let ticket = self.tickets.get(uid);
            ticket.is_none_or(|ticket| !super::tickets::is_write_unfinished(ticket, source, place.1))
        };
        let over: Vec<u32> = run.before.iter().filter(|uid| finished(uid)).copied().collect();
        if let Some(run) = self.syncs.runs.get_mut(&place) {
            run.before.retain(|uid| !over.contains(uid));
        }
        true
    }

    /// Indexes may have been created, deleted or swapped since the last look (F24).
    fn match_indexes(&mut self, place: Place) {
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        if self.planted.lives_confused {
            return;
        }
        let of = |row: &&IndexRow| row.placement == place.0;
        let is_same = |(uid, index): (&String, &IndexRun)| {
            self.indexes.get(uid).is_some_and(|row| row.incarnation == index.incarnation)
        };
        let moved = !run.indexes.iter().all(is_same);
        run.indexes.retain(|uid, _| self.indexes.get(uid).filter(of).is_some());
        for row in self.indexes.values().filter(of) {
            if run.indexes.get(&row.uid).is_some_and(|index| index.incarnation == row.incarnation) {
                continue;
            }
            // One that was created since then has got every write; what got this name may be an older one.
            let whole = run.indexes.get(&row.uid).map(|index| index.whole);
            let is_new = whole.is_none() && !moved && row.incarnation >= u64::from(run.since);
            let mut index = IndexRun::new(row.incarnation, if is_new { Check::none() } else { Check::All });
            // Whatever gave it the name has to be done on both sides before they can be compared.
            index.whole = whole.unwrap_or(0).max(u32::try_from(row.incarnation).unwrap_or(0));
            run.indexes.insert(row.uid.clone(), index);
        }
    }

    /// The same for all that run, while no write to the indexes that change is under way.
    pub(crate) fn match_all_indexes(&mut self) {
        let places: Vec<Place> = self.syncs.runs.keys().copied().collect();
        places.into_iter().for_each(|place| self.match_indexes(place));
    }

    fn work_on(&mut self, place: Place, uid: String) {
        let Some(row) = self.indexes.get(&uid) else { return };
        let primary_key = row.primary_key.clone();
        let Some(run) = self.syncs.runs.get(&place) else { return };
        let (from, to, pages) = (run.from, place.2, run.pages.len());
        let full = self.is_queue_full(to);
        let crowded = self.keys_to_write() >= MANY_KEYS && run.keys() == 0;
        let (read, reads) = (self.is_being_read(from), self.is_being_read(to));
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        let Some(index) = run.indexes.get_mut(&uid) else { return };
        let Some(primary_key) = primary_key else {
            // Without a key no write has succeeded: what there is, only an aborted one can have left.
            if pages == 0 {
                self.clear_copy(place, uid);
            }
            return;
        };
        if pages >= MOST_PAGES {
            return;
        }
        let starved = index.is_starved(self.now, self.config.timing.starved);
        if !index.copy.is_empty() || !index.remove.is_empty() {
            if self.syncs.next_page > self.now {
                let at = self.syncs.next_page;
                return self.at(at, Timer::Sync(place));
            }
            let hot = |key: &&String| starved || index.delays.get(*key).is_some_and(|times| *times >= HOT);
            let most = if starved { run.page_keys } else { MOST_HOT };
            let hot: Vec<String> = index.copy.iter().chain(&index.remove).filter(hot).take(most).cloned().collect();
            if !hot.is_empty() {
                return self.hold_for(place, &uid, hot);
            }
            if full {
                return self.in_turn(place);
            }
            if index.copy.is_empty() {
                return self.remove_extra(place, &uid);
            }
            if read {
                return self.in_turn(place);
            }
            let most = match self.syncs.limits.documents_per_s {
                0 => run.page_keys,
                rate => run.page_keys.min(usize::try_from(rate).unwrap_or(usize::MAX)),
            };
            let keys: Vec<String> = index.copy.iter().take(most).cloned().collect();
            let crowded = index.touched.len() > CROWDED && index.remove.is_empty();
            let floor = self.floor_of(from, (place.0, place.1), &uid);
            if crowded {
                self.forget_touched(place, &uid, floor);
            }
            let action = NodeAction::FetchPage { index: uid.clone(), primary_key, keys: keys.clone() };
            return self.read_for(place, from, action, Reading::Fetch { index: uid, keys, floor });
        }
        if pages > 0 {
            return;
        }
        // Whoever has keys to write goes on, and makes room for those that would find more.
        if reads || crowded && index.check == Check::All {
            return self.in_turn(place);
        }
        // A new round: what both have finished now, they show.
        let shard = (place.0, place.1);
        let floor = self.floor_of(from, shard, &uid).min(self.floor_of(to, shard, &uid));
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        let Some(index) = run.indexes.get_mut(&uid) else { return };
        if index.whole <= floor {
            index.blocked = None;
        } else if !starved {
            // Anything may be on its way.
            index.blocked.get_or_insert(self.now);
            return self.sync_again(place, 50);
        }
        let check = std::mem::take(&mut index.check);
        let whole = index.whole;
        let matters = |key: &String| matches!(&check, Check::Keys(keys) if keys.contains(key));
        index.touched.retain(|key, touch| touch.last > floor || matters(key) || touch.clean && whole > floor);
        if let Check::Keys(keys) = &check {
            index.delays.retain(|key, _| keys.contains(key));
        }
        let keys = match &check {
            Check::All => None,
            Check::Keys(keys) => Some(keys.iter().cloned().collect()),
        };
        let action = NodeAction::Digests { index: uid.clone(), primary_key, shard: place.1, keys };
        self.read_for(place, to, action, Reading::To { index: uid, check, floor });
    }

    /// What both sides have finished, no later page or round has to know.
    fn forget_touched(&mut self, place: Place, uid: &str, floor: u32) {
        let floor = floor.min(self.floor_of(place.2, (place.0, place.1), uid));
        let index = self.syncs.runs.get_mut(&place).and_then(|run| run.indexes.get_mut(uid));
        if let Some(IndexRun { touched, check, blocked, .. }) = index {
            let blocked = blocked.is_some();
            let set_aside = |key: &String| blocked || matches!(&*check, Check::Keys(keys) if keys.contains(key));
            touched.retain(|key, touch| touch.last > floor || touch.clean && set_aside(key));
        }
    }

    fn read_for(&mut self, place: Place, n: crate::state::N, action: NodeAction, reading: Reading) {
        let Some(run) = self.syncs.runs.get(&place) else { return };
        let id = run.id;
        let op = self.op(Op::Sync(place, id));
        if let Some(run) = self.syncs.runs.get_mut(&place) {
            run.confirmed = None;
            run.reading = run.indexes.get(reading.index()).map_or(0, |index| index.incarnation);
            run.step = Step::Reading(op, reading);
        }
        let node = self.nodes[n].row.id.clone();
        self.emit(Effect::Node { op, node, action, timeout_ms: READ });
    }

    /// A node answered a sync.
    pub(crate) fn sync_read(&mut self, place: Place, id: u64, op: OpId, result: Result<NodeAnswer, NodeFault>) {
        let run = self.syncs.runs.get_mut(&place).filter(|run| run.id == id);
        let reading = run.and_then(|run| match std::mem::replace(&mut run.step, Step::Idle) {
            Step::Reading(asked, reading) if asked == op => Some(reading),
            other => {
                run.step = other;
                None
            }
        });
        let Some(reading) = reading else {
            if let Ok(NodeAnswer::Page { page, .. }) = result {
                self.emit(Effect::DropPage(page));
            }
            return;
        };
        self.match_indexes(place);
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        let asked = run.reading;
        let index = run.indexes.get_mut(reading.index());
        if index.as_ref().is_none_or(|index| index.incarnation != asked) {
            // What was read is of another index of that name (F24).
            if let Some(index) = index {
                index.check = Check::All;
            }
            if let Ok(NodeAnswer::Page { page, .. }) = result {
                self.emit(Effect::DropPage(page));
            }
            self.todo.insert(Todo::Sync(place));
            return;
        }
        let result = self.own_documents(place, &reading, asked, result);
        match (reading, result) {
            (Reading::To { index, check, floor }, Ok(NodeAnswer::Digests(to))) => {
                self.read_source(place, index, check, floor, to.into_iter().collect());
            }
            (Reading::From { index, check, floor, to }, Ok(NodeAnswer::Digests(from))) => {
                let (to, from) = super::round::without_outsiders(to, from);
                self.end_round(place, &index, check, floor, &to, &from);
            }
            (Reading::From { index, check, floor, to }, Ok(NodeAnswer::Keys(from))) => {
                let from = from.into_iter().map(|key| (key, None)).collect();
                self.end_round(place, &index, check, floor, &to, &from);
            }
            (Reading::Fetch { index, keys, floor }, Ok(NodeAnswer::Page { page, keys: found, bytes })) => {
                self.page_fetched(place, index, keys, floor, (page, found, bytes));
            }
            (Reading::To { index, check, .. } | Reading::From { index, check, .. }, result) => {
                self.check_again(place, &index, check);
                self.read_failed(place, &result);
            }
            (_, result) => self.read_failed(place, &result),
        }
        self.todo.insert(Todo::Sync(place));
    }

    /// Without what a node shows under the shard's tag although its key belongs to another one.
    fn own_documents(
        &mut self,
        place: Place,
        reading: &Reading,
        incarnation: u64,
        mut result: Result<NodeAnswer, NodeFault>,
    ) -> Result<NodeAnswer, NodeFault> {
        let Some(from) = self.syncs.runs.get(&place).map(|run| run.from) else { return result };
        let n = if matches!(reading, Reading::To { .. }) { place.2 } else { from };
        let shards = self.config.shards;
        let others = match &mut result {
            Ok(NodeAnswer::Keys(keys)) => take_strangers(keys, place.1, shards),
            Ok(NodeAnswer::Digests(digests)) => {
                let is_own = |key: &String| miroir_core::hash::shard_of(key.as_bytes(), shards) == place.1;
                let outsiders = digests.iter().filter(|(_, digest)| *digest == OUTSIDER);
                let others = outsiders.map(|(key, _)| key.clone()).collect();
                digests.retain(|(key, _)| is_own(key));
                others
            }
            _ => Vec::new(),
        };
        self.suspect(n, Some(&(reading.index().to_owned(), incarnation)), others);
        result
    }

    fn check_again(&mut self, place: Place, index: &str, check: Check) {
        if let Some(index) = self.syncs.runs.get_mut(&place).and_then(|run| run.indexes.get_mut(index)) {
            index.check.join(check);
        }
    }

    /// Once the target has shown what it has, the source is asked: for keys alone where the target has nothing.
    fn read_source(&mut self, place: Place, uid: String, check: Check, floor: u32, to: BTreeMap<String, u128>) {
        let key = self.indexes.get(&uid).and_then(|row| row.primary_key.clone());
        let (Some(primary_key), Some(run)) = (key, self.syncs.runs.get_mut(&place)) else { return };
        run.fails = 0;
        let (from, index) = (run.from, uid.clone());
        let action = match &check {
            Check::All if to.is_empty() => NodeAction::ListKeys { index, primary_key, shard: place.1 },
            Check::All => NodeAction::Digests { index, primary_key, shard: place.1, keys: None },
            Check::Keys(keys) => {
                let keys = Some(keys.iter().cloned().collect());
                NodeAction::Digests { index, primary_key, shard: place.1, keys }
            }
        };
        self.read_for(place, from, action, Reading::From { index: uid, check, floor, to });
    }

    /// Both sides have been read: what differs is written, what may have changed meanwhile is looked at again.
    fn end_round(
        &mut self,
        place: Place,
        uid: &str,
        check: Check,
        floor: u32,
        to: &BTreeMap<String, u128>,
        from: &BTreeMap<String, Option<u128>>,
    ) {
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        run.fails = 0;
        let Some(index) = run.indexes.get_mut(uid) else { return };
        let starved = index.is_starved(self.now, self.config.timing.starved);
        if index.whole > floor && !starved {
            return index.check.join(check);
        }
        if starved {
            return super::round::take_all(index, to, from);
        }
        super::round::compare(index, floor, to, from);
        if check == Check::All && index.remove.len() <= CONFIRMED {
            // The source may have something else under the key of one, which only the key itself shows.
            std::mem::take(&mut index.remove).into_iter().for_each(|key| index.check.add(key));
        }
        let hot = |key: &&String| index.delays.get(*key).is_some_and(|times| *times >= HOT);
        // Hot keys cannot be compared without the lock: they are written under it, whatever they are.
        let hot: BTreeSet<String> = match &index.check {
            Check::Keys(keys) => keys.iter().filter(hot).cloned().collect(),
            Check::All => BTreeSet::new(),
        };
        if let Check::Keys(keys) = &mut index.check {
            keys.retain(|key| !hot.contains(key));
        }
        index.copy.extend(hot);
        if self.planted.flip_without_compare {
            index.check = Check::none();
        }
    }

    fn read_failed(&mut self, place: Place, result: &Result<NodeAnswer, NodeFault>) {
        let why = match result {
            Ok(NodeAnswer::Refused { status, .. }) => format!("a node refused to be read ({status})"),
            Ok(_) => "a node answered something else".to_owned(),
            Err(_) => "a node could not be read".to_owned(),
        };
        self.sync_failed(place, &why);
    }

    /// Something did not work; after a few times the sync starts over.
    pub(crate) fn sync_failed(&mut self, place: Place, why: &str) {
        let Some(run) = self.syncs.runs.get_mut(&place) else { return };
        run.fails += 1;
        let fails = run.fails;
        if fails >= PATIENCE {
            return self.break_sync(place, why);
        }
        self.sync_again(place, 100 << fails);
    }

    /// Looks again after some milliseconds.
    pub(crate) fn sync_again(&mut self, place: Place, pause: u64) {
        let at = self.now + pause;
        if pause == 0 {
            self.todo.insert(Todo::Sync(place));
        } else if let Some(run) = self.syncs.runs.get_mut(&place) {
            run.pause = at;
            self.at(at, Timer::Sync(place));
        }
    }
}
