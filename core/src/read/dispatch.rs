//! Sending requests to nodes: which nodes are fit to be asked, for how long, and with which headers.

use hashbrown::HashMap;

use super::classify::Trouble;
use crate::call::{Action, Call, CallId, Headers};
use crate::health::{Admission, Failure, SharedHealth, TRIAL_TIMEOUT_MS};
use crate::search::{Authority, NodeRequest};
use crate::shardmap::{CompiledMap, NodeIndex};

/// Headers of the client that nodes get: who asks, and what ties the calls to the client's trace.
const PASSED: &[&str] =
    &["authorization", "x-request-id", "traceparent", "tracestate", "user-agent", "x-meilisearch-client"];

/// How late an event of this process itself may come. A timeout that comes later shows that the process was stopped, or
/// that its clock jumped, and nothing about the node: its answer may lie in the socket.
pub(super) const SLACK_MS: u64 = 1_000;

/// Body type of a request to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContentType {
    /// JSON where there is a body.
    Json,
    /// As the client sent it, since the node is to judge the client's own request.
    AsSent(Option<String>),
}

/// The client's headers that are passed on.
pub(super) fn passed(headers: &Headers) -> Headers {
    headers.iter().filter(|(name, _)| PASSED.contains(&name.as_str())).cloned().collect()
}

/// How a node is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By the cluster whose node the proxy checks, and does not call while it holds it for bad.
    Checked,
    /// By the cluster without checks.
    PastChecks,
}

/// What sending needs during one step of a machine.
pub(super) struct Dispatch<'a> {
    pub(super) map: &'a CompiledMap,
    pub(super) health: &'a SharedHealth,
    pub(super) passed: &'a Headers,
    pub(super) reader_key: Option<&'a str>,
    pub(super) now_ms: u64,
    pub(super) deadline_ms: u64,
    /// What health said about a node when this machine first wished to ask it.
    pub(super) admissions: &'a mut HashMap<NodeIndex, Admission>,
    pub(super) next_call: &'a mut u32,
    pub(super) actions: Vec<Action>,
}

impl Dispatch<'_> {
    /// Node id, for health and for messages.
    pub(super) fn node_id(&self, node: NodeIndex) -> &str {
        self.map.map.nodes.get(usize::from(node)).map_or("", |node| node.id.as_str())
    }

    /// Asks health once for each node and machine, since a trial is given once.
    pub(super) fn admit(&mut self, node: NodeIndex) -> Admission {
        if let Some(known) = self.admissions.get(&node) {
            return *known;
        }
        let admission = match self.health.try_borrow_mut() {
            Ok(mut health) => health.admit(self.node_id(node), self.now_ms),
            Err(_) => Admission::Healthy,
        };
        self.admissions.insert(node, admission);
        admission
    }

    /// A node that other copies are preferred to. Does not use up a trial.
    pub(super) fn is_suspect(&self, node: NodeIndex) -> bool {
        match self.admissions.get(&node) {
            Some(admission) => *admission == Admission::Suspect,
            None => self.health.try_borrow().is_ok_and(|health| health.is_suspect(self.node_id(node))),
        }
    }

    /// Longest wait for a node, 0 when the request's time is over. A node that has been failing gets little of it while
    /// others could answer, and a node that is not even due for a trial never gets more: it may cost a request its
    /// timeout, but not every request.
    pub(super) fn timeout_ms(&self, node: NodeIndex, has_alternative: impl FnOnce() -> bool) -> u64 {
        let left = self.deadline_ms.saturating_sub(self.now_ms);
        let full = self.map.map.limits.read_timeout_ms.min(left);
        let on_trial = self.admissions.get(&node) == Some(&Admission::Trial);
        let hurried = if on_trial { has_alternative() } else { self.is_suspect(node) };
        if hurried { full.min(TRIAL_TIMEOUT_MS) } else { full }
    }

    /// Whether what was due at that time comes so late that this process must have slept.
    pub(super) fn has_overslept(&self, due_ms: u64) -> bool {
        self.now_ms > due_ms.saturating_add(SLACK_MS)
    }

    /// Gives the request the time of one try, since its own has passed without it.
    pub(super) fn put_off_deadline(&mut self) {
        self.deadline_ms = self.deadline_ms.max(self.now_ms.saturating_add(self.map.map.limits.read_timeout_ms));
    }

    /// A node's trial has shown nothing.
    pub(super) fn learn_nothing(&self, node: NodeIndex) {
        if let Ok(mut health) = self.health.try_borrow_mut() {
            health.undecided(self.node_id(node));
        }
    }

    /// Sends a request; `timeout_ms` is not 0.
    pub(super) fn send(
        &mut self,
        node: NodeIndex,
        way: Way,
        request: NodeRequest,
        authority: Authority,
        content_type: &ContentType,
        timeout_ms: u64,
    ) -> CallId {
        let id = CallId(*self.next_call);
        *self.next_call = self.next_call.saturating_add(1);
        let mut headers = self.passed.clone();
        if let Some(key) = self.reader_key.filter(|_| authority == Authority::Reader) {
            headers.retain(|(name, _)| name != "authorization");
            headers.push(("authorization".to_owned(), format!("Bearer {key}")));
        }
        headers.extend(request.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let media = match content_type {
            ContentType::Json => request.body.as_ref().map(|_| "application/json"),
            ContentType::AsSent(value) => value.as_deref(),
        };
        headers.extend(media.map(|media| ("content-type".to_owned(), media.to_owned())));
        let cluster = self.map.map.nodes.get(usize::from(node)).map(|node| match way {
            Way::Checked => node.cluster.clone(),
            Way::PastChecks => node.write_cluster.clone(),
        });
        self.actions.push(Action::Call(Call {
            id,
            cluster: cluster.unwrap_or_default(),
            method: request.method,
            path: request.path,
            headers,
            body: request.body.unwrap_or_default(),
            timeout_ms,
        }));
        id
    }

    /// Counts first calls for the reserve of fail-over.
    pub(super) fn count_first_calls(&self, calls: usize) {
        if let Ok(mut health) = self.health.try_borrow_mut() {
            health.called(u64::try_from(calls).unwrap_or_default());
        }
    }

    /// Takes one call of fail-over out of the reserve.
    pub(super) fn spend(&self) -> bool {
        self.health.try_borrow_mut().is_ok_and(|mut health| health.spend())
    }

    /// The node did what a node does.
    pub(super) fn learn_success(&self, node: NodeIndex) {
        if let Ok(mut health) = self.health.try_borrow_mut() {
            health.succeeded(self.node_id(node));
        }
    }

    /// Whether a node that the proxy holds back may be tried all the same.
    pub(super) fn may_go_past_checks(&self, node: NodeIndex) -> bool {
        self.health.try_borrow().is_ok_and(|health| health.may_go_past_checks(self.node_id(node), self.now_ms))
    }

    /// A node that the proxy held back gave no answer past its checks either.
    pub(super) fn learn_checks_were_right(&self, node: NodeIndex) {
        if let Ok(mut health) = self.health.try_borrow_mut() {
            health.checks_were_right(self.node_id(node), self.now_ms);
        }
    }

    /// Tells health of a trouble. A refused key is no sign of ill health by itself, nor is shed load, nor are settings
    /// that are still in the node's queue.
    pub(super) fn learn_trouble(&self, node: NodeIndex, trouble: &Trouble) {
        let Ok(mut health) = self.health.try_borrow_mut() else { return };
        let failure = match trouble {
            Trouble::NotSent | Trouble::HeldBack | Trouble::Timeout => Failure::Dead,
            Trouble::Broken | Trouble::Garbage | Trouble::Status(_) | Trouble::NoIndex(_) => Failure::Faulty,
            // It does what a node does: what is wrong is one document.
            Trouble::Stranger(_) => return health.succeeded(self.node_id(node)),
            Trouble::Forbidden(_) | Trouble::Overloaded(_) | Trouble::Unprepared => {
                health.undecided(self.node_id(node));
                return;
            }
        };
        health.failed(self.node_id(node), failure, self.now_ms);
    }
}
