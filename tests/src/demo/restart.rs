//! Parts that are started again, and processes that an earlier run left behind.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::say;
use crate::harness::cluster::Description;
use crate::harness::process::{Part, signal};
use crate::{Client, Cluster, until};

/// Longest wait for a killed process to end.
const END_LIMIT: Duration = Duration::from_secs(30);

/// What the last demo with this directory has written about its cluster.
pub(super) fn known(dir: &Path) -> anyhow::Result<Option<Description>> {
    let file = dir.join("cluster.json");
    match std::fs::read(&file) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text).with_context(|| file.display().to_string())?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
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

/// True when the process of this part has ended and its sockets are closed. A killed child of a demo that still runs
/// stays a zombie until that demo ends, and its last thread closes what it had open.
fn ended(part: &Part) -> bool {
    let Some(pid) = part.pid else { return true };
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let dead = matches!(state, Some("Z" | "X")) && threads <= 1;
    // A process that is on its way out has no command line; one with another has got the same id later.
    let another = || std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|it| !it.is_empty()) && !runs(part);
    dead || another()
}

async fn await_end(part: &Part) -> anyhow::Result<()> {
    until(&format!("the end of {}", part.id), END_LIMIT, || async { ended(part).then_some(()) }).await
}

/// Kills these parts, and waits until they have ended.
async fn end(parts: &[&Part]) -> anyhow::Result<()> {
    for part in parts {
        // Without a process to signal there is nothing to do, and the wait below finds that.
        let _ = signal(part.pid.unwrap_or_default(), "KILL");
    }
    for part in parts {
        await_end(part).await?;
    }
    Ok(())
}

/// Starts a part of a running demo again, as it was.
pub(super) async fn part(dir: &Path, id: &str) -> anyhow::Result<()> {
    let mut description = known(dir)?.with_context(|| format!("no cluster in {}", dir.display()))?;
    let known: Vec<String> = parts(&mut description).map(|part| part.id.clone()).collect();
    let part = parts(&mut description).find(|part| part.id == id).with_context(|| format!("parts are {known:?}"))?;
    ensure!(!runs(part), "{id} still runs as process {}: kill it first", part.pid.unwrap_or_default());
    await_end(part).await?;
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
pub(super) async fn end_leftovers(dir: &Path) -> anyhow::Result<()> {
    let Some(mut description) = known(dir)? else { return Ok(()) };
    let left: Vec<&Part> = parts(&mut description).filter(|part| runs(part)).map(|part| &*part).collect();
    for part in &left {
        say(&format!("{} of an earlier run is still there: ending it", part.id));
    }
    end(&left).await
}

/// Ends the parts that were started again by another process and so are no children of this one.
pub(super) async fn end_restarted(cluster: &Cluster) -> anyhow::Result<()> {
    let ours: Vec<Option<u32>> = cluster
        .nodes
        .iter()
        .chain(std::iter::once(&cluster.control))
        .chain(&cluster.envoys)
        .map(|process| process.part.pid)
        .collect();
    let Some(mut description) = known(&cluster.dir)? else { return Ok(()) };
    let others = parts(&mut description).filter(|part| runs(part) && !ours.contains(&part.pid));
    end(&others.map(|part| &*part).collect::<Vec<_>>()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::process::Process;

    #[tokio::test]
    async fn a_directory_is_one_demos_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = alone(dir.path()).unwrap();
        assert!(alone(dir.path()).unwrap_err().to_string().contains("a demo runs on"));
        drop(first);
        // A process that another test is just starting has the file open until it runs its program.
        until("the directory to be free", END_LIMIT, || async { alone(dir.path()).ok() }).await.unwrap();
    }

    /// A process that takes connections at the address it prints, with more threads than one.
    const LISTENER: &str = "import socket, threading, time\n\
        held = [bytearray(1 << 20) for _ in range(64)]\n\
        for _ in range(8): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n\
        listener = socket.create_server((\"127.0.0.1\", 0))\n\
        print(listener.getsockname()[1], flush=True)\n\
        time.sleep(600)";

    #[tokio::test]
    async fn what_an_earlier_run_left_has_closed_its_port_when_it_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let part = |id: &str, command: &[&str]| Part {
            id: id.to_owned(),
            url: String::new(),
            pid: None,
            log: dir.path().join(format!("{id}.log")),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
        };
        let mut left = Process::start(part("envoy-0", &["python3", "-c", LISTENER])).unwrap();
        let port = until("its port", END_LIMIT, || async {
            let log = std::fs::read_to_string(&left.part.log).unwrap_or_default();
            log.strip_suffix('\n')?.parse::<u16>().ok()
        });
        let address = ("127.0.0.1", port.await.unwrap());
        std::net::TcpListener::bind(address).unwrap_err();
        // It may have been found by another name, and is known by its own.
        let command = std::fs::read_to_string(format!("/proc/{}/cmdline", left.part.pid.unwrap())).unwrap();
        left.part.command = command.split('\0').map(str::to_owned).collect();
        let description = Description {
            url: String::new(),
            master_key: None,
            replication_factor: 1,
            shards: 1,
            nodes: vec![],
            control: part("control", &[]),
            envoys: vec![left.part.clone()],
        };
        std::fs::write(dir.path().join("cluster.json"), serde_json::to_vec(&description).unwrap()).unwrap();

        end_leftovers(dir.path()).await.unwrap();
        std::net::TcpListener::bind(address).unwrap();
        assert!(!left.runs());
        assert!(ended(&left.part));
        end_leftovers(dir.path()).await.unwrap();
    }
}
