//! Queries that wait: for the end of a swap of indexes (F27), or for control's word that this worker's map is the newest.
//!
//! Control waits with the success of a task until all workers that it knows have a map by which nobody reads a copy
//! without it (F7). A worker that has just started is not known, and its map may be as old as the start of its Envoy is
//! long: it reads by it when control has heard of the worker and has no newer one.

use std::sync::Arc;

use miroir_core::read::{self, Decision};

use super::Vm;
use super::answers;
use super::streams::{State, Stream};
use super::task::Task;
use crate::host::Host;

impl<H: Host> Vm<H> {
    /// Looks again at the queries that wait, because a new map has come, or control's first word.
    pub(super) fn retry_parked(&mut self) {
        let Some(map) = self.map.clone().filter(|_| self.heartbeats.confirmed) else { return };
        let mut free = Vec::new();
        for (id, stream) in &mut self.streams {
            let State::Gathering(gathering) = &mut stream.state else { continue };
            let Task::Read(matched) = &gathering.task else { continue };
            if gathering.parked_until.is_some() && !matches!(read::early(&map, matched, &[]), Some(Decision::Park)) {
                gathering.parked_until = None;
                gathering.map = Arc::clone(&map);
                free.push(*id);
            }
        }
        for stream in free {
            self.launch(stream);
        }
    }

    /// Answers the queries that have waited for too long.
    pub(super) fn tick_parked(&mut self, now: u64) {
        let expired = |stream: &Stream| match &stream.state {
            State::Gathering(gathering) if gathering.parked_until.is_some_and(|until| now >= until) => {
                Some((gathering.task.name(), gathering.started))
            }
            _ => None,
        };
        let late: Vec<_> = self.streams.iter().filter_map(|(id, stream)| Some((*id, expired(stream)?))).collect();
        for (stream, (name, started)) in late {
            let reply = if self.heartbeats.confirmed { read::waited() } else { answers::unconfirmed() };
            self.answer(stream, reply, name, started);
        }
    }
}
