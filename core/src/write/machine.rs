//! The state machine of one write.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::content::{Content, Split, refusal};
use super::parts::{Parts, is_late};
use super::{WriteHead, reply};
use crate::call::{Action, Call, CallId, CallResult, Headers, Machine, Reply};
use crate::error::ErrorBody;
use crate::hash;
use crate::wire::{
    ABANDON_PATH, ABORT_PATH, Abandon, Abort, BEGIN_PATH, Begin, BeginAnswer, COMMIT_PATH, Commit, CommitAnswer, Grant,
    GrantPart, KeySource, RENEW_PATH, Renew, RenewAnswer, WIRE_VERSION, WriteKind,
};

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
        sent_at: u64,
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
    /// Prepares a write.
    ///
    /// # Errors
    /// The engine's own answer to a body that cannot be read at all; nothing is written then.
    pub fn new(mut setup: WriteSetup) -> Result<Self, ErrorBody> {
        let body = std::mem::take(&mut setup.body);
        let content_type = setup.content_type.as_deref().unwrap_or_default();
        let method = method_of(setup.head.kind);
        let digest =
            hash::digest128(&[method.as_bytes(), setup.path.as_bytes(), content_type.as_bytes(), body.as_slice()]);
        let content = setup.head.content(body)?;
        Ok(Self {
            setup,
            content,
            split: None,
            digest,
            state: State::Fresh,
            ticket: None,
            last_call: 0,
            resplits: 0,
            client_is_here: true,
        })
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
        let mut actions = vec![Action::Notify(self.abort())];
        actions.extend(self.end(reply::unavailable(why)));
        actions
    }

    /// Splits by `known`, and asks for a ticket.
    fn begin(&mut self, known: Option<(String, KeySource)>, now_ms: u64) -> Vec<Action> {
        let known = known.as_ref().map(|(key, source)| (key.as_str(), *source));
        let mut fault = None;
        let mut received = 0;
        self.split = match self.content.split(&self.setup.head.index, known, self.setup.shard_count) {
            Ok(split) => Some(split),
            Err(error) => match refusal(error) {
                Ok((error, count)) => {
                    (fault, received) = (Some(error), count);
                    None
                }
                Err(error) => return self.end(error.reply()),
            },
        };
        let setup = &self.setup;
        let split = self.split.as_ref();
        let message = Begin {
            version: WIRE_VERSION,
            attempt: setup.attempt.clone(),
            vm: setup.vm.clone(),
            epoch: setup.epoch,
            index: setup.head.index.clone(),
            incarnation: setup.index.as_ref().map(|(incarnation, _)| *incarnation),
            kind: setup.head.kind,
            authorization: setup.authorization.clone(),
            primary_key: match split {
                Some(split) => split.primary_key.clone(),
                None => known.map(|(key, _)| key.to_owned()),
            },
            key_source: match split {
                Some(split) => split.key_source,
                None => known.map_or(KeySource::None, |(_, source)| source),
            },
            shards: split.map(|split| split.shards.clone()).unwrap_or_default(),
            received: split.map_or(received, |split| split.received),
            bytes: self.content.len(),
            digest: self.digest.clone(),
            idempotency_key: setup.idempotency_key.clone(),
            custom_metadata: setup.head.parameters.custom_metadata.clone(),
            skip_creation: setup.head.parameters.skip_creation,
            original_filter: self.content.original_filter(),
            fault,
        };
        let call = self.control_call(BEGIN_PATH, &message, BEGIN_TIMEOUT_MS);
        self.state = State::Begun { call: call.id, sent_at: now_ms };
        let lost_at = now_ms.saturating_add(BEGIN_TIMEOUT_MS).saturating_add(LOST_AFTER_MS);
        vec![Action::Call(call), Action::WakeAt(lost_at)]
    }

    fn on_begin_answer(&mut self, result: CallResult, sent_at: u64, now_ms: u64) -> Vec<Action> {
        match read_answer::<BeginAnswer>(result) {
            Some(BeginAnswer::Grant(grant)) => {
                if self.split.is_none() {
                    return self.end_unsent("a ticket came for a payload that cannot be written");
                }
                if is_late(&grant, sent_at, BEGIN_TIMEOUT_MS, now_ms) {
                    return self.end_unsent("the ticket came too late");
                }
                self.ticket = Some(Ticket {
                    uid: grant.ticket,
                    min_accept: grant.min_accept,
                    soft_at: 0,
                    deadline: 0,
                    parts: Parts::default(),
                    renewed: false,
                    resends: 0,
                });
                self.dispatch(&grant, now_ms)
            }
            Some(BeginAnswer::Reply(answer)) => self.end(reply::from_control(answer)),
            Some(BeginAnswer::Resplit { primary_key, incarnation }) if self.resplits < MOST_RESPLITS => {
                self.resplits = self.resplits.saturating_add(1);
                // A new try has a new name: the old one may be known to control as ended.
                self.setup.attempt = hash::digest128(&[self.setup.attempt.as_bytes(), b"resplit"]);
                self.setup.index = Some((incarnation, Some(primary_key.clone())));
                self.begin(Some((primary_key, KeySource::Map)), now_ms)
            }
            Some(BeginAnswer::Resplit { .. }) => self.end_unsent("the index keeps changing its primary key"),
            None => self.end_unsent("no ticket could be had from control"),
        }
    }

    /// Sends the parts of a grant, all at once.
    fn dispatch(&mut self, grant: &Grant, now_ms: u64) -> Vec<Action> {
        let Some(mut ticket) = self.ticket.take() else { return self.end_unsent("there is no ticket") };
        ticket.min_accept = grant.min_accept;
        ticket.soft_at = now_ms.saturating_add(grant.soft_ms);
        ticket.deadline = now_ms.saturating_add(grant.deadline_ms);
        let mut actions = Vec::with_capacity(grant.parts.len().saturating_add(2));
        for part in &grant.parts {
            let Some(call) = self.part_call(grant, part) else { continue };
            ticket.parts.sent(part, call.id);
            actions.push(Action::Call(call));
        }
        actions.push(Action::WakeAt(ticket.soft_at));
        actions.push(Action::WakeAt(ticket.deadline.saturating_add(LOST_AFTER_MS)));
        self.ticket = Some(ticket);
        self.state = State::Dispatched;
        actions.extend(self.advance(now_ms));
        actions
    }

    fn part_call(&mut self, grant: &Grant, part: &GrantPart) -> Option<Call> {
        let id = self.next_call();
        let head = &self.setup.head;
        let split = self.split.as_ref()?;
        let write = self.content.node_write(head, split, grant, part, self.setup.shard_count);
        let mut headers = self.setup.trace.clone();
        if let Some(content_type) = write.content_type {
            headers.push(("content-type".to_owned(), content_type.to_owned()));
        }
        if let Some(key) = &part.key {
            headers.push(("authorization".to_owned(), format!("Bearer {key}")));
        }
        Some(Call {
            id,
            cluster: part.cluster.clone(),
            method: write.method,
            path: write.path,
            headers,
            body: write.body,
            timeout_ms: grant.deadline_ms.max(1),
        })
    }

    /// Goes on once enough nodes have answered.
    fn advance(&mut self, now_ms: u64) -> Vec<Action> {
        let Some(ticket) = &mut self.ticket else { return Vec::new() };
        if now_ms >= ticket.deadline.saturating_add(LOST_AFTER_MS) {
            ticket.parts.give_up_waiting();
        }
        let settled = ticket.parts.settled();
        let soft = now_ms >= ticket.soft_at;
        if !settled && !soft {
            return Vec::new();
        }
        let enough = ticket.parts.enough(ticket.min_accept);
        let forbidden = ticket.parts.forbidden();
        if !forbidden.is_empty() && !ticket.renewed && (settled || !enough) {
            ticket.renewed = true;
            return self.renew(forbidden, now_ms);
        }
        if settled || enough { self.commit(RETRY_FIRST_MS, now_ms) } else { Vec::new() }
    }

    fn renew(&mut self, nodes: Vec<String>, now_ms: u64) -> Vec<Action> {
        let Some(ticket) = &self.ticket else { return Vec::new() };
        let message = Renew { ticket: ticket.uid, attempt: self.setup.attempt.clone(), nodes };
        let call = self.control_call(RENEW_PATH, &message, CONTROL_TIMEOUT_MS);
        self.state = State::Renewing { call: call.id, sent_at: now_ms };
        let lost_at = now_ms.saturating_add(CONTROL_TIMEOUT_MS).saturating_add(LOST_AFTER_MS);
        vec![Action::Call(call), Action::WakeAt(lost_at)]
    }

    fn on_renew_answer(&mut self, result: CallResult, sent_at: u64, now_ms: u64) -> Vec<Action> {
        match read_answer::<RenewAnswer>(result) {
            Some(RenewAnswer::Reply(answer)) => self.end(reply::from_control(answer)),
            Some(RenewAnswer::Grant(grant)) => self.send_again(&grant, sent_at, now_ms),
            None => {
                self.state = State::Dispatched;
                self.advance(now_ms)
            }
        }
    }

    /// Sends parts once more under the same ticket, or notes that they were not sent.
    fn send_again(&mut self, grant: &Grant, sent_at: u64, now_ms: u64) -> Vec<Action> {
        if !is_late(grant, sent_at, CONTROL_TIMEOUT_MS, now_ms) {
            return self.dispatch(grant, now_ms);
        }
        if let Some(ticket) = &mut self.ticket {
            for part in &grant.parts {
                ticket.parts.withheld(part);
            }
        }
        self.state = State::Dispatched;
        self.advance(now_ms)
    }

    fn commit(&mut self, pause: u64, now_ms: u64) -> Vec<Action> {
        let Some(ticket) = &self.ticket else { return Vec::new() };
        let message = Commit { ticket: ticket.uid, attempt: self.setup.attempt.clone(), parts: ticket.parts.report() };
        let end = ticket.deadline.saturating_add(COMMIT_GRACE_MS);
        let timeout = end.saturating_sub(now_ms).clamp(1, CONTROL_TIMEOUT_MS);
        let call = self.control_call(COMMIT_PATH, &message, timeout);
        self.state = State::Committing { call: Some(call.id), sent_at: now_ms, pause };
        let lost_at = now_ms.saturating_add(timeout).saturating_add(LOST_AFTER_MS);
        vec![Action::Call(call), Action::WakeAt(lost_at)]
    }

    fn on_commit_answer(&mut self, result: CallResult, sent_at: u64, pause: u64, now_ms: u64) -> Vec<Action> {
        match read_answer::<CommitAnswer>(result) {
            Some(CommitAnswer::Reply(answer)) => self.end(reply::from_control(answer)),
            Some(CommitAnswer::Resend(grant)) => {
                let resends = self.ticket.as_mut().map_or(MOST_RESENDS, |ticket| {
                    let before = ticket.resends;
                    ticket.resends = before.saturating_add(1);
                    before
                });
                if resends < MOST_RESENDS {
                    self.send_again(&grant, sent_at, now_ms)
                } else {
                    self.pause_commit(pause, now_ms)
                }
            }
            None => self.pause_commit(pause, now_ms),
        }
    }

    /// Tries again later, or ends when time is up.
    fn pause_commit(&mut self, pause: u64, now_ms: u64) -> Vec<Action> {
        let Some(ticket) = &self.ticket else { return Vec::new() };
        let again_at = now_ms.saturating_add(pause);
        if again_at >= ticket.deadline.saturating_add(COMMIT_GRACE_MS) {
            let uid = ticket.uid;
            return self.end(reply::outcome_unknown(uid));
        }
        let longer = pause.saturating_mul(2).min(RETRY_MOST_MS);
        self.state = State::Committing { call: None, sent_at: again_at, pause: longer };
        vec![Action::WakeAt(again_at)]
    }
}

impl Machine for WriteMachine {
    fn start(&mut self, now_ms: u64) -> Vec<Action> {
        if !matches!(self.state, State::Fresh) {
            return Vec::new();
        }
        let setup = &self.setup;
        let asked = setup.head.parameters.primary_key.clone().map(|key| (key, KeySource::Parameter));
        let mapped = || setup.index.as_ref().and_then(|(_, key)| key.clone()).map(|key| (key, KeySource::Map));
        let known = asked.or_else(mapped);
        self.begin(known, now_ms)
    }

    fn on_result(&mut self, id: CallId, result: CallResult, now_ms: u64) -> Vec<Action> {
        match self.state {
            State::Begun { call, sent_at } if call == id => self.on_begin_answer(result, sent_at, now_ms),
            State::Renewing { call, sent_at } if call == id => self.on_renew_answer(result, sent_at, now_ms),
            State::Committing { call: Some(call), sent_at, pause } if call == id => {
                self.on_commit_answer(result, sent_at, pause, now_ms)
            }
            State::Fresh | State::Begun { .. } | State::Ended => Vec::new(),
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
            State::Begun { sent_at, .. } if lost(sent_at, BEGIN_TIMEOUT_MS) => {
                self.end_unsent("control did not grant a ticket in time")
            }
            State::Dispatched => self.advance(now_ms),
            State::Renewing { sent_at, .. } if lost(sent_at, CONTROL_TIMEOUT_MS) => {
                self.state = State::Dispatched;
                self.advance(now_ms)
            }
            State::Committing { call: None, sent_at: again_at, pause } if now_ms >= again_at => {
                self.commit(pause, now_ms)
            }
            State::Committing { call: Some(_), sent_at, pause } if lost(sent_at, CONTROL_TIMEOUT_MS) => {
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
        WriteKind::Replace | WriteKind::DeleteBatch | WriteKind::DeleteByFilter => "POST",
        WriteKind::Update => "PUT",
        WriteKind::DeleteOne | WriteKind::DeleteAll => "DELETE",
    }
}
