//! What there is where a cluster is to begin.

use std::time::Duration;

use miroir_admin::{AdoptedIndex, Adoption};
use serde_json::{Value, json};

use super::super::known::Known;
use super::super::survey::{Found, Index, Survey, get};
use super::refusals;
use crate::cluster::{NodeFault, NodeRequest};
use crate::config::{Config, Node};
use crate::node::Client;
use crate::settings::Settings;

/// Longest wait for a node's first answer.
const FIRST: Duration = Duration::from_secs(5);

/// What a first look comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// Nothing that is anybody's: a cluster may begin.
    Free,
    /// Somebody's indexes.
    Held(Vec<String>),
    /// The only node does not show what it holds.
    Unseen(String),
}

/// A client that needs to know neither the cluster's name nor who its nodes are.
fn client(config: &Config) -> anyhow::Result<Client> {
    let client = Client::new(&config.secrets, "", config.shards, Default::default());
    super::super::refuse_bad_addresses(&client, &config.nodes)?;
    Ok(client)
}

/// Looks whether nodes hold indexes. One of several that does not answer is left to the cluster to wait for; where there
/// is only one, nothing can be served without it anyhow.
pub(super) async fn survey_ground(config: &Config) -> anyhow::Result<Ground> {
    let client = client(config)?;
    let alone = config.nodes.len() == 1;
    let mut holding = Vec::new();
    for node in &config.nodes {
        let request = NodeRequest { method: "GET".to_owned(), path: "/indexes?limit=1".to_owned(), body: None };
        match client.call(&node.id, &request, FIRST).await {
            Ok(answer) if answer.status == 200 => {
                let page: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                if page["total"].as_u64().is_some_and(|total| total > 0) {
                    holding.push(node.id.clone());
                }
            }
            Ok(answer) if alone => return Ok(Ground::Unseen(refused(node, answer.status))),
            Err(fault) if alone => return Ok(Ground::Unseen(silent(node, &fault))),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(if holding.is_empty() { Ground::Free } else { Ground::Held(holding) })
}

fn refused(node: &Node, status: u16) -> String {
    match status {
        401 | 403 => format!("{} does not take the configured master key ({status}): both must have the same", node.id),
        _ => format!("{} does not say which indexes it has ({status})", node.id),
    }
}

fn silent(node: &Node, fault: &NodeFault) -> String {
    format!("{} at {} does not answer: {fault}", node.id, node.url)
}

/// A node that may be adopted.
#[derive(Debug)]
pub(super) struct Prospect {
    pub(super) shown: Adoption,
    pub(super) survey: Survey,
}

impl Prospect {
    /// Looks at what the only node has. Changes nothing.
    pub(super) async fn look(config: &Config) -> anyhow::Result<Self> {
        let mut shown = Adoption::default();
        let [node] = config.nodes.as_slice() else {
            let text = "the configuration lists several nodes: list the one that has the data alone; the others are added \
                        afterwards, by `miroirctl node add`";
            shown.refusals.push(text.to_owned());
            return Ok(Self { shown, survey: Survey::default() });
        };
        (shown.node, shown.url) = (node.id.clone(), node.url.to_string().trim_end_matches('/').to_owned());
        let client = client(config)?;
        let survey = Survey::take(&client, std::slice::from_ref(node), &Known::default()).await;
        let Some(found) = survey.found.first() else {
            shown
                .refusals
                .extend(survey.silent.iter().map(|(node, why)| format!("{} does not show all: {why}", node.id)));
            return Ok(Self { shown, survey });
        };
        let more = More::of(&client, &node.id).await?;
        shown.version.clone_from(&more.version);
        shown.indexes = found.indexes.iter().map(adopted).collect();
        shown.keys = found.keys.iter().map(name).collect();
        shown.notes = notes(found, &more);
        shown.refusals = refusals::of(found, &more);
        Ok(Self { shown, survey })
    }
}

/// What `recover` has no use for.
#[derive(Debug, Default)]
pub(super) struct More {
    pub(super) version: Option<String>,
    /// Tasks that are not over.
    pub(super) open: u64,
    /// Answer to `GET /stats`.
    pub(super) stats: Value,
    pub(super) webhooks: usize,
}

impl More {
    async fn of(client: &Client, node: &str) -> anyhow::Result<Self> {
        let version = get(client, node, "/version").await?;
        let open = get(client, node, "/tasks?limit=1&statuses=enqueued,processing").await?;
        // What has no webhooks has none that would tell anything.
        let webhooks = get(client, node, "/webhooks").await.unwrap_or_default();
        Ok(Self {
            version: version["pkgVersion"].as_str().map(str::to_owned),
            open: open["total"].as_u64().unwrap_or(0),
            stats: get(client, node, "/stats").await?,
            webhooks: webhooks["results"].as_array().map_or(0, Vec::len),
        })
    }
}

fn adopted(index: &Index) -> AdoptedIndex {
    AdoptedIndex {
        uid: index.found.uid.clone(),
        primary_key: index.found.primary_key.clone(),
        documents: index.documents,
        settings: client_settings(&index.found.settings).0.names(),
    }
}

fn name(key: &Value) -> String {
    key["name"].as_str().or(key["uid"].as_str()).unwrap_or_default().to_owned()
}

/// A node that nobody has given settings of ours shows its client's; and the embedders whose secrets it hides.
pub(super) fn client_settings(node: &Value) -> (Settings, Vec<String>) {
    Settings::from_node(node, Some(&json!({ "displayedAttributes": node["displayedAttributes"] })))
}

fn notes(found: &Found, more: &More) -> Vec<String> {
    let mut notes = Vec::new();
    for index in &found.indexes {
        for embedder in client_settings(&index.found.settings).1 {
            notes.push(format!(
                "index {}: embedder {embedder} has a secret, which the node does not show: it goes on working; set it again \
                 before another node joins",
                index.found.uid
            ));
        }
    }
    if more.webhooks > 0 {
        notes.push(format!(
            "its {} webhooks would tell of Miroir's own tasks: delete them there, and make them again in the cluster",
            more.webhooks
        ));
    }
    if let Some((last, _)) = found.tasks.last {
        notes.push(format!("its tasks up to {last} stay in its own list; those of the cluster have other numbers"));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServeArguments;

    #[tokio::test]
    async fn a_node_alone_is_waited_for_and_one_of_several_is_not() {
        let config = |nodes: &[&str]| {
            let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
            Config::load(&ServeArguments { nodes, ..ServeArguments::default() }).unwrap()
        };
        let (one, two) = (["a=http://127.0.0.1:1"], ["a=http://127.0.0.1:1", "b=http://127.0.0.1:2"]);
        assert!(
            matches!(survey_ground(&config(&one)).await.unwrap(), Ground::Unseen(why) if why.contains("does not answer"))
        );
        assert_eq!(survey_ground(&config(&two)).await.unwrap(), Ground::Free);
        let shown = Prospect::look(&config(&two)).await.unwrap().shown;
        assert!(shown.refusals[0].contains("several nodes"), "{shown:?}");
    }
}
