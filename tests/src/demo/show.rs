//! What the demo prints about the cluster.

use serde_json::Value;

use super::arguments::{Arguments, Dataset};
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
        let held: Vec<u32> = layout["shards"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|shard| holds(shard, id))
            .filter_map(|shard| u32::try_from(shard["shard"].as_u64()?).ok())
            .collect();
        print(&format!("  {id:8} {:3} shards: {}", held.len(), miroir_core::read::shard_ranges(&held)));
    }
    Ok(())
}

fn holds(shard: &Value, node: &str) -> bool {
    shard["copies"].as_array().into_iter().flatten().any(|copy| copy["node"] == node && copy["state"] == "inSync")
}

/// Requests to paste.
pub fn curl_lines(cluster: &Cluster, arguments: &Arguments) {
    let url = format!("http://{}", arguments.listen);
    print(&format!("\nThe cluster answers at {url}, master key {}. To try:", arguments.master_key));
    for line in requests(arguments) {
        print(&format!("  {line}"));
    }
    print(&format!("  curl -s {}/_miroir/status -H 'authorization: Bearer {ADMIN_KEY}'", cluster.internal));
    print(&format!("Parts, process ids and logs: {}", cluster.dir.join("cluster.json").display()));
    if let Some(pid) = cluster.nodes.first().and_then(|node| node.part.pid) {
        print(&format!("To lose a node: kill -9 {pid}, and search on."));
    }
}

/// Requests that find something in the data set; on an empty cluster, those that make an index.
fn requests(arguments: &Arguments) -> Vec<String> {
    let url = format!("http://{}", arguments.listen);
    let auth = format!("-H 'authorization: Bearer {}'", arguments.master_key);
    let search = |index: &str, query: &str| format!("curl -s '{url}/indexes/{index}/search?q={query}' {auth}");
    let json = |path: &str, body: &str| format!("curl -s {url}{path} {auth} --json '{body}'");
    let stats = |index: &str| format!("curl -s {url}/indexes/{index}/stats {auth}");
    let mut lines = match (arguments.empty, arguments.dataset) {
        (true, _) => vec![
            json("/indexes/books/documents", r#"[{"id":1,"title":"Dune"},{"id":2,"title":"Emma"}]"#),
            search("books", "dnue"),
        ],
        (false, Dataset::Films) => {
            let body = r#"{"q":"","filter":"\"Major Genre\" = Drama","sort":["IMDB Rating:desc"],"limit":3}"#;
            vec![search("films", "star+wras"), json("/indexes/films/search", body) + " -i", stats("films")]
        }
        (false, Dataset::Cities) => {
            let body = r#"{"filter":"country = LU","sort":["_geoPoint(49.61, 6.13):asc"],"limit":3}"#;
            vec![search("cities", "amsterdaam"), json("/indexes/cities/search", body) + " -i", stats("cities")]
        }
    };
    lines.push(format!("curl -s {url}/tasks {auth}"));
    lines
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_requests_are_about_what_was_loaded() {
        let about = |flags: &[&str]| {
            let lines = requests(&Arguments::parse_from([&["demo"], flags].concat())).join("\n");
            ["films", "cities", "books"].map(|index| lines.contains(&format!("/indexes/{index}/search")))
        };
        assert_eq!(about(&[]), [true, false, false]);
        assert_eq!(about(&["--dataset", "cities"]), [false, true, false]);
        assert_eq!(about(&["--empty"]), [false, false, true]);
        assert_eq!(about(&["--empty", "--dataset", "cities"]), [false, false, true]);
    }
}
