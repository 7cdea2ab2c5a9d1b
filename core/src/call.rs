//! The one vocabulary between the request machines ([`crate::read`], [`crate::write`]) and whoever drives them: the
//! filter's shell on real hostcalls, the mock host of its tests, and the simulation. Machines never block and never
//! look at a clock: time comes in as milliseconds of any monotonic clock.

use serde::{Deserialize, Serialize};

/// Names one call of one machine; unique within that machine, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallId(pub u32);

/// Header list: lower-case names, in order, duplicates allowed.
pub type Headers = Vec<(String, String)>;

/// Returns the first value of a header; `name` in lower case.
#[must_use]
pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// An HTTP call to an Envoy cluster (a node, or control).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Comes back with the result.
    pub id: CallId,
    /// Envoy's cluster name.
    pub cluster: String,
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// Path with query string.
    pub path: String,
    /// Extra headers (content type, authorization, tracing). `:method`, `:path` and `:authority` are the shell's.
    pub headers: Headers,
    /// Request body.
    pub body: Vec<u8>,
    /// Milliseconds after which the call must end; never 0.
    pub timeout_ms: u64,
}

impl Call {
    /// The host by which the upstream is asked: the cluster's name, or what a mesh's name (`outbound|PORT|SUBSET|HOST`) ends
    /// with. Servers refuse a host with a bar in it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.cluster.rsplit_once('|').map_or(self.cluster.as_str(), |(_, host)| host)
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// Nothing left this process: unknown cluster, no healthy host, connection refused. Safe to send elsewhere.
    NotSent(NotSent),
    /// The upstream itself answered, whatever the status.
    Answer {
        /// HTTP status of the upstream.
        status: u16,
        /// Upstream headers without pseudo headers; those of a success (2xx) may be left out.
        headers: Headers,
        /// Whole body.
        body: Vec<u8>,
    },
    /// Sent, but no whole answer: timeout, reset, connection cut, answer too large. A write may have happened.
    Unknown(Unknown),
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// Envoy does not know the cluster (yet).
    NoCluster,
    /// The cluster has no healthy host.
    NoHealthyHost,
    /// The connection was refused.
    ConnectFailed,
}

/// What broke a call that had been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// No answer within the timeout.
    Timeout,
    /// Reset, closed or broken off, or larger than the host accepts.
    Broken,
}

/// What the client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers; `content-type` included where there is a body.
    pub headers: Headers,
    /// Body bytes.
    pub body: Vec<u8>,
}

/// What a machine wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this call; its result comes back by the same id.
    Call(Call),
    /// Send this call and forget it: no result is awaited (abandon notices).
    Notify(Call),
    /// Answer the client. At most one per machine, and nothing reaches the client afterwards.
    Reply(Reply),
    /// Wake the machine at this time (milliseconds of the same clock as `now_ms`).
    WakeAt(u64),
    /// The machine has ended; drop it. Comes after `Reply` where a client is still there, and alone where it has left.
    Done,
}

/// A request machine: events in, actions out.
pub trait Machine {
    /// First step. Called once.
    fn start(&mut self, now_ms: u64) -> Vec<Action>;
    /// A call ended.
    fn on_result(&mut self, id: CallId, result: CallResult, now_ms: u64) -> Vec<Action>;
    /// A `WakeAt` time has come (may be late, may come without need).
    fn on_wake(&mut self, now_ms: u64) -> Vec<Action>;
    /// The client has gone; the machine goes on where work must be ended properly (a write), until `Done`.
    fn on_client_gone(&mut self, now_ms: u64) -> Vec<Action>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_asked_by_a_host_that_servers_take() {
        for (cluster, host) in [
            ("miroir-node-0", "miroir-node-0"),
            ("outbound|7700|read|meili-0.meili.svc.cluster.local", "meili-0.meili.svc.cluster.local"),
        ] {
            let (path, headers, body) = (String::new(), Headers::new(), Vec::new());
            let call =
                Call { id: CallId(0), cluster: cluster.to_owned(), method: "GET", path, headers, body, timeout_ms: 1 };
            assert_eq!(call.host(), host);
        }
    }
}
