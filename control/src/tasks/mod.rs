//! The tasks API.

pub mod filter;
