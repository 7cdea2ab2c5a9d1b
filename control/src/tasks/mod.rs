//! The tasks API.

pub mod filter;
mod routes;
pub mod view;

pub use routes::router;
