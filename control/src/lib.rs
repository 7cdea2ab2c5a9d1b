//! The control service.

pub mod admin;
pub mod api;
pub mod auth;
pub mod bulk;
pub mod chores;
pub mod cluster;
pub mod config;
mod encoding;
pub mod findings;
pub mod import;
pub mod indexes;
pub mod keys;
pub mod network;
pub mod node;
pub mod recover;
pub mod serve;
pub mod settings;
mod signals;
pub mod standby;
pub mod stats;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod templates;
pub mod webhooks;
pub mod xds;
