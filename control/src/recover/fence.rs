//! Nobody who knew the old store may write any more (F15), and what nodes have accepted is carried out before anything
//! is compared.

use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use miroir_sequencer::{NodeAction, NodeAnswer};
use tracing::info;

use super::known::Known;
use super::survey::{ANSWER, Found, Survey, get};
use crate::config::Config;
use crate::node::Client;

/// How often a queue is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Replaces all write keys, waits until what was authorised before has been enqueued, and then until it is done.
pub(super) async fn fence(
    client: &Client,
    config: &Config,
    survey: &Survey,
    known: &Known,
    term: u64,
) -> anyhow::Result<()> {
    if client.has_master_key() {
        try_join_all(survey.found.iter().map(|found| replace_keys(client, found, known, term))).await?;
    }
    tokio::time::sleep(Duration::from_millis(config.timing.quiet)).await;
    try_join_all(survey.found.iter().map(|found| drain(client, &found.node.id))).await?;
    Ok(())
}

/// A key generation that the node has not seen.
pub(super) fn generation(found: &Found, known: &Known) -> u64 {
    let shown = found.write_keys.iter().map(|key| key.generation).max().unwrap_or(0);
    shown.max(known.node(&found.node.id).map_or(0, |row| row.generation))
}

async fn replace_keys(client: &Client, found: &Found, known: &Known, term: u64) -> anyhow::Result<()> {
    let id = found.node.id.as_str();
    let generation = generation(found, known).saturating_add(1);
    match client.act(id, NodeAction::Fence { generation, term }, ANSWER).await {
        Ok(NodeAnswer::Fenced { .. }) => Ok(()),
        answer => bail!("the write keys of {id} could not be replaced: {answer:?}"),
    }
}

async fn drain(client: &Client, node: &str) -> anyhow::Result<()> {
    let mut told = false;
    loop {
        let open = get(client, node, "/tasks?limit=1&statuses=enqueued,processing").await;
        let open = open.with_context(|| format!("the queue of {node}"))?;
        match open["total"].as_u64() {
            Some(0) => return Ok(()),
            Some(open) if !told => info!(node, open, "waiting for its queue"),
            Some(_) => {}
            None => bail!("{node} does not tell how long its queue is"),
        }
        told = true;
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits for the end of a task, and tells its error.
pub(super) async fn ended(client: &Client, node: &str, uid: u32) -> anyhow::Result<Option<String>> {
    loop {
        let task = get(client, node, &format!("/tasks/{uid}")).await?;
        match task["status"].as_str() {
            Some("succeeded") => return Ok(None),
            Some("failed" | "canceled") => {
                return Ok(Some(task["error"]["code"].as_str().unwrap_or("canceled").to_owned()));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}
