//! Engine versions: which are served, and which one is in force where members differ
//! (`docs/adr/012-one-engine-version-is-in-force.md`).

use std::collections::BTreeMap;

use crate::Sequencer;
use crate::state::{N, Reach};

/// The oldest version that is served.
pub const OLDEST: (u64, u64) = (1, 50);

/// Tasks of this type are an engine's own: another version of it has been started on the disk.
const UPGRADE: &str = "upgradeDatabase";

/// Major, minor and patch; none where it is no version. What follows a hyphen is left aside.
fn numbers(version: &str) -> Option<(u64, u64, u64)> {
    let mut parts = version.split_once('-').map_or(version, |(numbers, _)| numbers).split('.').map(str::parse);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) => Some((major, minor, patch)),
        _ => None,
    }
}

/// Whether nodes of this version can take part: from [`OLDEST`] on, of the same major version.
#[must_use]
pub fn is_served(version: &str) -> bool {
    numbers(version).is_some_and(|(major, minor, _)| major == OLDEST.0 && minor >= OLDEST.1)
}

/// The version that most have; of several, the lowest: an upgrade is not in force before most nodes have it.
fn most_common<'a>(versions: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    versions.for_each(|version| *counts.entry(version).or_default() += 1);
    let order = |version: &str| (numbers(version), version.to_owned());
    let most = counts.values().max().copied()?;
    counts.into_iter().filter(|(_, count)| *count == most).map(|(version, _)| version).min_by_key(|it| order(it))
}

impl Sequencer {
    /// The version by which answers are ranked wherever copies of it can be read.
    pub(crate) fn version_in_force(&self) -> Option<&str> {
        // A node that holds nothing yet has no say.
        let counted = (0..self.nodes.len()).filter(|n| self.is_member(*n) && !self.is_newcomer(*n));
        most_common(counted.filter_map(|n| self.nodes[n].row.version.as_deref()).filter(|it| is_served(it)))
    }

    /// Whether a node is read only where no other copy can be: it is known to run another version than that in force.
    pub(crate) fn is_last_resort(&self, n: N, in_force: Option<&str>) -> bool {
        let differs = |version| in_force.is_some_and(|in_force| version != in_force);
        self.nodes[n].row.version.as_deref().is_some_and(differs)
    }

    /// A node has told its version. Why it takes no part, if that is not served.
    pub(crate) fn see_version(&mut self, n: N, version: String) -> Option<String> {
        let news = self.nodes[n].row.version.as_deref() != Some(version.as_str());
        let refusal = (!is_served(&version)).then(|| {
            let (major, minor) = OLDEST;
            format!("it runs Meilisearch {version}, and {major}.{minor} and later versions of {major} are served")
        });
        if news {
            let before = self.last_resorts();
            let known = self.nodes[n].row.version.replace(version.clone()).is_some();
            self.out.nodes.insert(n);
            let after = self.last_resorts();
            if after != before {
                self.touch_map();
            }
            if let Some(refusal) = &refusal {
                self.alert("engine_refused", Some(n), refusal.clone());
            } else if known || after.contains(&n) {
                let in_force = self.version_in_force().unwrap_or_default();
                let text = format!("it runs Meilisearch {version}; {in_force} is in force, as most nodes run it");
                self.alert("engine_version", Some(n), text);
            }
        }
        refusal
    }

    fn last_resorts(&self) -> Vec<N> {
        let in_force = self.version_in_force();
        (0..self.nodes.len()).filter(|n| self.is_last_resort(*n, in_force)).collect()
    }

    /// An engine of another version makes a task as it takes a disk over. Where contact was never lost meanwhile, that
    /// alone tells of it.
    pub(crate) fn see_upgrade(&mut self, n: N, task_type: &str) {
        if task_type == UPGRADE && self.nodes[n].reach == Reach::Up {
            self.nodes[n].upgraded = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_served_from_the_oldest_on_within_its_major() {
        let served: Vec<&str> = [
            "1.49.9",
            "1.50.0",
            "1.50.3",
            "1.51.0-rc.1",
            "1.100.0",
            "2.0.0",
            "0.60.0",
            "1.50",
            "",
            "1.50.x",
            "1.50.0.1",
        ]
        .into_iter()
        .filter(|version| is_served(version))
        .collect();
        assert_eq!(served, ["1.50.0", "1.50.3", "1.51.0-rc.1", "1.100.0"]);
    }

    #[test]
    fn what_most_have_is_in_force_and_of_equals_the_lowest() {
        let of = |versions: &[&'static str]| most_common(versions.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["1.51.0", "1.50.0", "1.50.0"]), Some("1.50.0"));
        assert_eq!(of(&["1.51.0", "1.51.0", "1.50.0"]), Some("1.51.0"));
        assert_eq!(of(&["1.100.0", "1.51.0"]), Some("1.51.0"), "by number, not by letter");
        assert_eq!(of(&["1.52.0", "1.51.0", "1.50.0"]), Some("1.50.0"));
    }
}
