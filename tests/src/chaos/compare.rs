//! The ledger against every replica, document by document, asked of the nodes themselves.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use miroir_core::invariants::{self, CopyFact, Document};
use miroir_core::{hash, tag};
use serde_json::json;

use super::history::{Fault, judge};
use super::ledger::Key;
use super::stage::{Stage, plain};
use crate::Cluster;
use crate::harness::copies::Copy;

/// Documents of one copy.
type Held = BTreeMap<Key, Document>;

/// What a node holds of a shard of an index, by the tag's filter.
async fn held(cluster: &Cluster, index: &str, node: usize, shard: u64) -> anyhow::Result<Held> {
    let shard = u32::try_from(shard)?;
    let query = json!({"limit": 100_000, "filter": tag::filter_clause(&[shard], cluster.shards())});
    let answer = cluster.node_client(node).post(&format!("/indexes/{index}/documents/fetch"), &query).await?;
    ensure!(answer.status == 200, "node {node}: {} {}", answer.status, answer.text);
    let mut held = Held::new();
    for document in answer.json()["results"].as_array().context("no results")? {
        let id = document["id"].as_u64().and_then(|id| Key::try_from(id).ok());
        held.insert(id.with_context(|| format!("node {node} holds {document}"))?, plain(document));
    }
    Ok(held)
}

/// Compares the ledger with all copies in sync, notes what is wrong, and closes the round.
///
/// # Errors
/// When a node cannot be asked.
pub async fn round(stage: &Stage, cluster: &Cluster, copies: &[Copy]) -> anyhow::Result<()> {
    let nodes: Vec<usize> = (0..cluster.nodes.len()).collect();
    cluster.drained(&nodes).await?;
    let histories = stage.ledger().histories();
    let refused = stage.ledger().refused();
    let (judged, faults) = super::read::judged(&stage.seen(), &histories, &refused);
    stage.tally().judged += judged;
    for (fault, words, key) in faults {
        tell(stage, cluster, fault, &words, key).await;
    }
    let facts = copies.iter().filter_map(|copy| {
        Some(CopyFact { placement: 0, shard: copy.shard.try_into().ok()?, in_sync: copy.state == "inSync" })
    });
    for breach in invariants::every_shard_has_a_copy((0..cluster.shards()).map(|shard| (0, shard)), facts) {
        stage.tally().fault(Fault::Unhealed, breach.text);
    }
    let mut union = Held::new();
    for shard in 0..u64::from(cluster.shards()) {
        let mut contents: BTreeMap<String, Held> = BTreeMap::new();
        for copy in copies.iter().filter(|copy| copy.shard == shard && copy.state == "inSync") {
            contents
                .insert(cluster.nodes[copy.node].part.id.clone(), held(cluster, stage.index, copy.node, shard).await?);
        }
        let Some(first) = contents.values().next().cloned() else { continue };
        for (node, held) in &contents {
            let own = histories.iter().filter(|(key, _)| shard_of(**key, cluster.shards()) == shard);
            for (key, history) in own {
                let (last, held) = (history.last(), held.get(key));
                let allowed = last.iter().map(Option::as_ref).collect();
                let place = format!("document {key} of {} on {node}", stage.index);
                let found = judge(invariants::copy_holds_successes, &allowed, held, &place);
                let refused = invariants::refused_stays_away(&refused, held, &place);
                for (fault, words) in found.into_iter().chain(refused.map(|breach| (Fault::Refused, breach.text))) {
                    tell(stage, cluster, fault, &words, *key).await;
                }
            }
            let unknown = held.keys().filter(|key| !histories.contains_key(key));
            for key in unknown {
                tell(stage, cluster, Fault::Resurrected, &format!("{node} holds {key}, never written"), *key).await;
            }
            stage.tally().compared += held.len();
        }
        let texts: BTreeMap<&str, BTreeMap<String, Document>> =
            contents.iter().map(|(node, held)| (node.as_str(), by_text(held))).collect();
        let contents: Vec<_> = texts.iter().map(|(node, held)| (*node, held)).collect();
        for breach in invariants::replicas_agree(u32::try_from(shard)?, &contents) {
            stage.tally().fault(Fault::Differing, breach.text);
        }
        union.extend(first);
    }
    astray(stage, cluster, copies).await?;
    counts(stage, cluster, union.len()).await;
    if !stage.passes() {
        alarms(stage, cluster).await?;
        stage.tally().rounds += 1;
    }
    stage.ledger().close(union);
    stage.forget();
    Ok(())
}

fn by_text(held: &Held) -> BTreeMap<String, Document> {
    held.iter().map(|(key, document)| (key.to_string(), document.clone())).collect()
}

fn shard_of(key: Key, shards: u32) -> u64 {
    hash::shard_of(key.to_string().as_bytes(), shards).into()
}

/// Documents that no filter finds where they should be: on a node without that shard, or under a wrong tag.
async fn astray(stage: &Stage, cluster: &Cluster, copies: &[Copy]) -> anyhow::Result<()> {
    for node in 0..cluster.nodes.len() {
        let documents = cluster.documents_on(node, stage.index).await?;
        let held = documents.iter().filter_map(|(shard, held)| Some((u32::try_from(*shard).ok()?, held)));
        let held = held.flat_map(|(shard, held)| held.keys().map(move |id| (id.as_str(), shard)));
        let owned = |shard: u32| copies.iter().any(|copy| copy.node == node && copy.shard == u64::from(shard));
        let name = &cluster.nodes[node].part.id;
        if let Some(breach) = invariants::nothing_is_orphaned(name, held.clone(), owned) {
            stage.tally().fault(Fault::Astray, breach.text);
        }
        let shard_of = |id: &str| id.parse().ok().map(|key: Key| shard_of(key, cluster.shards()));
        for (id, shard) in held.filter(|(id, shard)| shard_of(id) != Some(u64::from(*shard))) {
            stage.tally().fault(Fault::Astray, format!("{name} holds {id} with the tag of shard {shard}"));
        }
    }
    Ok(())
}

/// Totals of searches through every Envoy, now that nothing moves.
async fn counts(stage: &Stage, cluster: &Cluster, expected: usize) {
    for envoy in 0..cluster.envoys.len() {
        let query = json!({"page": 1, "hitsPerPage": 1});
        let words = match cluster.client(envoy).post(&format!("/indexes/{}/search", stage.index), &query).await {
            Ok(answer) if answer.json()["totalHits"].as_u64() == u64::try_from(expected).ok() => continue,
            Ok(answer) => format!("{} {}", answer.status, answer.text),
            Err(error) => format!("{error:#}"),
        };
        stage.tally().fault(Fault::Miscounted, format!("{expected} documents; envoy-{envoy} at rest: {words}"));
    }
}

/// Everything that chaos does to a replica leaves something by which the comparison in the background knows which one
/// deviates.
async fn alarms(stage: &Stage, cluster: &Cluster) -> anyhow::Result<()> {
    let client = cluster.operator_client();
    let findings = client.get("/_miroir/findings").await?.json();
    for finding in findings["findings"].as_array().context("no findings")? {
        stage.tally().fault(Fault::FalseAlarm, finding.to_string());
    }
    let metrics = client.get("/metrics").await?.text;
    for reported in metrics.lines().filter(|line| is_breach(line)) {
        stage.tally().fault(Fault::Reported, reported.to_owned());
    }
    let scrub = client.get("/_miroir/status").await?.json()["scrub"].clone();
    let shards = |tally: &serde_json::Value| tally["compared"].as_u64().unwrap_or(0);
    let compared = shards(&scrub["tally"]).max(shards(&scrub["last"]["tally"]));
    let mut tally = stage.tally();
    tally.scrubbed = tally.scrubbed.max(compared);
    Ok(())
}

/// A line of the metrics by which control says that an invariant is broken. Nodes that are stopped and go on take requests
/// late, and control tells of their order so that these replicas are repaired.
fn is_breach(line: &str) -> bool {
    let counted = line.strip_prefix("miroir_invariant_breaches_total{invariant=");
    counted.is_some_and(|rest| !rest.starts_with("\"ticket_order\"") && !rest.ends_with(" 0"))
}

/// Notes a fault with the ledger's lines of the document and what every node has of it.
async fn tell(stage: &Stage, cluster: &Cluster, fault: Fault, words: &str, key: Key) {
    let shard = shard_of(key, cluster.shards());
    let mut lines = vec![format!("{words} (shard {shard})")];
    lines.extend(stage.ledger().lines(key));
    for node in 0..cluster.nodes.len() {
        let path = format!("/indexes/{}/documents/{key}", stage.index);
        let has = match cluster.node_client(node).get(&path).await {
            Ok(answer) => answer.text,
            Err(error) => format!("{error:#}"),
        };
        lines.push(format!("node-{node} has {has}"));
    }
    stage.tally().fault(fault, lines.join("\n    "));
}

#[cfg(test)]
mod tests {
    use super::is_breach;

    #[test]
    fn only_broken_invariants_are_taken_for_faults() {
        let line = |name: &str, count: u32| format!("miroir_invariant_breaches_total{{invariant=\"{name}\"}} {count}");
        assert!(is_breach(&line("copy_in_sync", 1)) && is_breach(&line("plans_keep_copies", 20)));
        assert!(!is_breach(&line("copy_in_sync", 0)) && !is_breach(&line("ticket_order", 3)));
        assert!(!is_breach("# TYPE miroir_invariant_breaches_total counter"));
    }
}
