//! `miroir-standin`: a stand-in for a Meilisearch node.

fn main() {}
