//! Answers as text. Pure: each takes an answer and makes a text.

mod adopt;
mod deletions;
mod explain;
mod findings;
mod jobs;
mod shards;
mod status;
mod verify;

pub use adopt::{adoption, tagging_line};
pub use deletions::deletions;
pub use explain::explain;
pub use findings::{findings, scrub_line};
pub use jobs::{job_line, jobs, loss, plan};
pub use shards::{grid, has_placement};
pub use status::{nodes, status};
pub use verify::verification;
