//! `serve`: binds the listeners, starts the cluster, and ends in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use miroir_core::shardmap::ShardMap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api::{self, Service};
use crate::cluster::{self, Members, Runtime};
use crate::config::{Config, Module, Node};
use crate::import;
use crate::recover::adopt::{Waiting, settle};
use crate::settings::SettingsPlanner;
use crate::signals::Signals;
use crate::standby::Switch;
use crate::store::{Lease, Location};
use crate::telemetry::Metrics;
use crate::xds::{self, Pushed, Role, Tracker, Upstream};

/// CA bundle for https upstreams that name none: the one of the system, where Debian and Envoy's images have it.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How long the clusters of a node that has gone stay defined: requests that began on an older map still name them.
const LINGER: Duration = Duration::from_secs(60);

/// Runs until a signal, or until the store fails.
///
/// # Errors
/// What keeps the service from starting; a failure of the store.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::take().context("waiting for signals")?;
    let bind = async |address: std::net::SocketAddr| {
        TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
    };
    let public = bind(config.listen_api).await?;
    let internal = bind(config.listen_internal).await?;
    // The public listener closes with the first of these, and the one over which writes end with the second.
    let (closing, shutdown) = (CancellationToken::new(), CancellationToken::new());
    let (public_api, internal_api) = (Switch::default(), Switch::default());
    let public = tokio::spawn(listen(public, public_api.router(), closing.clone()));
    let internal = tokio::spawn(listen(internal, internal_api.router(), shutdown.clone()));

    let name = format!("{}:{}", config.envoy.advertise, config.listen_api.port());
    let lease = match &config.store {
        Location::File(_) => None,
        Location::Redis(redis) => tokio::select! {
            lease = Lease::wait_for(redis, &name) => Some(lease?),
            () = signals.next() => return Ok(()),
        },
    };
    // Bound by the leader only: an Envoy that gets through to it finds one that answers.
    let ads = bind(config.listen_xds).await?;

    let metrics = Arc::new(Metrics::default());
    let planner = Arc::new(SettingsPlanner);
    let keys = crate::keys::default_keys();
    let listeners = Waiting { public: &public_api, internal: &internal_api };
    let start = async {
        let opened = settle(&config, lease.clone(), listeners).await?;
        cluster::start(&config, opened, planner, keys, metrics.clone()).await
    };
    let running = tokio::select! {
        running = start => running?,
        () = async { match &lease { Some(lease) => lease.lost().await, None => std::future::pending().await } } => {
            anyhow::bail!("leadership is lost");
        }
        () = signals.next() => {
            release(lease).await;
            return Ok(());
        }
    };
    let mut ended = running.ended;
    let tracker = Tracker::default();
    let service = Service::new(running.cluster.clone(), metrics, tracker.clone(), &config);
    let service =
        Arc::new(service.with_context(|| format!("making {}, or reading open tasks", config.spool.display()))?);
    let (maps, members) = (running.cluster.map_changes(), running.cluster.member_changes());
    let cluster = running.cluster;

    let first = push(&config, &members.borrow(), maps.borrow().clone());
    let (pushed, told) = watch::channel(Arc::new(first));
    let follower = tokio::spawn(follow(config.clone(), maps, members, pushed, LINGER));
    let module = config.envoy.module.clone();
    if let Some(directory) = config.envoy.files.clone() {
        let files = xds::Files::open(directory.clone(), module.clone());
        let files = files.with_context(|| format!("writing Envoy's files to {}", directory.display()))?;
        tokio::spawn(files.follow(told.clone()));
    }
    let ads = tokio::spawn(xds::serve(ads, told, tracker, module, shutdown.clone()));
    if let Some(file) = &config.dumps.import {
        let ignore = config.dumps.ignore_if_not_empty;
        tokio::select! {
            imported = import::run(file, &config.spool, service.clone(), ignore) => imported?,
            () = signals.next() => anyhow::bail!("stopped while a dump was being imported: the cluster holds a part of it"),
            end = &mut ended => return end.context("the executor")?.context("the store failed"),
        }
    }
    public_api.lead(api::public(service.clone()));
    internal_api.lead(api::internal(service.clone()));
    drop((service, public_api, internal_api));
    info!(api = %config.listen_api, internal = %config.listen_internal, xds = %config.listen_xds, "listening");

    let serve = async {
        signals.next().await;
        info!("stopping");
        closing.cancel();
        cluster.close();
        let limit = Instant::now() + Duration::from_millis(config.drain_ms);
        // Until then the internal listener serves: an open write needs it for its commit.
        if tokio::time::timeout_at(limit, cluster.settled()).await.is_err() {
            warn!("writes are still open");
        }
        limit
    };
    let limit = tokio::select! {
        limit = serve => limit,
        end = &mut ended => {
            // Whoever waits gets no answer, which is the truth: nobody knows what the disk holds.
            error!("the store failed");
            return end.context("the executor")?.context("the store failed").and_then(|()| anyhow::bail!("ended early"));
        }
        () = async { match &lease { Some(lease) => lease.lost().await, None => std::future::pending().await } } => {
            // Another control may lead already. Nothing may be finished, not even an answer.
            anyhow::bail!("leadership is lost");
        }
    };
    shutdown.cancel();
    drop(cluster);
    let drain = async {
        for listener in [public, internal] {
            if let Ok(Err(error)) = listener.await {
                warn!(%error, "listener");
            }
        }
        if let Ok(Err(error)) = ads.await {
            warn!(%error, "xDS");
        }
        ended.await
    };
    follower.abort();
    let drained = tokio::time::timeout_at(limit, drain).await;
    release(lease).await;
    match drained {
        Ok(end) => end.context("the executor")?.context("the store failed"),
        Err(_) => {
            warn!("requests were still in flight");
            Ok(())
        }
    }
}

async fn listen(listener: TcpListener, router: axum::Router, shutdown: CancellationToken) -> std::io::Result<()> {
    use axum::serve::ListenerExt;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

/// Lets another control lead at once.
async fn release(lease: Option<Lease>) {
    if let Some(lease) = lease {
        lease.release().await;
    }
}

/// Keeps what Envoys are told up to date.
async fn follow(
    config: Config,
    mut maps: watch::Receiver<Arc<ShardMap>>,
    mut members: watch::Receiver<Members>,
    pushed: watch::Sender<Arc<Pushed>>,
    linger: Duration,
) {
    let mut known = members.borrow_and_update().clone();
    // Nodes that were members a short while ago, and when to forget them.
    let mut gone: Vec<(Instant, Node)> = Vec::new();
    loop {
        let next = gone.iter().map(|(until, _)| *until).min();
        let forget = async {
            match next {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            change = maps.changed() => if change.is_err() { return },
            change = members.changed() => if change.is_err() { return },
            () = forget => {}
        }
        let now = members.borrow_and_update().clone();
        let left = known.iter().filter(|node| now.iter().all(|member| member.id != node.id));
        gone.extend(left.map(|node| (Instant::now() + linger, node.clone())));
        gone.retain(|(until, node)| *until > Instant::now() && now.iter().all(|member| member.id != node.id));
        known = now;
        let nodes: Vec<Node> = known.iter().chain(gone.iter().map(|(_, node)| node)).cloned().collect();
        let map = maps.borrow_and_update().clone();
        pushed.send_replace(Arc::new(push(&config, &nodes, map)));
    }
}

fn push(config: &Config, nodes: &[Node], map: Arc<ShardMap>) -> Pushed {
    let mut upstreams = Vec::with_capacity(nodes.len() * 2 + 2);
    for node in nodes {
        let names = &config.envoy.cluster_names;
        let read = names.read(&node.id, node.url.as_str());
        let write = names.write(&node.id, node.url.as_str());
        // Envoy refuses a list in which a cluster stands twice; one for both is one that takes writes whatever reads do.
        if read != write {
            upstreams.push(upstream(&node.url, read, node.tls_ca.as_deref(), Role::NodeRead));
        }
        upstreams.push(upstream(&node.url, write, node.tls_ca.as_deref(), Role::NodeWrite));
    }
    for (cluster, address, role) in [
        (&config.envoy.control_cluster, config.listen_api, Role::Control),
        (&config.envoy.control_internal_cluster, config.listen_internal, Role::ControlInternal),
    ] {
        upstreams.push(Upstream {
            cluster: cluster.clone(),
            host: config.envoy.advertise.clone(),
            port: address.port(),
            tls_ca: None,
            role,
        });
    }
    if let Module::Remote { url, cluster, tls_ca, .. } = &config.envoy.module {
        upstreams.push(upstream(url, cluster.clone(), tls_ca.as_deref(), Role::Module));
    }
    Pushed { map, upstreams }
}

fn upstream(url: &reqwest::Url, cluster: String, tls_ca: Option<&str>, role: Role) -> Upstream {
    Upstream {
        cluster,
        host: url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
        port: url.port_or_known_default().unwrap_or_default(),
        tls_ca: (url.scheme() == "https").then(|| tls_ca.unwrap_or(SYSTEM_CA).to_owned()),
        role,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::ServeArguments;

    use super::*;

    const LINGER: Duration = Duration::from_millis(200);

    fn node(id: &str) -> Node {
        let url = format!("http://{id}:7700").parse().unwrap();
        Node { id: id.to_owned(), url, weight: 1.0, zone: None, tls_ca: None }
    }

    fn defined(pushed: &Pushed) -> Vec<&str> {
        let reads = pushed.upstreams.iter().filter(|upstream| upstream.role == Role::NodeRead);
        reads.map(|upstream| upstream.host.as_str()).collect()
    }

    fn map() -> ShardMap {
        ShardMap {
            cluster: "c0ffee00".to_owned(),
            epoch: 1,
            shards: 1,
            replication_factor: 1,
            nodes: Vec::new(),
            stale: Vec::new(),
            placements: Vec::new(),
            indexes: Default::default(),
            limits: Default::default(),
            policies: Default::default(),
            control_cluster: String::new(),
            control_internal_cluster: String::new(),
        }
    }

    #[test]
    fn a_cluster_is_defined_once_and_so_is_the_modules_host() {
        let mut arguments = ServeArguments { nodes: vec!["a=http://a:7700".to_owned()], ..ServeArguments::default() };
        arguments.envoy.node_cluster = Some("outbound|{port}||{host}".to_owned());
        arguments.envoy.node_write_cluster = arguments.envoy.node_cluster.clone();
        arguments.envoy.filter_module = Some("https://files.example/m.wasm".to_owned());
        arguments.envoy.filter_sha256 = Some("0".repeat(64));
        let pushed = push(&Config::load(&arguments).unwrap(), &[node("a")], Arc::new(map()));
        let names: Vec<&str> = pushed.upstreams.iter().map(|upstream| upstream.cluster.as_str()).collect();
        assert_eq!(names, ["outbound|7700||a", "miroir-control", "miroir-control-internal", "miroir-module"]);
        assert_eq!(pushed.upstreams[0].role, Role::NodeWrite);
        let module = &pushed.upstreams[3];
        assert_eq!(
            (module.host.as_str(), module.port, module.tls_ca.as_deref()),
            ("files.example", 443, Some(SYSTEM_CA))
        );
    }

    #[tokio::test]
    async fn clusters_follow_the_members_and_outlive_them_for_a_while() {
        let arguments = ServeArguments { nodes: vec!["a=http://a:7700".to_owned()], ..ServeArguments::default() };
        let config = Config::load(&arguments).unwrap();
        let (_map, maps) = watch::channel(Arc::new(map()));
        let (members, changes) = watch::channel(Members::new(vec![node("a")]));
        let (sender, mut told) = watch::channel(Arc::new(push(&config, &[node("a")], maps.borrow().clone())));
        tokio::spawn(follow(config, maps, changes, sender, LINGER));
        tokio::task::yield_now().await;
        members.send_replace(Members::new(vec![node("a"), node("b")]));
        told.changed().await.unwrap();
        assert_eq!(defined(&told.borrow_and_update()), ["a", "b"]);
        let before = Instant::now();
        members.send_replace(Members::new(vec![node("b")]));
        told.changed().await.unwrap();
        assert_eq!(defined(&told.borrow_and_update()), ["b", "a"]);
        told.changed().await.unwrap();
        assert_eq!(defined(&told.borrow_and_update()), ["b"]);
        assert!(before.elapsed() >= LINGER);
    }
}
