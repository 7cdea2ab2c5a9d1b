//! A Meilisearch with data becomes a cluster of one node, in place: nothing is copied, renamed or deleted there. Control's
//! store is made from what the node shows, as `recover` makes it; that its documents carry no shard's tag yet is seen to
//! while the cluster serves (`miroir_sequencer`, tagging). Nothing is changed on the node before the store is whole.

mod prospect;
mod refusals;
mod room;
mod rows;

pub(crate) use room::{Waiting, settle};
