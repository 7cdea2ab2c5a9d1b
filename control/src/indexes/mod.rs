//! The indexes API. Routes: `router(Handle) -> axum::Router`.
