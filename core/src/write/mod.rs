//! Writes through tickets: `begin` at control, one part to every node of the grant, `commit` at control, then the
//! client's answer. [`WriteMachine`] is the filter's half of that protocol (`docs/protocol.md` 1.1); rules are named by
//! their numbers there. It belongs to the worker and not to the client's stream: a client that leaves changes nothing
//! but that nobody reads the answer (F4).

mod content;
mod edit;
mod filter;
mod machine;
mod parts;
mod query;
mod reply;
mod request;
mod script;

pub use machine::{WriteMachine, WriteSetup};
pub use query::{Parameters, decode_segment};
pub use request::WriteHead;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
