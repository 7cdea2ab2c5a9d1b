//! For whom copies that leave are kept (F6): filters that may still read them, as operators want to know.

use serde::Serialize;

use crate::Sequencer;
use crate::api::*;
use crate::sync::{Place, SeenVm};

/// What copies that leave wait for before they are deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeletionWait {
    /// Copies that wait.
    pub copies: u64,
    /// When the first of them left the map, Unix milliseconds.
    pub since_ms: u64,
    /// When they are deleted at the latest, Unix milliseconds; none while a filter is heard and yet does not get on.
    pub until_ms: Option<u64>,
    /// Filters that may still read them, the longest silent first.
    pub filters: Vec<WaitedFilter>,
}

/// A filter that copies wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitedFilter {
    /// Name of its VM.
    pub vm: String,
    /// Node id of its Envoy, where it has told one.
    pub envoy: Option<String>,
    /// Epoch by which it read when it was last heard; none when that was before control was started.
    pub epoch: Option<u64>,
    /// When it was last heard, about, Unix milliseconds.
    pub heard_ms: u64,
    /// It has been silent for so long that it does not count as alive.
    pub silent: bool,
}

impl DeletionWait {
    /// Whether somebody has to look: a filter in contact adopts the next map by itself.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.filters.iter().any(|filter| filter.silent)
    }

    /// For whom, in words.
    #[must_use]
    pub fn sentence(&self) -> String {
        let silent: Vec<&WaitedFilter> = self.filters.iter().filter(|filter| filter.silent).collect();
        let workers = |many: usize| format!("{many} filter worker{}", if many == 1 { "" } else { "s" });
        let leaving = match self.copies {
            1 => "a copy that leaves waits".to_owned(),
            copies => format!("{copies} copies that leave wait"),
        };
        let mut envoys: Vec<&str> = silent.iter().filter_map(|filter| filter.envoy.as_deref()).collect();
        envoys.sort_unstable();
        envoys.dedup();
        let of = if envoys.is_empty() { String::new() } else { format!(" (Envoy {})", envoys.join(", ")) };
        match silent.len() {
            0 => format!("{leaving} for {} to read by a later map", workers(self.filters.len())),
            many => format!("{leaving} for {} that fell silent{of}", workers(many)),
        }
    }
}

impl Sequencer {
    /// VMs that may still read a copy which leaves. One that an operator has written off counts while it is heard.
    pub(super) fn readers(&self, forced: bool) -> impl Iterator<Item = (&String, &SeenVm)> {
        let timing = &self.config.timing;
        let grace = if forced || self.planted.silence_is_gone { timing.vm_silent } else { timing.vm_grace };
        self.syncs.vms.iter().filter(move |(_, vm)| vm.heard + grace > self.now)
    }

    /// The lowest epoch by which any of them reads.
    pub(super) fn oldest_epoch(&self, forced: bool) -> Option<u64> {
        self.readers(forced).map(|(_, vm)| vm.epoch).min()
    }

    /// What all copies that leave wait for, if any does.
    #[must_use]
    pub fn deletion_wait(&self) -> Option<DeletionWait> {
        self.deletion_wait_of(|_| true)
    }

    pub(crate) fn deletion_wait_of(&self, of: impl Fn(&Place) -> bool) -> Option<DeletionWait> {
        let oldest = [self.oldest_epoch(false), self.oldest_epoch(true)];
        let waits = |row: &RetireRow| !row.deleting && oldest[usize::from(row.forced)].is_some_and(|at| at < row.epoch);
        let retires = self.syncs.retires.iter().filter(|(place, retire)| of(place) && waits(&retire.row));
        let rows: Vec<&RetireRow> = retires.map(|(_, retire)| &retire.row).collect();
        let newest = |forced: bool| rows.iter().filter(|row| row.forced == forced).map(|row| row.epoch).max();
        let needed = [newest(false), newest(true)];
        let timing = &self.config.timing;
        let mut until = self.now;
        let mut filters = Vec::new();
        for (vm, seen) in self.readers(false) {
            let keeps = |forced: bool| {
                needed[usize::from(forced)].is_some_and(|epoch| seen.epoch < epoch)
                    && (!forced || seen.heard + timing.vm_silent > self.now)
            };
            if !keeps(false) && !keeps(true) {
                continue;
            }
            let grace = if keeps(false) { timing.vm_grace } else { timing.vm_silent };
            until = until.max(seen.heard + grace);
            filters.push(WaitedFilter {
                vm: vm.clone(),
                envoy: seen.envoy.clone(),
                epoch: Some(seen.epoch).filter(|epoch| *epoch > 0),
                heard_ms: seen.heard,
                silent: seen.heard + timing.vm_silent <= self.now,
            });
        }
        filters.sort_by_key(|filter| filter.heard_ms);
        let until_ms = filters.iter().all(|filter| filter.silent).then_some(until + timing.vm_silent);
        let since_ms = rows.iter().map(|row| row.since_ms).min()?;
        Some(DeletionWait { copies: rows.len() as u64, since_ms, until_ms, filters })
    }
}
