//! Operators who let nodes come and go, change the replication factor, and stop, resume and cancel what they began.

use miroir_core::invariants;
use miroir_sequencer::*;

use crate::engine::Disk;
use crate::world::World;

/// Where a node is: each has an address of its own.
pub fn url(id: &str) -> String {
    format!("http://{id}")
}

impl World {
    pub fn admin(&mut self, command: AdminCommand) {
        self.note(|| format!("command {command:?}"));
        self.control.next_request += 1;
        let request = RequestId(self.control.next_request);
        self.control_event(self.control.instance, Event::Admin { request, command });
    }

    /// Whether a node is a member, as control knows it.
    pub fn is_member(&self, node: usize) -> bool {
        let id = &self.nodes[node].id;
        self.control.sequencer.as_ref().is_some_and(|sequencer| sequencer.members().iter().any(|one| one.id == *id))
    }

    /// Whether a node is no member yet, or a member without shards.
    pub fn is_joining(&self, node: usize) -> bool {
        let id = &self.nodes[node].id;
        self.control.sequencer.as_ref().is_none_or(|sequencer| {
            let members = sequencer.members();
            members.iter().find(|one| one.id == *id).is_none_or(|one| one.state == MemberState::Joining)
        })
    }

    pub fn some_command(&mut self) {
        let Some(sequencer) = &self.control.sequencer else { return };
        let members: Vec<NodeId> = sequencer.members().into_iter().map(|member| member.id).collect();
        let open: Vec<JobId> =
            sequencer.jobs().into_iter().filter(|job| !job.state.is_over()).map(|job| job.id).collect();
        if !open.is_empty() && self.net.random.chance(600) {
            let job = *self.net.random.pick(&open);
            let command = match self.net.random.below(4) {
                0 => AdminCommand::JobPause { job },
                1 => AdminCommand::JobCancel { job },
                _ => AdminCommand::JobResume { job },
            };
            return self.admin(command);
        }
        let node = self.net.random.pick(&members).clone();
        let newcomer = self.newcomer(&members);
        let command = match (self.net.random.below(7), newcomer) {
            (0 | 1, Some(new)) => AdminCommand::NodeAdd(new),
            (2, Some(new)) => AdminCommand::NodeReplace { node, with: Replacement::Node(new) },
            (3, _) => AdminCommand::NodeRemove { node, force: false },
            (4, _) => AdminCommand::RebalanceStart,
            (5, _) => AdminCommand::SetReplicationFactor { replication_factor: self.net.random.between(1, 3) as u8 },
            _ => AdminCommand::NodeDrain { node },
        };
        self.admin(command);
    }

    /// A node that is no member; what it may have from another life is cleared away first, as an operator must.
    fn newcomer(&mut self, members: &[NodeId]) -> Option<NewNode> {
        let at = self.nodes.iter().position(|engine| !members.contains(&engine.id))?;
        let history = self.next_history;
        self.next_history += 1;
        self.nodes[at].disk = Disk { history, ..Disk::default() };
        self.boots[at] += 1;
        self.backlog[at].clear();
        (self.nodes[at].up, self.nodes[at].stopped) = (true, false);
        (self.changed[at], self.snapshots[at], self.stash[at]) = (None, None, None);
        let id = self.nodes[at].id.clone();
        Some(NewNode { url: url(&id), id, weight: 1.0, zone: None, tls_ca: None })
    }

    /// Operators let everything that they have begun go on.
    pub fn resume_jobs(&mut self) {
        let Some(sequencer) = &self.control.sequencer else { return };
        let paused = sequencer.jobs().into_iter().filter(|job| job.state == JobState::Paused);
        for job in paused.map(|job| job.id).collect::<Vec<_>>() {
            self.admin(AdminCommand::JobResume { job });
        }
    }

    pub fn has_open_jobs(&self) -> bool {
        self.control.sequencer.as_ref().is_some_and(|sequencer| sequencer.jobs().iter().any(|job| !job.state.is_over()))
    }

    /// Everything has come to rest: no job is left halfway, and what they promise is so.
    pub fn check_jobs(&mut self) {
        let Some(sequencer) = &self.control.sequencer else { return };
        let jobs: Vec<String> =
            sequencer.jobs().iter().filter(|job| !job.state.is_over()).map(|job| format!("{job:?}")).collect();
        let (copies, members) = (sequencer.copies(), sequencer.members());
        let down = (0..self.shards).any(|shard| self.good_copies(shard).is_empty());
        let blocked = jobs.first().is_some_and(|job| job.contains("needs as many nodes"));
        if !jobs.is_empty() && !down && !blocked {
            self.breaks(format!("jobs never ended: {jobs:?}; {members:?}; {copies:?}"));
        }
        let placed = copies.iter().map(|copy| (copy.shard, copy.node.as_str()));
        let broken = invariants::copies_have_members(placed, |node| members.iter().any(|member| member.id == node));
        self.judge(broken);
    }
}
