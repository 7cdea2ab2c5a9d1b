//! Statistics, health and version. Routes: `router(Handle) -> axum::Router`.
