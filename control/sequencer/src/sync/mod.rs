//! Moves and repair: one copy of a shard is brought in sync with another one while reads and writes go on (protocol
//! 1.2), and a copy that leaves is retired (F6).

pub(crate) mod rows;
