//! `status` and `node list`.

use miroir_admin::{Condition, CopyState, Node, Status};

use crate::output::{Colour, Paint, count, ranges, table};
use crate::show::{deletions, job_line, scrub_line, tagging_line};

/// How the cluster is.
pub fn status(status: &Status, paint: Paint) -> String {
    let colour = match status.condition {
        Condition::Fine => Colour::Good,
        Condition::Degraded => Colour::Care,
        Condition::Down => Colour::Bad,
    };
    let mut text = format!(
        "{}  cluster {}, Miroir {}, epoch {}\n",
        paint.text(colour, status.condition.name()),
        status.cluster,
        status.version,
        status.epoch
    );
    for reason in &status.reasons {
        text.push_str(&format!("  - {reason}\n"));
    }
    let coverage = &status.coverage;
    text.push_str(&format!(
        "\nshards   {} of {} with {} copies, {} with fewer, {} down\n",
        coverage.full, coverage.total, status.replication_factor, coverage.reduced, coverage.down
    ));
    let down: Vec<u32> = status.down_shards.iter().map(|name| name.shard).collect();
    if !down.is_empty() {
        text.push_str(&format!("down     {}\n", paint.text(Colour::Bad, &ranges(&down))));
    }
    let open = u64::try_from(status.open_tasks).unwrap_or(u64::MAX);
    text.push_str(&format!("indexes  {}, open tasks {}\n", status.indexes.len(), count(open)));
    let behind = status.filters.iter().filter(|filter| filter.epoch < status.epoch).count();
    text.push_str(&format!(
        "envoys   {}, filter workers {} ({} behind)\n",
        status.envoys.len(),
        status.filters.len(),
        behind
    ));
    text.push_str(&format!("scrub    {}\n", scrub_line(&status.scrub)));
    if let Some(line) = status.tagging.as_ref().and_then(tagging_line) {
        text.push_str(&format!("tagging  {line}\n"));
    }
    for job in &status.jobs {
        text.push_str(&format!("moving   {}\n", job_line(job)));
    }
    for (at, line) in status.deletions.iter().flat_map(deletions).enumerate() {
        text.push_str(&format!("{:<9}{line}\n", if at == 0 { "leaving" } else { "" }));
    }
    if !status.late_writes_fenced {
        text.push_str("note     no master key: a write that a hung node carries out late cannot be kept out\n");
    }
    text.push('\n');
    text.push_str(&nodes(&status.nodes));
    text
}

/// A table of nodes.
pub fn nodes(nodes: &[Node]) -> String {
    let copies = |node: &Node, state: CopyState| node.copies.get(&state).copied().unwrap_or_default().to_string();
    let row = |node: &Node| {
        vec![
            node.id.clone(),
            node.member.clone(),
            node.phase.clone(),
            copies(node, CopyState::InSync),
            copies(node, CopyState::Stale),
            copies(node, CopyState::Dual),
            copies(node, CopyState::Retiring),
            node.weight.map(|weight| weight.to_string()).unwrap_or_default(),
            node.zone.clone().unwrap_or_default(),
            node.version.clone().unwrap_or_default(),
            node.url.clone().unwrap_or_default(),
        ]
    };
    let head =
        ["node", "member", "phase", "in sync", "stale", "filling", "leaving", "weight", "zone", "version", "url"];
    table(&head, &["in sync", "stale", "filling", "leaving", "weight"], nodes.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use miroir_admin::{Coverage, DeletionWait, ShardName};

    fn node(id: &str, phase: &str, stale: u32) -> Node {
        Node {
            id: id.into(),
            url: Some(format!("http://{id}:7700")),
            weight: Some(1.0),
            zone: None,
            member: "active".into(),
            phase: phase.into(),
            trouble: None,
            version: Some("1.50.0".into()),
            last_resort: false,
            incarnation: 1,
            generation: 1,
            open_tasks: 0,
            journal: 0,
            copies: [(CopyState::InSync, 4 - stale), (CopyState::Stale, stale)].into(),
        }
    }

    fn sample() -> Status {
        Status {
            cluster: "c0ffee00".into(),
            version: "0.1.0".into(),
            epoch: 7,
            shard_count: 4,
            replication_factor: 2,
            condition: Condition::Down,
            reasons: vec!["1 of 4 shards have no copy that can be read".into()],
            coverage: Coverage { total: 4, full: 2, reduced: 1, down: 1 },
            lacking: 0,
            down_shards: vec![ShardName { placement: 0, shard: 3 }],
            nodes: vec![node("node-0", "ready", 1), node("node-1", "down", 0)],
            jobs: vec![],
            scrub: Default::default(),
            tagging: None,
            indexes: vec!["films".into()],
            open_tasks: 1234,
            waiting_requests: 0,
            late_writes_fenced: true,
            envoys: Default::default(),
            filters: vec![],
            deletions: None,
        }
    }

    #[test]
    fn a_status_says_what_copies_that_leave_wait_for() {
        let wait = DeletionWait {
            sentence: "2 copies that leave wait for 1 filter worker that fell silent".into(),
            copies: 2,
            since_ms: 1_700_000_000_000,
            until_ms: None,
            filters: vec![],
            command: Some("miroirctl shard force-deletion".into()),
        };
        let text = status(&Status { deletions: Some(wait), ..sample() }, Paint::default());
        let lines = "\
leaving  2 copies that leave wait for 1 filter worker that fell silent, since 2023-11-14 22:13
           to end the wait, if their Envoys are gone for good: miroirctl shard force-deletion
";
        assert!(text.contains(lines), "{text}");
    }

    #[test]
    fn a_status_in_text() {
        assert_eq!(
            status(&sample(), Paint::default()),
            "\
down  cluster c0ffee00, Miroir 0.1.0, epoch 7
  - 1 of 4 shards have no copy that can be read

shards   2 of 4 with 2 copies, 1 with fewer, 1 down
down     3
indexes  1, open tasks 1,234
envoys   0, filter workers 0 (0 behind)
scrub    off: replicas are compared by `miroirctl verify` only

NODE    MEMBER  PHASE  IN SYNC  STALE  FILLING  LEAVING  WEIGHT  ZONE  VERSION  URL
node-0  active  ready        3      1        0        0       1        1.50.0   http://node-0:7700
node-1  active  down         4      0        0        0       1        1.50.0   http://node-1:7700"
        );
    }
}
