//! The state machine of one write.

mod steps;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::content::{Content, Split};
use super::parts::Parts;
use super::{WriteHead, reply};
use crate::call::{Action, Call, CallId, CallResult, Headers, Machine, Reply, Unknown};
use crate::error::ErrorBody;
use crate::hash;
use crate::wire::{ABANDON_PATH, ABORT_PATH, Abandon, Abort, KeySource, WriteKind};

/// Longest wait for a grant; then the attempt is given up (F32).
const BEGIN_TIMEOUT_MS: u64 = 10_000;
/// Longest wait for one answer to `commit` or `renew`.
const CONTROL_TIMEOUT_MS: u64 = 5_000;
/// How long after the grant's deadline `commit` is still tried.
const COMMIT_GRACE_MS: u64 = 10_000;
/// First and longest pause between two tries of `commit`.
const RETRY_FIRST_MS: u64 = 50;
const RETRY_MOST_MS: u64 = 1_000;
/// How long after a call's timeout its result is still waited for, before it counts as lost: the driver's clock
/// may be coarse.
const LOST_AFTER_MS: u64 = 1_000;
/// How often a begin may be answered by another primary key.
const MOST_RESPLITS: u8 = 2;
/// How often a commit may be answered by a resend. Control asks once; more is its fault and must end.
const MOST_RESENDS: u8 = 2;

/// All that a write needs to know.
#[derive(Debug)]
pub struct WriteSetup {
    /// The checked head of the request.
    pub head: WriteHead,
    /// The client's body, decoded.
    pub body: Vec<u8>,
    /// The client's path with query string, as sent; part of the digest.
    pub path: String,
    /// The client's `Content-Type`; part of the digest.
    pub content_type: Option<String>,
    /// The client's `Authorization`.
    pub authorization: Option<String>,
    /// The client's `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// 128 random bits in hex.
    pub attempt: String,
    /// Id of the worker's VM.
    pub vm: String,
    /// Epoch of the map in use.
    pub epoch: u64,
    /// Number of shards of the cluster.
    pub shard_count: u32,
    /// Incarnation and primary key of the index, where the map names it.
    pub index: Option<(u64, Option<String>)>,
    /// Whether the index's settings make the engine look into `_geo` ([`crate::shardmap::SearchView::geo`]).
    pub geo: bool,
    /// Largest body that a node takes ([`crate::shardmap::Limits::node_body_bytes`]).
    pub node_body_bytes: u64,
    /// Envoy cluster of control's internal listener.
    pub control_cluster: String,
    /// Headers that go with every call: `x-request-id`, `traceparent`, `tracestate`.
    pub trace: Headers,
}

/// One write, from the client's request to its answer.
#[derive(Debug)]
pub struct WriteMachine {
    setup: WriteSetup,
    content: Content,
    /// What the engine refuses at once about the request, once it has accepted the key.
    refusal: Option<ErrorBody>,
    split: Option<Split>,
    digest: String,
    state: State,
    ticket: Option<Ticket>,
    last_call: u32,
    resplits: u8,
    client_is_here: bool,
}

#[derive(Debug)]
enum State {
    Fresh,
    /// Waits for control's word about the key of a request that is refused in any case.
    Judging {
        call: CallId,
        sent_at: u64,
    },
    /// Waits for a grant.
    Begun {
        call: CallId,
        sent_at: u64,
    },
    /// Waits for the nodes.
    Dispatched,
    /// Waits for fresh write keys.
    Renewing {
        call: CallId,
        sent_at: u64,
    },
    /// Waits for control's decision, or for the next try.
    Committing {
        call: Option<CallId>,
        /// When the call was sent, or when the next one is.
        at: u64,
        lost_at: u64,
        pause: u64,
    },
    Ended,
}

/// What the grant brought.
#[derive(Debug)]
struct Ticket {
    uid: u32,
    min_accept: u32,
    soft_at: u64,
    deadline: u64,
    parts: Parts,
    renewed: bool,
    resends: u8,
}

impl WriteMachine {
    /// Prepares a write. A body that cannot be read at all gets the engine's own answer in the end, and nothing is
    /// written then.
    #[must_use]
    pub fn new(mut setup: WriteSetup) -> Self {
        let body = std::mem::take(&mut setup.body);
        let content_type = setup.content_type.as_deref().unwrap_or_default();
        let method = method_of(setup.head.kind);
        let digest =
            hash::digest128(&[method.as_bytes(), setup.path.as_bytes(), content_type.as_bytes(), body.as_slice()]);
        let (content, refusal) = match setup.head.content(body) {
            Ok(content) => (content, None),
            Err(refusal) => (Content::All, Some(refusal)),
        };
        Self {
            setup,
            content,
            refusal,
            split: None,
            digest,
            state: State::Fresh,
            ticket: None,
            last_call: 0,
            resplits: 0,
            client_is_here: true,
        }
    }

    /// The message by which a worker that is about to vanish tells control what it knows (F4, F5); none where control
    /// knows of nothing, or knows all. The machine has ended with it.
    pub fn give_up(&mut self) -> Option<Call> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        match (state, &self.ticket) {
            (State::Begun { .. }, _) => Some(self.abort()),
            (State::Dispatched | State::Renewing { .. } | State::Committing { .. }, Some(ticket)) => {
                let notice = Abandon { attempt: self.setup.attempt.clone(), parts: ticket.parts.report() };
                Some(self.control_call(ABANDON_PATH, &notice, CONTROL_TIMEOUT_MS))
            }
            _ => None,
        }
    }

    fn next_call(&mut self) -> CallId {
        self.last_call = self.last_call.saturating_add(1);
        CallId(self.last_call)
    }

    fn control_call(&mut self, path: &str, message: &impl Serialize, timeout_ms: u64) -> Call {
        let mut headers = self.setup.trace.clone();
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        Call {
            id: self.next_call(),
            cluster: self.setup.control_cluster.clone(),
            method: "POST",
            path: path.to_owned(),
            headers,
            body: serde_json::to_vec(message).unwrap_or_default(),
            timeout_ms: timeout_ms.max(1),
        }
    }

    fn abort(&mut self) -> Call {
        let notice = Abort { attempt: self.setup.attempt.clone() };
        self.control_call(ABORT_PATH, &notice, CONTROL_TIMEOUT_MS)
    }

    fn end(&mut self, reply: Reply) -> Vec<Action> {
        self.state = State::Ended;
        if self.client_is_here { vec![Action::Reply(reply), Action::Done] } else { vec![Action::Done] }
    }

    /// Ends a write of which nothing was sent; control forgets the attempt.
    fn end_unsent(&mut self, why: &str) -> Vec<Action> {
        self.abandon_unsent(reply::unavailable(why))
    }

    /// Ends such a write with this answer.
    fn abandon_unsent(&mut self, answer: Reply) -> Vec<Action> {
        let mut actions = vec![Action::Notify(self.abort())];
        actions.extend(self.end(answer));
        actions
    }
}

impl Machine for WriteMachine {
    fn start(&mut self, now_ms: u64) -> Vec<Action> {
        if !matches!(self.state, State::Fresh) {
            return Vec::new();
        }
        if self.refusal.is_some() {
            return self.judge(now_ms);
        }
        let setup = &self.setup;
        let asked = setup.head.parameters.primary_key.clone().map(|key| (key, KeySource::Parameter));
        let mapped = || setup.index.as_ref().and_then(|(_, key)| key.clone()).map(|key| (key, KeySource::Map));
        let known = asked.or_else(mapped);
        self.begin(known, now_ms)
    }

    fn on_result(&mut self, id: CallId, result: CallResult, now_ms: u64) -> Vec<Action> {
        match self.state {
            State::Judging { call, .. } if call == id => self.on_judged(result),
            State::Begun { call, sent_at } if call == id => self.on_begin_answer(result, sent_at, now_ms),
            State::Renewing { call, sent_at } if call == id => self.on_renew_answer(result, sent_at, now_ms),
            State::Committing { call: Some(call), at, pause, .. } if call == id => {
                self.on_commit_answer(result, at, pause, now_ms)
            }
            State::Fresh | State::Judging { .. } | State::Begun { .. } | State::Ended => Vec::new(),
            // A node's answer counts also while control is being asked for something else: a later report has it.
            State::Dispatched | State::Renewing { .. } | State::Committing { .. } => {
                let known = self.ticket.as_mut().is_some_and(|ticket| ticket.parts.ended(id, &result));
                if known && matches!(self.state, State::Dispatched) { self.advance(now_ms) } else { Vec::new() }
            }
        }
    }

    fn on_wake(&mut self, now_ms: u64) -> Vec<Action> {
        let lost = |sent_at: u64, timeout: u64| now_ms >= sent_at.saturating_add(timeout).saturating_add(LOST_AFTER_MS);
        match self.state {
            State::Judging { sent_at, .. } if lost(sent_at, CONTROL_TIMEOUT_MS) => {
                self.on_judged(CallResult::Unknown(Unknown::Timeout))
            }
            State::Begun { sent_at, .. } if lost(sent_at, BEGIN_TIMEOUT_MS) => {
                self.end_unsent("control did not grant a ticket in time")
            }
            State::Dispatched => self.advance(now_ms),
            State::Renewing { sent_at, .. } if lost(sent_at, CONTROL_TIMEOUT_MS) => {
                self.state = State::Dispatched;
                self.advance(now_ms)
            }
            State::Committing { call: None, at, pause, .. } if now_ms >= at => self.commit(pause, now_ms),
            State::Committing { call: Some(_), lost_at, pause, .. } if now_ms >= lost_at => {
                self.pause_commit(pause, now_ms)
            }
            _ => Vec::new(),
        }
    }

    fn on_client_gone(&mut self, _now_ms: u64) -> Vec<Action> {
        self.client_is_here = false;
        if matches!(self.state, State::Fresh) {
            self.state = State::Ended;
            return vec![Action::Done];
        }
        Vec::new()
    }
}

/// Control's answer, where it is one.
fn read_answer<T: DeserializeOwned>(result: CallResult) -> Option<T> {
    match result {
        CallResult::Answer { status: 200, body, .. } => serde_json::from_slice(&body).ok(),
        _ => None,
    }
}

fn method_of(kind: WriteKind) -> &'static str {
    match kind {
        WriteKind::Replace | WriteKind::DeleteBatch | WriteKind::DeleteByFilter | WriteKind::Edit => "POST",
        WriteKind::Update => "PUT",
        WriteKind::DeleteOne | WriteKind::DeleteAll => "DELETE",
    }
}
