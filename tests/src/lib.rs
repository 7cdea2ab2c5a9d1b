//! Harness of the end-to-end tests and of the demo: real Envoy with the built filter, the real control service, and
//! Meilisearch nodes (or the stand-in), as processes on this machine.

pub mod bench;
pub mod chaos;
pub mod demo;
pub mod fidelity;
pub mod harness;
pub mod scenario;

pub use harness::client::{Answer, Client};
pub use harness::cluster::{Cluster, Options};
pub use harness::engine::Engine;
pub use harness::single::Single;
pub use harness::turn::turn;
pub use harness::wait::until;
