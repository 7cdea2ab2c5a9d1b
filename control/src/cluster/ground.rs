//! What a new cluster begins on: nodes without indexes.

use std::time::Duration;

use anyhow::ensure;
use futures::future::join_all;
use serde_json::Value;

use super::NodeRequest;
use crate::config::{Config, Node};
use crate::node::Client;

/// Longest wait for a node's answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Indexes of a node that are named.
const NAMED: usize = 3;

/// Refuses to begin where nodes hold indexes: a cluster that does not know them takes them for what another time has
/// left, and clears them away. A node that does not answer is not waited for.
///
/// # Errors
/// Says which nodes hold which indexes, and what can be done.
pub(super) async fn ensure_free(config: &Config) -> anyhow::Result<()> {
    let client = Client::new(&config.secrets, "", config.shards, Default::default());
    // A bad address is told of when the members are known.
    client.set_nodes(&config.nodes);
    let held: Vec<String> =
        join_all(config.nodes.iter().map(|node| held(&client, node))).await.into_iter().flatten().collect();
    ensure!(
        held.is_empty(),
        "{}: the store is new, and a new cluster begins on nodes without indexes, so nothing was touched. If they are the \
         nodes of a cluster whose store is lost, bring it back by `miroir-control recover` or `restore`; otherwise give \
         the cluster nodes with empty disks, and load the documents through it",
        held.join("; ")
    );
    Ok(())
}

/// What a node holds, in words.
async fn held(client: &Client, node: &Node) -> Option<String> {
    let path = format!("/indexes?limit={NAMED}");
    let request = NodeRequest { method: "GET".to_owned(), path, body: None };
    let answer = client.call(&node.id, &request, ANSWER).await.ok().filter(|answer| answer.status == 200)?;
    let page: Value = serde_json::from_slice(&answer.body).ok()?;
    let total = page["total"].as_u64().filter(|total| *total > 0)?;
    let named: Vec<&str> = page["results"].as_array()?.iter().filter_map(|index| index["uid"].as_str()).collect();
    let more = if total > named.len() as u64 { ", ..." } else { "" };
    Some(format!("{} holds {total} indexes ({}{more})", node.id, named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;
    use axum::{Json, Router, routing::get};
    use serde_json::json;

    async fn node(indexes: &[&str]) -> String {
        let results: Vec<Value> = indexes.iter().take(NAMED).map(|uid| json!({ "uid": uid })).collect();
        let page = json!({ "results": results, "total": indexes.len() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/indexes", get(move || async move { Json(page) }));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}")
    }

    fn config(urls: &[&str]) -> Config {
        let mut text = "[cluster]\nshards = 4\nmaster_key = 'a-key-of-some-length'\n[store]\npath = 's'\n".to_owned();
        for (at, url) in urls.iter().enumerate() {
            text.push_str(&format!("[[nodes]]\nid = 'n{at}'\nurl = '{url}'\n"));
        }
        toml::from_str::<File>(&text).unwrap().check().unwrap()
    }

    #[tokio::test]
    async fn nobodys_indexes_are_taken_for_leftovers() {
        let (empty, held, silent) = (node(&[]).await, node(&["a", "b", "c", "d"]).await, "http://127.0.0.1:1");
        ensure_free(&config(&[&empty, silent])).await.unwrap();
        let refused = ensure_free(&config(&[&empty, &held, silent])).await.unwrap_err().to_string();
        assert!(refused.starts_with("n1 holds 4 indexes (a, b, c, ...): "), "{refused}");
    }
}
