//! Names through swaps: which index a name meant when a ticket was granted, and what it means now.

use std::collections::{BTreeMap, BTreeSet};

use miroir_sequencer::*;

use crate::engine::Work;
use crate::world::World;

/// An index, by the name that it began with. One that is deleted and made again stays the same here.
pub type Line = &'static str;

/// The name that stands for a line after so many swaps, and the other way round: only `a` and `b` are ever swapped.
fn after(name: &str, swaps: usize) -> Line {
    match (name, swaps % 2) {
        ("a", 0) | ("b", 1) => "a",
        ("b", 0) | ("a", 1) => "b",
        _ => "c",
    }
}

impl World {
    /// Swaps of which this ticket has seen the result: it waits in the queue behind those that were asked for before it.
    fn swaps(&self, before: u32) -> usize {
        let tasks = self.control.tasks.range(..before).map(|(_, task)| task);
        let lets_pass = |status| matches!(status, TaskStatus::Succeeded | TaskStatus::Processing);
        tasks.filter(|task| task.task_type == "indexSwap" && lets_pass(task.status)).count()
    }

    /// Nodes are swapping: some have, and some have not.
    pub fn is_swapping(&self) -> bool {
        let mut tasks = self.control.tasks.values();
        tasks.any(|task| task.task_type == "indexSwap" && task.status == TaskStatus::Processing)
    }

    /// What a name meant to a ticket.
    pub fn line_at(&self, name: &str, ticket: u32) -> Line {
        after(name, self.swaps(ticket))
    }

    /// What a name means now, while no nodes are swapping.
    pub fn line(&self, name: &str) -> Line {
        after(name, self.swaps(u32::MAX))
    }

    /// The name by which a ticket's index is known now, while no nodes are swapping.
    pub fn present_name(&self, name: &str, ticket: u32) -> Line {
        after(self.line_at(name, ticket), self.swaps(u32::MAX))
    }

    /// The lines in which values have been written.
    pub fn lines_of(&self, values: &BTreeSet<&str>) -> BTreeSet<Line> {
        let mut lines = BTreeSet::new();
        for entry in self.log.iter().filter(|entry| !entry.page) {
            let (Some(ticket), Work::Add { documents, .. }) = (entry.ticket, &entry.work) else { continue };
            let mut written = documents.iter().flat_map(|(_, _, fields)| fields).filter(|(name, _)| *name != "id");
            if written.any(|(_, value)| values.contains(value.as_str())) {
                lines.insert(self.line_at(&entry.index, ticket));
            }
        }
        lines
    }

    /// Index rows are being stored: notes which ticket made what bears a name now. A swap makes nothing.
    pub fn note_births(&mut self, records: &[Record]) {
        let mut swapped: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for record in records {
            let Record::Index(row) = record else { continue };
            let by = u32::try_from(row.incarnation).unwrap_or(u32::MAX);
            let before = self.control.store.get(&record.slot());
            let before = before.and_then(|json| serde_json::from_str::<IndexRow>(json).ok());
            if before.is_some_and(|before| before.incarnation == row.incarnation) {
                continue;
            }
            match self.control.tasks.get(&by) {
                Some(task) if task.task_type == "indexSwap" => swapped.entry(by).or_default().push(row.uid.clone()),
                _ => drop(self.notes.births.insert(row.uid.clone(), by)),
            }
        }
        for names in swapped.into_values() {
            if let [left, right] = &names[..] {
                let (a, b) = (self.notes.births.remove(left), self.notes.births.remove(right));
                self.notes.births.extend(a.map(|birth| (right.clone(), birth)));
                self.notes.births.extend(b.map(|birth| (left.clone(), birth)));
            }
        }
    }
}

#[test]
fn names_are_followed_there_and_back() {
    assert_eq!((after("a", 0), after("a", 1), after("b", 3), after("b", 2)), ("a", "b", "a", "b"));
    assert_eq!(after("c", 1), "c");
}
