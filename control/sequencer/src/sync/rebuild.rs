//! A node with another disk than before, or whose indexes differ from what they must be: it is told what it lacks
//! through its journal, before any document (protocol 1.3, "node back").

use crate::Sequencer;
use crate::api::*;
use crate::state::{Live, N, Op, Reach, Timer, Todo};

/// Pause before a node is looked at again, in milliseconds.
const AGAIN: u64 = 1_000;
/// The same where an operation on indexes came between.
const SOON: u64 = 50;

/// What is under way for a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rebuild {
    /// The caller looks at it; the index rows as they were then, by their count of changes.
    asked: Option<(OpId, u64)>,
    retry: u64,
}

impl Sequencer {
    /// Starts to bring a node's indexes to what they must be, if it needs that.
    pub(crate) fn step_rebuild(&mut self, n: N) {
        let node = &self.nodes[n];
        let needed = (node.row.rebuild || node.row.drifted) && node.reach == Reach::Up;
        if !needed || node.row.away || node.fence.is_some() || !node.journal.is_empty() || self.is_being_told(n) {
            return;
        }
        let rebuild = self.syncs.rebuilds.entry(n).or_default();
        if rebuild.asked.is_some() {
            return;
        }
        if rebuild.retry > self.now {
            let at = rebuild.retry;
            return self.at(at, Timer::Node(n));
        }
        let op = self.op(Op::Reconcile(n));
        let changes = self.syncs.index_changes;
        self.syncs.rebuilds.insert(n, Rebuild { asked: Some((op, changes)), retry: 0 });
        let node = self.nodes[n].row.id.clone();
        let indexes = self.indexes.values().cloned().collect();
        self.emit(Effect::Reconcile { op, node, indexes });
    }

    /// Whether steps of an earlier answer have not ended on the node.
    pub(crate) fn is_being_told(&self, n: N) -> bool {
        let row = &self.nodes[n].row;
        self.tickets.values().any(|ticket| {
            matches!(ticket.row.work, TicketWork::Reconcile(_)) && ticket.row.parts.iter().any(|part| part.is_on(row))
        })
    }

    pub(crate) fn on_reconciled(&mut self, op: OpId, look: Result<Look, String>) {
        // What somebody has asked of the node and it has not done yet would come after whatever is found now.
        let steps = match look {
            Ok(look) if look.changing && !self.planted.looks_at_once => Err("its indexes are being changed".to_owned()),
            look => look.map(|look| look.steps),
        };
        let n = match self.ops.remove(&op) {
            Some(Op::Reconcile(n)) => n,
            Some(Op::Scrub(asked, n)) => return self.scrub_looked(asked, n, steps),
            _ => return,
        };
        let Some(rebuild) = self.syncs.rebuilds.get_mut(&n) else { return };
        let Some((_, changes)) = rebuild.asked.take_if(|(asked, _)| *asked == op) else { return };
        let operating = self.tickets.values().any(|ticket| {
            matches!(ticket.row.work, TicketWork::Index(_)) && matches!(ticket.live, Live::Granted | Live::Decided)
        });
        let pause = match &steps {
            Err(_) => Some(AGAIN),
            // The answer may lack what is being done just now.
            Ok(_) if operating || changes != self.syncs.index_changes => Some(SOON),
            Ok(_) => None,
        };
        let node = &self.nodes[n];
        let needed = (node.row.rebuild || node.row.drifted) && node.reach == Reach::Up && node.journal.is_empty();
        if pause.is_some() || !needed {
            let at = self.now + pause.unwrap_or(SOON);
            if let Some(rebuild) = self.syncs.rebuilds.get_mut(&n) {
                rebuild.retry = at;
            }
            return self.at(at, Timer::Node(n));
        }
        let mut steps = steps.unwrap_or_default();
        if self.nodes[n].row.leftovers && !self.planted.leftovers_stay {
            steps.extend(self.leftover_steps(n, &steps));
        }
        self.tell(n, steps);
    }

    pub(crate) fn tell(&mut self, n: N, steps: Vec<NodeStep>) {
        if self.nodes[n].row.leftovers {
            // Somebody may have left what these steps do not find.
            self.suspect_node(n);
        }
        let row = &mut self.nodes[n].row;
        // From here on it gets every operation on indexes like the others, behind these steps.
        let was_rebuild = std::mem::replace(&mut row.rebuild, false);
        row.drifted = !steps.is_empty();
        row.leftovers = false;
        self.out.nodes.insert(n);
        if was_rebuild {
            self.touch_map();
        }
        if steps.is_empty() {
            return self.rebuilt(n);
        }
        let uid = self.next_uid();
        let id = self.nodes[n].row.id.clone();
        let mut ticket = self.new_ticket(uid, TicketWork::Reconcile(id.clone()));
        ticket.live = Live::Decided;
        ticket.row.stage = Stage::Decided;
        for (step, request) in (0u32..).zip(steps) {
            ticket.row.parts.push(self.new_part(n, vec![step]));
            let state = JournalState::Waiting;
            let entry = JournalRow { node: id.clone(), ticket: uid, step, order: self.journal_order, request, state };
            self.journal_order += 1;
            self.out.extra.push(Record::Journal(entry.clone()));
            self.nodes[n].journal.push_back(entry);
        }
        self.nodes[n].parts.insert(uid);
        self.tickets.insert(uid, ticket);
        self.touch_ticket(uid);
        self.todo.insert(Todo::Node(n));
    }

    /// Looks whether a node has carried out all that it was told.
    pub(crate) fn judge_reconcile(&mut self, uid: u32) {
        let Some(ticket) = self.tickets.get(&uid) else { return };
        let TicketWork::Reconcile(id) = &ticket.row.work else { return };
        let Some(n) = self.node_at(id) else { return self.drop_ticket(uid) };
        if ticket.row.parts.iter().any(|part| part.end.is_none()) {
            return;
        }
        // What it was told already, or what is not there to be deleted, is no fault: looking again tells.
        let good = ticket.row.parts.iter().all(|part| matches!(part.end, Some(PartEnd::Succeeded { .. })));
        self.drop_ticket(uid);
        let row = &mut self.nodes[n].row;
        self.out.nodes.insert(n);
        if good && !row.leftovers {
            row.drifted = false;
            return self.rebuilt(n);
        }
        row.leftovers = true;
        let at = self.now + AGAIN;
        self.syncs.rebuilds.insert(n, Rebuild { retry: at, ..Rebuild::default() });
        self.at(at, Timer::Node(n));
    }

    fn rebuilt(&mut self, n: N) {
        self.syncs.rebuilds.remove(&n);
        self.indexes_mended(n);
        self.alert("node_rebuilt", Some(n), "its indexes are as they must be".to_owned());
        self.todo.insert(Todo::Node(n));
        self.todo.insert(Todo::Scan);
        self.hasten_scrub();
    }
}
