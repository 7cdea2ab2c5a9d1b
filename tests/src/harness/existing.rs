//! Envoys that are not ours: bootstraps as somebody else has them, moved to this machine and started beside a cluster.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::client::Client;
use super::cluster::{Cluster, await_url, envoy_command, part};
use super::process::Process;
use super::wait::until;
use super::{parts, ports};

/// Longest wait for the map.
const MAP_LIMIT: Duration = Duration::from_secs(30);

/// A bootstrap that is written for other addresses and other places than this machine's.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The bootstrap.
    pub config: Value,
    addresses: BTreeMap<String, String>,
    places: Vec<(String, String)>,
}

impl Bootstrap {
    /// Reads one.
    ///
    /// # Errors
    /// When it is no YAML.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        Ok(Self { config: serde_saphyr::from_str(text)?, addresses: BTreeMap::new(), places: Vec::new() })
    }

    /// `host:port` in it is this one here.
    #[must_use]
    pub fn address(mut self, there: &str, here: &str) -> Self {
        self.addresses.insert(there.to_owned(), here.trim_start_matches("http://").to_owned());
        self
    }

    /// Paths that begin so begin otherwise here.
    #[must_use]
    pub fn place(mut self, there: &str, here: &Path) -> Self {
        self.places.push((there.to_owned(), here.to_string_lossy().into_owned()));
        self
    }

    /// The bootstrap as it is for this machine.
    ///
    /// # Errors
    /// An address that nobody has named.
    pub fn moved(&self) -> anyhow::Result<Value> {
        self.walk(&self.config)
    }

    fn walk(&self, value: &Value) -> anyhow::Result<Value> {
        Ok(match value {
            Value::Object(fields) => {
                let mut moved = serde_json::Map::new();
                for (name, field) in fields {
                    let field = if name == "socket_address" { self.socket(field)? } else { self.walk(field)? };
                    moved.insert(name.clone(), field);
                }
                Value::Object(moved)
            }
            Value::Array(items) => Value::Array(items.iter().map(|item| self.walk(item)).collect::<Result<_, _>>()?),
            Value::String(text) => {
                let known = self.places.iter().find_map(|(there, here)| Some((here, text.strip_prefix(there)?)));
                known.map_or_else(|| value.clone(), |(here, rest)| Value::from(format!("{here}{rest}")))
            }
            _ => value.clone(),
        })
    }

    fn socket(&self, socket: &Value) -> anyhow::Result<Value> {
        let there = format!("{}:{}", socket["address"].as_str().unwrap_or_default(), socket["port_value"]);
        let Some(here) = self.addresses.get(&there) else { bail!("nobody says where {there} is") };
        let (host, port) = here.rsplit_once(':').with_context(|| format!("{here} is not host:port"))?;
        Ok(json!({"address": host, "port_value": port.parse::<u16>()?}))
    }
}

/// An Envoy of somebody's own.
#[derive(Debug)]
pub struct Existing {
    /// The process; its URL is that of its listener.
    pub process: Process,
    /// Its admin interface.
    pub admin: Client,
}

impl Existing {
    /// Starts one and waits until it serves. In the bootstrap its listener is at `listener`, and its admin interface at
    /// `127.0.0.1:9901`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(dir: &Path, id: &str, bootstrap: Bootstrap, listener: &str) -> anyhow::Result<Self> {
        let ports = ports::free(2)?;
        let [listen, admin] = [0, 1].map(|at| format!("127.0.0.1:{}", ports[at]));
        let bootstrap = bootstrap.address(listener, &listen).address("127.0.0.1:9901", &admin);
        let file = dir.join(format!("{id}.json"));
        std::fs::write(&file, serde_json::to_vec_pretty(&bootstrap.moved()?)?)?;
        let command = envoy_command(&parts::envoy()?, &file, 1);
        let mut process = Process::start(part(dir, id.to_owned(), format!("http://{listen}"), command))?;
        await_url(&mut process, &format!("http://{admin}/ready")).await?;
        Ok(Self { process, admin: Client::new(&format!("http://{admin}"), None) })
    }

    /// A client of Miroir's host, with the keys of the cluster.
    #[must_use]
    pub fn through(&self, cluster: &Cluster, host: &str) -> Client {
        cluster.control_client().at(&self.process.part.url, host)
    }

    /// The same, once the filter has its map.
    ///
    /// # Errors
    /// When the map does not come.
    pub async fn mapped(&self, cluster: &Cluster, host: &str) -> anyhow::Result<Client> {
        let client = self.through(cluster, host);
        until("the filter's map", MAP_LIMIT, || async {
            (client.get("/_miroir/filter").await.ok()?.status == 200).then_some(())
        })
        .await?;
        Ok(client)
    }

    /// Requests that it has sent to a cluster.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn sent_to(&self, cluster: &str) -> anyhow::Result<u64> {
        let stats: Value = self.admin.get("/clusters?format=json").await?.json();
        let clusters = stats["cluster_statuses"].as_array().context("no clusters")?;
        let found = clusters.iter().find(|status| status["name"] == cluster);
        let hosts = found.and_then(|status| status["host_statuses"].as_array());
        let counts = hosts.into_iter().flatten().flat_map(|host| host["stats"].as_array().into_iter().flatten());
        let total = counts.filter(|stat| stat["name"] == "rq_total").filter_map(|stat| stat["value"].as_str());
        Ok(total.filter_map(|count| count.parse::<u64>().ok()).sum())
    }
}
