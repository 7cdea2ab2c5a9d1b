//! What a leader sees by itself of the invariants, of its own rows, as they change: [`Effect::Breach`]. None of it should
//! ever be seen.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::invariants::{self, Breach, CopyFact, Invariant, TaskState};

use crate::Sequencer;
use crate::api::*;
use crate::state::N;

/// The invariants that a leader watches.
pub const WATCHED: [Invariant; 4] =
    [Invariant::TicketOrder, Invariant::CopyInSync, Invariant::TaskStates, Invariant::PlansKeepCopies];

/// The rows as they were at the end of the event before.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// Copies in sync, by placement and shard.
    in_sync: BTreeMap<(u16, u32), usize>,
    /// Shards of which a copy is given up by a plan in this event.
    planned: BTreeSet<(u16, u32)>,
    /// Tasks of the tickets in memory.
    tasks: BTreeMap<u32, TaskState>,
}

impl Watched {
    /// A plan takes a copy of this shard out of the map.
    pub(crate) fn plan(&mut self, placement: u16, shard: u32) {
        self.planned.insert((placement, shard));
    }
}

impl From<TaskStatus> for TaskState {
    fn from(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Enqueued => Self::Enqueued,
            TaskStatus::Processing => Self::Processing,
            TaskStatus::Succeeded => Self::Succeeded,
            TaskStatus::Failed => Self::Failed,
            TaskStatus::Canceled => Self::Canceled,
        }
    }
}

impl From<&CopyRow> for CopyFact {
    fn from(row: &CopyRow) -> Self {
        Self { placement: row.placement, shard: row.shard, in_sync: row.state == CopyState::InSync }
    }
}

impl Sequencer {
    /// Takes the rows of the store for what they are.
    pub(crate) fn begin_watch(&mut self) {
        for (placement, shards) in (0u16..).zip(&self.copies) {
            for shard in 0..shards.len() as u32 {
                self.watched.in_sync.insert((placement, shard), self.count_in_sync(placement, shard));
            }
        }
        let tasks = self.tickets.values().filter_map(|ticket| ticket.row.task.as_ref());
        self.watched.tasks = tasks.map(|task| (task.uid, task.status.into())).collect();
    }

    /// Judges what this event changes.
    pub(crate) fn watch(&mut self) {
        if self.out.copies.is_empty() && self.out.extra.is_empty() && self.out.tickets.is_empty() {
            return;
        }
        let mut breaches = Vec::new();
        let planned = std::mem::take(&mut self.watched.planned);
        let shards: Vec<(u16, u32)> = self.out.copies.iter().copied().collect();
        let rows = shards.iter().flat_map(|(placement, shard)| self.copy_rows(*placement, *shard));
        breaches.extend(invariants::every_shard_has_a_copy(shards.iter().copied(), rows.map(|row| (&row).into())));
        let wanted = usize::from(self.replication_factor());
        for (placement, shard) in shards {
            let after = self.count_in_sync(placement, shard);
            let before = self.watched.in_sync.insert((placement, shard), after).unwrap_or(0);
            if planned.contains(&(placement, shard)) {
                breaches.extend(invariants::plan_keeps_copies(shard, before, after, wanted));
            }
        }
        for record in &self.out.extra {
            let Record::Task(task) = record else { continue };
            let after = task.status.into();
            if let Some(before) = self.watched.tasks.get(&task.uid).copied() {
                breaches.extend(invariants::task_goes_forward(task.uid, before, after));
            }
            if self.tickets.contains_key(&task.uid) {
                self.watched.tasks.insert(task.uid, after);
            }
        }
        for uid in self.out.tickets.iter().filter(|uid| !self.tickets.contains_key(uid)) {
            self.watched.tasks.remove(uid);
        }
        self.out.effects.extend(breaches.into_iter().map(Effect::Breach));
    }

    /// AUDIT has seen that a node took a ticket after later ones of the same shards.
    pub(crate) fn report_disorder(&mut self, n: N, uid: u32, shards: &[u32]) {
        let node = &self.nodes[n].row.id;
        let text = format!("{node} took ticket {uid} after a later one, of shards {shards:?}");
        self.emit(Effect::Breach(Breach { invariant: Invariant::TicketOrder, text }));
    }

    fn count_in_sync(&self, placement: u16, shard: u32) -> usize {
        self.shard_copies(placement, shard).iter().filter(|copy| copy.state == CopyState::InSync).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two nodes with a copy of the only shard each.
    fn leader() -> Sequencer {
        let node = |id: &str| ConfigNode { id: id.to_owned(), place: NodePlace::default() };
        let config = Config {
            cluster: "c0ffee00".into(),
            shards: 1,
            replication_factor: 2,
            nodes: vec![node("n0"), node("n1")],
            owners: vec![vec![0, 1]],
            fencing: true,
            min_accept: 1,
            node_tasks: 100,
            cluster_names: Default::default(),
            control_cluster: "control".into(),
            control_internal_cluster: "internal".into(),
            limits: Default::default(),
            policies: Default::default(),
            scrub: Default::default(),
            timing: Timing::default(),
        };
        Sequencer::new(config, Snapshot::default(), 1_000_000).0
    }

    fn reported(leader: &mut Sequencer) -> Vec<Invariant> {
        let effects = leader.finish();
        let breaches = effects.into_iter().filter_map(|effect| match effect {
            Effect::Breach(breach) => Some(breach.invariant),
            _ => None,
        });
        breaches.collect()
    }

    fn set(leader: &mut Sequencer, copy: usize, state: CopyState) {
        leader.copies[0][0][copy].state = state;
        leader.out.copies.insert((0, 0));
    }

    #[test]
    fn a_shard_that_loses_its_last_copy_in_sync_is_reported() {
        let mut leader = leader();
        set(&mut leader, 0, CopyState::Stale);
        assert_eq!(reported(&mut leader), []);
        set(&mut leader, 1, CopyState::Stale);
        assert_eq!(reported(&mut leader), [Invariant::CopyInSync]);
    }

    #[test]
    fn a_plan_that_takes_a_copy_in_sync_away_is_reported() {
        let mut leader = leader();
        leader.watched.plan(0, 0);
        set(&mut leader, 0, CopyState::Retiring);
        assert_eq!(reported(&mut leader), [Invariant::PlansKeepCopies]);
        // What fails is no plan.
        set(&mut leader, 0, CopyState::InSync);
        assert_eq!(reported(&mut leader), []);
        set(&mut leader, 0, CopyState::Stale);
        assert_eq!(reported(&mut leader), []);
    }

    #[test]
    fn a_task_that_goes_back_is_reported_even_after_a_restart() {
        let mut leader = leader();
        let work = TicketWork::Cancel(CancelWork { targets: Vec::new(), original_filter: String::new(), canceled: 0 });
        let mut ticket = leader.new_ticket(7, work);
        ticket.live = crate::state::Live::Decided;
        let mut task = TaskRow {
            uid: 7,
            index: None,
            indexes: Vec::new(),
            task_type: "taskCancelation".into(),
            status: TaskStatus::Succeeded,
            canceled_by: None,
            details: None,
            error: None,
            custom_metadata: None,
            enqueued_ms: 0,
            started_ms: None,
            finished_ms: None,
        };
        ticket.row.task = Some(task.clone());
        leader.tickets.insert(7, ticket);
        leader.begin_watch();
        leader.out.extra.push(Record::Task(Box::new(task.clone())));
        assert_eq!(reported(&mut leader), []);
        task.status = TaskStatus::Processing;
        leader.out.extra.push(Record::Task(Box::new(task)));
        assert_eq!(reported(&mut leader), [Invariant::TaskStates]);
    }
}
