//! Findings: kept for operators, told as alerts, and closed when what they tell of has been put right.

use crate::Sequencer;
use crate::api::*;
use crate::state::N;
use crate::sync::Place;

/// Findings that are kept; the file has them all.
const KEPT: usize = 1_000;
/// Ids of documents that a finding names.
const NAMED: usize = 20;

impl Sequencer {
    /// Findings of an earlier term.
    pub(crate) fn take_findings_back(&mut self, rows: Vec<FindingRow>) {
        self.scrub.findings = rows.into_iter().map(|row| (row.id, row)).collect();
    }

    pub(super) fn next_finding(&self) -> u64 {
        self.scrub.findings.last_key_value().map_or(1, |(id, _)| id + 1)
    }

    /// Notes a finding that has been written down, and tells of it.
    pub(super) fn find(&mut self, drift: Drift, shard: Option<u32>) {
        let Drift { id, index, placement, kept, lost, what } = drift;
        let (differing, missing, extra) = match what {
            Drifted::Index => Default::default(),
            Drifted::Outsiders { keys, .. } => (Vec::new(), Vec::new(), keys),
            Drifted::Documents { differing, missing, extra, .. } => (differing, missing, extra),
        };
        let counted = |keys: &Vec<String>| keys.len() as u64;
        let row = FindingRow {
            id,
            found_ms: self.now,
            index,
            placement,
            shard,
            kept,
            lost,
            differing: counted(&differing),
            missing: counted(&missing),
            extra: counted(&extra),
            documents: differing.into_iter().chain(extra).chain(missing).take(NAMED).collect(),
            repaired_ms: None,
            acknowledged: false,
        };
        let n = self.node_at(&row.lost);
        let text = match (shard, &row.kept) {
            (Some(shard), Some(kept)) => format!(
                "finding {id}: index {}, shard {shard}: without a known reason it differs from {kept}, which wins: {} \
                 documents with other content, {} missing, {} that only it has",
                row.index, row.differing, row.missing, row.extra
            ),
            _ if row.extra > 0 => format!(
                "finding {id}: index {}: {} documents belong to none of the node's copies: they have no tag, or another \
                 one than their key's",
                row.index, row.extra
            ),
            _ => format!("finding {id}: without a known reason index {} is not as it must be", row.index),
        };
        self.alert("replica_drift", n, text);
        self.scrub.findings.insert(id, row);
        self.out.findings.insert(id);
        while self.scrub.findings.len() > KEPT {
            if let Some((oldest, _)) = self.scrub.findings.pop_first() {
                self.out.findings.insert(oldest);
            }
        }
    }

    fn close_findings(&mut self, closed: impl Fn(&FindingRow) -> bool) {
        let now = self.now;
        for row in self.scrub.findings.values_mut().filter(|row| row.repaired_ms.is_none() && closed(row)) {
            row.repaired_ms = Some(now);
            self.out.findings.insert(row.id);
        }
    }

    /// A copy is in sync again.
    pub(crate) fn copy_mended(&mut self, (placement, shard, n): Place) {
        let id = self.nodes[n].row.id.clone();
        self.close_findings(|row| row.lost == id && (row.placement, row.shard) == (placement, Some(shard)));
    }

    /// A node's indexes are as they must be again.
    pub(crate) fn indexes_mended(&mut self, n: N) {
        let id = self.nodes[n].row.id.clone();
        self.close_findings(|row| row.lost == id && row.shard.is_none());
    }

    /// [`AdminCommand::AcknowledgeFindings`].
    pub(crate) fn acknowledge_findings(&mut self) -> AdminAnswer {
        let mut count = 0;
        for row in self.scrub.findings.values_mut().filter(|row| !row.acknowledged) {
            row.acknowledged = true;
            count += 1;
            self.out.findings.insert(row.id);
        }
        AdminAnswer::Done { message: format!("{count} findings acknowledged") }
    }
}
