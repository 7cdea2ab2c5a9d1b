//! What nodes have said about the client's right to ask.

use super::Leg;
use crate::read::classify::{Refusal, Trouble};
use crate::read::dispatch::Dispatch;
use crate::shardmap::NodeIndex;

impl Leg {
    /// A node has looked at the client's key, whatever came of it.
    pub(in crate::read) fn was_heard(&self) -> bool {
        let heard =
            |trouble: &Trouble| matches!(trouble, Trouble::Overloaded(_) | Trouble::Unprepared | Trouble::Stranger(_));
        self.any_good || self.troubles.iter().any(|(_, trouble)| heard(trouble))
    }

    /// Nodes that have not failed and could look at the client's key, the fittest first.
    pub(in crate::read) fn judges(&self, dispatch: &Dispatch<'_>) -> Vec<NodeIndex> {
        let nodes = (0..).zip(&dispatch.map.map.nodes).filter(|(_, node)| node.readable).map(|(node, _)| node);
        let mut judges: Vec<NodeIndex> =
            nodes.filter(|node| self.troubles.iter().all(|(failed, _)| failed != node)).collect();
        judges.sort_by_key(|node| dispatch.is_suspect(*node));
        judges
    }

    /// Two nodes that refuse the key are right, whatever others say (F28).
    pub(super) fn agreed_denial(&self) -> Option<(NodeIndex, Refusal)> {
        let mut refusers = self.troubles.iter().filter_map(|(node, trouble)| match trouble {
            Trouble::Forbidden(refusal) => Some((*node, refusal)),
            _ => None,
        });
        let (first, _) = refusers.next()?;
        refusers.find(|(node, _)| *node != first).map(|(node, refusal)| (node, refusal.clone()))
    }

    /// One node's refusal of the key, or its lack of the index, is believed where no node that could be asked says
    /// otherwise.
    pub(super) fn lone_denial(&self) -> Option<(NodeIndex, Refusal)> {
        if self.any_good {
            return None;
        }
        let forbidden = self.troubles.iter().find(|(_, trouble)| matches!(trouble, Trouble::Forbidden(_)));
        let missing_everywhere = self.troubles.iter().all(|(_, trouble)| trouble.denial().is_some());
        let (node, trouble) = forbidden.or_else(|| self.troubles.first().filter(|_| missing_everywhere))?;
        Some((*node, trouble.denial()?.clone()))
    }
}
