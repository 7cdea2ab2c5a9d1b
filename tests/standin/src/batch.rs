//! Which waiting tasks are done together, as the engine's auto-batching has it.

use std::collections::BTreeMap;

use crate::task::{Status, Task, Work};

/// How a task behaves in a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Documents,
    Settings,
    Drop,
    Alone,
}

fn class(work: &Work) -> Class {
    match work {
        Work::Add { .. } | Work::Delete { .. } | Work::DeleteByFilter { .. } | Work::Clear => Class::Documents,
        Work::Settings { .. } => Class::Settings,
        Work::Drop => Class::Drop,
        _ => Class::Alone,
    }
}

/// Chooses the next batch: cancelations, then deletions of tasks, then the first waiting task with all that may join it.
pub(crate) fn next(tasks: &BTreeMap<u32, Task>, waiting: &[u32]) -> Vec<u32> {
    let get = |uid: &u32| tasks.get(uid).filter(|task| task.status == Status::Enqueued);
    let first_of =
        |wanted: fn(&Work) -> bool| waiting.iter().find(|uid| get(uid).is_some_and(|task| wanted(&task.work)));
    let urgent = first_of(|work| matches!(work, Work::Cancel { .. }))
        .or_else(|| first_of(|work| matches!(work, Work::Forget { .. })));
    if let Some(uid) = urgent {
        return vec![*uid];
    }
    let Some(first) = waiting.iter().find_map(get) else { return Vec::new() };
    let mut batch = vec![first.uid];
    let mut kind = class(&first.work);
    if matches!(kind, Class::Alone | Class::Drop) || first.index.is_none() {
        return batch;
    }
    for task in waiting.iter().filter_map(get).filter(|task| task.uid > first.uid) {
        if let Work::Swap { pairs } = &task.work
            && pairs
                .iter()
                .any(|(left, right, _)| Some(left) == first.index.as_ref() || Some(right) == first.index.as_ref())
        {
            break;
        }
        if task.index != first.index {
            continue;
        }
        match class(&task.work) {
            Class::Drop => {
                batch.push(task.uid);
                return batch;
            }
            next if next == kind && joins(&batch, tasks, &task.work) => {
                batch.push(task.uid);
                kind = next;
            }
            _ => break,
        }
    }
    batch
}

/// Additions only join others with the same primary key and the same right to create the index; a deletion by filter
/// joins no additions (but additions join it).
fn joins(batch: &[u32], tasks: &BTreeMap<u32, Task>, next: &Work) -> bool {
    batch.iter().filter_map(|uid| tasks.get(uid)).all(|task| match (&task.work, next) {
        (
            Work::Add { primary_key: one, create_index: may, .. },
            Work::Add { primary_key: other, create_index: might, .. },
        ) => may == might && (one == other || other.is_none()),
        (Work::Add { .. }, Work::DeleteByFilter { .. }) => false,
        (Work::Settings { create_index: may, .. }, Work::Settings { create_index: might, .. }) => may == might,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn queue(works: Vec<(&str, Work)>) -> (BTreeMap<u32, Task>, Vec<u32>) {
        let tasks: BTreeMap<u32, Task> = (0..)
            .zip(works)
            .map(|(uid, (index, work))| (uid, Task::new(uid, Some(index.to_owned()), work, None, clock::now())))
            .collect();
        let waiting = tasks.keys().copied().collect();
        (tasks, waiting)
    }

    fn add() -> Work {
        Work::Add { merge: false, documents: vec![], primary_key: None, skip_creation: false, create_index: true }
    }

    #[test]
    fn documents_of_one_index_go_together_up_to_something_else() {
        let (tasks, waiting) = queue(vec![
            ("a", add()),
            ("b", add()),
            ("a", Work::Delete { ids: vec![] }),
            ("a", Work::Settings { changes: Default::default(), create_index: true }),
            ("a", add()),
        ]);
        assert_eq!(next(&tasks, &waiting), [0, 2]);
    }

    #[test]
    fn dropping_the_index_takes_what_stands_before_it() {
        let (tasks, waiting) = queue(vec![("a", add()), ("a", Work::Drop), ("a", add())]);
        assert_eq!(next(&tasks, &waiting), [0, 1]);
    }

    #[test]
    fn cancelations_go_first() {
        let (tasks, waiting) = queue(vec![("a", add()), ("a", Work::Cancel { query: String::new(), tasks: vec![0] })]);
        assert_eq!(next(&tasks, &waiting), [1]);
    }
}
