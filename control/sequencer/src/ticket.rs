//! Tickets: birth, the end of parts, release of locks, and being forgotten.

use crate::Sequencer;
use crate::api::*;
use crate::state::{Live, N, Ticket, Timer, Todo};

impl Sequencer {
    /// Takes the next task uid.
    pub(crate) fn next_uid(&mut self) -> u32 {
        let uid = self.meta.next_uid;
        self.meta.next_uid = uid.wrapping_add(1);
        self.out.meta = true;
        uid
    }

    pub(crate) fn new_ticket(&self, uid: u32, work: TicketWork) -> Ticket {
        Ticket {
            row: TicketRow {
                uid,
                term: self.meta.term,
                work,
                stage: Stage::Queued,
                parts: Vec::new(),
                task: None,
                reply: None,
                canceler: None,
                epoch: 0,
                forget_ms: self.now,
                foregone: None,
            },
            locks: Vec::new(),
            live: Live::Queued,
            waiting: None,
            asking: Vec::new(),
            renewing: Vec::new(),
            followers: Vec::new(),
            resent: false,
            deadline: 0,
            probe: 0,
            first_end: None,
            refused: false,
            ops: Default::default(),
            verified: false,
            adopting: false,
            announced: None,
            keys: None,
            skips_creation: true,
            divided: Default::default(),
        }
    }

    /// Placement of the index that a write ticket writes to.
    pub(crate) fn placement_of(&self, row: &TicketRow) -> u16 {
        match &row.work {
            TicketWork::Write(work) => self.indexes.get(&work.index).map_or(0, |index| index.placement),
            TicketWork::Page(work) => work.placement,
            _ => 0,
        }
    }

    /// Ends parts of a ticket on a node that have not ended; `end` chooses among them.
    pub(crate) fn end_parts(&mut self, uid: u32, n: N, end: impl Fn(&PartRow) -> Option<PartEnd>) {
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        let node = &mut self.nodes[n];
        let (mut changed, mut left, mut durable) = (false, false, false);
        for part in ticket.row.parts.iter_mut().filter(|part| part.is_open_on(&node.row)) {
            match end(part) {
                Some(how) => {
                    if matches!(how, PartEnd::Succeeded { .. }) && ticket.first_end.is_none() {
                        ticket.first_end = Some(self.now);
                        self.timers.insert((self.now + self.config.timing.lag, Timer::Ticket(uid)));
                    }
                    // What the node itself goes on telling need not be kept: after a restart it is asked again.
                    durable |= matches!(how, PartEnd::Absent | PartEnd::Lost);
                    part.end = Some(how);
                    changed = true;
                }
                None => left = true,
            }
        }
        if !left {
            node.parts.remove(&uid);
        }
        if durable {
            self.touch_ticket(uid);
        }
        if changed {
            self.todo.insert(Todo::Settle(uid));
            self.todo.insert(Todo::Judge(uid));
        }
    }

    /// Lets go of the locks, and lets those go on who hold theirs now.
    pub(crate) fn release(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        self.held.remove(&uid);
        self.settling.remove(&uid);
        let locks = std::mem::take(&mut ticket.locks);
        let ready = self.locks.leave(uid, &locks);
        self.todo.extend(ready.into_iter().map(Todo::Grant));
    }

    /// Removes a ticket that leaves nothing behind.
    pub(crate) fn drop_ticket(&mut self, uid: u32) {
        self.release(uid);
        self.sync_forgets(uid);
        let Some(ticket) = self.tickets.remove(&uid) else { return };
        self.touch_ticket(uid);
        for node in &mut self.nodes {
            node.parts.remove(&uid);
            node.open.retain(|_, owner| *owner != uid);
        }
        if let TicketWork::Write(work) = &ticket.row.work {
            self.attempts.remove(&work.attempt);
            self.leave_key(&work.index.clone(), uid);
        }
        if let Some(waiting) = &ticket.waiting {
            self.attempts.remove(&waiting.begin.attempt);
        }
        for follower in ticket.followers {
            self.admit(follower);
        }
    }

    /// The ticket's task has its final state: keep it only as long as a filter may ask, or a part is not settled.
    pub(crate) fn over(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get_mut(&uid) else { return };
        ticket.live = Live::Over;
        ticket.row.stage = Stage::Over;
        self.touch_ticket(uid);
        self.forget(uid);
    }

    /// Drops a ticket that is over as soon as nothing can come back to it.
    pub(crate) fn forget(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        if ticket.live != Live::Over || ticket.row.parts.iter().any(|part| part.end.is_none()) {
            return;
        }
        let at = ticket.row.forget_ms;
        if at <= self.now {
            self.drop_ticket(uid);
        } else {
            self.at(at, Timer::Ticket(uid));
        }
    }

    pub(crate) fn ticket_timer(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        match ticket.live {
            Live::Queued if ticket.waiting.is_none() => drop(self.todo.insert(Todo::Grant(uid))),
            Live::Queued => self.queue_timer(uid),
            Live::Granted if matches!(ticket.row.work, TicketWork::Write(_)) && ticket.deadline <= self.now => {
                self.resolve(uid);
            }
            Live::Granted | Live::Settling { .. } | Live::Decided => {
                self.todo.insert(Todo::Settle(uid));
                self.todo.insert(Todo::Judge(uid));
            }
            Live::Over => self.forget(uid),
        }
    }
}
