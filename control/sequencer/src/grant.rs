//! Grant: the locks are held; what the write may do is decided on the state as it is now (protocol 1.1, step 2).

use miroir_core::error::ErrorBody;
use miroir_core::wire::{BeginAnswer, Grant, GrantPart, KeySource, PartShard, WriteKind};

use crate::Sequencer;
use crate::api::*;
use crate::begin::{error_reply, unavailable};
use crate::state::{Live, N, Ticket, Timer, Waiting};

/// What a begin comes to once it holds its locks.
enum Verdict {
    Go { reserve: bool },
    Reply(miroir_core::wire::ControlReply),
    Resplit { primary_key: String, incarnation: u64 },
    Foregone(Foregone),
    Park,
    StartOver,
}

/// Whether nodes allow it.
enum Nodes {
    Ready(Vec<PartRow>),
    Wait,
    Down(Vec<u32>),
}

impl Sequencer {
    /// Grants a ticket that holds its locks, if nodes allow; answers it otherwise, or leaves it waiting.
    pub(crate) fn try_grant(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        if ticket.live != Live::Queued || !self.locks.holds(uid) && !self.overtakes(ticket) {
            return;
        }
        let Some(waiting) = ticket.waiting.clone() else {
            let page = matches!(ticket.row.work, TicketWork::Page(_));
            return if page { self.grant_page(uid) } else { self.start_index_ticket(uid) };
        };
        match self.verdict(&waiting) {
            Verdict::Go { .. } if !self.is_divided(uid) => {}
            Verdict::Go { reserve } => self.grant_on_nodes(uid, waiting, reserve),
            Verdict::Reply(reply) => self.refuse(uid, waiting, reply),
            Verdict::Resplit { primary_key, incarnation } => {
                let answer = BeginAnswer::Resplit { primary_key, incarnation };
                self.emit(Effect::Begun { request: waiting.request, answer });
                self.forget_key(uid);
                self.drop_ticket(uid);
            }
            Verdict::Foregone(end) => self.accept_foregone(uid, &waiting, end),
            Verdict::Park => {
                self.at(waiting.until, Timer::Parked);
                self.forget_key(uid);
                self.drop_ticket(uid);
                self.parked.push(waiting);
            }
            Verdict::StartOver => {
                self.forget_key(uid);
                self.drop_ticket(uid);
                self.admit(waiting);
            }
        }
    }

    /// A write goes ahead of those that it shares shards with ([`crate::planted`]), if it can be made at all.
    fn overtakes(&self, ticket: &Ticket) -> bool {
        let waiting = ticket.waiting.as_ref().filter(|_| self.planted.overtakes);
        waiting.is_some_and(|waiting| self.indexes.contains_key(&waiting.begin.index))
    }

    fn verdict(&self, waiting: &Waiting) -> Verdict {
        let begin = &waiting.begin;
        let adds = matches!(begin.kind, WriteKind::Replace | WriteKind::Update);
        let Some(index) = self.indexes.get(&begin.index) else {
            let error = index_not_found(&begin.index);
            return match (adds && waiting.may_create, begin.fault.clone()) {
                (true, _) => Verdict::StartOver,
                (false, fault) => Verdict::Foregone(Foregone::Fault(fault.filter(|_| adds).unwrap_or(error))),
            };
        };
        let moved = begin.incarnation.is_some_and(|incarnation| incarnation != index.incarnation);
        let known = index.primary_key.clone().filter(|_| !index.provisional);
        let resplit = |primary_key| Verdict::Resplit { primary_key, incarnation: index.incarnation };
        if let Some(fault) = &begin.fault {
            // The engine compares a key that is named with the one that it knows before it looks at any document.
            if adds && begin.key_source == KeySource::Parameter && index.primary_key != begin.primary_key {
                match &index.primary_key {
                    Some(_) if index.provisional => return Verdict::Park,
                    Some(key) => return Verdict::Foregone(Foregone::Fault(key_exists(key))),
                    None => {}
                }
            }
            let inference = fault.code == "index_primary_key_no_candidate_found"
                || fault.code == "index_primary_key_multiple_candidates_found";
            return match known {
                Some(key) if inference || begin.primary_key.as_ref().is_some_and(|split| *split != key) && moved => {
                    resplit(key)
                }
                _ => Verdict::Foregone(Foregone::Fault(fault.clone())),
            };
        }
        if begin.shards.is_empty() && !begin.kind.is_whole_index() {
            return Verdict::Foregone(Foregone::Nothing);
        }
        if !adds {
            return Verdict::Go { reserve: false };
        }
        let Some(split) = &begin.primary_key else {
            return Verdict::Reply(error_reply(400, &ErrorBody::new("bad_request", "a write without its primary key")));
        };
        match (&index.primary_key, begin.key_source) {
            (Some(key), _) if key == split => Verdict::Go { reserve: false },
            (Some(_), _) if index.provisional => Verdict::Park,
            (Some(key), KeySource::Parameter) => Verdict::Foregone(Foregone::Fault(key_exists(key))),
            (Some(key), _) => resplit(key.clone()),
            // The key of an index that is gone says nothing about the new one; its map is on the way.
            (None, KeySource::Map) => Verdict::Reply(unavailable("the index was created again; try again")),
            (None, _) => Verdict::Go { reserve: true },
        }
    }

    fn grant_on_nodes(&mut self, uid: u32, waiting: Waiting, reserve: bool) {
        let parts = match self.write_set(uid) {
            Nodes::Ready(parts) => parts,
            Nodes::Wait => return,
            Nodes::Down(shards) => {
                self.alert("shard_down", None, format!("a write to shards {shards:?} was refused"));
                return self.refuse(uid, waiting, shards_down(&shards));
            }
        };
        let index = waiting.begin.index.clone();
        if let Some(row) = self.indexes.get_mut(&index).filter(|_| reserve) {
            row.primary_key = waiting.begin.primary_key.clone();
            row.provisional = !self.planted.reservation_is_fact;
            self.out.indexes.insert(index.clone());
        }
        let provisional = self.indexes.get(&index).is_some_and(|row| row.provisional);
        let incarnation = self.indexes.get(&index).map_or(0, |row| row.incarnation);
        if provisional {
            self.key_users.entry(index).or_default().insert(uid);
        }
        for part in &parts {
            if let Some(n) = self.node_at(&part.node) {
                self.nodes[n].parts.insert(uid);
            }
        }
        let timing = self.config.timing.clone();
        let bytes_ms = waiting.begin.bytes / timing.bytes_per_ms.max(1);
        let deadline = self.now + timing.deadline + bytes_ms + timing.slack;
        let epoch = self.meta.epoch;
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        if waiting.begin.incarnation.is_none() {
            // Made for this write, or just before it: done only when filters can read it (F7).
            ticket.row.epoch = ticket.row.epoch.max(epoch);
        }
        ticket.row.parts = parts;
        // Nodes may have told of a later term since it came.
        ticket.row.term = self.meta.term;
        ticket.row.stage = Stage::Granted;
        ticket.row.forget_ms = deadline + timing.commit_retry;
        ticket.live = Live::Granted;
        ticket.deadline = deadline;
        ticket.waiting = None;
        if let TicketWork::Write(work) = &mut ticket.row.work {
            work.incarnation = incarnation;
            work.reserves_key = reserve;
            if let Some(scope) = &work.idempotency {
                self.out.idempotency.insert(scope.clone());
            }
        }
        self.at(deadline, Timer::Ticket(uid));
        self.touch_ticket(uid);
        self.sync_granted(uid);
        let answer = self.grant_answer(uid, None);
        self.emit(Effect::Begun { request: waiting.request, answer });
    }

    /// Who takes the write: every copy that takes writes on a node that can be written, by node.
    fn write_set(&self, uid: u32) -> Nodes {
        let Some(ticket) = self.tickets.get(&uid) else { return Nodes::Wait };
        let TicketWork::Write(work) = &ticket.row.work else { return Nodes::Wait };
        let Some(index) = self.indexes.get(&work.index) else { return Nodes::Wait };
        let mut shards_of: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        let (mut wait, mut down) = (false, Vec::new());
        for count in &work.shards {
            let mut counting = 0;
            let mut may_come = 0;
            for (n, counts) in self.written(index, count.shard) {
                if self.is_writable(n) {
                    shards_of[n].push(count.shard);
                    counting += u32::from(counts);
                } else if counts && self.is_about_to_be_writable(n) {
                    may_come += 1;
                    // A node whose key is being replaced, and any node at start, is worth the short wait.
                    wait |= self.nodes[n].reach == crate::state::Reach::Up || self.nodes[n].starting;
                }
            }
            if counting < self.config.min_accept.max(1) {
                match counting + may_come >= self.config.min_accept.max(1) {
                    true => wait = true,
                    false => down.push(count.shard),
                }
            }
        }
        if !down.is_empty() {
            return Nodes::Down(down);
        }
        if wait {
            return Nodes::Wait;
        }
        let written = (0..).zip(shards_of).filter(|(_, shards)| !shards.is_empty());
        Nodes::Ready(written.map(|(n, shards)| self.new_part(n, shards)).collect())
    }

    pub(crate) fn new_part(&self, n: N, shards: Vec<u32>) -> PartRow {
        let node = &self.nodes[n];
        PartRow {
            node: node.row.id.clone(),
            incarnation: node.row.incarnation,
            generation: node.live,
            floor: node.row.floor,
            shards,
            said: None,
            task: None,
            end: None,
        }
    }

    /// The grant as the filter gets it; `only`: these nodes' parts.
    pub(crate) fn grant(&self, uid: u32, only: Option<&[NodeId]>) -> Option<Grant> {
        let ticket = self.tickets.get(&uid)?;
        let TicketWork::Write(work) = &ticket.row.work else { return None };
        let index = self.indexes.get(&work.index);
        let wanted = |part: &&PartRow| only.is_none_or(|only| only.contains(&part.node));
        let parts = ticket.row.parts.iter().filter(wanted).filter_map(|part| {
            let n = self.node_at(&part.node)?;
            let node = &self.nodes[n];
            let counts = |shard| index.is_some_and(|index| self.in_sync(index, shard).contains(&n));
            Some(GrantPart {
                node: part.node.clone(),
                cluster: self.config.cluster_names.write(&node.row.id, &node.row.place.url),
                key: node.keys.as_ref().and_then(|keys| match work.kind {
                    WriteKind::Edit => keys.edit.clone(),
                    _ => keys.data.clone(),
                }),
                shards: part.shards.iter().map(|shard| PartShard { shard: *shard, counts: counts(*shard) }).collect(),
            })
        });
        let timing = &self.config.timing;
        let bytes_ms = work.bytes / timing.bytes_per_ms.max(1);
        Some(Grant {
            ticket: uid,
            metadata: self.metadata(ticket.row.term, uid),
            primary_key: work.primary_key.clone(),
            deadline_ms: ticket.deadline.saturating_sub(self.now + timing.slack).max(1),
            soft_ms: if self.planted.soft_limit_off { timing.deadline } else { timing.soft } + bytes_ms,
            min_accept: self.config.min_accept.max(1),
            parts: parts.collect(),
        })
    }

    pub(crate) fn grant_answer(&self, uid: u32, only: Option<&[NodeId]>) -> BeginAnswer {
        match self.grant(uid, only) {
            Some(grant) => BeginAnswer::Grant(grant),
            None => BeginAnswer::Reply(unavailable("the ticket is gone")),
        }
    }
}

fn key_exists(key: &str) -> ErrorBody {
    ErrorBody::new("index_primary_key_already_exists", format!("Index already has a primary key: `{key}`."))
}

pub(crate) fn index_not_found(uid: &str) -> ErrorBody {
    ErrorBody::new("index_not_found", format!("Index `{uid}` not found."))
}

/// Shards named in an error, so that a large cluster does not make a large message.
const NAMED_SHARDS: usize = 16;

/// 503 for shards without a copy that could take the write.
pub(crate) fn shards_down(shards: &[u32]) -> miroir_core::wire::ControlReply {
    let listed: Vec<String> = shards.iter().take(NAMED_SHARDS).map(u32::to_string).collect();
    let more = match shards.len().saturating_sub(NAMED_SHARDS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    unavailable(&format!("no replica in sync can take writes for shards {}{more}", listed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_are_not_named_are_counted() {
        let ends = |count: u32, end: &str| {
            let body = shards_down(&(0..count).collect::<Vec<_>>()).body.unwrap();
            assert!(body["message"].as_str().unwrap().ends_with(end), "{body}");
        };
        ends(2, "for shards 0, 1");
        ends(16, "14, 15");
        ends(43, "14, 15 and 27 more");
    }
}
