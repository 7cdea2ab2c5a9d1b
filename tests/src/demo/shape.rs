//! How large the cluster is: as the flags want it when it is new, as it was made when it is kept.

use std::path::Path;

use anyhow::{Context, ensure};

use super::arguments::Arguments;
use super::restart;
use crate::Cluster;

/// Nodes, copies and shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub nodes: usize,
    pub replication_factor: u8,
    pub shards: u32,
}

impl Shape {
    /// Of a new cluster.
    pub(super) fn wanted(arguments: &Arguments) -> Self {
        let nodes = arguments.nodes.unwrap_or(3);
        Self {
            nodes,
            // One node cannot hold two copies.
            replication_factor: arguments.replication_factor.unwrap_or(if nodes < 2 { 1 } else { 2 }),
            shards: arguments.shards.unwrap_or(128),
        }
    }

    /// Of the cluster in this directory as it was made, where there is one.
    pub(super) fn kept(dir: &Path) -> anyhow::Result<Option<Self>> {
        Ok(restart::known(dir)?.map(|kept| Self {
            nodes: kept.nodes.len(),
            replication_factor: kept.replication_factor,
            shards: kept.shards,
        }))
    }

    /// Of the cluster that runs, as control has it: operators may have changed what a kept one was made with.
    pub(super) async fn running(cluster: &Cluster) -> anyhow::Result<Self> {
        let answer = cluster.operator_client().get("/_miroir/status").await?;
        ensure!(answer.status == 200, "status: {} {}", answer.status, answer.text);
        let status = answer.json();
        let number = |name: &str| status[name].as_u64().with_context(|| format!("no {name} in {status}"));
        Ok(Self {
            nodes: status["nodes"].as_array().with_context(|| format!("no nodes in {status}"))?.len(),
            replication_factor: u8::try_from(number("replicationFactor")?)?,
            shards: u32::try_from(number("shardCount")?)?,
        })
    }

    /// Flags that ask for something else than this kept cluster has, one sentence each.
    pub(super) fn ignored(&self, arguments: &Arguments) -> Vec<String> {
        let differs = |flag: &str, asked: Option<u64>, has: u64, how: &str| {
            let asked = asked.filter(|asked| *asked != has)?;
            Some(format!("{flag} {asked} is ignored: the kept cluster has {has} ({how})"))
        };
        let (nodes, wanted) = (self.nodes as u64, arguments.nodes.map(|nodes| nodes as u64));
        let copies = arguments.replication_factor;
        [
            differs("--nodes", wanted, nodes, "to change it: miroirctl node add, miroirctl node remove"),
            differs(
                "--replication-factor",
                copies.map(u64::from),
                self.replication_factor.into(),
                "to change it: miroirctl rf",
            ),
            differs(
                "--shards",
                arguments.shards.map(u64::from),
                self.shards.into(),
                "it is fixed for a cluster's life",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = if self.nodes == 1 { "" } else { "s" };
        let Self { nodes, replication_factor, shards } = self;
        write!(out, "{nodes} node{plural}, replication factor {replication_factor}, {shards} shards")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_single_node_holds_single_copies() {
        let copies =
            |flags: &[&str]| Shape::wanted(&Arguments::parse_from([&["demo"], flags].concat())).replication_factor;
        assert_eq!((copies(&["--nodes", "1"]), copies(&["--nodes", "2"]), copies(&[])), (1, 2, 2));
        assert_eq!(copies(&["--nodes", "5", "--replication-factor", "3"]), 3);
    }

    #[test]
    fn flags_that_a_kept_cluster_cannot_follow_are_named() {
        let kept = Shape { nodes: 3, replication_factor: 2, shards: 128 };
        let ignored = |flags: &[&str]| kept.ignored(&Arguments::parse_from([&["demo"], flags].concat()));
        assert!(ignored(&[]).is_empty());
        assert!(ignored(&["--nodes", "3", "--replication-factor", "2", "--shards", "128"]).is_empty());
        let all = ignored(&["--nodes", "2", "--replication-factor", "3", "--shards", "16"]);
        let begins =
            ["--nodes 2 is ignored: the kept cluster has 3", "--replication-factor 3 is ignored", "--shards 16"];
        assert_eq!(all.len(), begins.len());
        for (sentence, begin) in all.iter().zip(begins) {
            assert!(sentence.starts_with(begin), "{sentence}");
        }
    }

    #[test]
    fn a_directory_without_a_cluster_keeps_nothing() {
        assert_eq!(Shape::kept(tempfile::tempdir().unwrap().path()).unwrap(), None);
    }
}
