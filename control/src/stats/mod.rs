//! Statistics, health, version and experimental features of the cluster as a whole. Documents are counted once per
//! shard: replicas, stale copies and copies on the move do not count.

mod features;
mod gather;
mod routes;
mod size;
#[cfg(test)]
mod tests;

pub use gather::count;
pub use routes::router;
