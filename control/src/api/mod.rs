//! HTTP listeners.

pub mod query;
