//! Flags and environment. clap lets a flag win over its variable; both win over the file.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::envoy::EnvoyArguments;
use super::file::NodeSection;
use super::{ConfigError, File, LogFormat};

/// Arguments of `serve` and `check-config`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeArguments {
    /// Configuration file (TOML).
    #[arg(long, env = "MIROIR_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A node: `ID=URL[,weight=W][,zone=Z][,tls_ca=FILE]`. Given at all, the flags (or the variable, nodes separated by blanks)
    /// replace the file's list.
    #[arg(long = "node", env = "MIROIR_NODES", value_name = "NODE", value_delimiter = ' ')]
    pub nodes: Vec<String>,
    /// Copies of each shard.
    #[arg(long, env = "MIROIR_REPLICATION_FACTOR", value_name = "N")]
    pub replication_factor: Option<u8>,
    /// Number of shards; constant after the first start.
    #[arg(long, env = "MIROIR_SHARDS", value_name = "N")]
    pub shards: Option<u32>,
    /// Largest body that the nodes take (their `--http-payload-size-limit`), in bytes.
    #[arg(long, env = "MIROIR_NODE_BODY_BYTES", value_name = "BYTES")]
    pub node_body_bytes: Option<u64>,
    /// In-sync replicas of each shard that must accept a write.
    #[arg(long, env = "MIROIR_MIN_ACCEPT", value_name = "N")]
    pub min_accept: Option<u32>,
    /// Master key of all nodes. Better by file: other users may see a process's arguments.
    #[arg(long, env = "MIROIR_MASTER_KEY", value_name = "KEY", hide_env_values = true)]
    pub master_key: Option<String>,
    /// File that holds the master key.
    #[arg(long, env = "MIROIR_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
    /// Key of the admin API. Better by file: other users may see a process's arguments.
    #[arg(long, env = "MIROIR_ADMIN_KEY", value_name = "KEY", hide_env_values = true)]
    pub admin_key: Option<String>,
    /// File that holds the key of the admin API.
    #[arg(long, env = "MIROIR_ADMIN_KEY_FILE", value_name = "FILE")]
    pub admin_key_file: Option<PathBuf>,
    /// Serve the admin API on the public listener too, and so through Envoy.
    #[arg(long, env = "MIROIR_ADMIN_PUBLIC", value_name = "BOOL")]
    pub admin_public: Option<bool>,
    /// Let webhooks lead to private addresses.
    #[arg(long, env = "MIROIR_WEBHOOKS_PRIVATE", value_name = "BOOL")]
    pub webhooks_private: Option<bool>,
    /// The store: a SQLite file, or `redis://host:port` for several controls.
    #[arg(long, env = "MIROIR_STORE", value_name = "FILE|URL", hide_env_values = true)]
    pub store: Option<String>,
    /// File that holds the password of the Redis.
    #[arg(long, env = "MIROIR_REDIS_PASSWORD_FILE", value_name = "FILE")]
    pub redis_password_file: Option<PathBuf>,
    /// What all keys in the Redis begin with.
    #[arg(long, env = "MIROIR_REDIS_PREFIX", value_name = "TEXT")]
    pub redis_prefix: Option<String>,
    /// How long a silent leader among several controls stays the leader, milliseconds.
    #[arg(long, env = "MIROIR_LEASE_MS", value_name = "MS")]
    pub lease_ms: Option<u64>,
    /// Directory for large payloads on their way to the nodes.
    #[arg(long, env = "MIROIR_SPOOL", value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// Directory of dumps.
    #[arg(long, env = "MIROIR_DUMP_DIR", value_name = "DIR")]
    pub dump_dir: Option<PathBuf>,
    /// A dump, of a cluster or of one Meilisearch, to be imported at the start into an empty cluster.
    #[arg(long, env = "MIROIR_IMPORT_DUMP", value_name = "FILE")]
    pub import_dump: Option<PathBuf>,
    /// Start without importing the dump where the cluster is not empty.
    #[arg(long, env = "MIROIR_IGNORE_DUMP_IF_NOT_EMPTY", value_name = "BOOL")]
    pub ignore_dump_if_not_empty: Option<bool>,
    /// The findings file: versions that a repair of unexplained differences is about to drop.
    #[arg(long, env = "MIROIR_FINDINGS", value_name = "FILE")]
    pub findings: Option<PathBuf>,
    /// Address of the public API.
    #[arg(long, env = "MIROIR_LISTEN_API", value_name = "ADDR")]
    pub listen_api: Option<SocketAddr>,
    /// Address of the internal listener.
    #[arg(long, env = "MIROIR_LISTEN_INTERNAL", value_name = "ADDR")]
    pub listen_internal: Option<SocketAddr>,
    /// Address of the xDS listener.
    #[arg(long, env = "MIROIR_LISTEN_XDS", value_name = "ADDR")]
    pub listen_xds: Option<SocketAddr>,
    /// `[envoy]`
    #[command(flatten)]
    pub envoy: EnvoyArguments,
    /// Answer with what there is when not all shards can answer.
    #[arg(long, env = "MIROIR_PARTIAL_RESULTS", value_name = "BOOL")]
    pub partial_results: Option<bool>,
    /// Form of the log.
    #[arg(long, env = "MIROIR_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// What is logged, such as `info,miroir_control=debug`.
    #[arg(long, env = "MIROIR_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

pub(super) fn set<T: Clone>(slot: &mut Option<T>, value: &Option<T>) {
    if value.is_some() {
        slot.clone_from(value);
    }
}

impl ServeArguments {
    /// Puts what is given over what the file says.
    ///
    /// # Errors
    /// A node that cannot be read.
    pub fn apply(&self, file: &mut File) -> Result<(), ConfigError> {
        set(&mut file.cluster.replication_factor, &self.replication_factor);
        set(&mut file.cluster.shards, &self.shards);
        set(&mut file.limits.node_body_bytes, &self.node_body_bytes);
        set(&mut file.cluster.min_accept, &self.min_accept);
        if self.master_key.is_some() || self.master_key_file.is_some() {
            file.cluster.master_key.clone_from(&self.master_key);
            file.cluster.master_key_file.clone_from(&self.master_key_file);
        }
        if self.admin_key.is_some() || self.admin_key_file.is_some() {
            file.admin.key.clone_from(&self.admin_key);
            file.admin.key_file.clone_from(&self.admin_key_file);
        }
        set(&mut file.admin.public, &self.admin_public);
        set(&mut file.webhooks.private, &self.webhooks_private);
        match &self.store {
            Some(url) if super::store::is_redis(url) => {
                file.store.redis_url = Some(url.clone());
                file.store.path = None;
            }
            Some(path) => {
                file.store.path = Some(path.into());
                file.store.redis_url = None;
            }
            None => {}
        }
        set(&mut file.store.redis_password_file, &self.redis_password_file);
        set(&mut file.store.redis_prefix, &self.redis_prefix);
        set(&mut file.store.lease_ms, &self.lease_ms);
        set(&mut file.store.spool, &self.spool);
        set(&mut file.dumps.directory, &self.dump_dir);
        set(&mut file.dumps.import, &self.import_dump);
        set(&mut file.dumps.ignore_if_not_empty, &self.ignore_dump_if_not_empty);
        set(&mut file.scrub.findings, &self.findings);
        set(&mut file.listen.api, &self.listen_api);
        set(&mut file.listen.internal, &self.listen_internal);
        set(&mut file.listen.xds, &self.listen_xds);
        self.envoy.apply(&mut file.envoy);
        set(&mut file.policies.partial_results, &self.partial_results);
        set(&mut file.log.format, &self.log_format);
        set(&mut file.log.filter, &self.log);
        let nodes: Vec<&str> = self.nodes.iter().map(|node| node.trim()).filter(|node| !node.is_empty()).collect();
        if !nodes.is_empty() {
            file.nodes = nodes.into_iter().map(node).collect::<Result<_, _>>()?;
        }
        Ok(())
    }
}

fn node(text: &str) -> Result<NodeSection, ConfigError> {
    let fault = || ConfigError::value("--node", format!("`{text}` is not ID=URL[,weight=W][,zone=Z][,tls_ca=FILE]"));
    let mut fields = text.split(',');
    let (id, url) = fields.next().and_then(|first| first.split_once('=')).ok_or_else(fault)?;
    let mut section = NodeSection { id: id.to_owned(), url: url.to_owned(), weight: None, zone: None, tls_ca: None };
    for field in fields {
        match field.split_once('=') {
            Some(("weight", weight)) => section.weight = Some(weight.parse().map_err(|_| fault())?),
            Some(("tls_ca", path)) => section.tls_ca = Some(path.to_owned()),
            Some(("zone", zone)) => section.zone = Some(zone.to_owned()),
            _ => return Err(fault()),
        }
    }
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_wins_over_the_file() {
        let mut file: File =
            toml::from_str("[cluster]\nshards=8\nmaster_key_file='x'\n[[nodes]]\nid='a'\nurl='http://a'").unwrap();
        let arguments = ServeArguments {
            shards: Some(16),
            master_key: Some("k".into()),
            nodes: vec!["n1=http://n1:7700,weight=2,zone=east".into(), " n2=http://n2:7700".into()],
            ..ServeArguments::default()
        };
        arguments.apply(&mut file).unwrap();
        assert_eq!(file.cluster.shards, Some(16));
        assert_eq!(file.cluster.master_key_file, None);
        assert_eq!(file.nodes.len(), 2);
        assert_eq!((file.nodes[0].weight, file.nodes[0].zone.as_deref()), (Some(2.0), Some("east")));
    }

    #[test]
    fn a_bad_node_is_shown() {
        for text in ["n1", "n1=http://n1,weight=x", "n1=http://n1,colour=red"] {
            let arguments = ServeArguments { nodes: vec![text.into()], ..ServeArguments::default() };
            assert!(arguments.apply(&mut File::default()).unwrap_err().to_string().contains(text));
        }
    }
}
