//! Client settings, their view for the filter, and what nodes get instead.
//!
//! Used where a first write creates an index:
//! `fresh_index(uid: &str, primary_key: Option<&str>, shards: u32) -> FreshIndex { settings: Value, view: SearchView, requests: Vec<NodeRequest>, read_back: Option<ReadBack> }`
//! (requests: `POST /indexes`, then the `PATCH …/settings` that every node needs). Routes: `router(Handle) -> axum::Router`.
