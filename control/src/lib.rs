//! The control service.

pub mod auth;
pub mod cluster;
pub mod indexes;
pub mod keys;
pub mod settings;
pub mod stats;
pub mod xds;
