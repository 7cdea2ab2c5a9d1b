//! Membership: which nodes there are, known over restarts and changed while the cluster runs.
//!
//! The configuration's nodes are the first members. Later on only a *change* of it is news: a node that is newly
//! listed joins without shards until an operator gives it some, a changed address or weight is taken over, and one that
//! vanished from the list stays a member until it is removed. So an old file never undoes what operators have done.

use crate::Sequencer;
use crate::api::*;
use crate::state::{N, Reach};

/// Rows of all members: the configured ones first, in their order (the first table of owners names positions).
pub(crate) fn at_start(configured: &[ConfigNode], known: &[NodeRow], first_start: bool) -> Vec<NodeRow> {
    let mut rows: Vec<NodeRow> = configured
        .iter()
        .map(|node| match known.iter().find(|row| row.id == node.id) {
            Some(row) => listed(row.clone(), &node.place),
            None => NodeRow {
                id: node.id.clone(),
                member: if first_start { MemberState::Active } else { MemberState::Joining },
                rebuild: !first_start,
                place: node.place.clone(),
                configured: Some(node.place.clone()),
                ..NodeRow::default()
            },
        })
        .collect();
    let unlisted = known.iter().filter(|row| !configured.iter().any(|node| node.id == row.id));
    rows.extend(unlisted.map(|row| NodeRow { configured: None, ..row.clone() }));
    rows
}

/// A known node that the configuration lists.
fn listed(mut row: NodeRow, place: &NodePlace) -> NodeRow {
    if row.configured.as_ref() != Some(place) {
        row.place = place.clone();
        row.configured = Some(place.clone());
        if row.member == MemberState::Removed {
            row.member = MemberState::Joining;
        }
    }
    row
}

impl Sequencer {
    /// Copies of each shard that the cluster aims for.
    #[must_use]
    pub fn replication_factor(&self) -> u8 {
        self.meta.replication_factor.unwrap_or(self.config.replication_factor)
    }

    pub(crate) fn is_member(&self, n: N) -> bool {
        self.nodes[n].row.member != MemberState::Removed
    }

    /// A node that has never been told anything by this cluster since it was taken in.
    pub(crate) fn is_newcomer(&self, n: N) -> bool {
        let row = &self.nodes[n].row;
        row.member == MemberState::Joining && row.rebuild && self.owned(n) == 0
    }

    /// Takes a node in, empty. An id of a removed node goes on with its numbers of incarnation and generation, so that
    /// nothing that was sent to its former life is taken for news.
    pub(crate) fn take_in(&mut self, id: &str, place: NodePlace) -> N {
        let n = match self.node_at(id) {
            Some(n) => n,
            None => {
                let row = NodeRow { id: id.to_owned(), member: MemberState::Removed, ..NodeRow::default() };
                self.nodes.push(crate::start::new_node(row, &self.config.timing));
                self.nodes.len() - 1
            }
        };
        let row = &mut self.nodes[n].row;
        row.place = place;
        row.member = MemberState::Joining;
        row.rebuild = true;
        row.away = true;
        row.seen = false;
        self.nodes[n].starting = false;
        (self.nodes[n].double, self.nodes[n].trouble) = (None, None);
        self.out.nodes.insert(n);
        self.nodes[n].away_epoch = self.touch_map();
        self.join(n);
        n
    }

    /// Forgets a node that holds no copies any more.
    pub(crate) fn let_go(&mut self, n: N) {
        self.drop_copies(n);
        self.forget_disk(n);
        let node = &mut self.nodes[n];
        node.row.member = MemberState::Removed;
        node.row.away = true;
        (node.reach, node.starting) = (Reach::Down(u64::MAX), false);
        (node.keys, node.fence, node.reading) = (None, None, None);
        (node.row.version, node.drain) = (None, 0);
        self.out.nodes.insert(n);
        self.nodes[n].away_epoch = self.touch_map();
        self.alert("node_removed", Some(n), "is no member any more".to_owned());
        self.wake_tickets(n);
    }

    /// Whatever is left on a node that goes is out of reach, or of no use to anybody.
    fn drop_copies(&mut self, n: N) {
        let id = self.nodes[n].row.id.clone();
        let wanted: Vec<crate::sync::Place> = self.syncs.rows.keys().filter(|(.., to)| *to == n).copied().collect();
        for place in wanted {
            self.forget_sync(place);
        }
        for placement in 0..self.copies.len() {
            for shard in 0..self.copies[placement].len() {
                let copies = &mut self.copies[placement][shard];
                let before = copies.len();
                copies.retain(|copy| copy.node != n);
                if copies.len() < before {
                    let (placement, shard) = (placement as u16, shard as u32);
                    self.out.extra.push(Record::CopyGone(placement, shard, id.clone()));
                    self.out.copies.insert((placement, shard));
                    self.forget_sync((placement, shard, n));
                }
            }
        }
    }

    /// Tells of members that the configuration and the store see differently.
    pub(crate) fn report_members(&mut self) {
        for n in 0..self.nodes.len() {
            let row = &self.nodes[n].row;
            let holds = self.copies.iter().flatten().flatten().any(|copy| copy.node == n);
            match (row.member, &row.configured) {
                (MemberState::Joining, _) if !holds => {
                    let text = "a member without shards: add it, or start a rebalance, to give it some";
                    self.alert("node_waits", Some(n), text.to_owned());
                }
                (MemberState::Removed, Some(_)) => {
                    let text = "the configuration still lists it, but it was removed: it takes no part";
                    self.alert("node_ignored", Some(n), text.to_owned());
                }
                (MemberState::Active | MemberState::Draining, None) => {
                    let text = "the configuration does not list it: it stays a member until it is removed";
                    self.alert("node_unlisted", Some(n), text.to_owned());
                }
                _ => {}
            }
        }
    }

    /// All members, by id.
    #[must_use]
    pub fn members(&self) -> Vec<MemberView> {
        let mut counts = vec![[0u64; 4]; self.nodes.len()];
        for copy in self.copies.iter().flatten().flatten() {
            let kind = match copy.state {
                CopyState::InSync => 0,
                CopyState::Dual => 1,
                CopyState::Stale => 2,
                CopyState::Retiring => 3,
            };
            counts[copy.node][kind] += 1;
        }
        for ((.., n), _) in self.deleting() {
            counts[*n][3] += 1;
        }
        let members = self.nodes.iter().zip(counts).filter(|(node, _)| node.row.member != MemberState::Removed);
        let mut views: Vec<MemberView> = members
            .map(|(node, [in_sync, dual, stale, retiring])| MemberView {
                id: node.row.id.clone(),
                url: node.row.place.url.clone(),
                weight: node.row.place.weight,
                zone: node.row.place.zone.clone(),
                tls_ca: node.row.place.tls_ca.clone(),
                cluster: self.config.cluster_names.read(&node.row.id, &node.row.place.url),
                write_cluster: self.config.cluster_names.write(&node.row.id, &node.row.place.url),
                state: node.row.member,
                configured: node.row.configured.is_some(),
                in_sync,
                dual,
                stale,
                retiring,
            })
            .collect();
        views.sort_by(|left, right| left.id.cmp(&right.id));
        views
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> NodePlace {
        NodePlace { url: url.to_owned(), ..NodePlace::default() }
    }

    fn rows(listed: &[(&str, &str)], known: &[NodeRow]) -> Vec<(String, MemberState, String)> {
        let nodes =
            listed.iter().map(|(id, url)| ConfigNode { id: (*id).to_owned(), place: place(url) }).collect::<Vec<_>>();
        at_start(&nodes, known, known.is_empty()).into_iter().map(|row| (row.id, row.member, row.place.url)).collect()
    }

    fn known(id: &str, url: &str, configured: Option<&str>, member: MemberState) -> NodeRow {
        let configured = configured.map(place);
        NodeRow { id: id.to_owned(), place: place(url), configured, member, ..NodeRow::default() }
    }

    #[test]
    fn the_first_members_are_the_configured_ones() {
        assert_eq!(rows(&[("a", "u")], &[]), [("a".to_owned(), MemberState::Active, "u".to_owned())]);
    }

    #[test]
    fn a_node_that_is_newly_listed_joins_without_shards() {
        let before = [known("a", "u", Some("u"), MemberState::Active)];
        assert_eq!(rows(&[("a", "u"), ("b", "v")], &before)[1].1, MemberState::Joining);
    }

    #[test]
    fn an_old_file_does_not_undo_what_an_operator_did() {
        let moved = [known("a", "new", Some("old"), MemberState::Active)];
        assert_eq!(rows(&[("a", "old")], &moved)[0].2, "new");
        let removed = [known("a", "u", Some("u"), MemberState::Removed)];
        assert_eq!(rows(&[("a", "u")], &removed)[0].1, MemberState::Removed);
    }

    #[test]
    fn a_changed_file_is_news() {
        let before = [known("a", "old", Some("old"), MemberState::Active)];
        assert_eq!(rows(&[("a", "new")], &before)[0].2, "new");
        let removed = [known("a", "u", None, MemberState::Removed)];
        assert_eq!(rows(&[("a", "u")], &removed)[0].1, MemberState::Joining);
    }

    #[test]
    fn a_node_that_vanished_from_the_file_stays() {
        let before = [known("a", "u", Some("u"), MemberState::Active)];
        assert_eq!(rows(&[], &before), [("a".to_owned(), MemberState::Active, "u".to_owned())]);
    }
}
