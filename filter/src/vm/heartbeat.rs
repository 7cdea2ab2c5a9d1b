//! Signs of life to control: which map this worker runs on. Reads never wait for them.

use std::rc::Rc;

use miroir_core::call::{Call, CallId, CallResult};
use miroir_core::shardmap::CompiledMap;
use miroir_core::wire::{HEARTBEAT_PATH, Heartbeat, HeartbeatAnswer};

use super::Vm;
use super::jobs::Purpose;
use crate::host::Host;

/// Silence of control after which answers tell the age of the map.
const SILENT_AFTER_MS: u64 = 10_000;
/// Lag of the map behind a living control after which answers tell it.
const BEHIND_AFTER_MS: u64 = 2_000;
/// Longest wait for control's answer.
const TIMEOUT_MS: u64 = 2_000;

/// What is known of control's view.
#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    next_at: u64,
    in_flight: bool,
    /// When control answered last.
    heard_at: Option<u64>,
    /// Control has heard of this worker, and the worker's map was no older than control's.
    pub confirmed: bool,
    /// Since when control has been ahead of this worker's map.
    behind_since: Option<u64>,
    rejected: Option<String>,
    /// With which this worker may read documents for itself.
    reader_key: Option<Rc<str>>,
    /// Nodes that control has lost contact with.
    unreachable: Vec<String>,
}

impl Heartbeats {
    /// A new map is in force: control is told with the next tick.
    pub fn adopted(&mut self) {
        self.next_at = 0;
        self.rejected = None;
        self.behind_since = None;
    }

    /// A configuration was not adopted.
    pub fn rejected(&mut self, why: String) {
        self.next_at = 0;
        self.rejected = Some(why);
    }

    /// The cluster's own key to read documents with, once control has given it.
    pub fn reader_key(&self) -> Option<Rc<str>> {
        self.reader_key.clone()
    }

    /// Nodes that control has lost contact with; none once control itself is silent, since they may be back.
    pub fn unreachable(&self, now: u64) -> &[String] {
        let heard = self.heard_at.is_some_and(|heard| now.saturating_sub(heard) < SILENT_AFTER_MS);
        if heard { &self.unreachable } else { &[] }
    }

    /// Header that an answer made from the map carries when the map may be old.
    pub fn warning(&self, now: u64) -> Option<(&'static str, String)> {
        if self.behind_since.is_some_and(|since| now.saturating_sub(since) >= BEHIND_AFTER_MS) {
            return Some(("x-miroir-degraded", "map-behind".to_owned()));
        }
        let silence = now.saturating_sub(self.heard_at?);
        let seconds = silence.checked_div(1_000)?;
        (silence >= SILENT_AFTER_MS).then(|| ("x-miroir-map-age", seconds.to_string()))
    }
}

impl<H: Host> Vm<H> {
    /// Sends a heartbeat when it is due.
    pub(super) fn beat(&mut self, now: u64) {
        let Some(map) = &self.map else { return };
        if self.heartbeats.in_flight || now < self.heartbeats.next_at {
            return;
        }
        let call = self.heartbeat(map, false);
        self.heartbeats.next_at = now.saturating_add(map.map.limits.heartbeat_ms.max(100));
        self.heartbeats.in_flight = self.send(&call, Purpose::Heartbeat).is_ok();
    }

    /// Tells control that no request goes by this worker's maps any more, if control knows it; true if it could be sent. Should Envoy use the
    /// worker once more all the same, it does so under a new name, and waits for control's word before it reads.
    pub(super) fn say_goodbye(&mut self) -> bool {
        let Some(map) = self.map.as_ref().filter(|_| self.heartbeats.heard_at.is_some()) else { return false };
        let call = self.heartbeat(map, true);
        self.id = self.host.random_id();
        self.heartbeats = Heartbeats::default();
        self.send(&call, Purpose::Notice).is_ok()
    }

    fn heartbeat(&self, map: &CompiledMap, gone: bool) -> Call {
        let message = Heartbeat {
            vm: self.id.clone(),
            epoch: map.map.epoch,
            oldest_epoch: self.oldest_epoch().unwrap_or(map.map.epoch).min(map.map.epoch),
            rejected: self.heartbeats.rejected.clone(),
            gone,
            envoy: self.proxy.clone(),
        };
        Call {
            id: CallId(0),
            cluster: map.map.control_internal_cluster.clone(),
            method: "POST",
            path: HEARTBEAT_PATH.to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: serde_json::to_vec(&message).unwrap_or_default(),
            timeout_ms: TIMEOUT_MS,
        }
    }

    pub(super) fn on_heartbeat(&mut self, result: &CallResult, now: u64) {
        self.heartbeats.in_flight = false;
        let CallResult::Answer { status: 200, body, .. } = result else { return };
        let Ok(answer) = serde_json::from_slice::<HeartbeatAnswer>(body) else { return };
        self.heartbeats.heard_at = Some(now);
        self.heartbeats.reader_key = answer.reader_key.map(Into::into);
        self.heartbeats.unreachable = answer.unreachable;
        let own = self.map.as_ref().map_or(0, |map| map.map.epoch);
        if answer.epoch > own {
            self.heartbeats.behind_since.get_or_insert(now);
            return;
        }
        self.heartbeats.behind_since = None;
        if !self.heartbeats.confirmed {
            self.heartbeats.confirmed = true;
            self.retry_parked();
        }
    }
}
