//! The searches that the demo shows, and how their answers are printed.

use anyhow::Context;
use serde_json::{Value, json};

use super::{dataset::Data, print};
use crate::{Answer, Cluster};

/// A search worth looking at.
pub(super) struct Example {
    /// What it shows.
    pub what: &'static str,
    /// Body of the search.
    pub body: Value,
    /// Fields of a hit that are printed.
    pub fields: &'static [&'static str],
}

/// A word with a typo in it, and the word that is meant; `field` of the documents has it.
pub(super) struct Typo {
    pub typed: &'static str,
    pub meant: &'static str,
    pub field: &'static str,
}

pub(super) const CASABLANCA: Typo = Typo { typed: "casablnca", meant: "casablanca", field: "Title" };
pub(super) const AMSTERDAM: Typo = Typo { typed: "amsterdaam", meant: "amsterdam", field: "name" };

/// Of the films: a typo, a filter with sort, facets.
pub(super) fn films() -> [Example; 3] {
    let filtered = json!({
        "filter": "\"Major Genre\" = Drama", "sort": ["IMDB Rating:desc"], "limit": 5, "facets": ["Major Genre"]
    });
    [
        Example { what: "A typo:", body: json!({"q": CASABLANCA.typed, "limit": 3}), fields: &["Title", "Director"] },
        Example { what: "A filter, sorted:", body: filtered, fields: &["Title", "IMDB Rating"] },
        Example { what: "Facets:", body: json!({"q": "", "facets": ["Major Genre"], "limit": 0}), fields: &[] },
    ]
}

/// Of the places: a typo, the distance from a point, a filter with facets.
pub(super) fn cities() -> [Example; 3] {
    let near = json!({"sort": ["_geoPoint(48.8584, 2.2945):asc"], "limit": 5});
    let counted = json!({"filter": "country = LU", "facets": ["country"], "limit": 2});
    [
        Example { what: "A typo:", body: json!({"q": AMSTERDAM.typed, "limit": 3}), fields: &["name", "country"] },
        Example {
            what: "Nearest places to the Eiffel tower:",
            body: near,
            fields: &["name", "country", "_geoDistance"],
        },
        Example { what: "A filter with facets:", body: counted, fields: &["name", "country"] },
    ]
}

/// The searches of this data set.
pub(super) fn of(data: &Data) -> [Example; 3] {
    if data.index == "films" { films() } else { cities() }
}

/// Runs a search and prints what came.
pub(super) async fn show(cluster: &Cluster, index: &str, example: &Example) -> anyhow::Result<Answer> {
    let Example { what, body, fields } = example;
    print(&format!("\n{what}  {body}"));
    let answer = cluster.client(0).post(&format!("/indexes/{index}/search"), body).await?;
    if answer.status != 200 {
        print(&format!("  {} {}", answer.status, answer.text));
        return Ok(answer);
    }
    let shards = answer.header("x-miroir-shards").context("no x-miroir-shards header")?;
    let nodes = nodes(cluster, index, body).await;
    let found = answer.json();
    print(&format!(
        "  shards {shards}, {nodes}, {} ms, about {} hits",
        found["processingTimeMs"], found["estimatedTotalHits"]
    ));
    for hit in hits(&found) {
        let values: Vec<String> = fields.iter().map(|field| hit[*field].to_string()).collect();
        print(&format!("    {}", values.join("  ")));
    }
    for (facet, counts) in found["facetDistribution"].as_object().into_iter().flatten() {
        print(&format!("    {facet}: {counts}"));
    }
    Ok(answer)
}

/// Hits of an answer.
pub(super) fn hits(found: &Value) -> impl Iterator<Item = &Value> {
    found["hits"].as_array().into_iter().flatten()
}

/// How many nodes answer this search. The answer itself does not say it: control runs the search once more and tells.
async fn nodes(cluster: &Cluster, index: &str, body: &Value) -> String {
    let question = json!({"index": index, "search": body});
    match cluster.operator_client().post("/_miroir/explain", &question).await {
        Ok(told) if told.status == 200 => {
            let (answered, asked) = answered(&told.json());
            format!("{answered} of {asked} nodes answered")
        }
        Ok(told) => format!("nodes unknown (explain: {})", told.status),
        Err(error) => format!("nodes unknown (explain: {error})"),
    }
}

/// Nodes that answered with what was asked of them, and nodes that were asked.
fn answered(explanation: &Value) -> (usize, usize) {
    let calls = explanation["calls"].as_array().into_iter().flatten();
    let (mut asked, mut answered) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for call in calls {
        let node = call["node"].as_str();
        asked.insert(node);
        if call["outcome"] == "200" {
            answered.insert(node);
        }
    }
    (answered.len(), asked.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_counts_once_and_only_when_it_answered() {
        let call = |node: &str, outcome: &str| json!({"node": node, "outcome": outcome, "shards": [1]});
        let calls = [call("a", "200"), call("b", "connection refused"), call("a", "200"), call("c", "200")];
        assert_eq!(answered(&json!({"calls": calls})), (2, 3));
        assert_eq!(answered(&json!({})), (0, 0));
    }
}
