//! The steps of a write: begin, dispatch, renew, commit.

use super::*;
use crate::split::Target;
use crate::wire::{
    AUTHORISE_PATH, Authorise, BEGIN_PATH, Begin, BeginAnswer, COMMIT_PATH, Commit, CommitAnswer, Grant, GrantPart,
    RENEW_PATH, Renew, RenewAnswer, WIRE_VERSION,
};
use crate::write::content::refusal;
use crate::write::parts::is_late;

impl WriteMachine {
    /// Splits by `known`, and asks for a ticket.
    pub(super) fn begin(&mut self, known: Option<(String, KeySource)>, now_ms: u64) -> Vec<Action> {
        let known = known.as_ref().map(|(key, source)| (key.as_str(), *source));
        let mut fault = None;
        let mut received = 0;
        let target = Target { index: &self.setup.head.index, geo: self.setup.geo };
        self.split = match self.content.split(target, known, self.setup.shard_count) {
            Ok(split) => Some(split),
            Err(error) => match refusal(error) {
                Ok((error, count)) => {
                    (fault, received) = (Some(error), count);
                    None
                }
                Err(error) => {
                    self.refusal = Some(error);
                    return self.judge(now_ms);
                }
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
            keys: split.and_then(|split| self.content.keys(split)),
            received: split.map_or(received, |split| split.received),
            bytes: self.content.len(),
            digest: self.digest.clone(),
            idempotency_key: setup.idempotency_key.clone(),
            custom_metadata: setup.head.parameters.custom_metadata.clone(),
            skip_creation: setup.head.parameters.skip_creation,
            original_filter: self.content.original_filter(),
            edit: self.content.edit(),
            fault,
        };
        let call = self.control_call(BEGIN_PATH, &message, BEGIN_TIMEOUT_MS);
        self.state = State::Begun { call: call.id, sent_at: now_ms };
        let lost_at = now_ms.saturating_add(BEGIN_TIMEOUT_MS).saturating_add(LOST_AFTER_MS);
        vec![Action::Call(call), Action::WakeAt(lost_at)]
    }

    /// Asks whether the client may write at all, since only then it is told what is wrong.
    pub(super) fn judge(&mut self, now_ms: u64) -> Vec<Action> {
        let head = &self.setup.head;
        let authorization = self.setup.authorization.clone();
        let message = Authorise { index: head.index.clone(), kind: head.kind, authorization };
        let call = self.control_call(AUTHORISE_PATH, &message, CONTROL_TIMEOUT_MS);
        self.state = State::Judging { call: call.id, sent_at: now_ms };
        let lost_at = now_ms.saturating_add(CONTROL_TIMEOUT_MS).saturating_add(LOST_AFTER_MS);
        vec![Action::Call(call), Action::WakeAt(lost_at)]
    }

    /// Refuses the key, or else the request. Where control does not answer, the request is as wrong.
    pub(super) fn on_judged(&mut self, result: CallResult) -> Vec<Action> {
        let denied = match result {
            CallResult::Answer { status: 401 | 403, body, .. } => serde_json::from_slice::<ErrorBody>(&body).ok(),
            _ => None,
        };
        match denied.or_else(|| self.refusal.take()) {
            Some(error) => self.end(error.reply()),
            None => self.end_unsent("the request cannot be judged"),
        }
    }

    pub(super) fn on_begin_answer(&mut self, result: CallResult, sent_at: u64, now_ms: u64) -> Vec<Action> {
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
        let calls: Vec<_> =
            grant.parts.iter().filter_map(|part| self.part_call(grant, part).map(|call| (part, call))).collect();
        let largest = calls.iter().map(|(_, call)| call.body.len()).max().unwrap_or_default();
        let largest = u64::try_from(largest).unwrap_or(u64::MAX);
        if largest > self.setup.node_body_bytes && ticket.parts.is_empty() {
            // Some nodes would take their parts and others not: better none does.
            let error = ErrorBody::part_too_large(largest, self.setup.node_body_bytes);
            return self.abandon_unsent(error.reply());
        }
        let mut actions = Vec::with_capacity(calls.len().saturating_add(2));
        for (part, call) in calls {
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
    pub(super) fn advance(&mut self, now_ms: u64) -> Vec<Action> {
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

    pub(super) fn on_renew_answer(&mut self, result: CallResult, sent_at: u64, now_ms: u64) -> Vec<Action> {
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

    pub(super) fn commit(&mut self, pause: u64, now_ms: u64) -> Vec<Action> {
        let Some(ticket) = &self.ticket else { return Vec::new() };
        let message = Commit { ticket: ticket.uid, attempt: self.setup.attempt.clone(), parts: ticket.parts.report() };
        let end = ticket.deadline.saturating_add(COMMIT_GRACE_MS);
        let timeout = end.saturating_sub(now_ms).clamp(1, CONTROL_TIMEOUT_MS);
        let call = self.control_call(COMMIT_PATH, &message, timeout);
        let lost_at = now_ms.saturating_add(timeout).saturating_add(LOST_AFTER_MS);
        self.state = State::Committing { call: Some(call.id), at: now_ms, lost_at, pause };
        vec![Action::Call(call), Action::WakeAt(lost_at)]
    }

    pub(super) fn on_commit_answer(
        &mut self,
        result: CallResult,
        sent_at: u64,
        pause: u64,
        now_ms: u64,
    ) -> Vec<Action> {
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
    pub(super) fn pause_commit(&mut self, pause: u64, now_ms: u64) -> Vec<Action> {
        let Some(ticket) = &self.ticket else { return Vec::new() };
        let again_at = now_ms.saturating_add(pause);
        if again_at >= ticket.deadline.saturating_add(COMMIT_GRACE_MS) {
            let uid = ticket.uid;
            return self.end(reply::outcome_unknown(uid));
        }
        let longer = pause.saturating_mul(2).min(RETRY_MOST_MS);
        self.state = State::Committing { call: None, at: again_at, lost_at: again_at, pause: longer };
        vec![Action::WakeAt(again_at)]
    }
}
