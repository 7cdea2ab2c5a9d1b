//! The sequencer's time: Unix milliseconds that never go back within a process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Takes the wall clock once and adds a monotonic clock to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    base_ms: u64,
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { base_ms: wall_ms(), start: Instant::now() }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.base_ms + millis(self.start.elapsed())
    }

    /// How long until a time; nothing for one that has passed.
    pub(crate) fn until(&self, time_ms: u64) -> Duration {
        Duration::from_millis(time_ms.saturating_sub(self.now_ms()))
    }
}

/// Unix milliseconds by the wall clock, which may be set back.
pub(crate) fn wall_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
