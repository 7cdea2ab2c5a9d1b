//! Control's store lost and made anew, as operators do it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::cluster::{Cluster, text};
use super::parts;
use super::tool::Ran;
use super::wait::until;

/// Uid of the key by which control leaves its note on nodes.
const READER: &str = "6d69726f-6972-4b05-8005-64656661756c";

impl Cluster {
    /// Removes control's SQLite store. Control must not run.
    ///
    /// # Errors
    /// When it runs, or there is no such store.
    pub fn lose_store(&mut self) -> anyhow::Result<()> {
        ensure!(!self.control.runs(), "control still runs");
        std::fs::remove_file(self.dir.join("control.sqlite"))?;
        for rest in ["control.sqlite-wal", "control.sqlite-shm"] {
            let file = self.dir.join(rest);
            if file.exists() {
                std::fs::remove_file(file)?;
            }
        }
        Ok(())
    }

    /// Runs `miroir-control` with this verb, control's own configuration and further arguments.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn control_verb(&self, verb: &str, arguments: &[&str]) -> anyhow::Result<Ran> {
        let output = tokio::process::Command::new(parts::control()?)
            .arg(verb)
            .args(arguments)
            .args(["--config", &text(&self.dir.join("control.toml"))])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        Ok(output.into())
    }

    /// The note that control has left on a node.
    ///
    /// # Errors
    /// When there is none.
    pub async fn note_on(&self, node: usize) -> anyhow::Result<Value> {
        let answer = self.node_client(node).get(&format!("/keys/{READER}")).await?.json();
        let text = answer["description"].as_str().context("no note")?;
        Ok(serde_json::from_str(text)?)
    }

    /// Waits until the note on a node is as it must be.
    ///
    /// # Errors
    /// When it does not get so.
    pub async fn noted(&self, node: usize, what: &str, is: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let is = &is;
        until(&format!("a note on node {node}: {what}"), Duration::from_secs(60), || async move {
            self.note_on(node).await.ok().filter(is).map(|_| ())
        })
        .await
    }
}
