//! What the demo prints about the cluster.

use serde_json::Value;

use super::arguments::Arguments;
use super::print;
use crate::Cluster;
use crate::harness::cluster::ADMIN_KEY;

/// Which shards live where, in numbers.
///
/// # Errors
/// When control does not answer.
pub async fn shards(cluster: &Cluster) -> anyhow::Result<()> {
    let layout = cluster.operator_client().get("/_miroir/shards").await?.json();
    print("\nWhere the shards live:");
    for node in layout["nodes"].as_array().into_iter().flatten() {
        let id = node["id"].as_str().unwrap_or_default();
        let held: Vec<u64> = layout["shards"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|shard| holds(shard, id))
            .filter_map(|shard| shard["shard"].as_u64())
            .collect();
        let first: Vec<String> = held.iter().take(12).map(u64::to_string).collect();
        let more = if held.len() > 12 { ", …" } else { "" };
        print(&format!("  {id:8} {:3} shards: {}{more}", held.len(), first.join(", ")));
    }
    Ok(())
}

fn holds(shard: &Value, node: &str) -> bool {
    shard["copies"].as_array().into_iter().flatten().any(|copy| copy["node"] == node && copy["state"] == "inSync")
}

/// Requests to paste.
pub fn curl_lines(cluster: &Cluster, arguments: &Arguments) {
    let url = format!("http://{}", arguments.listen);
    let key = &arguments.master_key;
    print(&format!("\nThe cluster answers at {url}, master key {key}. To try:"));
    let auth = format!("-H 'authorization: Bearer {key}'");
    let lines = [
        format!("curl -s '{url}/indexes/films/search?q=star+wras' {auth}"),
        format!(
            "curl -s {url}/indexes/films/search {auth} --json \
             '{{\"q\":\"\",\"filter\":\"\\\"Major Genre\\\" = Drama\",\"sort\":[\"IMDB Rating:desc\"],\"limit\":3}}' -i"
        ),
        format!("curl -s {url}/indexes/films/stats {auth}"),
        format!("curl -s {url}/tasks {auth}"),
        format!("curl -s {}/_miroir/status -H 'authorization: Bearer {}'", cluster.internal, ADMIN_KEY),
    ];
    for line in lines {
        print(&format!("  {line}"));
    }
    print(&format!("Parts, process ids and logs: {}", cluster.dir.join("cluster.json").display()));
    if let Some(pid) = cluster.nodes.first().and_then(|node| node.part.pid) {
        print(&format!("To lose a node: kill -9 {pid}, and search on."));
    }
}
