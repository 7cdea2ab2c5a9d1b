//! Parts that are started again, and processes that an earlier run left behind.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::say;
use crate::harness::cluster::Description;
use crate::harness::process::{Part, signal};
use crate::{Client, Cluster, until};

fn read(dir: &Path) -> anyhow::Result<Description> {
    let file = dir.join("cluster.json");
    let text = std::fs::read(&file).with_context(|| format!("no cluster in {}", dir.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

fn parts(description: &mut Description) -> impl Iterator<Item = &mut Part> {
    let Description { nodes, control, envoys, .. } = description;
    nodes.iter_mut().chain(std::iter::once(control)).chain(envoys)
}

/// True when the process of this part is still the one that was started.
fn runs(part: &Part) -> bool {
    let Some(pid) = part.pid else { return false };
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let program = part.command.first().map(String::as_bytes).unwrap_or_default();
    !program.is_empty() && command.starts_with(program)
}

fn gone(part: &Part) -> bool {
    // A killed child of a demo that still runs stays a zombie until that demo ends: it has no command line.
    !runs(part)
}

/// Starts a part of a running demo again, as it was.
pub(super) async fn part(dir: &Path, id: &str) -> anyhow::Result<()> {
    let mut description = read(dir)?;
    let known: Vec<String> = parts(&mut description).map(|part| part.id.clone()).collect();
    let part = parts(&mut description).find(|part| part.id == id).with_context(|| format!("parts are {known:?}"))?;
    ensure!(gone(part), "{id} still runs as process {}: kill it first", part.pid.unwrap_or_default());
    part.spawn()?;
    let started = part.clone();
    std::fs::write(dir.join("cluster.json"), serde_json::to_vec_pretty(&description)?)?;
    let client = Client::new(&started.url, None);
    until(id, Duration::from_secs(30), || async { client.get("/health").await.ok() }).await?;
    say(&format!("{id} runs again as process {}", started.pid.unwrap_or_default()));
    Ok(())
}

/// Takes the directory for one demo; it is free again when the file is closed, however the demo ends.
pub(super) fn alone(dir: &Path) -> anyhow::Result<std::fs::File> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let file = std::fs::File::create(dir.join("demo.lock"))?;
    file.try_lock().with_context(|| format!("a demo runs on {} already: stop it first", dir.display()))?;
    Ok(file)
}

/// Ends what an earlier demo with this directory left running.
pub(super) fn end_leftovers(dir: &Path) -> anyhow::Result<()> {
    if !dir.join("cluster.json").is_file() {
        return Ok(());
    }
    for part in parts(&mut read(dir)?).filter(|part| runs(part)) {
        say(&format!("{} of an earlier run is still there: ending it", part.id));
        signal(part.pid.unwrap_or_default(), "KILL")?;
    }
    Ok(())
}

/// Ends the parts that were started again by another process and so are no children of this one.
pub(super) fn end_restarted(cluster: &Cluster) -> anyhow::Result<()> {
    let ours: Vec<Option<u32>> = cluster
        .nodes
        .iter()
        .chain(std::iter::once(&cluster.control))
        .chain(&cluster.envoys)
        .map(|process| process.part.pid)
        .collect();
    for part in parts(&mut read(&cluster.dir)?).filter(|part| runs(part) && !ours.contains(&part.pid)) {
        signal(part.pid.unwrap_or_default(), "KILL")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_one_demos_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = alone(dir.path()).unwrap();
        assert!(alone(dir.path()).unwrap_err().to_string().contains("a demo runs on"));
        drop(first);
        alone(dir.path()).unwrap();
    }
}
