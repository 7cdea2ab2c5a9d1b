//! Invariant 10: tasks go only forward, and succeed only where every copy that is trusted has done the write.

use super::{Breach, Invariant};

/// State of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Waits.
    Enqueued,
    /// Runs.
    Processing,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Canceled.
    Canceled,
}

/// A copy in sync of a shard that a write touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartFact<'a> {
    /// Shard.
    pub shard: u32,
    /// Node.
    pub node: &'a str,
    /// It has done all that the write asked of it.
    pub done: bool,
    /// It is read: in sync, and not kept from readers until it has caught up.
    pub trusted: bool,
}

/// Invariant 10, first half: a task goes only forward.
#[must_use]
pub fn task_goes_forward(ticket: u32, before: TaskState, after: TaskState) -> Option<Breach> {
    let rank = |state: TaskState| match state {
        TaskState::Enqueued => 0,
        TaskState::Processing => 1,
        TaskState::Succeeded | TaskState::Failed | TaskState::Canceled => 2,
    };
    let forward = before == after || rank(before) < rank(after);
    let text = || format!("task {ticket} went from {before:?} to {after:?}");
    (!forward).then(|| Breach::new(Invariant::TaskStates, text()))
}

/// Invariant 10, second half, for a task that is shown as succeeded: of each shard some copy has done the write, and
/// every other one that is trusted did too. `parts`: the copies of all shards that it touched.
#[must_use]
pub fn success_is_earned(ticket: u32, shards: &[u32], parts: &[PartFact<'_>]) -> Vec<Breach> {
    let lacking = shards.iter().filter(|shard| !parts.iter().any(|part| part.shard == **shard && part.done));
    let lacking = lacking.map(|shard| format!("task {ticket} has succeeded, and no copy of shard {shard} has done it"));
    let behind = parts.iter().filter(|part| part.trusted && !part.done);
    let behind = behind.map(|part| {
        format!("task {ticket} has succeeded, and {} is read for shard {} without it", part.node, part.shard)
    });
    lacking.chain(behind).map(|text| Breach::new(Invariant::TaskStates, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_never_go_back() {
        assert_eq!(task_goes_forward(1, TaskState::Enqueued, TaskState::Failed), None);
        assert_eq!(task_goes_forward(1, TaskState::Succeeded, TaskState::Succeeded), None);
        assert!(task_goes_forward(1, TaskState::Failed, TaskState::Succeeded).is_some());
        assert!(task_goes_forward(1, TaskState::Processing, TaskState::Enqueued).is_some());
    }

    #[test]
    fn a_success_without_its_copies_is_told() {
        let part = |shard, done, trusted| PartFact { shard, node: "n", done, trusted };
        assert_eq!(success_is_earned(1, &[0], &[part(0, true, true), part(0, false, false)]), []);
        assert_eq!(success_is_earned(1, &[0], &[part(0, true, true), part(0, false, true)]).len(), 1);
        assert_eq!(success_is_earned(1, &[0, 1], &[part(0, true, true)]).len(), 1);
    }
}
