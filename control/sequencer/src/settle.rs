//! Certainty about the parts of a ticket: was it enqueued, or can it never be any more? Probe, fence, and for a filter
//! that still waits one more send (F18); then the decision (`decide`).

use miroir_core::wire::{CommitAnswer, PartOutcome};

use crate::Sequencer;
use crate::api::*;
use crate::state::{Live, N, Reach, Timer};

/// What is known of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is in the node's queue, or was.
    Enqueued,
    /// It is not, and never will be.
    Absent,
    /// The node cannot be asked: unfenced.
    Away,
    /// The node can be asked.
    Open,
}

impl Sequencer {
    pub(crate) fn known(&self, part: &PartRow) -> Known {
        let Some(n) = self.node_at(&part.node) else { return Known::Absent };
        let node = &self.nodes[n];
        match (&part.end, part.task) {
            (Some(PartEnd::Absent | PartEnd::Lost), _) => return Known::Absent,
            (Some(_), _) | (None, Some(_)) => return Known::Enqueued,
            _ => {}
        }
        let here = node.row.incarnation == part.incarnation;
        let away = node.row.away_disks.iter().any(|disk| disk.incarnation == part.incarnation);
        if !here && !away || here && node.fenced > part.generation {
            return Known::Absent;
        }
        let down = away || matches!(node.reach, Reach::Down(_));
        match &part.said {
            Some(PartOutcome::Refused { status, .. }) if (400..500).contains(status) => Known::Absent,
            Some(PartOutcome::NotSent) if down => Known::Absent,
            _ if down => Known::Away,
            _ => Known::Open,
        }
    }

    /// Goes on with a ticket whose parts are not all known.
    pub(crate) fn settle(&mut self, uid: u32) {
        self.end_settled_parts(uid);
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let Live::Settling { resolve } = ticket.live else { return self.settle_late(uid) };
        if !matches!(ticket.row.work, TicketWork::Write(_)) {
            return;
        }
        let (probe, parts) = (ticket.probe, ticket.row.parts.clone());
        let mut waits = false;
        let placement = self.placement_of(&ticket.row);
        // One node after the other may be lost, and come back before the next one is: the locks do not wait for a moment
        // in which all can be asked.
        let timing = &self.config.timing;
        let patience = ticket.deadline.max(self.started_ms) + timing.mutate + timing.quiet;
        let given_up =
            |part: &PartRow| patience <= self.now && self.node_at(&part.node).is_some_and(|n| self.is_back(n));
        let waited = |part: &&PartRow| {
            self.known(part) == Known::Open && !self.is_only_filled(placement, part) && !given_up(part)
        };
        let open: Vec<&PartRow> = parts.iter().filter(waited).collect();
        for part in open {
            let Some(n) = self.node_at(&part.node) else { continue };
            if self.planted.unknown_is_missed {
                self.end_parts(uid, n, |part| part.task.is_none().then_some(PartEnd::Absent));
            } else if self.nodes[n].read_done < probe {
                self.nodes[n].parts.insert(uid);
                self.probe(n, probe);
                waits = true;
            } else if part.said == Some(PartOutcome::NotSent) || self.planted.resolve_without_fence {
                let id = part.node.clone();
                self.end_parts(uid, n, |part| (part.node == id).then_some(PartEnd::Absent));
            } else if self.planted.unknown_stays_in_sync {
                let id = part.node.clone();
                self.end_parts(uid, n, |part| (part.node == id).then_some(PartEnd::Absent));
            } else {
                self.request_fence(n, part.generation);
                waits = true;
            }
        }
        if waits && patience > self.now {
            self.at(patience, Timer::Ticket(uid));
        }
        if waits || (!resolve && self.resend(uid)) {
            return;
        }
        self.decide(uid);
    }

    /// Whether a node was lost and is being taken back: it is not fenced yet.
    fn is_back(&self, n: N) -> bool {
        let node = &self.nodes[n];
        matches!(node.reach, Reach::Joining(_)) && !node.starting
    }

    fn probe(&mut self, n: N, stamp: u64) {
        let node = &self.nodes[n];
        let in_contact = matches!(node.reach, Reach::Up);
        if in_contact && node.read_wanted < stamp && node.reading.is_none_or(|reading| reading.stamp < stamp) {
            self.want_read(n);
        }
    }

    /// Writes down what became certain.
    fn end_settled_parts(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let documents = matches!(ticket.row.work, TicketWork::Write(_) | TicketWork::Page(_));
        if !documents || matches!(ticket.live, Live::Queued | Live::Granted) {
            return;
        }
        let open = ticket.row.parts.iter().filter(|part| part.end.is_none() && self.known(part) == Known::Absent);
        let absent: Vec<N> = open.filter_map(|part| self.node_at(&part.node)).collect();
        for n in absent {
            self.end_parts(uid, n, |part| part.task.is_none().then_some(PartEnd::Absent));
        }
    }

    /// Sends what is certainly absent once more, under the same ticket, while the locks are held. False if there is
    /// nothing to send.
    fn resend(&mut self, uid: u32) -> bool {
        let Some(ticket) = self.tickets.get(&uid) else { return false };
        let once = !ticket.resent && !self.planted.unknown_is_missed;
        if !once || ticket.asking.is_empty() || self.now + self.config.timing.slack >= ticket.deadline {
            return false;
        }
        let again = |part: &&PartRow| match &part.said {
            Some(PartOutcome::NotSent | PartOutcome::Unknown) => true,
            Some(PartOutcome::Refused { status, .. }) => *status >= 500 || *status == 401 || *status == 403,
            _ => false,
        };
        let absent = ticket.row.parts.iter().filter(|part| part.end == Some(PartEnd::Absent)).filter(again);
        let nodes: Vec<NodeId> = absent.map(|part| part.node.clone()).collect();
        let nodes = self.renew_parts(uid, &nodes);
        let Some(grant) = self.grant(uid, Some(&nodes)).filter(|grant| !grant.parts.is_empty()) else { return false };
        let Some(ticket) = self.tickets.get_mut(&uid) else { return false };
        ticket.resent = true;
        ticket.live = Live::Granted;
        self.settling.remove(&uid);
        let asking = std::mem::take(&mut ticket.asking);
        self.touch_ticket(uid);
        // A filter listens to its latest call only, so that all may be told: which one it is cannot be known here.
        for request in asking {
            self.emit(Effect::Committed { request, answer: CommitAnswer::Resend(grant.clone()) });
        }
        true
    }

    /// A part that was given up without a fence: its copy is stale, but its ticket is remembered until the node has
    /// been fenced, so that a late arrival is recognised (F1). See to the fence.
    fn settle_late(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let documents = matches!(ticket.row.work, TicketWork::Write(_) | TicketWork::Page(_));
        if !matches!(ticket.live, Live::Decided | Live::Over) || !documents {
            return;
        }
        let open = ticket.row.parts.iter().filter(|part| self.known(part) == Known::Open);
        let loose: Vec<(N, u64)> = open.filter_map(|part| Some((self.node_at(&part.node)?, part.generation))).collect();
        for (n, generation) in loose {
            self.request_fence(n, generation);
        }
        self.forget(uid);
    }
}
