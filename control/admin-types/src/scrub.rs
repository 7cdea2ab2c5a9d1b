//! The comparison of all replicas in the background, and what it found.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far the comparison of all replicas in the background is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scrub {
    /// Milliseconds over which a pass is spread; 0: replicas are not compared in the background.
    pub interval_ms: u64,
    /// Number of the pass under way. Passes go on where they were when control is started again.
    pub pass: u64,
    /// When it began, Unix milliseconds.
    pub started_ms: u64,
    /// Steps of a pass: the indexes themselves are one, each shard with all its indexes is one.
    pub steps: u32,
    /// Steps that are done.
    pub steps_done: u32,
    /// What it has come to so far.
    pub tally: ScrubTally,
    /// The last pass that has ended.
    pub last: Option<ScrubPass>,
    /// Why it does not get on right now, where it does not.
    pub waiting: Option<String>,
    /// Why differences that it found cannot be written down, and so are not repaired.
    pub blocked: Option<String>,
    /// Findings that nobody has acknowledged.
    pub unacknowledged: u64,
}

/// What a pass has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrubTally {
    /// Shards whose copies were compared.
    pub compared: u32,
    /// Shards with fewer than two usable copies, or whose nodes did not answer.
    pub passed_over: u32,
    /// Shards with documents that were being written all the time: these are compared by the next pass.
    pub undecided: u32,
    /// Documents compared, each counted once.
    pub documents: u64,
    /// Findings.
    pub findings: u32,
}

/// A pass that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrubPass {
    /// Its number.
    pub pass: u64,
    /// Unix milliseconds.
    pub started_ms: u64,
    /// Unix milliseconds.
    pub ended_ms: u64,
    /// What it came to.
    pub tally: ScrubTally,
}

/// Answer of `GET /_miroir/findings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingList {
    /// The findings file of the control that answers: each version that was dropped is in the file of the control that led
    /// at the time.
    pub file: String,
    /// Findings, oldest first. The last 1,000 are kept.
    pub findings: Vec<Drift>,
}

/// Replicas that differed without any known reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// Number; the lines of the findings file carry it.
    pub id: u64,
    /// When it was found, Unix milliseconds.
    pub found_ms: u64,
    /// Index uid.
    pub index: String,
    /// Position of the placement.
    pub placement: u16,
    /// Shard; none where the index itself differed: its settings, its primary key, or that it is there.
    pub shard: Option<u32>,
    /// Node whose version is kept: of the copies in sync, the one that has been so for longest. None where the index itself
    /// differed: it is made what control holds.
    pub kept: Option<String>,
    /// Node whose version is dropped, after it has been written to the findings file.
    pub lost: String,
    /// Documents that both have, with other content.
    pub differing: u64,
    /// Documents that the loser lacks.
    pub missing: u64,
    /// Documents that only the loser has; without a shard, those that belong to none of its copies.
    pub extra: u64,
    /// Ids of some of them, 20 at most.
    pub documents: Vec<String>,
    /// When it had been put right, Unix milliseconds.
    pub repaired_ms: Option<u64>,
    /// An operator has taken note.
    pub acknowledged: bool,
}
