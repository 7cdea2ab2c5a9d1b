//! The tasks API.

pub mod filter;
mod retention;
mod routes;
pub mod view;

pub(crate) use retention::keep_short;
pub use routes::router;
