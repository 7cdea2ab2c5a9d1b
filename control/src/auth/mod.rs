//! Who may do what, as the engine judges it.
//!
//! Used by the task routes, by the write tickets and by the bulk entry:
//! `authorise(runtime: &dyn Runtime, authorization: Option<&str>, action: &str, index: Option<&str>) -> Result<Caller, ErrorBody>`
//! and `Caller { key_uid: Option<Uuid> /* none for the master key or an open cluster */, .. }` with
//! `Caller::sees(&self, index: &str) -> bool` (its index patterns) and `Caller::sees_all(&self) -> bool`.
