//! What clients may see, and what copies may hold: documents against everything that was written (invariants 1, 9, 11 and
//! 12).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use miroir_core::invariants::{self, Breach, Change, Document, Touch};
use miroir_sequencer::*;

use crate::engine::{EDITED, Work};
use crate::world::World;

/// How a state is judged: as what a copy holds, or as what a reader sees.
pub type Shows = fn(&BTreeSet<Option<&Document>>, Option<&Document>, &dyn fmt::Display) -> Option<Breach>;

/// A document somewhere, with all that was written to it.
struct Place<'a> {
    index: &'a str,
    key: &'a str,
    who: &'a str,
    touches: &'a [Touch],
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, key, who, touches } = self;
        write!(f, "{index}/{key}, as {who} shows it, with writes {touches:#?},")
    }
}

impl World {
    /// Is this state one that the reported successes allow?
    pub fn explain(&mut self, index: &str, key: &str, state: Option<&Document>, who: &str, shows: Shows) {
        // While nodes swap, a name has two meanings.
        if self.is_swapping() || self.may_be_drifted(index, key) {
            return;
        }
        let denied = self.denied();
        let touches = self.touches(index, key, &denied);
        let states = invariants::possible_states(&touches);
        let allowed = states.iter().map(Option::as_ref).collect();
        let place = Place { index, key, who, touches: &touches };
        let broken = [
            shows(&allowed, state, &place),
            invariants::deleted_stays_away(&allowed, state, &place),
            invariants::refused_stays_away(&self.refused(&denied), state, &place),
        ];
        self.judge(broken.into_iter().flatten());
    }

    /// All writes to a document of what bears this name now.
    fn touches(&self, index: &str, key: &str, denied: &BTreeSet<String>) -> Vec<Touch> {
        let mut touches: BTreeMap<u32, Touch> = BTreeMap::new();
        let line = self.line(index);
        let here = |name: &str, ticket: u32| self.line_at(name, ticket) == line;
        let shard = miroir_core::hash::shard_of(key.as_bytes(), self.shards);
        let succeeded =
            |ticket: u32| self.control.tasks.get(&ticket).is_some_and(|task| task.status == TaskStatus::Succeeded);
        for entry in self.log.iter().filter(|entry| !entry.page) {
            let Some(ticket) = entry.ticket.filter(|ticket| here(&entry.index, *ticket)) else { continue };
            let change = match &entry.work {
                Work::Add { replace, skips, documents, .. } => {
                    let mut change: Option<Document> = None;
                    for (_, _, fields) in documents.iter().filter(|(id, ..)| id == key) {
                        match (&mut change, replace) {
                            (Some(before), false) => before.extend(fields.clone()),
                            (change, _) => *change = Some(fields.clone()),
                        }
                    }
                    let writes: BTreeSet<&String> =
                        documents.iter().flat_map(|(_, _, fields)| fields.values()).collect();
                    let reported = self.stats.late.contains(&ticket);
                    if !reported && writes.iter().any(|write| denied.contains(write.as_str())) {
                        continue;
                    }
                    match (change, replace, skips) {
                        (None, ..) => continue,
                        (Some(fields), true, false) => Change::Replace(fields),
                        (Some(fields), false, false) => Change::Merge(fields),
                        (Some(fields), true, true) => Change::Supersede(fields),
                        (Some(fields), false, true) => Change::Amend(fields),
                    }
                }
                Work::Remove { ids, .. } if ids.iter().any(|id| id == key) => Change::Delete,
                Work::RemoveShards { shards, .. } if !shards.contains(&shard) => continue,
                Work::RemoveShards { having, .. } => having.clone().map_or(Change::Delete, Change::DeleteWith),
                Work::Clear { .. } => Change::Delete,
                Work::Edit { shards, text, .. } => {
                    let elsewhere = !shards.contains(&shard);
                    let reported = self.stats.late.contains(&ticket);
                    if elsewhere || !reported && denied.contains(text.trim_end_matches(';')) {
                        continue;
                    }
                    Change::Append(EDITED.to_owned(), text.clone())
                }
                _ => continue,
            };
            // A loss that was reported is no silent one: the disk that had the write is gone.
            let must = succeeded(ticket) && !self.stats.lost.contains(&ticket);
            touches.insert(ticket, Touch { ticket, change, must });
        }
        for task in self.control.tasks.values() {
            let concerns = task.index.as_deref().is_some_and(|name| here(name, task.uid));
            if task.task_type == "indexDeletion" && concerns && task.error.is_none() {
                let touch =
                    Touch { ticket: task.uid, change: Change::Delete, must: task.status == TaskStatus::Succeeded };
                touches.insert(task.uid, touch);
            }
        }
        touches.into_values().collect()
    }

    /// Without those that control reported as late: they are seen, and nobody says otherwise.
    fn refused<'a>(&self, denied: &'a BTreeSet<String>) -> Cow<'a, BTreeSet<String>> {
        if self.stats.late.is_empty() {
            return Cow::Borrowed(denied);
        }
        let mut refused = denied.clone();
        let late = self.log.iter().filter(|entry| entry.ticket.is_some_and(|ticket| self.stats.late.contains(&ticket)));
        for entry in late {
            let Work::Add { documents, .. } = &entry.work else { continue };
            let values: BTreeSet<&String> = documents.iter().flat_map(|(_, _, fields)| fields.values()).collect();
            refused.retain(|value| !values.contains(value));
        }
        Cow::Owned(refused)
    }

    /// Writes whose client was told that nothing was written (invariant 11).
    fn denied(&self) -> BTreeSet<String> {
        let denied = self.writes.iter().filter(|(_, write)| {
            write.status == Some(503)
                && write.text.to_lowercase().contains("nothing was written")
                && write.idempotency.is_none()
        });
        denied.map(|(write, _)| write.to_string()).collect()
    }

    pub fn contents(&self, node: usize, index: &str, shard: u32) -> BTreeMap<String, Document> {
        let Some(found) = self.nodes[node].disk.indexes.get(index) else { return BTreeMap::new() };
        let held = found.documents.iter().filter(|(_, (held, _))| *held == shard);
        held.map(|(key, (_, document))| (key.clone(), document.clone())).collect()
    }
}
