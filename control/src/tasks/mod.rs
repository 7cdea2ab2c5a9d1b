//! The tasks API.

pub mod filter;
pub mod view;
