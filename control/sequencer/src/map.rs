//! The shard map, built from the state.

use std::sync::Arc;

use miroir_core::shardmap::{MapIndex, MapNode, NodeIndex, Placement, ShardMap, StaleMark};

use crate::Sequencer;
use crate::api::*;
use crate::state::{Join, Live, N, Reach};

impl Sequencer {
    /// The map as of now. Costs time in shards × replicas.
    #[must_use]
    pub fn map(&self) -> Arc<ShardMap> {
        // Members by id; positions here are not those in memory, which removed nodes keep.
        let mut members: Vec<N> = (0..self.nodes.len()).filter(|n| self.is_member(*n)).collect();
        members.sort_by(|left, right| self.nodes[*left].row.id.cmp(&self.nodes[*right].row.id));
        let mut places = vec![None; self.nodes.len()];
        (0..).zip(&members).for_each(|(at, n): (NodeIndex, _)| places[*n] = Some(at));
        let position = |n: N| places[n];
        let in_force = self.version_in_force();
        let nodes = members.iter().map(|n| (*n, &self.nodes[*n])).map(|(n, node)| MapNode {
            id: node.row.id.clone(),
            cluster: self.config.cluster_names.read(&node.row.id, &node.row.place.url),
            write_cluster: self.config.cluster_names.write(&node.row.id, &node.row.place.url),
            readable: !node.row.rebuild,
            last_resort: self.is_last_resort(n, in_force),
        });
        let indexes = self.indexes.values().map(|row| {
            let apart = |n: &N| self.lags_behind(*n, &row.uid);
            // Ascending, as the members are.
            let unreadable = members.iter().copied().filter(apart).filter_map(position).collect();
            let index = MapIndex {
                incarnation: row.incarnation,
                // A reserved key is not a fact yet: a filter that took it for one would refuse what an engine takes.
                primary_key: row.primary_key.clone().filter(|_| !row.provisional),
                placement: row.placement,
                swapping: row.swapping,
                unreadable,
                view: row.view.clone(),
            };
            (row.uid.clone(), index)
        });
        let (mut stale, mut placements) = (Vec::new(), Vec::new());
        for (placement, shards) in (0u16..).zip(&self.copies) {
            let mut owners = Vec::with_capacity(shards.len());
            for (shard, copies) in (0u32..).zip(shards) {
                let listed = copies.iter().filter(|copy| copy.state != CopyState::Retiring);
                owners.push(listed.clone().filter_map(|copy| position(copy.node)).collect());
                let unread = listed.filter(|copy| !self.is_read((placement, shard), copies, copy));
                stale
                    .extend(unread.filter_map(|copy| Some(StaleMark { placement, shard, node: position(copy.node)? })));
            }
            placements.push(Placement { owners });
        }
        Arc::new(ShardMap {
            cluster: self.config.cluster.clone(),
            epoch: self.meta.epoch,
            shards: self.config.shards,
            replication_factor: self.replication_factor(),
            nodes: nodes.collect(),
            stale,
            placements,
            indexes: indexes.collect(),
            limits: self.config.limits.clone(),
            policies: self.config.policies.clone(),
            control_cluster: self.config.control_cluster.clone(),
            control_internal_cluster: self.config.control_internal_cluster.clone(),
        })
    }

    /// Whether a node that was away has not yet done an operation on an index that the others have done.
    fn lags_behind(&self, n: N, uid: &str) -> bool {
        let node = &self.nodes[n];
        let concerns = |ticket: &u32| match self.tickets.get(ticket).map(|ticket| &ticket.row.work) {
            Some(TicketWork::Index(work)) => {
                crate::index_ops::uids_of(&work.operation).iter().any(|index| index == uid)
            }
            _ => false,
        };
        let unread = node.row.away || self.planted.changing_unread;
        unread && (node.journal.iter().any(|entry| concerns(&entry.ticket)) || node.open.values().any(concerns))
    }

    /// What an operator wants to see of the members, by id.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let phase = |n: N, node: &crate::state::Node| match node.reach {
            // It has had no disk of ours yet, and may be somebody else's.
            Reach::Down(_) if self.is_newcomer(n) => "down",
            _ if node.row.rebuild => "rebuild",
            Reach::Down(_) => "down",
            Reach::Joining(_) if node.starting => "starting",
            Reach::Joining(Join::Inspect | Join::Fence) => "fencing",
            Reach::Joining(Join::Replay) => "catching_up",
            Reach::Up if node.row.away => "catching_up",
            Reach::Up => "ready",
        };
        let in_force = self.version_in_force();
        let status = |(n, node): (N, &crate::state::Node)| NodeStatus {
            id: node.row.id.clone(),
            phase: phase(n, node),
            incarnation: node.row.incarnation,
            generation: node.row.generation,
            open_tasks: node.open.len(),
            journal: node.journal.len(),
            version: node.row.version.clone(),
            last_resort: self.is_last_resort(n, in_force),
            trouble: node.trouble.clone(),
        };
        let members = self.nodes.iter().enumerate().filter(|(_, node)| node.row.member != MemberState::Removed);
        let mut statuses: Vec<NodeStatus> = members.map(status).collect();
        statuses.sort_by(|left, right| left.id.cmp(&right.id));
        statuses
    }

    /// Tickets in memory, by uid.
    pub fn tickets(&self) -> impl Iterator<Item = TicketStatus> {
        self.tickets.values().map(|ticket| TicketStatus {
            uid: ticket.row.uid,
            phase: match ticket.live {
                Live::Queued => "queued",
                Live::Granted => "granted",
                Live::Settling { .. } => "settling",
                Live::Decided => "decided",
                Live::Over => "over",
            },
            holds_locks: !ticket.locks.is_empty() && self.locks.holds(ticket.row.uid),
        })
    }
}
