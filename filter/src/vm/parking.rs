//! Queries that wait for the end of a swap of indexes (F27).

use std::sync::Arc;

use miroir_core::read::{self, Decision};

use super::Vm;
use super::streams::{State, Stream};
use super::task::Task;
use crate::host::Host;

impl<H: Host> Vm<H> {
    /// Looks again at the queries that wait for the end of a swap, because a new map has come.
    pub(super) fn retry_parked(&mut self) {
        let Some(map) = self.map.clone() else { return };
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
            self.answer(stream, read::waited(), name, started);
        }
    }
}
