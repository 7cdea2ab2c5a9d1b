//! `verify`.

use miroir_admin::Verification;

use crate::output::{count, seconds, table};

/// Findings that are listed in text; all that are kept are in JSON.
const LISTED: usize = 50;

/// What a comparison found.
pub fn verification(last: &Verification) -> String {
    let scope = last.index.as_ref().map(|index| format!(" of {index}")).unwrap_or_default();
    let mut text = format!(
        "{} of {} shards{scope} compared in {}, {} documents; {} differences\n",
        last.shards_done,
        last.shards,
        seconds(last.took_ms.div_ceil(1000)),
        count(last.documents),
        last.findings_total
    );
    for (number, what) in [
        (last.single, "shards have one usable copy only: nothing to compare with"),
        (last.unanswered, "shards could not be compared: a node did not answer"),
        (last.undecided, "shards are being written where they differ: compare them again later"),
    ] {
        if number > 0 {
            text.push_str(&format!("{number} {what}\n"));
        }
    }
    if last.findings.is_empty() {
        return text;
    }
    text.push('\n');
    let rows = last.findings.iter().take(LISTED).map(|finding| {
        let replicas: Vec<String> =
            finding.replicas.iter().map(|replica| format!("{}: {}", replica.node, short(&replica.has))).collect();
        vec![
            finding.index.clone(),
            finding.shard.map(|shard| shard.to_string()).unwrap_or_default(),
            finding.document.clone().unwrap_or_default(),
            replicas.join("  "),
        ]
    });
    text.push_str(&table(&["index", "shard", "document", "replicas"], &["shard"], rows));
    let listed = u64::try_from(LISTED.min(last.findings.len())).unwrap_or(u64::MAX);
    if last.findings_total > listed {
        text.push_str(&format!("\n... and {} more", last.findings_total - listed));
    }
    text
}

/// The first digits of a hash are enough to see that two differ.
fn short(has: &str) -> &str {
    if has.len() == 32 { has.get(..8).unwrap_or(has) } else { has }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miroir_admin::{Finding, Replica};

    #[test]
    fn findings_in_text() {
        let replica = |node: &str, has: &str| Replica { node: node.into(), has: has.into() };
        let last = Verification {
            id: 1,
            shards: 16,
            shards_done: 16,
            single: 2,
            documents: 3201,
            took_ms: 1200,
            findings_total: 1,
            findings: vec![Finding {
                index: "films".into(),
                placement: 0,
                shard: Some(7),
                document: Some("42".into()),
                replicas: vec![replica("node-0", &"ab".repeat(16)), replica("node-1", "absent")],
            }],
            ..Verification::default()
        };
        assert_eq!(
            verification(&last),
            "\
16 of 16 shards compared in 2 s, 3,201 documents; 1 differences
2 shards have one usable copy only: nothing to compare with

INDEX  SHARD  DOCUMENT  REPLICAS
films      7  42        node-0: abababab  node-1: absent"
        );
    }
}
