//! What control's admin API (`/_miroir/…`) and its clients say to each other. The schemas in `docs/openapi.json` are
//! made from these types, and `miroirctl` reads answers with them, so that the three cannot differ.

mod explain;
mod layout;
mod status;

pub use explain::{ExplainedAnswer, ExplainedCall, Explanation, Question};
pub use layout::{Copy, CopyState, Layout, LayoutNode, Shard};
pub use status::{Condition, Coverage, Envoy, Filter, Node, NodeList, ShardName, Status};
