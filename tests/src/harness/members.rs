//! Nodes that come and go, and the jobs that move shards for them.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::cluster::{Cluster, node};
use super::engine::Engine;
use super::ports;
use super::process::Process;
use super::wait::until;

/// Longest wait for a job to get on: engines index as fast as the machine lets them, and a job takes its time.
const JOB_LIMIT: Duration = Duration::from_secs(300);

impl Cluster {
    /// Starts one more node of the same kind, with an empty disk; its position. It is no member yet.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn another_node(&mut self) -> anyhow::Result<usize> {
        let at = self.nodes.len();
        let process = self.empty_node(at)?;
        self.nodes.push(process);
        self.node_up(at).await?;
        Ok(at)
    }

    /// Starts a node that was killed at another address, with an empty disk.
    ///
    /// # Errors
    /// When it still runs, or does not come up.
    pub async fn move_node(&mut self, at: usize) -> anyhow::Result<()> {
        self.wipe(at)?;
        self.nodes[at] = self.empty_node(at)?;
        self.node_up(at).await
    }

    fn empty_node(&self, at: usize) -> anyhow::Result<Process> {
        let engine = self.options().engine.clone().map_or_else(Engine::find, Ok)?;
        let port = ports::free(1)?.into_iter().next().context("no port")?;
        Process::start(node(&self.dir, at, port, &engine, self.options())?)
    }

    /// Runs `miroirctl` for a change that makes a job, confirmed; the job's number.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn job(&self, arguments: &[&str]) -> anyhow::Result<u64> {
        let ran = self.tool(&[arguments, &["--yes", "--output", "json"]].concat()).await?;
        ensure!(ran.code == 0, "{arguments:?}: {ran:?}");
        ran.json()["job"]["id"].as_u64().with_context(|| format!("no job: {ran:?}"))
    }

    /// A job as control shows it.
    ///
    /// # Errors
    /// When control does not answer, or does not know it.
    pub async fn job_state(&self, job: u64) -> anyhow::Result<Value> {
        let answer = self.operator_client().get(&format!("/_miroir/jobs/{job}")).await?;
        ensure!(answer.status == 200, "job {job}: {} {}", answer.status, answer.text);
        Ok(answer.json())
    }

    /// Waits until a job is over; the job. It must have been done.
    ///
    /// # Errors
    /// When it does not get on, or was cancelled.
    pub async fn job_done(&self, job: u64) -> anyhow::Result<Value> {
        let over = |state: &Value| matches!(state["state"].as_str(), Some("done" | "cancelled"));
        let got_to = |state: &Value| (state["state"].clone(), state["movesDone"].clone(), state["copied"].clone());
        let mut last = self.job_state(job).await?;
        while !over(&last) {
            last = until(&format!("job {job} to get on"), JOB_LIMIT, || async {
                let state = self.job_state(job).await.ok()?;
                (over(&state) || got_to(&state) != got_to(&last)).then_some(state)
            })
            .await
            .with_context(|| format!("last seen: {last}"))?;
        }
        ensure!(last["state"] == "done", "it was not done: {last}");
        Ok(last)
    }
}
