//! What the filter's VMs last said, for operators. The sequencer keeps its own view.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use miroir_admin::Filter;
use miroir_core::wire::Heartbeat;

/// A VM that has been silent for so long is shown no more, unless copies that leave wait for it: those the sequencer
/// knows.
const FORGET: Duration = Duration::from_secs(600);

/// The newest heartbeat of each VM.
#[derive(Debug, Default)]
pub struct Heartbeats(Mutex<BTreeMap<String, (Instant, Heartbeat)>>);

impl Heartbeats {
    pub(super) fn note(&self, heartbeat: &Heartbeat) {
        let mut vms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        vms.retain(|_, (heard, _)| heard.elapsed() < FORGET);
        vms.insert(heartbeat.vm.clone(), (Instant::now(), heartbeat.clone()));
    }

    /// One entry a VM.
    pub(crate) fn view(&self) -> Vec<Filter> {
        let vms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let show = |(heard, beat): &(Instant, Heartbeat)| Filter {
            vm: beat.vm.clone(),
            envoy: beat.envoy.clone(),
            epoch: beat.epoch,
            oldest_epoch: beat.oldest_epoch,
            rejected: beat.rejected.clone(),
            seconds_ago: heard.elapsed().as_secs(),
        };
        vms.values().map(show).collect()
    }
}
