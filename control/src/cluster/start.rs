//! Starts the cluster: store, identity, placement, sequencer, actor, executor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use miroir_core::placement::{NodeSpec, place};
use miroir_sequencer::{ConfigNode, NodePlace, Sequencer, TaskRow};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::actor::Actor;
use super::clock::Clock;
use super::executor::Executor;
use super::ground;
use super::handle::Cluster;
use super::identity::Identity;
use super::members;
use super::shared::Shared;
use super::waiters::Waiters;
use super::{Indexes, KeyRecord, Note, Planner};
use crate::config::{Config, Node};
use crate::node::Client;
use crate::store::{Change, Lease, Loaded, Location, Store, StoreError};
use crate::tasks::filter::{TaskFilter, TaskPage};
use crate::telemetry::Metrics;
use crate::webhooks::Courier;

/// First and longest pause between attempts to bring keys and features to nodes that do not take them.
const ALIGN_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Shortest time between two notes.
const NOTE_PAUSE: Duration = Duration::from_secs(2);

/// Finished tasks left in a node's list: enough to look into what happened, and far from the engine's million.
const NODE_TASKS: u32 = 100_000;

/// A cluster that runs.
#[derive(Debug)]
pub struct Running {
    /// The handle. Dropping the last one ends the cluster.
    pub cluster: Arc<Cluster>,
    /// Ends when the cluster has ended; with an error when the store has failed: then nothing may be done any more.
    pub ended: JoinHandle<Result<(), StoreError>>,
}

/// Starts. `default_keys` are stored at the first start; `lease` is there where the store is a shared one.
///
/// # Errors
/// The store, a configuration that does not fit what the store holds, a node's CA bundle that cannot be used, nodes with
/// indexes at the first start.
pub async fn start(
    config: &Config,
    lease: Option<Lease>,
    planner: Arc<dyn Planner>,
    default_keys: Vec<KeyRecord>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Running> {
    let (store, Loaded { snapshot, mut values }) = open_store(&config.store, lease).await?;
    let identity = match values.remove(Identity::NAME) {
        Some(stored) => known(serde_json::from_value(stored)?, config, snapshot.nodes.is_empty())?,
        None => {
            ground::ensure_free(config).await?;
            first(config, &store).await?
        }
    };
    let keys: Vec<KeyRecord> = match values.remove(KeyRecord::STORED) {
        Some(keys) => serde_json::from_value(keys).context("reading the stored keys")?,
        None => {
            let json = serde_json::to_string(&default_keys)?;
            store.write(vec![Change::Value(KeyRecord::STORED.to_owned(), Some(json))]).await?;
            default_keys
        }
    };
    if config.secrets.master_key.is_none() {
        warn!("no master key: nodes are open, and late writes cannot be fenced");
    }
    let clock = Clock::start();
    let client = Client::new(&config.secrets, &identity.id, identity.shards, metrics.copied().clone());
    let indexes: Indexes = snapshot.indexes.iter().map(|index| (index.uid.clone(), Arc::new(index.clone()))).collect();
    let (sequencer, first) = Sequencer::new(sequencing(config, &identity), snapshot, clock.now_ms());
    let members = members::at_start(sequencer.members());
    if let Some(fault) = client.set_nodes(&members).into_iter().next() {
        bail!(fault);
    }
    info!(cluster = identity.id, nodes = members.len(), shards = identity.shards, "starting");
    let shared = Arc::new(Shared::new(sequencer.map(), members, indexes, keys));
    shared.values.set(values);
    for task in open_tasks(&store).await? {
        shared.note(&task);
    }

    let (events, inbox) = mpsc::unbounded_channel();
    let (steps, work) = mpsc::unbounded_channel();
    let waiters = Waiters::default();
    let keys_changed = Arc::new(Notify::new());
    let executor = Executor {
        store: store.clone(),
        client: client.clone(),
        planner,
        shared: shared.clone(),
        waiters: waiters.clone(),
        metrics,
        events: events.downgrade(),
        fenced: keys_changed.clone(),
        courier: Courier::start(config.private_webhooks)?,
        findings: config.findings.clone(),
    };
    let actor = Actor { sequencer, clock, inbox, steps, seen: Vec::new(), wake_ms: None, leaving: Vec::new() };
    tokio::spawn(actor.run(first));
    let ended = tokio::spawn(executor.run(work));
    let cluster = Arc::new(Cluster {
        secrets: config.secrets.clone(),
        shared: shared.clone(),
        store,
        client: client.clone(),
        waiters,
        events,
        keys_changed: keys_changed.clone(),
        changing: Arc::default(),
        closing: CancellationToken::new(),
    });
    tokio::spawn(keep_noted(Arc::downgrade(&cluster), keys_changed.clone()));
    tokio::spawn(keep_aligned(Arc::downgrade(&cluster), keys_changed));
    tokio::spawn(crate::tasks::keep_short(Arc::downgrade(&cluster)));
    Ok(Running { cluster, ended })
}

/// Opens the store, which a file is made for where there is none.
///
/// # Errors
/// When it cannot be opened, or a shared one comes without its lease.
pub(crate) async fn open_store(location: &Location, lease: Option<Lease>) -> anyhow::Result<(Store, Loaded)> {
    let opened = match (location, lease) {
        (Location::File(path), _) => {
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
            }
            Store::open(path)
        }
        (Location::Redis(redis), Some(lease)) => Store::open_shared(redis, lease).await,
        (Location::Redis(_), None) => bail!("a shared store is used by its leader only"),
    };
    opened.with_context(|| format!("opening {location}"))
}

async fn first(config: &Config, store: &Store) -> anyhow::Result<Identity> {
    let id = Identity::new_id();
    let specs: Vec<NodeSpec> = config
        .nodes
        .iter()
        .map(|node| NodeSpec { id: node.id.clone(), weight: node.weight, zone: node.zone.clone() })
        .collect();
    let placed = place(&specs, config.shards, config.replication_factor)?;
    let owners = placed.iter().map(|owners| owners.iter().map(|at| specs[*at].id.clone()).collect()).collect();
    let identity = Identity { id, shards: config.shards, replication_factor: config.replication_factor, owners };
    let json = serde_json::to_string(&identity)?;
    store.write(vec![Change::Value(Identity::NAME.to_owned(), Some(json))]).await?;
    info!(cluster = identity.id, "new cluster");
    Ok(identity)
}

/// Checks a known cluster against the configuration. Without members in the store it has never run.
fn known(identity: Identity, config: &Config, never_ran: bool) -> anyhow::Result<Identity> {
    ensure!(
        identity.shards == config.shards,
        "the store was made for {} shards, the configuration says {}: the number of shards cannot be changed",
        identity.shards,
        config.shards
    );
    if identity.replication_factor != config.replication_factor {
        warn!(
            first = identity.replication_factor,
            configured = config.replication_factor,
            "the configured replication factor counts for a new cluster only: operators change it while it runs"
        );
    }
    let missing = identity.owners.iter().flatten().find(|id| !config.nodes.iter().any(|node| node.id == **id));
    if let Some(missing) = missing.filter(|_| never_ran) {
        bail!("node {missing} holds shards but is not in the configuration");
    }
    Ok(identity)
}

fn sequencing(config: &Config, identity: &Identity) -> miroir_sequencer::Config {
    let position: BTreeMap<&str, u16> = (0u16..).zip(&config.nodes).map(|(at, node)| (node.id.as_str(), at)).collect();
    let owners = identity
        .owners
        .iter()
        .map(|owners| owners.iter().filter_map(|id| position.get(id.as_str()).copied()).collect())
        .collect();
    let place = |node: &Node| NodePlace {
        url: node.url.to_string(),
        weight: node.weight,
        zone: node.zone.clone(),
        tls_ca: node.tls_ca.clone(),
    };
    let node = |node: &Node| ConfigNode { id: node.id.clone(), place: place(node) };
    miroir_sequencer::Config {
        cluster: identity.id.clone(),
        shards: identity.shards,
        replication_factor: identity.replication_factor,
        nodes: config.nodes.iter().map(node).collect(),
        owners,
        fencing: config.secrets.master_key.is_some(),
        min_accept: config.min_accept,
        node_tasks: NODE_TASKS,
        cluster_names: config.envoy.cluster_names.clone(),
        control_cluster: config.envoy.control_cluster.clone(),
        control_internal_cluster: config.envoy.control_internal_cluster.clone(),
        limits: config.limits.clone(),
        policies: config.policies.clone(),
        timing: config.timing.clone(),
        scrub: config.scrub,
    }
}

/// Tasks that were not over when the last process ended.
async fn open_tasks(store: &Store) -> anyhow::Result<Vec<TaskRow>> {
    let reader = store.reader().clone();
    let filter = TaskFilter { statuses: Some(vec!["enqueued", "processing"]), ..TaskFilter::default() };
    let page = TaskPage { filter, limit: u32::MAX, from: None, reverse: true };
    let (tasks, _) = tokio::task::spawn_blocking(move || reader.page(&page, &|_| true, false)).await??;
    Ok(tasks)
}

/// Tells nodes what they are to keep for `recover`, whenever it has changed, and not all the time.
async fn keep_noted(cluster: std::sync::Weak<Cluster>, changed: Arc<Notify>) {
    let Some(mut maps) = cluster.upgrade().map(|cluster| cluster.shared.map.subscribe()) else { return };
    let mut told: Option<Note> = None;
    loop {
        let Some(note) = cluster.upgrade().map(|cluster| cluster.shared.left_on_nodes()) else { return };
        if told.as_ref().is_none_or(|told| note.tells_more_than(told)) {
            told = Some(note);
            changed.notify_one();
        }
        tokio::time::sleep(NOTE_PAUSE).await;
        // Settings that no map shows change seldom; they are looked at now and then.
        let _ = tokio::time::timeout(ALIGN_RETRY.1, maps.changed()).await;
    }
}

/// Brings keys and features to nodes that have (re)appeared or did not take a change.
async fn keep_aligned(cluster: std::sync::Weak<Cluster>, changed: Arc<Notify>) {
    let mut pause = ALIGN_RETRY.0;
    loop {
        // The cluster ends while nobody tells of changes: look now and then whether it is still there.
        let _ = tokio::time::timeout(ALIGN_RETRY.1, changed.notified()).await;
        loop {
            let Some(cluster) = cluster.upgrade() else { return };
            if cluster.align().await {
                pause = ALIGN_RETRY.0;
                break;
            }
            drop(cluster);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(ALIGN_RETRY.1);
        }
    }
}
