//! Starting, stopping and asking a cluster of real processes.

pub mod client;
pub mod cluster;
pub mod engine;
pub mod parts;
pub mod ports;
pub mod process;
pub mod single;
pub mod wait;
