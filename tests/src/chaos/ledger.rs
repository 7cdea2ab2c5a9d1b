//! Every write that was sent, with what was answered and what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use miroir_core::invariants::{self, Change, Document, TaskState};

use super::history::{History, Moment, Step};

/// A document's id.
pub type Key = u32;

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing so far, or the connection ended: in words.
    Nothing(String),
    /// 202.
    Taken {
        /// Uid of the task.
        ticket: u32,
        /// A replica was missed.
        degraded: bool,
    },
    /// Any other status, with the error's code.
    Refused(u16, String),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not known yet.
    Open,
    /// Its task has succeeded.
    Succeeded,
    /// Its task has failed or was canceled.
    Failed,
    /// It has no task: it must never be seen.
    Absent,
}

impl Fate {
    /// What it says of the task; none where there is none.
    fn state(self) -> Option<TaskState> {
        match self {
            Self::Open => Some(TaskState::Enqueued),
            Self::Succeeded => Some(TaskState::Succeeded),
            Self::Failed => Some(TaskState::Failed),
            Self::Absent => None,
        }
    }
}

/// One write.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number, which is also its `customMetadata` and the value that it writes.
    pub number: u32,
    /// What it does to which documents.
    pub changes: Vec<(Key, Change)>,
    /// When it was sent.
    pub began: Moment,
    /// What was answered.
    pub answer: Answer,
    /// Uid of its task.
    pub ticket: Option<u32>,
    /// What became of it.
    pub fate: Fate,
    /// When that was first seen.
    pub known: Option<Moment>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, began, answer, ticket, fate, known, changes } = self;
        write!(f, "w{number} sent at {began} us, {answer:?}, task {ticket:?} {fate:?}, known at {known:?}; ")?;
        write!(f, "{} documents", changes.len())
    }
}

/// The book of one run.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
    /// Entries up to here belong to rounds that have been compared.
    closed: usize,
    /// What was there when the round began.
    before: BTreeMap<Key, Document>,
}

/// The number in a write's metadata and values.
#[must_use]
pub fn number(text: &str) -> Option<u32> {
    text.strip_prefix('w')?.parse().ok()
}

impl Ledger {
    /// Books a write before it is sent; `changes` are made from its number.
    pub fn open(&mut self, began: Moment, changes: impl FnOnce(u32) -> Vec<(Key, Change)>) -> u32 {
        let number = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let answer = Answer::Nothing("no answer yet".to_owned());
        let changes = changes(number);
        self.entries.push(Entry { number, changes, began, answer, ticket: None, fate: Fate::Open, known: None });
        number
    }

    /// Books the answer.
    pub fn answered(&mut self, number: u32, answer: Answer) {
        let Some(entry) = self.entries.get_mut(number as usize) else { return };
        if let Answer::Taken { ticket, .. } = answer {
            entry.ticket = Some(ticket);
        }
        entry.answer = answer;
    }

    /// Books what became of a write, seen at `known`. Returns what contradicts that.
    pub fn ended(&mut self, number: u32, ticket: Option<u32>, fate: Fate, known: Moment) -> Option<String> {
        let entry = self.entries.get_mut(number as usize)?;
        let line = entry.to_string();
        if entry.ticket.is_some() && entry.ticket != ticket {
            return Some(format!("{line}: its task is {ticket:?} now"));
        }
        let goes = match (entry.fate.state(), fate.state()) {
            (Some(before), Some(after)) => invariants::task_goes_forward(number, before, after).is_none(),
            _ => matches!(entry.fate, Fate::Open) || entry.fate == fate,
        };
        if !goes {
            return Some(format!("{line}: it is {fate:?} now"));
        }
        entry.ticket = ticket;
        if entry.fate == Fate::Open {
            entry.fate = fate;
            entry.known = Some(known);
        }
        None
    }

    /// The earliest write of the round without a task, of these: it may turn out to have one.
    #[must_use]
    pub fn unanswered(&self, of: &BTreeSet<u32>) -> Option<u32> {
        let open = |entry: &&Entry| entry.ticket.is_none() && entry.fate == Fate::Open && of.contains(&entry.number);
        self.round().iter().find(open).map(|entry| entry.number)
    }

    /// Entries of the round.
    #[must_use]
    pub fn round(&self) -> &[Entry] {
        self.entries.get(self.closed..).unwrap_or_default()
    }

    /// All entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Every document that the round knows, with its history.
    #[must_use]
    pub fn histories(&self) -> BTreeMap<Key, History> {
        let mut steps: BTreeMap<Key, Vec<Step>> = self.before.keys().map(|key| (*key, Vec::new())).collect();
        for entry in self.round() {
            let succeeded = entry.fate == Fate::Succeeded;
            let known = entry.known.filter(|_| succeeded);
            for (key, change) in &entry.changes {
                let steps = steps.entry(*key).or_default();
                if let (Some(ticket), true) = (entry.ticket, entry.fate != Fate::Absent) {
                    let change = change.clone();
                    steps.push(Step { ticket, change, succeeded, began: entry.began, known });
                }
            }
        }
        steps.into_iter().map(|(key, steps)| (key, History::new(self.before.get(&key), steps))).collect()
    }

    /// Values of writes that have no task: they must never be seen.
    #[must_use]
    pub fn refused(&self) -> BTreeSet<String> {
        let absent = self.entries.iter().filter(|entry| entry.fate == Fate::Absent);
        absent.map(|entry| format!("w{}", entry.number)).collect()
    }

    /// The lines that concern a document, in this round.
    #[must_use]
    pub fn lines(&self, key: Key) -> Vec<String> {
        let mut lines = vec![format!("before the round: {:?}", self.before.get(&key))];
        for entry in self.round() {
            let own = entry.changes.iter().filter(|(other, _)| *other == key);
            lines.extend(own.map(|(_, change)| format!("{entry}; {change:?}")));
        }
        lines
    }

    /// Closes a round that has been compared: `held` is what is there.
    pub fn close(&mut self, held: BTreeMap<Key, Document>) {
        self.closed = self.entries.len();
        self.before = held;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(number: u32) -> Vec<(Key, Change)> {
        vec![(7, Change::Replace([("v".to_owned(), format!("w{number}"))].into()))]
    }

    #[test]
    fn a_write_without_task_must_not_be_seen() {
        let mut ledger = Ledger::default();
        let first = ledger.open(1, replace);
        ledger.answered(first, Answer::Refused(503, "x".into()));
        ledger.ended(first, None, Fate::Absent, 5);
        assert_eq!(ledger.histories()[&7].last(), [None].into());
        assert_eq!(ledger.refused(), ["w0".to_owned()].into());
        let second = ledger.open(6, replace);
        ledger.answered(second, Answer::Taken { ticket: 4, degraded: false });
        assert_eq!(ledger.ended(second, Some(4), Fate::Succeeded, 9), None);
        let held: Document = [("v".to_owned(), "w1".to_owned())].into();
        assert_eq!(ledger.histories()[&7].last(), [Some(held.clone())].into());
        ledger.close([(7, held.clone())].into());
        assert!(ledger.round().is_empty());
        assert_eq!(ledger.histories()[&7].last(), [Some(held)].into());
    }

    #[test]
    fn tasks_that_change_their_mind_are_told() {
        let mut ledger = Ledger::default();
        let write = ledger.open(1, replace);
        ledger.answered(write, Answer::Taken { ticket: 4, degraded: false });
        assert!(ledger.ended(write, Some(5), Fate::Succeeded, 9).is_some());
        assert!(ledger.ended(write, None, Fate::Absent, 9).is_some());
        assert!(ledger.ended(write, Some(4), Fate::Succeeded, 9).is_none());
        assert!(ledger.ended(write, Some(4), Fate::Failed, 9).is_some());
    }

    #[test]
    fn numbers_are_read_back() {
        assert_eq!(number("w12"), Some(12));
        assert_eq!(number("other"), None);
    }
}
