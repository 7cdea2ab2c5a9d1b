//! Copies of a node's disk, to bring a node back as it was before.

use std::path::Path;

use anyhow::ensure;

use super::cluster::Cluster;

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

impl Cluster {
    /// Keeps a copy of a node's disk as it is now. The node must not run.
    ///
    /// # Errors
    /// When it runs or the disk cannot be copied.
    pub fn keep_disk(&mut self, node: usize) -> anyhow::Result<()> {
        ensure!(!self.nodes[node].runs(), "node {node} still runs");
        let kept = self.dir.join(format!("kept-{node}"));
        Ok(copy(&self.node_data(node), &kept)?)
    }

    /// Puts the kept copy in the place of a node's disk. The node must not run.
    ///
    /// # Errors
    /// When it runs or the disk cannot be written.
    pub fn restore_disk(&mut self, node: usize) -> anyhow::Result<()> {
        self.wipe(node)?;
        let kept = self.dir.join(format!("kept-{node}"));
        Ok(copy(&kept, &self.node_data(node))?)
    }
}
