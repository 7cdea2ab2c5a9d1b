//! What the workers of one Envoy tell each other of the nodes: a node that one of them found dead is not tried by the
//! requests of all the others as well. Each node has one line in Envoy's shared data, and the newest word stands; a word
//! that is lost to another one, or comes late, costs what it cost without: one request.

use hashbrown::HashMap;
use miroir_core::health::Turn;

use super::Vm;
use crate::host::Host;

/// How often the others' words are read. Their own failures workers tell with the next tick.
const LISTEN_MS: u64 = 50;

/// What was said and heard.
#[derive(Default)]
pub(super) struct Gossip {
    listened_at: u64,
    /// Words said by this worker, which makes each one another.
    said: u64,
    /// The newest word on each node, ours or another's. Words that were there before this worker are old.
    known: HashMap<String, Vec<u8>>,
}

fn turn_of(word: &[u8]) -> Option<Turn> {
    match word.first() {
        Some(b'-') => Some(Turn::Failed),
        Some(b'+') => Some(Turn::Recovered),
        _ => None,
    }
}

impl<H: Host> Vm<H> {
    /// Tells what this worker has learnt, and hears what others have.
    pub(super) fn gossip(&mut self, now: u64) {
        let Some(map) = &self.map else { return };
        let key = |node: &str| format!("miroir {} {node}", map.map.cluster);
        let Ok(mut health) = self.health.try_borrow_mut() else { return };
        for (node, turn) in health.take_untold() {
            let sign = if turn == Turn::Failed { '-' } else { '+' };
            self.gossip.said = self.gossip.said.saturating_add(1);
            let word = format!("{sign}{} {}", self.gossip.said, self.id).into_bytes();
            self.host.share(&key(&node), &word);
            self.gossip.known.insert(node, word);
        }
        if now.saturating_sub(self.gossip.listened_at) < LISTEN_MS {
            return;
        }
        let first = self.gossip.listened_at == 0;
        self.gossip.listened_at = now.max(1);
        self.gossip.known.retain(|node, _| map.map.nodes.iter().any(|known| known.id == *node));
        for node in &map.map.nodes {
            let Some(word) = self.host.shared(&key(&node.id)) else { continue };
            if self.gossip.known.get(&node.id) == Some(&word) {
                continue;
            }
            if let Some(turn) = turn_of(&word).filter(|_| !first) {
                health.told(&node.id, turn, now);
            }
            self.gossip.known.insert(node.id.clone(), word);
        }
    }
}
