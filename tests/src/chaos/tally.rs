//! What happened in a run, and what was wrong.

use std::collections::BTreeMap;

use super::history::Fault;

/// Longest list of faults that is kept in words; the rest is counted.
const KEPT: usize = 40;

/// Counts and findings.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Kills, stops and wipes, by part.
    pub harms: BTreeMap<String, usize>,
    /// What the operator asked for and was granted: joins, drains, cancelations; and nodes that were let go.
    pub moves: BTreeMap<String, usize>,
    /// How jobs ended, by kind.
    pub jobs: BTreeMap<String, usize>,
    /// Writes by answer.
    pub writes: BTreeMap<String, usize>,
    /// What was done to the index that passes: deletions and creations, by answer and end.
    pub passing: BTreeMap<String, usize>,
    /// Acknowledged writes by form.
    pub forms: BTreeMap<String, usize>,
    /// Reads by kind.
    pub reads: BTreeMap<String, usize>,
    /// Requests without a good answer, by kind.
    pub errors: BTreeMap<String, usize>,
    /// Writes that were acknowledged and whose tasks succeeded.
    pub succeeded: usize,
    /// Documents seen by readers and held against the ledger.
    pub judged: usize,
    /// Documents compared on the nodes, copies counted.
    pub compared: usize,
    /// Rounds that were compared.
    pub rounds: usize,
    /// Shards that control's own comparison got through in one pass, at most.
    pub scrubbed: u64,
    /// Faults by kind.
    pub faults: BTreeMap<Fault, usize>,
    /// The first faults, in words.
    pub findings: Vec<String>,
}

impl Tally {
    /// Notes a fault.
    pub fn fault(&mut self, fault: Fault, words: String) {
        *self.faults.entry(fault).or_default() += 1;
        if self.findings.len() < KEPT {
            self.findings.push(format!("{fault:?}: {words}"));
        }
    }

    /// How many faults of a kind there were.
    #[must_use]
    pub fn count(&self, fault: Fault) -> usize {
        self.faults.get(&fault).copied().unwrap_or_default()
    }

    /// Rows of the table: what, how many.
    #[must_use]
    pub fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for (group, counts) in [
            ("", &self.harms),
            ("operator: ", &self.moves),
            ("job: ", &self.jobs),
            ("write: ", &self.writes),
            ("passing index: ", &self.passing),
            ("acknowledged: ", &self.forms),
            ("read: ", &self.reads),
            ("error: ", &self.errors),
        ] {
            rows.extend(counts.iter().map(|(kind, count)| vec![format!("{group}{kind}"), count.to_string()]));
        }
        for (what, count) in [
            ("rounds compared", self.rounds),
            ("shards compared in one pass of the scrub, at most", usize::try_from(self.scrubbed).unwrap_or(usize::MAX)),
            ("acknowledged writes that succeeded", self.succeeded),
            ("documents seen by readers and judged", self.judged),
            ("documents compared on nodes", self.compared),
            ("lost", self.count(Fault::Lost)),
            ("doubled", self.count(Fault::Doubled)),
            ("resurrected", self.count(Fault::Resurrected)),
        ] {
            rows.push(vec![what.to_owned(), count.to_string()]);
        }
        let named = [Fault::Lost, Fault::Doubled, Fault::Resurrected];
        let others = self.faults.iter().filter(|(fault, _)| !named.contains(fault));
        rows.extend(others.map(|(fault, count)| vec![format!("{fault:?}").to_lowercase(), count.to_string()]));
        rows
    }
}

/// Adds one to a count.
pub fn count(counts: &mut BTreeMap<String, usize>, kind: impl Into<String>) {
    *counts.entry(kind.into()).or_default() += 1;
}
