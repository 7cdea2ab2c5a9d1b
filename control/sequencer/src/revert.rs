//! An operation on indexes that failed on every node is taken out of the rows again. Later ones may have been applied
//! on top of it: what they changed stays.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Sequencer;
use crate::api::*;
use crate::index_ops::uids_of;

impl Sequencer {
    /// It failed on every node: the rows are as if it had never been.
    pub(crate) fn revert(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Index(work) = &ticket.row.work else { return };
        let (operation, before, plan) = (work.operation.clone(), work.before.clone(), work.plan.clone());
        self.syncs.index_changes += 1;
        for index in uids_of(&operation) {
            let old = before.iter().find(|row| row.uid == index);
            match (old, self.indexes.get_mut(&index)) {
                (None, Some(row)) if row.incarnation == u64::from(uid) => drop(self.indexes.remove(&index)),
                (Some(old), Some(row)) if row.incarnation == old.incarnation => {
                    let plan = plan.clone().unwrap_or_default();
                    take_out(row, &plan, old);
                    if matches!(operation, IndexOperation::Update { .. }) {
                        row.primary_key.clone_from(&old.primary_key);
                    }
                    self.take_out_of_later(uid, &index, &plan, old);
                }
                (Some(old), None) => drop(self.indexes.insert(index.clone(), old.clone())),
                _ => continue,
            }
            self.out.indexes.insert(index.clone());
            self.touch_map();
        }
    }

    /// Later operations rest on rows that had it: they would bring it back.
    fn take_out_of_later(&mut self, uid: u32, index: &str, reverted: &IndexPlan, old: &IndexRow) {
        let mut changed = Vec::new();
        for (later, ticket) in self.tickets.range_mut(uid.saturating_add(1)..) {
            let TicketWork::Index(work) = &mut ticket.row.work else { continue };
            if !uids_of(&work.operation).iter().any(|one| one == index) {
                continue;
            }
            let before = work.before.iter_mut().filter(|row| row.uid == index && row.incarnation == old.incarnation);
            before.for_each(|row| take_out(row, reverted, old));
            if let (Some(plan), IndexOperation::Settings { .. }) = (&mut work.plan, &work.operation) {
                undo_in(&mut plan.settings, &reverted.settings, &old.settings);
                undo_in(&mut plan.view, &reverted.view, &old.view);
            }
            changed.push(*later);
        }
        changed.into_iter().for_each(|later| self.touch_ticket(later));
    }
}

fn take_out(row: &mut IndexRow, reverted: &IndexPlan, old: &IndexRow) {
    let (mut settings, mut view) = (Some(row.settings.take()), Some(std::mem::take(&mut row.view)));
    undo_in(&mut settings, &reverted.settings, &old.settings);
    undo_in(&mut view, &reverted.view, &old.view);
    (row.settings, row.view) = (settings.unwrap_or_default(), view.unwrap_or_default());
}

/// Takes a change out of what came of it and of later ones; both must have changed something.
fn undo_in<T: Serialize + DeserializeOwned>(present: &mut Option<T>, after: &Option<T>, before: &T) {
    let (Some(now), Some(after)) = (&*present, after) else { return };
    let values = (serde_json::to_value(now), serde_json::to_value(after), serde_json::to_value(before));
    if let (Ok(now), Ok(after), Ok(before)) = values
        && let Ok(undone) = serde_json::from_value(undo(&now, &after, &before))
    {
        *present = Some(undone);
    }
}

/// `now` without the change from `before` to `after`: member by member, what is as that change left it becomes what it
/// was; the rest has been changed again since, and stays.
fn undo(now: &Value, after: &Value, before: &Value) -> Value {
    if now == after {
        return before.clone();
    }
    let (Value::Object(now), Value::Object(after), Value::Object(before)) = (now, after, before) else {
        return now.clone();
    };
    let mut undone = Map::new();
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    for name in now.keys().chain(gone) {
        let member = match (now.get(name), after.get(name), before.get(name)) {
            (now, after, before) if now == after => before.cloned(),
            (Some(now), Some(after), Some(before)) => Some(undo(now, after, before)),
            (now, ..) => now.cloned(),
        };
        undone.extend(member.map(|member| (name.clone(), member)));
    }
    Value::Object(undone)
}

#[cfg(test)]
mod tests {
    use super::undo;
    use serde_json::json;

    #[test]
    fn what_was_changed_again_stays() {
        let before = json!({ "stopWords": [], "typo": { "enabled": true, "words": ["a"] }, "dropped": 1, "same": 0 });
        let after = json!({ "stopWords": ["x"], "typo": { "enabled": false, "words": ["a"] }, "added": 2, "same": 0 });
        let now = json!({ "stopWords": ["x", "y"], "typo": { "enabled": false, "words": [] }, "added": 2, "same": 0 });
        let undone =
            json!({ "stopWords": ["x", "y"], "typo": { "enabled": true, "words": [] }, "dropped": 1, "same": 0 });
        assert_eq!(undo(&now, &after, &before), undone);
        assert_eq!(undo(&after, &after, &before), before);
        assert_eq!(undo(&now, &after, &after), now, "a change that changed nothing");
    }

    #[test]
    fn what_a_later_change_removed_stays_away() {
        let (before, after, now) = (json!({ "a": 1 }), json!({ "a": 2, "b": 1 }), json!({ "b": 1 }));
        assert_eq!(undo(&now, &after, &before), json!({}));
    }
}
