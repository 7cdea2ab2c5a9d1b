//! Whom copies that leave wait for before they are deleted.

use miroir_admin::{DeletionWait, WaitedFilter};

use crate::show::findings::time;

/// Workers that are named.
const LISTED: usize = 10;

/// The wait in a sentence, each worker in a line, and what ends it.
pub fn deletions(wait: &DeletionWait) -> Vec<String> {
    let until = wait.until_ms.map(|ms| format!(", until {} at the latest", time(ms))).unwrap_or_default();
    let mut lines = vec![format!("{}, since {}{until}", wait.sentence, time(wait.since_ms))];
    lines.extend(wait.filters.iter().take(LISTED).map(filter));
    if wait.filters.len() > LISTED {
        lines.push(format!("  and {} more", wait.filters.len() - LISTED));
    }
    if let Some(command) = &wait.command {
        lines.push(format!("  to end the wait, if their Envoys are gone for good: {command}"));
    }
    lines
}

fn filter(filter: &WaitedFilter) -> String {
    let envoy = filter.envoy.as_ref().map(|id| format!(" of Envoy {id}")).unwrap_or_default();
    let epoch = filter.epoch.map_or_else(|| "by a map not known".to_owned(), |epoch| format!("by epoch {epoch}"));
    format!("  worker {}{envoy}: last heard {}, reading {epoch}", filter.vm, time(filter.heard_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait() -> DeletionWait {
        let filter = |vm: &str, envoy: Option<&str>, epoch| WaitedFilter {
            vm: vm.into(),
            envoy: envoy.map(str::to_owned),
            epoch,
            heard_ms: 1_700_000_000_000,
            silent: true,
        };
        DeletionWait {
            sentence: "2 copies that leave wait for 2 filter workers that fell silent (Envoy edge-1)".into(),
            copies: 2,
            since_ms: 1_700_000_060_000,
            until_ms: Some(1_700_086_410_000),
            filters: vec![filter("0a1b", Some("edge-1"), Some(41)), filter("2c3d", None, None)],
            command: Some("miroirctl shard force-deletion".into()),
        }
    }

    #[test]
    fn a_wait_tells_for_whom_since_when_until_when_and_what_ends_it() {
        assert_eq!(
            deletions(&wait()).join("\n"),
            "\
2 copies that leave wait for 2 filter workers that fell silent (Envoy edge-1), since 2023-11-14 22:14, until 2023-11-15 22:13 at the latest
  worker 0a1b of Envoy edge-1: last heard 2023-11-14 22:13, reading by epoch 41
  worker 2c3d: last heard 2023-11-14 22:13, reading by a map not known
  to end the wait, if their Envoys are gone for good: miroirctl shard force-deletion"
        );
    }
}
