//! What control's admin API (`/_miroir/…`) and its clients say to each other. The schemas in `docs/openapi.json` are
//! made from these types, and `miroirctl` reads answers with them, so that the three cannot differ.

mod adopt;
pub mod backup;
mod error;
mod explain;
mod jobs;
mod layout;
mod scrub;
mod status;
mod verify;

pub use adopt::{AdoptedIndex, Adoption};
pub use error::Error;
pub use explain::{ExplainedAnswer, ExplainedCall, Explanation, Question};
pub use jobs::{
    AcceptLoss, Amount, Done, ForceDeletion, Job, JobKind, JobList, JobState, Loss, Move, NewNode, NodeLoad, Outcome,
    Pace, Plan, Repair, ReplaceNode, ReplicationFactor, Skip, Throttle,
};
pub use layout::{Copy, CopyState, Layout, LayoutNode, Shard};
pub use scrub::{Drift, FindingList, Scrub, ScrubPass, ScrubTally};
pub use status::{
    Condition, Coverage, DeletionWait, Envoy, Filter, Node, NodeList, ShardName, Status, Tagging, WaitedFilter,
};
pub use verify::{Finding, Replica, Verification, Verify};
