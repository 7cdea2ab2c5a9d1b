//! The operator of a run: lets nodes join and drains others, one job at a time, whatever else is going on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::Value;

use super::history::Fault;
use super::plan::Turn;
use super::stage::Stage;
use super::tally;
use crate::harness::cluster::ADMIN_KEY;
use crate::harness::tool;
use crate::{Client, Cluster, until};

/// Longest wait until no job is under way, once everything runs again.
const JOBS_LIMIT: Duration = Duration::from_secs(180);

/// What an operator needs to know.
#[derive(Clone, Debug)]
pub struct Desk {
    internal: String,
    admin: Client,
    /// Ids and addresses of all nodes, members or not.
    nodes: Vec<(String, String)>,
    /// So many must go on holding shards.
    least: usize,
}

impl Desk {
    /// The desk of a cluster.
    #[must_use]
    pub fn new(cluster: &Cluster, least: usize) -> Self {
        let node = |process: &crate::harness::process::Process| (process.part.id.clone(), process.part.url.clone());
        let nodes = cluster.nodes.iter().map(node).collect();
        Self { internal: cluster.internal.clone(), admin: cluster.operator_client(), nodes, least }
    }

    async fn run(&self, arguments: &[&str]) -> bool {
        let ran = tool::run(&self.internal, ADMIN_KEY, arguments).await;
        ran.is_ok_and(|ran| ran.code == 0)
    }

    /// Ids of members with their states; none while control does not answer.
    async fn members(&self) -> Option<BTreeMap<String, String>> {
        let answer = self.admin.get("/_miroir/nodes").await.ok().filter(|answer| answer.status == 200)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let nodes = answer.json()["nodes"].as_array()?.clone();
        Some(nodes.iter().map(|node| (text(&node["id"]), text(&node["member"]))).collect())
    }

    async fn jobs(&self) -> Option<Vec<Value>> {
        let answer = self.admin.get("/_miroir/jobs").await.ok().filter(|answer| answer.status == 200)?;
        answer.json()["jobs"].as_array().cloned()
    }

    /// One decision: a job under way goes on or is cancelled; else a node joins, or one is drained.
    async fn decide(&self, stage: &Stage, turn: Turn) -> Option<()> {
        let jobs = self.jobs().await?;
        if let Some(job) = jobs.iter().find(|job| is_open(job)) {
            if turn.cancels && self.run(&["rebalance", "cancel", &job["id"].to_string()]).await {
                tally::count(&mut stage.tally().moves, "cancel asked");
            }
            return Some(());
        }
        let members = self.members().await?;
        let active: Vec<&String> = members.iter().filter(|(_, state)| *state == "active").map(|(id, _)| id).collect();
        let idle: Vec<&(String, String)> = self.nodes.iter().filter(|(id, _)| !active.contains(&id)).collect();
        let pick = |count: usize| usize::try_from(turn.which).unwrap_or_default() % count.max(1);
        let (word, done) = match idle.get(pick(idle.len())) {
            Some((id, url)) if active.len() <= self.least => {
                ("join asked", self.run(&["node", "add", id, url, "--yes"]).await)
            }
            _ => ("drain asked", self.run(&["node", "drain", active.get(pick(active.len()))?, "--yes"]).await),
        };
        if done {
            tally::count(&mut stage.tally().moves, word);
        }
        Some(())
    }
}

fn is_open(job: &Value) -> bool {
    !matches!(job["state"].as_str(), Some("done" | "cancelled"))
}

/// Takes the turns of a plan. A control that does not answer is left alone until the next turn.
pub async fn operator(stage: Arc<Stage>, desk: Desk, turns: Vec<Turn>) {
    let began = Instant::now();
    for turn in turns {
        tokio::time::sleep_until((began + Duration::from_millis(turn.at_ms)).into()).await;
        let _ = desk.decide(&stage, turn).await;
    }
}

/// Waits until no job is under way, and counts how the jobs of the run ended. Then nodes that have been drained are let
/// go, and their disks emptied: they may join anew.
///
/// # Errors
/// When a part cannot be asked or started again.
pub async fn rest(stage: &Stage, cluster: &mut Cluster, desk: &Desk) -> anyhow::Result<()> {
    let over = until("all jobs to end", JOBS_LIMIT, || async {
        let jobs = desk.jobs().await?;
        (!jobs.iter().any(is_open)).then_some(jobs)
    })
    .await;
    let jobs = match over {
        Ok(jobs) => jobs,
        Err(error) => {
            let open: Vec<Value> = desk.jobs().await.unwrap_or_default().into_iter().filter(is_open).collect();
            stage.tally().fault(Fault::Unhealed, format!("{error:#}: {open:?}"));
            return Ok(());
        }
    };
    let mut ends = BTreeMap::new();
    for job in &jobs {
        let kind = job["why"]["kind"].as_str().unwrap_or_default();
        tally::count(&mut ends, format!("{kind} {}", job["state"].as_str().unwrap_or_default()));
    }
    stage.tally().jobs = ends;
    for (id, state) in desk.members().await.unwrap_or_default() {
        let Some(at) = cluster.nodes.iter().position(|node| node.part.id == id) else { continue };
        if state != "draining" || !desk.run(&["node", "remove", &id, "--yes"]).await {
            continue;
        }
        tally::count(&mut stage.tally().moves, "removed");
        cluster.nodes[at].kill();
        cluster.wipe(at)?;
        cluster.nodes[at].restart()?;
        cluster.node_up(at).await?;
    }
    ensure!(desk.members().await.is_some_and(|members| members.len() >= desk.least), "members are missing");
    Ok(())
}
