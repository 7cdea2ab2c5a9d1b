//! What a command would do, looked at before anything is changed: the same checks for a dry run and for the real one.

use std::cmp::Ordering;

use miroir_core::placement::{NodeSpec, PlacementError};

use super::plan::{Goal, Layout, Seat};
use crate::Sequencer;
use crate::api::*;
use crate::state::{Copy, N, Reach};

/// A command that is fit to be carried out.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) kind: JobKind,
    /// A node that comes with it.
    pub(crate) newcomer: Option<NewNode>,
    /// New address of a node that comes back with an empty disk.
    pub(crate) url: Option<String>,
    /// Shards of which this gives the last copy up.
    pub(crate) lost: Vec<ShardName>,
}

pub(crate) fn refusal(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into(), shards: Vec::new() }
}

impl From<PlacementError> for Refusal {
    fn from(error: PlacementError) -> Self {
        let code = if matches!(error, PlacementError::TooFewNodes { .. }) { "too_few_nodes" } else { "bad_value" };
        refusal(code, error.to_string())
    }
}

impl Sequencer {
    /// Looks whether a command that makes a job can be carried out, and what it means.
    pub(crate) fn intend(&self, command: &AdminCommand) -> Result<Intent, Refusal> {
        let intent = |kind| Intent { kind, newcomer: None, url: None, lost: Vec::new() };
        let intent = match command {
            AdminCommand::NodeAdd(new) => {
                self.check_newcomer(new)?;
                Intent { newcomer: Some(new.clone()), ..intent(JobKind::Join { node: new.id.clone() }) }
            }
            AdminCommand::NodeDrain { node } => {
                let n = self.member(node)?;
                self.check_free(node)?;
                if self.nodes[n].row.member == MemberState::Draining && self.owned(n) == 0 {
                    return Err(refusal("nothing_to_plan", format!("{node} holds no shards: it can be removed")));
                }
                intent(JobKind::Drain { node: node.clone() })
            }
            AdminCommand::NodeRemove { node, force } => self.intend_removal(node, *force)?,
            AdminCommand::NodeReplace { node, with: Replacement::Disk { url } } => {
                let n = self.member(node)?;
                self.check_free(node)?;
                self.check_away(n, "replace it by a node of another id, whose copies are made before these go")?;
                self.check_last_copies(n, "it would be lost with the disk")?;
                if let Some(url) = url {
                    self.check_address(node, url)?;
                }
                let kind = JobKind::Replace { node: node.clone(), with: node.clone() };
                Intent { url: url.clone(), ..intent(kind) }
            }
            AdminCommand::NodeReplace { node, with: Replacement::Node(new) } => {
                let n = self.member(node)?;
                self.check_free(node)?;
                if new.id == *node {
                    return Err(refusal("bad_value", "a node cannot take its own place; replace its disk instead"));
                }
                self.check_newcomer(new)?;
                self.check_zone(n, new)?;
                let kind = JobKind::Replace { node: node.clone(), with: new.id.clone() };
                Intent { newcomer: Some(new.clone()), ..intent(kind) }
            }
            AdminCommand::SetReplicationFactor { replication_factor } => {
                intent(self.intend_replication(*replication_factor)?)
            }
            AdminCommand::RebalanceStart => {
                if self.jobs.rows.values().any(|row| !row.state.is_over() && row.kind == JobKind::Rebalance) {
                    return Err(refusal("job_exists", "a rebalance is under way or waits already"));
                }
                intent(JobKind::Rebalance)
            }
            _ => return Err(refusal("nothing_to_plan", "this command moves nothing")),
        };
        // Nodes that cannot carry the copies are found now and not when the job's turn has come.
        let (layout, goal) = self.layout_after_queue(&intent);
        if goal == Goal::Even {
            layout.shares()?;
        }
        Ok(intent)
    }

    fn member(&self, id: &str) -> Result<N, Refusal> {
        self.node_at(id)
            .filter(|n| self.is_member(*n))
            .ok_or_else(|| refusal("node_unknown", format!("no member has the id {id}")))
    }

    fn check_free(&self, id: &str) -> Result<(), Refusal> {
        match self.job_of(id) {
            Some(job) => {
                let text = format!("job {} about {id} is not over: wait for it, or cancel it first", job.id.0);
                Err(refusal("job_exists", text))
            }
            None => Ok(()),
        }
    }

    fn check_newcomer(&self, new: &NewNode) -> Result<(), Refusal> {
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if new.id.is_empty() || new.id.len() > 40 || !new.id.bytes().all(letters) {
            return Err(refusal("bad_value", "an id has 1 to 40 characters of a-z, 0-9 and -"));
        }
        if !(new.weight.is_finite() && new.weight > 0.0) {
            return Err(refusal("bad_value", format!("the weight {} is not a number above 0", new.weight)));
        }
        self.check_free(&new.id)?;
        self.check_address(&new.id, &new.url)?;
        let Some(n) = self.node_at(&new.id).filter(|n| self.is_member(*n)) else { return Ok(()) };
        let row = &self.nodes[n].row;
        if row.member == MemberState::Active {
            return Err(refusal("node_exists", format!("{} is a member and holds its share", new.id)));
        }
        if let Some(other) = self.nodes[n].double.filter(|_| row.place.url == new.url) {
            let text = format!("{} is the Meilisearch of {} under another address", new.url, self.nodes[other].row.id);
            return Err(refusal("node_exists", text));
        }
        if self.owned(n) > 0 && row.place.url != new.url {
            let text =
                format!("{} is a member at {} and holds shards: its address cannot change", new.id, row.place.url);
            return Err(refusal("node_exists", text));
        }
        Ok(())
    }

    /// A successor must not bring two copies of a shard into one zone.
    fn check_zone(&self, n: N, new: &NewNode) -> Result<(), Refusal> {
        let Some(zone) = &new.zone else { return Ok(()) };
        let place = |copy: &Copy| self.nodes[copy.node].row.place.zone.as_ref();
        let shards = self.shards_where(|copies| {
            copies.iter().any(|copy| copy.node == n && place(copy) != Some(zone))
                && copies.iter().any(|copy| copy.node != n && place(copy) == Some(zone))
        });
        if shards.is_empty() {
            return Ok(());
        }
        let message = format!("zone {zone} holds other copies of shards of {}", self.nodes[n].row.id);
        Err(Refusal { code: "bad_value", message, shards })
    }

    fn intend_removal(&self, id: &str, force: bool) -> Result<Intent, Refusal> {
        let n = self.member(id)?;
        self.check_free(id)?;
        let mut intent =
            Intent { kind: JobKind::Remove { node: id.to_owned() }, newcomer: None, url: None, lost: Vec::new() };
        let held = self.shards_where(|copies| copies.iter().any(|copy| copy.node == n));
        if held.is_empty() {
            return Ok(intent);
        }
        if self.is_present(n) {
            let message = format!("{id} is in contact and holds {} copies: drain it first", held.len());
            return Err(Refusal { code: "node_holds_shards", message, shards: held });
        }
        let last = self.last_copies(n);
        if !last.is_empty() && !force {
            let message = format!(
                "{id} is out of reach and has the only good copies of {} shards: what they hold would be lost; bring it \
                 back, or force the removal",
                last.len()
            );
            return Err(Refusal { code: "last_copies", message, shards: last });
        }
        intent.lost = last;
        Ok(intent)
    }

    fn intend_replication(&self, to: u8) -> Result<JobKind, Refusal> {
        let from = self.replication_factor();
        let busy = |row: &&JobRow| {
            !row.state.is_over() && !row.clearing && matches!(row.kind, JobKind::ReplicationFactor { .. })
        };
        if let Some(job) = self.jobs.rows.values().find(busy) {
            let text = format!("job {} that changes it is not over: wait for it, or cancel it first", job.id.0);
            return Err(refusal("job_exists", text));
        }
        if to == 0 {
            return Err(refusal("bad_value", "each shard has at least one copy"));
        }
        let as_wanted = [Ordering::Less, Ordering::Greater].iter().all(|than| self.shards_with_copies(*than) == 0);
        if to == from && as_wanted {
            return Err(refusal(
                "bad_value",
                format!("the replication factor is {from}, and every shard has its copies"),
            ));
        }
        if u32::from(to) < self.config.min_accept {
            let text = format!("{} replicas must accept each write: {to} copies cannot", self.config.min_accept);
            return Err(refusal("bad_value", text));
        }
        Ok(JobKind::ReplicationFactor { from, to })
    }

    /// In contact, or about to be.
    pub(crate) fn is_present(&self, n: N) -> bool {
        self.nodes[n].starting || !matches!(self.nodes[n].reach, Reach::Down(_))
    }

    fn check_away(&self, n: N, instead: &str) -> Result<(), Refusal> {
        if self.is_present(n) {
            let id = &self.nodes[n].row.id;
            return Err(refusal("node_alive", format!("{id} is in contact: stop it first, or {instead}")));
        }
        Ok(())
    }

    fn check_last_copies(&self, n: N, then: &str) -> Result<(), Refusal> {
        let shards = self.last_copies(n);
        if shards.is_empty() {
            return Ok(());
        }
        let message = format!("{} has the only good copies of {} shards: {then}", self.nodes[n].row.id, shards.len());
        Err(Refusal { code: "last_copies", message, shards })
    }

    /// Shards of which only this node has a copy that is in sync, be it on an older disk.
    pub(crate) fn last_copies(&self, n: N) -> Vec<ShardName> {
        self.shards_where(|copies| {
            copies.iter().any(|copy| copy.node == n && copy.state == CopyState::InSync)
                && !copies.iter().any(|copy| copy.node != n && self.is_good(copy))
        })
    }

    pub(crate) fn shards_where(&self, is_one: impl Fn(&[Copy]) -> bool) -> Vec<ShardName> {
        let mut found = Vec::new();
        for (placement, shards) in (0u16..).zip(&self.copies) {
            let named = (0u32..).zip(shards).filter(|(_, copies)| is_one(copies));
            found.extend(named.map(|(shard, _)| ShardName { placement, shard }));
        }
        found
    }

    /// Copies on a node that are not on their way out.
    pub(crate) fn owned(&self, n: N) -> usize {
        let owns = |copy: &&Copy| copy.node == n && copy.state != CopyState::Retiring;
        self.copies.iter().flatten().flatten().filter(owns).count()
    }

    /// The layout of a command: its turn comes when the jobs that wait already have had theirs.
    pub(crate) fn layout_after_queue(&self, intent: &Intent) -> (Layout, Goal) {
        let ahead: Vec<&JobKind> = self.awaited_jobs().collect();
        self.layout(&intent.kind, intent.newcomer.as_ref(), &ahead)
    }

    /// The copies as they lie, with who may hold shards when a job of this kind is done, and those `ahead` of it, and what
    /// it is for; whatever jobs behind it want is left to them. With a newcomer as if it were there.
    pub(crate) fn layout(&self, kind: &JobKind, newcomer: Option<&NewNode>, ahead: &[&JobKind]) -> (Layout, Goal) {
        let members: Vec<N> = (0..self.nodes.len()).filter(|n| self.is_member(*n)).collect();
        let mut seats: Vec<Seat> = members
            .iter()
            .map(|n| {
                let row = &self.nodes[*n].row;
                let (place, id) = (&row.place, row.id.clone());
                let spec = NodeSpec { id, weight: place.weight, zone: place.zone.clone() };
                Seat { spec, takes: self.takes(*n, kind, ahead) }
            })
            .collect();
        if let Some(new) = newcomer {
            let spec = NodeSpec { id: new.id.clone(), weight: new.weight, zone: new.zone.clone() };
            match seats.iter_mut().find(|seat| seat.spec.id == new.id) {
                Some(seat) => *seat = Seat { spec, takes: true },
                None => seats.push(Seat { spec, takes: true }),
            }
        }
        let mut seat_of = vec![0; self.nodes.len()];
        members.iter().enumerate().for_each(|(at, n)| seat_of[*n] = at);
        let (mut owners, mut good) = (Vec::new(), Vec::new());
        for shards in &self.copies {
            let (mut table, mut goods) = (Vec::with_capacity(shards.len()), Vec::with_capacity(shards.len()));
            for copies in shards {
                let mut listed: Vec<&Copy> = copies.iter().filter(|copy| copy.state != CopyState::Retiring).collect();
                listed.sort_by_key(|copy| (!self.is_good(copy), !self.is_present(copy.node)));
                goods.push(listed.iter().filter(|copy| self.is_good(copy)).count());
                table.push(listed.iter().map(|copy| seat_of[copy.node]).collect());
            }
            owners.push(table);
            good.push(goods);
        }
        let at = |id: &str| seats.iter().position(|seat| seat.spec.id == id).unwrap_or_default();
        let goal = match kind {
            JobKind::Replace { node, with } if node == with => Goal::Refill { node: at(node) },
            JobKind::Replace { node, with } => Goal::Hand { from: at(node), to: at(with) },
            _ => Goal::Even,
        };
        let wanted = std::iter::once(kind).chain(ahead.iter().rev().copied()).find_map(|kind| match kind {
            JobKind::ReplicationFactor { to, .. } => Some(*to),
            _ => None,
        });
        let replication_factor = wanted.unwrap_or_else(|| self.replication_factor());
        (Layout { seats, shards: self.config.shards, replication_factor, owners, good }, goal)
    }

    /// Whether a member may hold shards when a job of this kind, and those ahead of it, are done.
    fn takes(&self, n: N, kind: &JobKind, ahead: &[&JobKind]) -> bool {
        let row = &self.nodes[n].row;
        let mut kinds = std::iter::once(kind).chain(ahead.iter().copied());
        let goes = kinds.clone().any(|kind| leaver(kind) == Some(&row.id));
        let comes = kinds.any(|kind| comer(kind) == Some(&row.id));
        match row.member {
            MemberState::Active => !goes,
            MemberState::Joining => {
                // One that a job of its own brings gets nothing before that.
                let evens = *kind == JobKind::Rebalance && self.nodes[n].double.is_none() && !self.is_awaited(&row.id);
                comes || evens || (self.owned(n) > 0 && !goes)
            }
            MemberState::Draining | MemberState::Removed => false,
        }
    }

    /// What the jobs do that have not had their turn yet.
    fn awaited_jobs(&self) -> impl Iterator<Item = &JobKind> {
        self.jobs.rows.values().filter(|row| !row.state.is_over() && !row.planned).map(|row| &row.kind)
    }

    /// Whether a job that has not had its turn yet brings this node.
    fn is_awaited(&self, id: &str) -> bool {
        self.awaited_jobs().any(|kind| comer(kind).is_some_and(|comer| comer == id))
    }
}

/// The member that gives its shards away in a job.
pub(super) fn leaver(kind: &JobKind) -> Option<&NodeId> {
    match kind {
        JobKind::Drain { node } | JobKind::Remove { node } => Some(node),
        JobKind::Replace { node, with } if node != with => Some(node),
        _ => None,
    }
}

/// The member that gets its first shards by a job.
fn comer(kind: &JobKind) -> Option<&NodeId> {
    match kind {
        JobKind::Join { node } => Some(node),
        JobKind::Replace { node, with } if node != with => Some(with),
        _ => None,
    }
}
