//! The API keys API. Routes: `router(Handle) -> axum::Router`.
//! `default_keys() -> Vec<KeyRecord>` are the four that the first start stores.
