//! Indexes that exchange their names, or get another one, at one moment for all clients (F27): no write is open and no
//! query runs while nodes follow one by one.

use std::collections::BTreeSet;

use miroir_core::error::ErrorBody;

use crate::Sequencer;
use crate::api::*;
use crate::state::Timer;

/// How long a swap waits for the live VMs to park their queries, in milliseconds.
const SWAP_NOTICE: u64 = 500;

impl Sequencer {
    /// Why these swaps are impossible, as the engine says it.
    pub(crate) fn swap_refusal(&self, swaps: &[IndexSwap]) -> Option<ErrorBody> {
        let exists = |uid: &String| self.indexes.contains_key(uid);
        let mut missing = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for IndexSwap { indexes: (left, right), rename } in swaps {
            if !exists(left) {
                missing.insert(left);
            }
            match (exists(right), rename) {
                (true, true) => drop(taken.insert((left, right))),
                (false, false) => drop(missing.insert(right)),
                _ => {}
            }
        }
        let quoted = |uids: Vec<&String>| uids.iter().map(|uid| format!("`{uid}`")).collect::<Vec<_>>().join(", ");
        let (code, message) = match (missing.len(), taken.len()) {
            (0, 0) => return None,
            (0, 1) => {
                let (left, right) = taken.into_iter().next()?;
                let fault = format!("Cannot rename `{left}` to `{right}` as the index already exists.");
                let hint = format!("Hint: You can remove `{right}` first and then do your remove.");
                ("index_already_exists", format!("{fault} {hint}"))
            }
            (0, _) => {
                let names = quoted(taken.into_iter().map(|(_, right)| right).collect());
                let fault =
                    "The following indexes are being renamed but cannot because their new name conflicts with an";
                let rest = "Renaming doesn't overwrite the other index name.";
                ("index_already_exists", format!("{fault} already existing index: {names}. {rest}"))
            }
            (1, _) => ("index_not_found", format!("Index {} not found.", quoted(missing.into_iter().collect()))),
            _ => ("index_not_found", format!("Indexes {} not found.", quoted(missing.into_iter().collect()))),
        };
        Some(ErrorBody::new(code, message))
    }

    /// A swap waits until the queues of its indexes are empty everywhere, and until filters hold back queries (F27).
    pub(crate) fn is_ready_to_swap(&mut self, uid: u32, swaps: &[IndexSwap]) -> bool {
        let indexes = names_of(swaps);
        if self.has_open_work(uid, &indexes) {
            return false;
        }
        if self.planted.swap_unannounced {
            return true;
        }
        let announced = self.tickets.get(&uid).and_then(|ticket| ticket.announced);
        let Some(since) = announced else {
            for index in &indexes {
                self.set_swapping(index, true);
            }
            let epoch = self.touch_map();
            if let Some(ticket) = self.tickets.get_mut(&uid) {
                ticket.announced = Some(self.now);
                ticket.row.epoch = epoch;
            }
            self.touch_ticket(uid);
            self.wait_for_adoption(uid);
            self.at(self.now + SWAP_NOTICE, Timer::Ticket(uid));
            return false;
        };
        self.is_adopted(uid) || since + SWAP_NOTICE <= self.now
    }

    pub(crate) fn set_swapping(&mut self, index: &str, swapping: bool) {
        if let Some(row) = self.indexes.get_mut(index).filter(|row| row.swapping != swapping) {
            row.swapping = swapping;
            self.out.indexes.insert(index.to_owned());
            self.touch_map();
        }
    }

    /// Gives the rows their other names.
    pub(crate) fn swap_rows(&mut self, uid: u32, swaps: &[IndexSwap]) {
        for IndexSwap { indexes: (left, right), rename } in swaps {
            let (a, b) = (self.indexes.remove(left), self.indexes.remove(right));
            let moved = match (a, b) {
                (Some(a), Some(b)) if !rename => vec![(a, right), (b, left)],
                (Some(a), None) if *rename => vec![(a, right)],
                (a, b) => a.into_iter().map(|row| (row, left)).chain(b.map(|row| (row, right))).collect(),
            };
            for (mut row, name) in moved {
                row.uid.clone_from(name);
                (row.incarnation, row.swapping, row.updated_ms) = (u64::from(uid), false, self.now);
                self.indexes.insert(name.clone(), row);
            }
        }
    }
}

/// All uids of swaps.
pub(crate) fn names_of(swaps: &[IndexSwap]) -> Vec<String> {
    swaps.iter().flat_map(|IndexSwap { indexes: (left, right), .. }| [left.clone(), right.clone()]).collect()
}
