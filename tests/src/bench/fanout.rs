//! The filter's own cost: fan-out to three fixed upstreams, beside the same Envoy proxying one such answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use miroir_core::shardmap::{self, MapIndex, MapNode, Placement, SearchView, ShardMap};
use serde_json::{Value, json};

use super::wrk::Figures;
use super::{table, upstream, wrk};
use crate::harness::process::{Part, Process};
use crate::harness::{parts, ports};
use crate::{Client, until};

const SHARDS: u32 = 128;
const PATH: &str = "/indexes/films/search";

/// Ports of Envoy: Miroir's filter, plain proxying, the bare filter, its own.
const FILTERED: usize = 0;
const PLAIN: usize = 1;
const BARE: usize = 2;
const ADMIN: usize = 3;

/// Turns of plain proxying and fan-out, right after each other: what else the machine does falls on both.
const TURNS: u32 = 5;

/// What one turn measured of each.
struct Turn {
    plain: Figures,
    bare: Figures,
    merged: Figures,
}

/// Runs it and prints the table.
pub(super) async fn run(seconds: u32) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for (hits, connections) in [(20, 1), (20, 8), (1000, 1)] {
        let page = upstream::page(hits);
        let addresses = [upstream::serve(&page).await?, upstream::serve(&page).await?, upstream::serve(&page).await?];
        let dir = tempfile::tempdir()?;
        let ports = ports::free(4)?;
        let envoy = start(dir.path(), &addresses, &ports).await?;
        let body = json!({"q": "title", "limit": hits}).to_string();
        let load = |port: u16| {
            let url = format!("http://127.0.0.1:{port}{PATH}");
            let (body, dir) = (body.clone(), dir.path().to_owned());
            async move { wrk::post(&url, &body, connections, seconds.div_ceil(TURNS), &dir).await }
        };
        // V8 compiles a function when it is first called.
        load(ports[FILTERED]).await?;
        load(ports[BARE]).await?;
        let mut turns = Vec::new();
        for _ in 0..TURNS {
            let (plain, bare) = (load(ports[PLAIN]).await?, load(ports[BARE]).await?);
            turns.push(Turn { plain, bare, merged: load(ports[FILTERED]).await? });
        }
        drop(envoy);
        let median = |of: &dyn Fn(&Turn) -> f64| table::median(turns.iter().map(of).collect());
        let ratio = |of: &dyn Fn(&Turn) -> f64| format!("{:.2}", median(of));
        let millis = |of: &dyn Fn(&Turn) -> Duration| {
            table::millis(Duration::from_secs_f64(median(&|turn| of(turn).as_secs_f64())))
        };
        let slower = |of: &Figures, than: &Figures| of.p50.as_secs_f64() / than.p50.as_secs_f64();
        rows.push(vec![
            format!("{hits} hits ({} KB), {connections} connection(s)", page.len() / 1000),
            format!("{:.0}/s", median(&|turn| turn.plain.rate)),
            format!("{:.0}/s", median(&|turn| turn.merged.rate)),
            ratio(&|turn| turn.merged.rate / turn.plain.rate),
            ratio(&|turn| turn.bare.rate / turn.plain.rate),
            millis(&|turn| turn.plain.p50),
            millis(&|turn| turn.merged.p50),
            ratio(&|turn| slower(&turn.merged, &turn.plain)),
            ratio(&|turn| slower(&turn.bare, &turn.plain)),
            format!("{} / {}", millis(&|turn| turn.plain.p99), millis(&|turn| turn.merged.p99)),
        ]);
    }
    table::print(
        "Fan-out to 3 fixed upstreams and merge, beside plain proxying of one answer (one Envoy worker, medians of turns); \
         bare: a filter that makes the three calls and looks at nothing",
        &[
            "load",
            "plain",
            "fan-out",
            "rate ratio",
            "bare",
            "plain p50",
            "fan-out p50",
            "p50 ratio",
            "bare",
            "p99 plain / fan-out",
        ],
        &rows,
    );
    Ok(())
}

/// An Envoy from static files alone: one listener with the filter, one that proxies to the first upstream.
async fn start(dir: &std::path::Path, upstreams: &[SocketAddr], free: &[u16]) -> anyhow::Result<Process> {
    let file = dir.join("envoy.json");
    std::fs::write(&file, config(upstreams, free)?.to_string())?;
    let mut command = vec![parts::envoy()?.to_string_lossy().into_owned(), "--config-path".to_owned()];
    command.push(file.to_string_lossy().into_owned());
    command.extend(["--disable-hot-restart", "--log-level", "warn", "--concurrency", "1"].map(str::to_owned));
    let url = |at: usize| format!("http://127.0.0.1:{}", free[at]);
    let part = Part { id: "envoy".into(), url: url(FILTERED), pid: None, log: dir.join("envoy.log"), command };
    let process = Process::start(part)?;
    let admin = Client::new(&url(ADMIN), None);
    until("Envoy", Duration::from_secs(20), || async { admin.get("/ready").await.ok().filter(|it| it.status == 200) })
        .await?;
    Ok(process)
}

fn map(nodes: u16) -> ShardMap {
    let name = |at: u16| format!("node-{at}");
    let index = MapIndex {
        incarnation: 1,
        primary_key: Some("id".into()),
        placement: 0,
        swapping: false,
        unreadable: vec![],
        view: SearchView::default(),
    };
    ShardMap {
        cluster: "benchmap".into(),
        epoch: upstream::EPOCH,
        shards: SHARDS,
        replication_factor: 1,
        nodes: (0..nodes)
            .map(|at| MapNode {
                id: name(at),
                cluster: name(at),
                write_cluster: name(at),
                readable: true,
                last_resort: false,
            })
            .collect(),
        stale: vec![],
        placements: vec![Placement {
            owners: (0..SHARDS).map(|shard| vec![u16::try_from(shard).unwrap_or_default() % nodes]).collect(),
        }],
        indexes: BTreeMap::from([("films".to_owned(), index)]),
        limits: Default::default(),
        policies: Default::default(),
        control_cluster: "node-0".into(),
        control_internal_cluster: "node-0".into(),
    }
}

fn config(upstreams: &[SocketAddr], free: &[u16]) -> anyhow::Result<Value> {
    let map = shardmap::print(&map(u16::try_from(upstreams.len())?))?;
    let wasm = |name: &str, module: PathBuf| {
        json!({
            "name": name,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": {
                    "name": name, "root_id": name, "failure_policy": "FAIL_RELOAD",
                    "allow_on_headers_stop_iteration": true,
                    "vm_config": {"vm_id": name, "runtime": "envoy.wasm.runtime.v8",
                                  "code": {"local": {"filename": module}}},
                    "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": map}
                }
            }
        })
    };
    let (miroir, bare) = (wasm("miroir", parts::filter()?), wasm("bare", parts::bare_filter()?));
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    });
    let listener = |name: &str, port: u16, filters: Vec<&Value>, route: Value| {
        json!({
            "name": name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": name,
                    "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"],
                                                        "routes": [{"match": {"prefix": "/"}, "route": route}]}]},
                    "http_filters": filters
                }
            }]}]
        })
    };
    let clusters: Vec<Value> = upstreams
        .iter()
        .enumerate()
        .map(|(at, address)| {
            let name = format!("node-{at}");
            json!({
                "name": name, "type": "STATIC",
                "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address":
                    {"socket_address": {"address": "127.0.0.1", "port_value": address.port()}}}}]}]}
            })
        })
        .collect();
    Ok(json!({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": free[ADMIN]}}},
        "static_resources": {
            "listeners": [
                listener("filtered", free[FILTERED], vec![&miroir, &router], json!({"cluster_header": "x-miroir-cluster"})),
                listener("plain", free[PLAIN], vec![&router], json!({"cluster": "node-0"})),
                listener("bare", free[BARE], vec![&bare, &router], json!({"cluster": "node-0"})),
            ],
            "clusters": clusters
        }
    }))
}
