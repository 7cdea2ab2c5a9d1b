//! Begin: from arrival to the queue (protocol 1.1, step 1). What depends on the index is looked at when the locks are
//! held ([`crate::grant`]), since it may change while the ticket waits (F17).

use miroir_core::error::ErrorBody;
use miroir_core::wire::{self, BeginAnswer, ControlReply, ShardCount, WriteKind};

use crate::Sequencer;
use crate::api::*;
use crate::state::{Live, Timer, Todo, Waiting};

impl Sequencer {
    /// Takes a begin that has not been queued yet, or that starts over.
    pub(crate) fn admit(&mut self, waiting: Waiting) {
        let begin = &waiting.begin;
        if begin.version != wire::WIRE_VERSION {
            let text = format!("this control speaks version {} of the write messages", wire::WIRE_VERSION);
            return self.answer_begin(waiting.request, error_reply(400, &ErrorBody::new("bad_request", text)));
        }
        if begin.shards.iter().any(|count| count.shard >= self.config.shards) {
            let text = format!("a shard is out of range: the cluster has {}", self.config.shards);
            return self.answer_begin(waiting.request, error_reply(400, &ErrorBody::new("bad_request", text)));
        }
        if self.tombstones.contains_key(&begin.attempt) {
            return self.answer_begin(waiting.request, unavailable("the attempt was given up"));
        }
        if waiting.until <= self.now {
            return self.answer_begin(waiting.request, unavailable("other writes to the same shards are in progress"));
        }
        if self.attempts.contains_key(&begin.attempt) {
            return self.repeat_attempt(waiting);
        }
        let scope = idempotency_scope(&waiting);
        if let Some(scope) = &scope
            && !self.planted.idempotency_off
            && let Some(row) = self.idempotency.get(scope)
        {
            return self.repeat_key(row.clone(), waiting);
        }
        let down = self.down_shards(&waiting.begin);
        if !down.is_empty() {
            return self.answer_begin(waiting.request, crate::grant::shards_down(&down));
        }
        self.create_if_missing(&waiting);
        self.enqueue(waiting, scope);
    }

    /// Touched shards that wait for a copy out of reach: no use to queue for them.
    fn down_shards(&self, begin: &wire::Begin) -> Vec<u32> {
        let held: Vec<u32> = self
            .held
            .values()
            .filter(|(index, _)| *index == begin.index)
            .flat_map(|(_, shards)| shards.clone())
            .collect();
        if held.is_empty() {
            return held;
        }
        self.touched(begin).iter().map(|count| count.shard).filter(|shard| held.contains(shard)).collect()
    }

    fn enqueue(&mut self, waiting: Waiting, scope: Option<String>) {
        let uid = self.next_uid();
        let begin = &waiting.begin;
        let shards = self.touched(begin);
        let locked = if shards.is_empty() { vec![0] } else { shards.iter().map(|count| count.shard).collect() };
        let work = WriteWork {
            attempt: begin.attempt.clone(),
            index: begin.index.clone(),
            incarnation: 0,
            kind: begin.kind,
            primary_key: begin.primary_key.clone(),
            reserves_key: false,
            shards,
            received: begin.received,
            bytes: begin.bytes,
            custom_metadata: begin.custom_metadata.clone(),
            original_filter: begin.original_filter.clone(),
            edit: begin.edit.clone(),
            idempotency: scope.clone(),
        };
        if let Some(scope) = scope {
            // Durable with the grant; until then a repeat waits for this ticket in memory.
            let until_ms = self.now + self.config.timing.idempotency;
            let row = IdempotencyRow {
                scope: scope.clone(),
                digest: begin.digest.clone(),
                ticket: uid,
                reply: None,
                until_ms,
            };
            self.idempotency.insert(scope, row);
        }
        self.attempts.insert(begin.attempt.clone(), uid);
        let until = waiting.until;
        let mut ticket = self.new_ticket(uid, TicketWork::Write(Box::new(work)));
        ticket.locks = vec![(waiting.begin.index.clone(), locked)];
        ticket.keys = waiting.begin.keys.clone();
        ticket.skips_creation = waiting.begin.skip_creation;
        ticket.waiting = Some(waiting);
        if self.locks.enter(uid, &ticket.locks) || self.planted.overtakes {
            self.todo.insert(Todo::Grant(uid));
        }
        self.at(until, Timer::Ticket(uid));
        self.tickets.insert(uid, ticket);
    }

    /// Shards that a begin writes to, ascending and once each; all of them for a kind that names none.
    fn touched(&self, begin: &wire::Begin) -> Vec<ShardCount> {
        if begin.kind.is_whole_index() && begin.fault.is_none() {
            return (0..self.config.shards).map(|shard| ShardCount { shard, keys: 0 }).collect();
        }
        let mut shards = begin.shards.clone();
        shards.sort_unstable_by_key(|count| count.shard);
        shards.dedup_by_key(|count| count.shard);
        shards
    }

    /// The engine creates the index that a first write names; so the creation goes ahead of it in the queue.
    fn create_if_missing(&mut self, waiting: &Waiting) {
        let adds = matches!(waiting.begin.kind, WriteKind::Replace | WriteKind::Update);
        let uid = &waiting.begin.index;
        if adds && waiting.may_create && !self.indexes.contains_key(uid) && !self.is_creating(uid) {
            self.on_index_operation(None, IndexOperation::Create { uid: uid.clone(), primary_key: None }, None);
        }
    }

    /// The same attempt again: the first answer was lost.
    fn repeat_attempt(&mut self, waiting: Waiting) {
        let Some(uid) = self.attempts.get(&waiting.begin.attempt).copied() else { return };
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        match ticket.live {
            Live::Queued => {
                if let Some(first) = ticket.waiting.as_mut() {
                    first.request = waiting.request;
                }
            }
            Live::Granted => {
                let answer = self.grant_answer(uid, None);
                self.emit(Effect::Begun { request: waiting.request, answer });
            }
            _ => {
                let told = ticket.row.reply.clone().filter(|_| ticket.row.foregone.is_some());
                let reply = told.map_or_else(|| unavailable("the attempt is over"), told_before);
                self.answer_begin(waiting.request, reply);
            }
        }
    }

    /// The same idempotency key again (F30).
    fn repeat_key(&mut self, row: IdempotencyRow, waiting: Waiting) {
        if row.digest != waiting.begin.digest {
            let text = "This `Idempotency-Key` was used with another request.";
            return self.answer_begin(waiting.request, error_reply(409, &ErrorBody::new("bad_request", text)));
        }
        if let Some(told) = row.reply {
            return self.answer_begin(waiting.request, told_before(told));
        }
        match self.tickets.get_mut(&row.ticket) {
            Some(ticket) => {
                self.timers.insert((waiting.until, Timer::Ticket(row.ticket)));
                ticket.followers.push(waiting);
            }
            None => {
                self.idempotency.remove(&row.scope);
                self.out.idempotency.insert(row.scope);
                self.admit(waiting);
            }
        }
    }

    /// A ticket has waited long enough (F32).
    pub(crate) fn queue_timer(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        let overdue = ticket.waiting.as_ref().is_some_and(|waiting| waiting.until <= self.now);
        if overdue && let Some(waiting) = ticket.waiting.take() {
            return self.refuse(uid, waiting, unavailable("other writes to the same shards are in progress"));
        }
        // It may hold its locks, and wait for nodes to get on.
        self.todo.insert(Todo::Grant(uid));
    }

    /// Ends a queued ticket: nothing was sent, nothing stays.
    pub(crate) fn refuse(&mut self, uid: u32, waiting: Waiting, reply: ControlReply) {
        self.answer_begin(waiting.request, reply);
        self.attempts.remove(&waiting.begin.attempt);
        self.forget_key(uid);
        self.drop_ticket(uid);
    }

    /// Removes the idempotency row of a ticket that leaves nothing behind.
    pub(crate) fn forget_key(&mut self, uid: u32) {
        let scope = self.tickets.get(&uid).and_then(|ticket| match &ticket.row.work {
            TicketWork::Write(work) => work.idempotency.clone(),
            _ => None,
        });
        if let Some(scope) = scope.filter(|scope| self.idempotency.get(scope).is_some_and(|row| row.ticket == uid)) {
            self.idempotency.remove(&scope);
            self.out.idempotency.insert(scope);
        }
    }

    pub(crate) fn answer_begin(&mut self, request: RequestId, reply: ControlReply) {
        self.emit(Effect::Begun { request, answer: BeginAnswer::Reply(reply) });
    }

    /// Begins that wait for a primary key to be settled (F31).
    pub(crate) fn parked_timer(&mut self) {
        let (late, rest) = std::mem::take(&mut self.parked).into_iter().partition(|waiting| waiting.until <= self.now);
        self.parked = rest;
        for waiting in late {
            let waiting: Waiting = waiting;
            self.answer_begin(waiting.request, unavailable("the index is about to learn its primary key"));
        }
    }

    pub(crate) fn readmit_parked(&mut self, index: &str) {
        let (ready, rest) =
            std::mem::take(&mut self.parked).into_iter().partition(|w: &Waiting| w.begin.index == index);
        self.parked = rest;
        for waiting in ready {
            self.admit(waiting);
        }
    }
}

fn idempotency_scope(waiting: &Waiting) -> Option<String> {
    let begin = &waiting.begin;
    let key = begin.idempotency_key.as_deref()?;
    let api_key = waiting.api_key.as_deref().unwrap_or_default();
    Some(format!("{}\u{0}{:?}\u{0}{api_key}\u{0}{key}", begin.index, begin.kind))
}

pub(crate) fn error_reply(status: u16, error: &ErrorBody) -> ControlReply {
    ControlReply { status, headers: Vec::new(), body: serde_json::to_value(error).ok() }
}

/// What has been answered before, again.
pub(crate) fn told_before((status, body): (u16, serde_json::Value)) -> ControlReply {
    ControlReply { status, headers: Vec::new(), body: Some(body) }
}

/// 503: nothing was written, or it is not known whether; the text says which.
pub(crate) fn unavailable(text: &str) -> ControlReply {
    let mut reply = error_reply(503, &ErrorBody::new("remote_could_not_send_request", text));
    reply.headers.push(("retry-after".to_owned(), "1".to_owned()));
    reply
}
