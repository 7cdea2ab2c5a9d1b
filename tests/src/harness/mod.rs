//! Starting, stopping and asking a cluster of real processes.

pub mod client;
pub mod cluster;
pub mod copies;
pub mod detour;
pub mod disk;
pub mod engine;
pub mod existing;
pub mod faults;
pub mod findings;
pub mod load;
pub mod members;
pub mod parts;
pub mod ports;
pub mod process;
pub mod scene;
pub mod shared;
pub mod single;
pub mod store;
pub mod tickets;
pub mod tool;
pub mod traffic;
pub mod turn;
pub mod unreachable;
pub mod wait;
pub mod watch;
