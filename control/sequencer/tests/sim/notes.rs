//! What the world writes down while it runs, and the invariants that it is for: fences (4), locks (5 and 16), leaders
//! (13), and what maps let be read (7).

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::invariants::{self, Certainty, Holder};
use miroir_core::wire::{Grant, PartOutcome};
use miroir_sequencer::*;

use crate::world::World;

/// A ticket that holds locks.
pub struct Held {
    locks: Vec<(String, Vec<u32>)>,
    since: u64,
    page: bool,
    /// The filter's attempt.
    attempt: Option<String>,
    /// Every shard has another copy in sync than that of the node that hangs.
    prompt: bool,
}

#[derive(Default)]
pub struct Notes {
    /// By node and history of its disk: generation and term of the newest fence that it has answered.
    fences: BTreeMap<(usize, u64), (u64, u64)>,
    /// By node: the key that this instance of control was last given for it.
    keys: BTreeMap<usize, String>,
    /// Terms by instance of control.
    terms: BTreeMap<u64, u64>,
    /// Tickets that hold locks.
    held: BTreeMap<u32, Held>,
    /// The newest ticket that was granted on a shard of an index.
    newest: BTreeMap<(String, u32), u32>,
    /// When tickets were granted.
    pub granted: BTreeMap<u32, u64>,
    /// Tickets whose outcome only copies out of reach know: their shards are down.
    pub down: BTreeSet<u32>,
    /// Since when control has been running without a pause.
    pub running_since: u64,
    /// By epoch: shards and nodes whose copies were in sync.
    pub readable: BTreeMap<u64, Vec<(u32, NodeId)>>,
    /// When a copy was last taken for equal.
    pub flipped: BTreeMap<(u32, NodeId), u64>,
    /// Attempts by the tickets that were granted for them.
    attempts: BTreeMap<u32, String>,
    /// The store has lost its last rows: a leader learns from nodes what came before.
    store_is_older: bool,
    /// When control heard that filters have given attempts up.
    given_up: BTreeMap<String, u64>,
    /// The tickets that made what bears these names now.
    pub births: BTreeMap<String, u32>,
}

fn generation(key: Option<&str>) -> Option<u64> {
    key?.strip_prefix("key-")?.parse().ok()
}

impl World {
    /// A new instance of control knows no keys, and what a page wrote is looked at anew: it is in nobody's way.
    pub fn note_start(&mut self) {
        self.notes.held.retain(|_, held| !held.page);
        self.notes.keys.clear();
        self.notes.running_since = self.net.now;
    }

    /// The store has lost its last rows. What no node has seen is as if it had never been: no filter can still write it,
    /// once nodes are fenced.
    pub fn note_older_store(&mut self) {
        self.notes.store_is_older = true;
        self.notes.held.clear();
        self.notes.newest.clear();
        let log = &self.log;
        self.notes.attempts.retain(|ticket, _| log.iter().any(|entry| entry.ticket == Some(*ticket)));
    }

    /// The first row of an instance says which term it leads.
    pub fn note_term(&mut self, row: &MetaRow) {
        let before = self.notes.terms.values().next_back().copied().unwrap_or(0);
        let instance = self.control.instance;
        if self.notes.terms.insert(instance, row.term).is_none() && !self.notes.store_is_older {
            self.judge(invariants::term_grows(before, row.term));
        }
    }

    /// A node has answered a fence.
    pub fn note_fence(&mut self, node: usize, generation: u64, term: u64) {
        self.notes.fences.insert((node, self.nodes[node].disk.history), (generation, term));
    }

    /// Control has heard of it; of an earlier one perhaps later.
    pub fn note_key(&mut self, node: usize, key: String) {
        let known = self.notes.keys.entry(node).or_default();
        if generation(Some(&key)) >= generation(Some(known)) {
            *known = key;
        }
    }

    /// A node has taken a request. `by`: the instance of control that sent it, if it was one.
    pub fn check_taken(&mut self, node: usize, key: Option<&str>, by: Option<u64>) {
        let Some((fenced, term)) = self.notes.fences.get(&(node, self.nodes[node].disk.history)).copied() else {
            return;
        };
        let id = self.nodes[node].id.clone();
        if let Some(carried) = generation(key).filter(|_| self.fencing) {
            self.judge(invariants::fenced_key_is_refused(&id, carried, fenced));
        }
        if let Some(sender) = by.and_then(|instance| self.notes.terms.get(&instance).copied()) {
            self.judge(invariants::newest_leader_only(&id, sender, term));
        }
    }

    /// A filter is told where to write.
    pub fn check_grant(&mut self, grant: &Grant) {
        // A former leader may grant what it has granted before: nodes that have been fenced since refuse it.
        if self.acting_former {
            return;
        }
        let fenced = |node: &str, key: &String| {
            let at = self.nodes.iter().position(|engine| engine.id == node);
            at.is_some_and(|at| self.notes.keys.get(&at) == Some(key))
        };
        let keyed = grant.parts.iter().filter_map(|part| Some((part.node.as_str(), part.key.as_ref()?)));
        let written: Vec<(&str, bool)> = keyed.map(|(node, key)| (node, fenced(node, key))).collect();
        self.judge(invariants::written_nodes_are_fenced(grant.ticket, &written));
    }

    /// A ticket as it is stored.
    pub fn see_ticket(&mut self, row: &TicketRow) {
        match row.stage {
            Stage::Queued => {}
            Stage::Granted => self.see_grant(row),
            Stage::Decided | Stage::Over => {
                if self.see_release(row.uid, row) && matches!(row.work, TicketWork::Write(_)) {
                    self.check_resolved(row);
                }
            }
        }
    }

    fn locks(&self, row: &TicketRow) -> Vec<(String, Vec<u32>)> {
        match &row.work {
            TicketWork::Write(work) => {
                vec![(work.index.clone(), work.shards.iter().map(|count| count.shard).collect())]
            }
            TicketWork::Page(work) => vec![(work.index.clone(), vec![work.shard])],
            _ => Vec::new(),
        }
    }

    fn see_grant(&mut self, row: &TicketRow) {
        let locks = self.locks(row);
        if locks.is_empty() || self.notes.held.contains_key(&row.uid) {
            return;
        }
        for (index, shards) in &locks {
            for shard in shards {
                let newest = self.notes.newest.insert((index.clone(), *shard), row.uid);
                self.judge(invariants::granted_in_order(row.uid, newest));
            }
        }
        let attempt = match &row.work {
            TicketWork::Write(work) => Some(work.attempt.clone()),
            _ => None,
        };
        if let Some(attempt) = &attempt {
            let before = self.notes.attempts.insert(row.uid, attempt.clone());
            if before.is_some_and(|before| before != *attempt) {
                self.breaks(format!("F16: ticket {} is given twice", row.uid));
            }
        }
        if let Some(at) = attempt.as_ref().and_then(|attempt| self.given_up(attempt)) {
            let text = format!("F5: ticket {} is granted, and its filter had given it up at {at}", row.uid);
            self.breaks(text);
        }
        let page = matches!(row.work, TicketWork::Page(_));
        let prompt = !page && self.is_served_promptly(&locks);
        self.notes.held.insert(row.uid, Held { locks, since: self.net.now, page, attempt, prompt });
        self.notes.granted.insert(row.uid, self.net.now);
        let held = self.notes.held.iter().flat_map(|(ticket, held)| {
            held.locks.iter().map(|(index, shards)| Holder { ticket: *ticket, index, shards })
        });
        let broken = invariants::one_open_ticket(held);
        self.judge(broken);
    }

    /// Its locks are free; false if it had none.
    fn see_release(&mut self, uid: u32, row: &TicketRow) -> bool {
        let Some(held) = self.notes.held.remove(&uid) else { return false };
        // Nobody counts the time while nobody leads, and a shard that is down is waited for.
        if held.since < self.notes.running_since || self.notes.down.contains(&uid) {
            return true;
        }
        let timing = self.config().timing;
        let fence = timing.mutate + timing.quiet + 2 * timing.probe;
        let (what, most) = match &row.work {
            // The deadline, and then the fence of whoever has not answered.
            TicketWork::Write(_) => ("a write's lock", timing.deadline + timing.slack + fence),
            // One answer of one node.
            _ => ("a page's lock", 2_000),
        };
        let what = format!("{what}, of ticket {uid},");
        self.judge(invariants::wait_is_bounded(&what, self.net.now - held.since, most));
        // What a filter has given up is found out at once (F4, F5).
        if let Some(at) = held.attempt.as_ref().and_then(|attempt| self.given_up(attempt)) {
            let what = format!("{what} given up by its filter,");
            // A call to a node may be lost, and is made once more when its time is over.
            let most = if self.swarm.drop > 0 { 2 * fence } else { fence };
            self.judge(invariants::wait_is_bounded(&what, self.net.now - at.max(held.since), most));
        }
        // A node that hangs is not waited for where others have the write (F35).
        if held.prompt && self.swarm.prompt {
            let what = format!("{what} with a node that hangs,");
            self.judge(invariants::wait_is_bounded(&what, self.net.now - held.since, timing.soft + fence));
        }
        true
    }

    /// Control hears that a filter has given an attempt up.
    pub fn note_given_up(&mut self, attempt: &str) {
        if !self.acting_former {
            self.notes.given_up.entry(attempt.to_owned()).or_insert(self.net.now);
        }
    }

    /// When this instance of control heard of it, not stopped since.
    fn given_up(&self, attempt: &str) -> Option<u64> {
        self.notes.given_up.get(attempt).copied().filter(|at| *at >= self.notes.running_since)
    }

    fn is_served_promptly(&self, locks: &[(String, Vec<u32>)]) -> bool {
        let hangs = |node: &usize| self.nodes[*node].stopped;
        let mut shards = locks.iter().flat_map(|(_, shards)| shards);
        shards.all(|shard| self.good_copies(*shard).iter().filter(|node| !hangs(node)).count() >= 2)
    }

    /// The ticket is over without a trace.
    pub fn forget_ticket(&mut self, uid: u32) {
        self.notes.held.remove(&uid);
    }

    fn check_resolved(&mut self, row: &TicketRow) {
        let Some(sequencer) = &self.control.sequencer else { return };
        let nodes = sequencer.nodes();
        let certainty = |part: &PartRow| {
            let known = part.task.is_some() || part.end.as_ref().is_some_and(|end| *end != PartEnd::Absent);
            let (Some(at), Some(status)) = (
                self.nodes.iter().position(|engine| engine.id == part.node),
                nodes.iter().find(|status| status.id == part.node),
            ) else {
                return Certainty::Fenced;
            };
            // A disk that has just taken the place of a fenced one is nobody's yet: the next read of its tasks shows it.
            let unnoticed = self.changed[at].is_some();
            let present = self.nodes[at].disk.history;
            let meant = |node: usize, history: u64| node == at && (unnoticed || history == present);
            let mut fences = self.notes.fences.iter().filter(|((node, history), _)| meant(*node, *history));
            match part.said {
                _ if known => Certainty::Answered,
                Some(PartOutcome::Accepted { .. } | PartOutcome::Refused { status: 400..500, .. }) => {
                    Certainty::Answered
                }
                Some(PartOutcome::NotSent) => Certainty::NotSent,
                _ if status.incarnation != part.incarnation => Certainty::Fenced,
                _ if fences.any(|(_, (generation, _))| *generation > part.generation) => Certainty::Fenced,
                _ if !part.shards.iter().any(|shard| self.good_copies(*shard).contains(&at)) => Certainty::Stale,
                _ if !matches!(status.phase, "ready" | "catching_up") => Certainty::Unfenced,
                _ => Certainty::Open,
            }
        };
        let parts: Vec<(&str, Certainty)> =
            row.parts.iter().map(|part| (part.node.as_str(), certainty(part))).collect();
        self.judge(invariants::resolved_with_certainty(row.uid, &parts));
    }

    /// What the newest map lets be read.
    pub fn note_map(&mut self, epoch: u64) {
        let Some(sequencer) = &self.control.sequencer else { return };
        let copies = sequencer.copies().into_iter().filter(|copy| copy.state == CopyState::InSync);
        self.notes.readable.insert(epoch, copies.map(|copy| (copy.shard, copy.node)).collect());
    }

    /// A copy becomes one in sync.
    pub fn note_copy(&mut self, row: &CopyRow, slot: &(&'static str, String)) {
        let before = self.control.store.get(slot).and_then(|json| serde_json::from_str::<CopyRow>(json).ok());
        if row.state == CopyState::InSync && before.is_some_and(|before| before.state != CopyState::InSync) {
            self.notes.flipped.insert((row.shard, row.node.clone()), self.net.now);
        }
    }
}
