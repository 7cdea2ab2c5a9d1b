//! `_rankingScore` for the whole cluster. The score of the typo rule is a share of the most typos that one node's words
//! allow, so equal hits of two nodes can show different scores. The most typos that any node allows are what one node
//! holding everything would go by.

use hashbrown::HashMap;

use super::hits::HitList;
use super::rank::Key;

/// Most typos, by the number of matching words: the engine determines them anew for each.
#[derive(Clone, Debug, Default)]
pub(super) struct MostTypos(HashMap<u32, u32>);

/// The first rules of a hit, where they are words (optional) and typo.
fn words_and_typos(keys: &[Key]) -> Option<((u32, u32), (u32, u32))> {
    let mut words = (1, 1);
    for key in keys {
        match key {
            Key::Words { matching, max } => words = (*matching, *max),
            Key::Typo { count, max } => return Some((words, (*count, *max))),
            // Sort rules have no part in a score.
            Key::Sort { .. } | Key::Distance { .. } => {}
            // The maximum of this rule is not known, so that of the typos cannot be taken out of the score.
            _ => return None,
        }
    }
    None
}

impl MostTypos {
    /// The most typos of the hits of all nodes.
    pub fn of<'a>(lists: impl Iterator<Item = &'a HitList>) -> Self {
        let mut most = Self::default();
        for list in lists {
            list.iter().for_each(|hit| most.note(list.keys(hit)));
        }
        most
    }

    /// Notes the keys of a hit.
    pub fn note(&mut self, keys: &[Key]) {
        if let Some(((matching, _), (_, max))) = words_and_typos(keys) {
            let most = self.0.entry(matching).or_insert(max);
            *most = max.max(*most);
        }
    }

    /// The score of a hit; none where it stays as it is.
    pub fn score(&self, keys: &[Key], score: f64) -> Option<f64> {
        let ((matching, words), (count, max)) = words_and_typos(keys)?;
        let most = *self.0.get(&matching)?;
        if most == max {
            return None;
        }
        let before = f64::from(matching) - 1.0;
        let words = f64::from(words);
        // Each rule splits the share that the rule before it leaves: score = ((rank - 1) + rest) / ranks.
        let within = score.mul_add(words, -before);
        let rank_before = f64::from(max.saturating_sub(count));
        let rest = within.mul_add(f64::from(max) + 1.0, -rank_before).clamp(0.0, 1.0);
        let within = (f64::from(most.saturating_sub(count)) + rest) / (f64::from(most) + 1.0);
        Some((before + within) / words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_typos_of_any_node_count() {
        let keys = |max| vec![Key::Words { matching: 2, max: 2 }, Key::Typo { count: 1, max }, Key::Ratio(1.0)];
        let mut most = MostTypos::default();
        most.note(&keys(2));
        most.note(&keys(3));
        // 1/2 + (1 + 1)/3/2 on the first node, 1/2 + (2 + 1)/4/2 on the second.
        let score = most.score(&keys(2), 0.5 + 2.0 / 3.0 / 2.0).unwrap();
        assert!((score - 0.875).abs() < 1e-12, "{score}");
        assert_eq!(most.score(&keys(3), 0.875), None);
    }

    #[test]
    fn a_score_that_cannot_be_taken_apart_stays() {
        let mut most = MostTypos::default();
        most.note(&[Key::Typo { count: 0, max: 5 }]);
        assert_eq!(most.score(&[Key::Ratio(0.5), Key::Typo { count: 0, max: 2 }], 0.5), None);
    }
}
