//! Collects what one event causes. Rows are marked as changed and written once, at the end, ahead of every effect: so
//! nothing is ever done or said before what it rests on is durable.

use std::collections::BTreeSet;

use crate::Sequencer;
use crate::api::*;
use crate::state::N;

#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) effects: Vec<Effect>,
    /// Records that are not a current state of something in memory.
    pub(crate) extra: Vec<Record>,
    pub(crate) meta: bool,
    pub(crate) map: bool,
    pub(crate) nodes: BTreeSet<N>,
    pub(crate) copies: BTreeSet<(u16, u32)>,
    pub(crate) syncs: BTreeSet<crate::sync::Place>,
    pub(crate) retires: BTreeSet<crate::sync::Place>,
    pub(crate) indexes: BTreeSet<String>,
    pub(crate) tickets: BTreeSet<u32>,
    pub(crate) idempotency: BTreeSet<String>,
    pub(crate) jobs: BTreeSet<JobId>,
    pub(crate) moves: BTreeSet<(JobId, u32)>,
    pub(crate) findings: BTreeSet<u64>,
}

impl Sequencer {
    pub(crate) fn emit(&mut self, effect: Effect) {
        self.out.effects.push(effect);
    }

    pub(crate) fn alert(&mut self, kind: &'static str, node: Option<N>, text: String) {
        let node = node.map(|node| self.nodes[node].row.id.clone());
        self.emit(Effect::Alert(Alert { kind, node, text }));
    }

    /// The map will differ: returns the epoch that says so.
    pub(crate) fn touch_map(&mut self) -> u64 {
        if !self.out.map {
            self.out.map = true;
            self.out.meta = true;
            self.meta.epoch += 1;
        }
        self.meta.epoch
    }

    pub(crate) fn touch_ticket(&mut self, uid: u32) {
        self.out.tickets.insert(uid);
    }

    /// Ends an event: does what is left to do and hands out the effects.
    pub(crate) fn finish(&mut self) -> Vec<Effect> {
        self.run_timers();
        self.run_todo();
        while !self.out.copies.is_empty() && self.forget_away_disks() || self.take_up_early() {
            self.run_todo();
        }
        self.watch();
        let mut out = std::mem::take(&mut self.out);
        let mut records = Vec::new();
        if out.meta {
            records.push(Record::Meta(self.meta.clone()));
        }
        records.extend(out.nodes.iter().map(|node| Record::Node(self.nodes[*node].row.clone())));
        for (placement, shard) in &out.copies {
            records.extend(self.copy_rows(*placement, *shard).map(Record::Copy));
        }
        for place in &out.syncs {
            records.push(match self.syncs.rows.get(place) {
                Some(row) => Record::Sync(row.clone()),
                None => Record::SyncGone(place.0, place.1, self.nodes[place.2].row.id.clone()),
            });
        }
        for place in &out.retires {
            records.push(match self.syncs.retires.get(place) {
                Some(retire) => Record::Retire(retire.row.clone()),
                None => Record::RetireGone(place.0, place.1, self.nodes[place.2].row.id.clone()),
            });
        }
        for uid in std::mem::take(&mut out.indexes) {
            records.push(match self.indexes.get(&uid) {
                Some(row) => Record::Index(row.clone()),
                None => Record::IndexGone(uid),
            });
        }
        for uid in &out.tickets {
            records.push(match self.tickets.get(uid) {
                Some(ticket) => Record::Ticket(Box::new(ticket.row.clone())),
                None => Record::TicketGone(*uid),
            });
        }
        for scope in std::mem::take(&mut out.idempotency) {
            records.push(match self.idempotency.get(&scope) {
                Some(row) => Record::Idempotency(row.clone()),
                None => Record::IdempotencyGone(scope),
            });
        }
        for id in &out.jobs {
            let row = self.jobs.rows.get(id).cloned();
            records.push(row.map_or(Record::JobGone(*id), Record::Job));
        }
        for (job, at) in &out.moves {
            let row = self.jobs.moves.get(&(*job, *at)).cloned();
            records.push(row.map_or(Record::MoveGone(*job, *at), Record::Move));
        }
        for id in &out.findings {
            let row = self.scrub.findings.get(id).cloned();
            records.push(row.map_or(Record::FindingGone(*id), Record::Finding));
        }
        records.append(&mut out.extra);
        let mut effects = Vec::with_capacity(out.effects.len() + 3);
        if !records.is_empty() {
            effects.push(Effect::Persist(records));
        }
        effects.append(&mut out.effects);
        if out.map {
            effects.push(Effect::MapChanged { epoch: self.meta.epoch });
        }
        let wake = self.timers.first().map(|(at, _)| *at);
        if let Some(at) = wake.filter(|_| wake != self.wake) {
            effects.push(Effect::WakeAt(at));
        }
        self.wake = wake;
        effects
    }
}
