//! Client settings, their view for the filter, and what nodes get instead.
//!
//! The client's settings are control's own copy: nodes have others (a rule for the shard tag, all attributes
//! displayed, more facet values, templates without the tag) and mask secrets. A change is judged here, in the engine's
//! words, before anything happens; then it is one operation on the whole index, read back from every node.

pub(crate) mod body;
mod checks;
mod drift;
mod embedders;
mod filterable;
mod locales;
mod model;
mod planner;
mod rebuild;
mod routes;
pub(crate) mod schema;
pub(crate) mod shape;
mod template;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod update;
mod wording;

pub(crate) use embedders::mask;
pub(crate) use planner::not_found;
pub(crate) use wording::unknown_of;

pub use model::{NODE_VALUES_BY_COUNT, Settings};
pub use planner::SettingsPlanner;
pub use routes::router;
pub use update::Update;
