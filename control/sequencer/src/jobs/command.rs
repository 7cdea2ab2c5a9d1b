//! Operators' commands: checked, carried out or refused with the reason.

use super::intent::{Intent, refusal};
use super::measure::Asked;
use crate::Sequencer;
use crate::api::*;
use crate::state::{Op, Todo};

impl Sequencer {
    pub(crate) fn on_admin(&mut self, request: RequestId, command: AdminCommand) {
        let answer = match command {
            AdminCommand::Plan { of } => match self.intend(&of) {
                // Answered when nodes have said how much they hold.
                Ok(intent) => return self.measure(Asked::Plan(request, Box::new(intent))),
                Err(refused) => AdminAnswer::Refused(refused),
            },
            AdminCommand::JobPause { job } => self.steer(job, Self::pause_job),
            AdminCommand::JobResume { job } => self.steer(job, Self::resume_job),
            AdminCommand::JobCancel { job } => self.steer(job, Self::cancel_on_request),
            AdminCommand::Throttle(throttle) => self.set_throttle(throttle),
            AdminCommand::Repair { node } => self.repair(node.as_deref()),
            AdminCommand::AcknowledgeFindings => self.acknowledge_findings(),
            AdminCommand::ForceDeletion => self.force_retirements(),
            AdminCommand::AcceptLoss { node, placement, shards } => self.accept_loss(&node, placement, &shards),
            command => match self.intend(&command) {
                Ok(intent) => self.carry_on(intent),
                Err(refused) => AdminAnswer::Refused(refused),
            },
        };
        self.emit(Effect::Admin { request, answer: Box::new(answer) });
    }

    /// Does what was intended.
    fn carry_on(&mut self, intent: Intent) -> AdminAnswer {
        let Intent { kind, newcomer, url, lost } = intent;
        if let JobKind::Remove { node } = &kind
            && let Some(n) = self.node_at(node)
            && !self.copies.iter().flatten().flatten().any(|copy| copy.node == n)
            && !self.is_clearing(n, |_| true)
        {
            let message = format!("{node} is no member any more");
            self.let_go(n);
            return AdminAnswer::Done { message };
        }
        if let Some(new) = newcomer {
            self.welcome(new);
        }
        if let JobKind::Replace { node, with } = &kind
            && node == with
        {
            self.new_disk(node, url);
        }
        let forced = !lost.is_empty();
        let loss = self.forsake(&kind, &lost);
        let id = self.new_job(kind);
        self.measure(Asked::Job(id));
        let Some(job) = self.job_view(id) else { return AdminAnswer::Refused(unknown(id)) };
        if forced { AdminAnswer::Removed { loss, job } } else { AdminAnswer::Job(job) }
    }

    /// A node comes, or a member without shards is given its place anew.
    fn welcome(&mut self, new: NewNode) {
        let place = NodePlace { url: new.url, weight: new.weight, zone: new.zone, tls_ca: new.tls_ca };
        match self.node_at(&new.id).filter(|n| self.is_member(*n)) {
            Some(n) if self.owned(n) > 0 => {
                self.nodes[n].row.place = place;
                self.set_member(&new.id, MemberState::Joining);
            }
            Some(n) => {
                let moved = self.nodes[n].row.place.url != place.url;
                self.nodes[n].row.place = place;
                self.set_member(&new.id, MemberState::Joining);
                if moved {
                    self.forget_disk(n);
                    self.lose(n, "it has another address");
                }
            }
            None => drop(self.take_in(&new.id, place)),
        }
    }

    /// The node comes back with an empty disk: its copies are no good from now on, whatever it shows.
    fn new_disk(&mut self, id: &str, url: Option<String>) {
        let Some(n) = self.node_at(id) else { return };
        if let Some(url) = url {
            self.nodes[n].row.place.url = url;
        }
        self.new_incarnation(n, "an operator says so");
    }

    pub(crate) fn set_member(&mut self, id: &str, state: MemberState) {
        if let Some(n) = self.node_at(id) {
            self.nodes[n].row.member = state;
            self.out.nodes.insert(n);
        }
    }

    pub(crate) fn set_replication(&mut self, to: u8) {
        self.meta.replication_factor = Some(to);
        self.touch_map();
    }

    fn steer(&mut self, id: JobId, how: fn(&mut Self, JobId) -> Result<(), Refusal>) -> AdminAnswer {
        match self.jobs.rows.get(&id).map(|row| row.state) {
            None => return AdminAnswer::Refused(unknown(id)),
            Some(state) if state.is_over() => {
                return AdminAnswer::Refused(refusal("job_over", format!("job {} is over", id.0)));
            }
            Some(_) => {}
        }
        if let Err(refused) = how(self, id) {
            return AdminAnswer::Refused(refused);
        }
        self.todo.insert(Todo::Jobs);
        match self.job_view(id) {
            Some(job) => AdminAnswer::Job(job),
            None => AdminAnswer::Refused(unknown(id)),
        }
    }

    fn pause_job(&mut self, id: JobId) -> Result<(), Refusal> {
        let Some(row) = self.job_mut(id) else { return Err(unknown(id)) };
        row.state = JobState::Paused;
        Ok(())
    }

    fn resume_job(&mut self, id: JobId) -> Result<(), Refusal> {
        let Some(row) = self.job_mut(id) else { return Err(unknown(id)) };
        if row.state != JobState::Paused {
            return Err(refusal("job_state", format!("job {} is not paused", id.0)));
        }
        row.state = if row.planned { JobState::Running } else { JobState::Queued };
        Ok(())
    }

    fn cancel_on_request(&mut self, id: JobId) -> Result<(), Refusal> {
        self.cancel_job(id, "the job was cancelled");
        Ok(())
    }

    fn set_throttle(&mut self, throttle: Throttle) -> AdminAnswer {
        if throttle.moves == Some(0) {
            return AdminAnswer::Refused(refusal("bad_value", "none at a time is a pause: pause the job instead"));
        }
        self.meta.throttle = throttle;
        self.out.meta = true;
        self.apply_throttle();
        self.todo.insert(Todo::Jobs);
        AdminAnswer::Done { message: "the new pace holds from now on".to_owned() }
    }

    /// Hands the pace to what copies.
    pub(crate) fn apply_throttle(&mut self) {
        let throttle = &self.meta.throttle;
        let limits = SyncLimits {
            documents_per_s: throttle.documents_per_second.unwrap_or(0),
            bytes_per_s: throttle.bytes_per_second.unwrap_or(0),
            ..SyncLimits::default()
        };
        self.set_sync_limits(limits);
    }

    fn repair(&mut self, node: Option<&str>) -> AdminAnswer {
        let only = match node {
            Some(id) => match self.node_at(id).filter(|n| self.is_member(*n)) {
                Some(n) => Some(n),
                None => return AdminAnswer::Refused(refusal("node_unknown", format!("no member has the id {id}"))),
            },
            None => None,
        };
        let stale = self.shards_where(|copies| {
            copies.iter().any(|copy| only.is_none_or(|n| copy.node == n) && copy.state == CopyState::Stale)
        });
        // Whatever failed lately is tried again at once.
        self.syncs.trouble.retain(|(.., n), _| only.is_some_and(|only| only != *n));
        self.todo.insert(Todo::Scan);
        AdminAnswer::Done { message: format!("{} shards have copies to be repaired", stale.len()) }
    }
}

pub(crate) fn unknown(id: JobId) -> Refusal {
    refusal("job_unknown", format!("there is no job {}", id.0))
}

impl Sequencer {
    /// Operations of jobs that are under way, by what was asked.
    pub(crate) fn ask_measure(&mut self, asked: Asked, nodes: Vec<NodeId>) {
        let op = self.op(Op::Measure(asked));
        self.emit(Effect::Measure { op, nodes });
    }
}
