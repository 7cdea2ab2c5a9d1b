//! A whole cluster on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::client::Client;
use super::engine::Engine;
use super::process::{Part, Process, tail};
use super::wait::until;
use super::{parts, ports, shared};

/// Longest wait for a part to come up; machines are slow when many tests run at once.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Key of the admin API of every cluster.
pub const ADMIN_KEY: &str = "an-admin-key-for-tests";

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nodes.
    pub nodes: usize,
    /// Zones of the first nodes; the others have none.
    pub zones: Vec<String>,
    /// Copies of each shard.
    pub replication_factor: u8,
    /// Shards.
    pub shards: u32,
    /// Envoys, all in front of the same nodes.
    pub envoys: usize,
    /// Worker threads of each Envoy.
    pub workers: usize,
    /// Master key of nodes and cluster; none runs everything open.
    pub master_key: Option<String>,
    /// Where the data are kept; a temporary directory, removed at the end, where none is named.
    pub data_dir: Option<PathBuf>,
    /// Address of the first Envoy; a free port of 127.0.0.1 where none is named.
    pub listen: Option<String>,
    /// Further lines for control's configuration file, in TOML.
    pub control_settings: String,
    /// The nodes' program; found by [`Engine::find`] where none is named.
    pub engine: Option<Engine>,
    /// Controls; more than one share a Redis, which is started too.
    pub controls: usize,
    /// The Envoys' program; found by [`parts::envoy`] where none is named.
    pub envoy: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 3,
            zones: Vec::new(),
            replication_factor: 2,
            shards: 16,
            envoys: 1,
            workers: 1,
            master_key: Some("a-master-key-for-tests".to_owned()),
            data_dir: None,
            listen: None,
            control_settings: String::new(),
            engine: None,
            controls: 1,
            envoy: None,
        }
    }
}

/// What scripts need to know of a running cluster: the form of `cluster.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Description {
    /// Where clients connect.
    pub url: String,
    /// The master key.
    pub master_key: Option<String>,
    /// Copies of each shard that the cluster was made with.
    pub replication_factor: u8,
    /// Shards.
    pub shards: u32,
    /// Nodes, in order.
    pub nodes: Vec<Part>,
    /// The control service.
    pub control: Part,
    /// Envoys, in order.
    pub envoys: Vec<Part>,
}

/// A running cluster. Dropping it kills its processes.
#[derive(Debug)]
pub struct Cluster {
    /// Nodes, in order.
    pub nodes: Vec<Process>,
    /// The control service; the first of several.
    pub control: Process,
    /// Further controls, which stand by.
    pub standbys: Vec<Process>,
    /// The Redis that several controls share.
    pub redis: Option<Process>,
    /// Envoys, in order.
    pub envoys: Vec<Process>,
    /// Admin interfaces of the Envoys, in order.
    pub envoy_admins: Vec<String>,
    /// Control's internal listener: the admin API and metrics.
    pub internal: String,
    pub(super) internals: Vec<String>,
    /// Where the first control listens for xDS, `host:port`.
    pub xds: String,
    /// Where data and logs are.
    pub dir: PathBuf,
    options: Options,
    _temporary: Option<TempDir>,
}

impl Cluster {
    /// Starts everything and waits until it serves.
    ///
    /// # Errors
    /// When a part cannot be started or does not come up; the message holds the end of its log.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let engine = options.engine.clone().map_or_else(Engine::find, Ok)?;
        let temporary = if options.data_dir.is_none() { Some(tempfile::tempdir()?) } else { None };
        let named = options.data_dir.clone().or_else(|| temporary.as_ref().map(|dir| dir.path().to_owned()));
        let dir = std::path::absolute(named.context("no directory")?)?;
        std::fs::create_dir_all(&dir)?;
        let ports = ports::free(options.nodes + 1 + 3 * options.controls + 2 * options.envoys)?;
        let mut ports = ports.into_iter();
        let mut port = || ports.next().context("too few ports");

        let mut nodes = Vec::new();
        for at in 0..options.nodes {
            nodes.push(Process::start(node(&dir, at, port()?, &engine, &options)?)?);
        }
        let (api, internal, xds) = (port()?, port()?, port()?);
        let urls: Vec<String> = nodes.iter().map(|node| node.part.url.clone()).collect();
        let redis = if options.controls > 1 { Some(shared::redis(&dir, port()?).await?) } else { None };
        let store = shared::store(&dir, redis.as_ref());
        let config = control_config(&store, &urls, (api, internal, xds), &options);
        let mut control = Process::start(control(&dir, "control", api, &config)?)?;
        for node in &mut nodes {
            ready(node, "/health").await?;
        }
        ready(&mut control, "/_miroir/ready").await?;
        let mut internals = vec![format!("http://127.0.0.1:{internal}")];
        let (mut standbys, mut all_xds) = (Vec::new(), vec![xds]);
        for at in 1..options.controls {
            let (api, internal, xds) = (port()?, port()?, port()?);
            let config = control_config(&store, &urls, (api, internal, xds), &options);
            let mut standby = Process::start(self::control(&dir, &format!("control-{at}"), api, &config)?)?;
            ready(&mut standby, "/_miroir/health").await?;
            standbys.push(standby);
            internals.push(format!("http://127.0.0.1:{internal}"));
            all_xds.push(xds);
        }

        let (mut envoys, mut envoy_admins) = (Vec::new(), Vec::new());
        for at in 0..options.envoys {
            let own = format!("127.0.0.1:{}", port()?);
            let listen = options.listen.clone().filter(|_| at == 0).unwrap_or(own);
            let admin = format!("127.0.0.1:{}", port()?);
            let mut process = Process::start(envoy(&dir, at, &listen, &admin, &all_xds, &options)?)?;
            let live = format!("http://{admin}");
            await_url(&mut process, &format!("{live}/ready")).await?;
            envoy_admins.push(live);
            envoys.push(process);
        }
        let internal = internals[0].clone();
        let cluster = Self {
            nodes,
            control,
            standbys,
            redis,
            envoys,
            envoy_admins,
            internal,
            internals,
            xds: format!("127.0.0.1:{xds}"),
            dir,
            options,
            _temporary: temporary,
        };
        cluster.describe()?;
        Ok(cluster)
    }

    /// A client of an Envoy, with the master key.
    #[must_use]
    pub fn client(&self, envoy: usize) -> Client {
        Client::new(&self.envoys[envoy].part.url, self.options.master_key.as_deref())
    }

    /// A client of a node itself, with the master key.
    #[must_use]
    pub fn node_client(&self, node: usize) -> Client {
        Client::new(&self.nodes[node].part.url, self.options.master_key.as_deref())
    }

    /// A client of control's public listener, with the master key.
    #[must_use]
    pub fn control_client(&self) -> Client {
        Client::new(&self.control.part.url, self.options.master_key.as_deref())
    }

    /// A client of control's internal listener, with the admin key.
    #[must_use]
    pub fn operator_client(&self) -> Client {
        Client::new(&self.internal, Some(ADMIN_KEY))
    }

    /// Writes `cluster.json`; to be called after a part was restarted.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn describe(&self) -> anyhow::Result<Description> {
        let part = |process: &Process| process.part.clone();
        let description = Description {
            url: self.envoys.first().map(|envoy| envoy.part.url.clone()).unwrap_or_default(),
            master_key: self.options.master_key.clone(),
            replication_factor: self.options.replication_factor,
            shards: self.options.shards,
            nodes: self.nodes.iter().map(part).collect(),
            control: self.control.part.clone(),
            envoys: self.envoys.iter().map(part).collect(),
        };
        std::fs::write(self.dir.join("cluster.json"), serde_json::to_vec_pretty(&description)?)?;
        Ok(description)
    }

    /// Removes a node's data: it comes back with an empty disk under its id. The node must not run.
    ///
    /// # Errors
    /// When the data cannot be removed.
    pub fn wipe(&mut self, node: usize) -> anyhow::Result<()> {
        ensure!(!self.nodes[node].runs(), "node {node} still runs");
        Ok(std::fs::remove_dir_all(self.node_data(node))?)
    }

    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> u32 {
        self.options.shards
    }

    /// What was started.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Where a node keeps its data.
    #[must_use]
    pub fn node_data(&self, node: usize) -> PathBuf {
        self.dir.join(format!("node-{node}"))
    }

    /// Waits until a part that was restarted answers again.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn node_up(&mut self, node: usize) -> anyhow::Result<()> {
        ready(&mut self.nodes[node], "/health").await
    }

    /// Waits until control serves again.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn control_up(&mut self) -> anyhow::Result<()> {
        ready(&mut self.control, "/_miroir/ready").await
    }

    /// Waits until an Envoy serves again.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn envoy_up(&mut self, envoy: usize) -> anyhow::Result<()> {
        let url = format!("{}/ready", self.envoy_admins[envoy]);
        await_url(&mut self.envoys[envoy], &url).await
    }
}

async fn ready(process: &mut Process, path: &str) -> anyhow::Result<()> {
    let url = format!("{}{path}", process.part.url);
    await_url(process, &url).await
}

pub(super) async fn await_url(process: &mut Process, url: &str) -> anyhow::Result<()> {
    let client = Client::new(url, None);
    let waited = until(url, START_LIMIT, || {
        let runs = process.runs();
        let asked = client.get("");
        async move {
            if !runs {
                return Some(false);
            }
            asked.await.is_ok_and(|answer| answer.status == 200).then_some(true)
        }
    })
    .await;
    let log = || tail(&process.part.log);
    match waited {
        Ok(true) => Ok(()),
        Ok(false) => anyhow::bail!("{} ended at its start:\n{}", process.part.id, log()),
        Err(error) => Err(error.context(log())),
    }
}

pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(super) fn part(dir: &Path, id: String, url: String, command: Vec<String>) -> Part {
    let log = dir.join(format!("{id}.log"));
    Part { id, url, pid: None, log, command }
}

/// What nodes take at once: their documents have tags.
const NODE_BODY_BYTES: u64 = 500_000_000;

pub(super) fn node(dir: &Path, at: usize, port: u16, engine: &Engine, options: &Options) -> anyhow::Result<Part> {
    let id = format!("node-{at}");
    let data = dir.join(&id);
    std::fs::create_dir_all(&data)?;
    let address = format!("127.0.0.1:{port}");
    let mut command = vec![text(&engine.program)];
    command.extend(["--http-addr", &address, "--no-analytics", "--env", "development"].map(str::to_owned));
    for (flag, place) in [("--db-path", "data.ms"), ("--dump-dir", "dumps"), ("--snapshot-dir", "snapshots")] {
        command.extend([flag.to_owned(), text(&data.join(place))]);
    }
    command.extend(["--experimental-allowed-ip-networks", "any"].map(str::to_owned));
    command.extend(["--http-payload-size-limit".to_owned(), NODE_BODY_BYTES.to_string()]);
    if let Some(key) = &options.master_key {
        command.extend(["--master-key".to_owned(), key.clone()]);
    }
    Ok(part(dir, id, format!("http://{address}"), command))
}

fn control_config(store: &str, urls: &[String], ports: (u16, u16, u16), options: &Options) -> String {
    let (api, internal, xds) = ports;
    let key = options.master_key.as_ref().map(|key| format!("master_key = {key:?}\n")).unwrap_or_default();
    let mut config = format!(
        "[cluster]\nreplication_factor = {}\nshards = {}\n{key}\n[admin]\nkey = {ADMIN_KEY:?}\n\n[store]\n{store}\n[listen]\n\
         api = \"127.0.0.1:{api}\"\ninternal = \"127.0.0.1:{internal}\"\nxds = \"127.0.0.1:{xds}\"\n",
        options.replication_factor, options.shards,
    );
    for (at, url) in urls.iter().enumerate() {
        let zone = options.zones.get(at).map(|zone| format!("zone = {zone:?}\n")).unwrap_or_default();
        config.push_str(&format!("\n[[nodes]]\nid = \"node-{at}\"\nurl = {url:?}\n{zone}"));
    }
    config.push_str(&format!("\n{}\n", options.control_settings));
    config
}

fn control(dir: &Path, id: &str, api: u16, config: &str) -> anyhow::Result<Part> {
    let file = dir.join(format!("{id}.toml"));
    std::fs::write(&file, config)?;
    let mut command = vec![text(&parts::control()?), "serve".to_owned(), "--config".to_owned(), text(&file)];
    command.extend(["--node-body-bytes".to_owned(), NODE_BODY_BYTES.to_string()]);
    Ok(part(dir, id.to_owned(), format!("http://127.0.0.1:{api}"), command))
}

fn envoy(dir: &Path, at: usize, listen: &str, admin: &str, xds: &[u16], options: &Options) -> anyhow::Result<Part> {
    let id = format!("envoy-{at}");
    let rendered = Command::new(parts::control()?)
        .args(["envoy-bootstrap", "--node-id", &id])
        .args(xds.iter().map(|port| format!("--control=127.0.0.1:{port}")))
        .args(["--listen", listen, "--admin", admin, "--module"])
        .arg(parts::filter()?)
        .output()?;
    ensure!(rendered.status.success(), "envoy-bootstrap: {}", String::from_utf8_lossy(&rendered.stderr));
    let file = dir.join(format!("{id}.yaml"));
    std::fs::write(&file, rendered.stdout)?;
    let program = options.envoy.clone().map_or_else(parts::envoy, Ok)?;
    let command = envoy_command(&program, &file, options.workers);
    Ok(part(dir, id, format!("http://{listen}"), command))
}

/// How an Envoy is started.
pub(super) fn envoy_command(program: &Path, config: &Path, workers: usize) -> Vec<String> {
    let mut command = vec![text(program), "--config-path".to_owned(), text(config)];
    command.extend(["--disable-hot-restart", "--log-level", "warn", "--concurrency"].map(str::to_owned));
    command.push(workers.to_string());
    command
}
