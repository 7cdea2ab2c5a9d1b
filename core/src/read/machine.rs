//! The machine of one read.

use std::sync::Arc;

use super::{Decision, ReadRequest, unavailable};
use crate::call::{Action, CallId, CallResult, Machine};
use crate::health::SharedHealth;
use crate::route::Matched;
use crate::shardmap::CompiledMap;

/// One read, from the request to the answer.
#[derive(Debug)]
pub struct ReadMachine {
    done: bool,
}

impl ReadMachine {
    pub(super) fn plan(
        _map: &Arc<CompiledMap>,
        _health: &SharedHealth,
        _matched: &Matched,
        _request: ReadRequest,
    ) -> Decision {
        Decision::Machine(Box::new(Self { done: false }))
    }
}

impl Machine for ReadMachine {
    fn start(&mut self, _now_ms: u64) -> Vec<Action> {
        self.done = true;
        vec![Action::Reply(unavailable("No shard can be read.")), Action::Done]
    }

    fn on_result(&mut self, _id: CallId, _result: CallResult, _now_ms: u64) -> Vec<Action> {
        Vec::new()
    }

    fn on_wake(&mut self, _now_ms: u64) -> Vec<Action> {
        Vec::new()
    }

    fn on_client_gone(&mut self, _now_ms: u64) -> Vec<Action> {
        self.done = true;
        vec![Action::Done]
    }
}
