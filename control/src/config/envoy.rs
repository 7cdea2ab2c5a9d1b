//! What Envoys are told besides the map: names of clusters, the filter's module, and where files go for those that have
//! no connection to control.

use std::net::SocketAddr;
use std::path::PathBuf;

use miroir_sequencer::ClusterNames;
use serde::Deserialize;

use super::ConfigError;
use super::arguments::set;

/// `[envoy]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvoySection {
    /// Name of Envoy's cluster of the public API.
    pub control_cluster: Option<String>,
    /// Name of Envoy's cluster of the internal listener.
    pub control_internal_cluster: Option<String>,
    /// Name of Envoy's cluster for reads of a node, a template.
    pub node_cluster: Option<String>,
    /// Name of Envoy's cluster for writes to a node, a template.
    pub node_write_cluster: Option<String>,
    /// Host by which Envoy reaches control.
    pub advertise: Option<String>,
    /// Path of the filter's module in Envoy's file system, or its URL.
    pub filter_module: Option<String>,
    /// SHA-256 of the module at the URL, in hexadecimal.
    pub filter_sha256: Option<String>,
    /// Name of Envoy's cluster of the URL's host.
    pub filter_cluster: Option<String>,
    /// CA bundle against which Envoy checks the URL's host.
    pub filter_tls_ca: Option<String>,
    /// Directory to which everything is written that Envoys are told.
    pub files: Option<PathBuf>,
}

/// Flags and variables of `[envoy]`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EnvoyArguments {
    /// Envoy's cluster of the public API.
    #[arg(long, env = "MIROIR_CONTROL_CLUSTER", value_name = "NAME")]
    pub control_cluster: Option<String>,
    /// Envoy's cluster of the internal listener.
    #[arg(long, env = "MIROIR_CONTROL_INTERNAL_CLUSTER", value_name = "NAME")]
    pub control_internal_cluster: Option<String>,
    /// Envoy's cluster for reads of a node; `{id}`, `{host}` and `{port}` are the node's.
    #[arg(long, env = "MIROIR_NODE_CLUSTER", value_name = "TEMPLATE")]
    pub node_cluster: Option<String>,
    /// Envoy's cluster for writes to a node.
    #[arg(long, env = "MIROIR_NODE_WRITE_CLUSTER", value_name = "TEMPLATE")]
    pub node_write_cluster: Option<String>,
    /// Host by which Envoy reaches control's listeners.
    #[arg(long, env = "MIROIR_ADVERTISE", value_name = "HOST")]
    pub advertise: Option<String>,
    /// The filter's module, for Envoys whose node metadata names none: a path in Envoy's file system, or a URL.
    #[arg(long, env = "MIROIR_FILTER_MODULE", value_name = "FILE|URL")]
    pub filter_module: Option<String>,
    /// SHA-256 of the module at the URL.
    #[arg(long, env = "MIROIR_FILTER_SHA256", value_name = "HEX")]
    pub filter_sha256: Option<String>,
    /// Envoy's cluster of the URL's host.
    #[arg(long, env = "MIROIR_FILTER_CLUSTER", value_name = "NAME")]
    pub filter_cluster: Option<String>,
    /// CA bundle, in Envoy's file system, against which the URL's host is checked.
    #[arg(long, env = "MIROIR_FILTER_TLS_CA", value_name = "FILE")]
    pub filter_tls_ca: Option<String>,
    /// Directory to which control writes what it tells Envoys, for those that watch files.
    #[arg(long, env = "MIROIR_ENVOY_FILES", value_name = "DIR")]
    pub envoy_files: Option<PathBuf>,
}

impl EnvoyArguments {
    /// Puts what is given over what the file says.
    pub(super) fn apply(&self, section: &mut EnvoySection) {
        set(&mut section.control_cluster, &self.control_cluster);
        set(&mut section.control_internal_cluster, &self.control_internal_cluster);
        set(&mut section.node_cluster, &self.node_cluster);
        set(&mut section.node_write_cluster, &self.node_write_cluster);
        set(&mut section.advertise, &self.advertise);
        set(&mut section.filter_module, &self.filter_module);
        set(&mut section.filter_sha256, &self.filter_sha256);
        set(&mut section.filter_cluster, &self.filter_cluster);
        set(&mut section.filter_tls_ca, &self.filter_tls_ca);
        set(&mut section.files, &self.envoy_files);
    }
}

/// Where the filter's module is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Module {
    /// A file of Envoy's.
    File(String),
    /// Fetched by Envoy.
    Remote {
        /// Where from, `https` or `http`.
        url: reqwest::Url,
        /// What it must hash to, in lower-case hexadecimal: the transport need not be trusted.
        sha256: String,
        /// Envoy's cluster of the host.
        cluster: String,
        /// CA bundle for the host's certificate.
        tls_ca: Option<String>,
    },
}

/// `[envoy]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envoy {
    /// Envoy's cluster of the public API.
    pub control_cluster: String,
    /// Envoy's cluster of the internal listener.
    pub control_internal_cluster: String,
    /// Envoy's clusters of nodes.
    pub cluster_names: ClusterNames,
    /// Host by which Envoy reaches control's listeners.
    pub advertise: String,
    /// The filter's module, for Envoys whose node metadata names none.
    pub module: Module,
    /// Directory for Envoys that watch files.
    pub files: Option<PathBuf>,
}

impl EnvoySection {
    pub(super) fn check(self, listen_api: SocketAddr) -> Result<Envoy, ConfigError> {
        let usual = ClusterNames::default();
        let cluster_names = ClusterNames {
            read: template("envoy.node_cluster", self.node_cluster, usual.read)?,
            write: template("envoy.node_write_cluster", self.node_write_cluster, usual.write)?,
        };
        let path = self.filter_module.unwrap_or_else(|| "/etc/envoy/miroir_filter.wasm".to_owned());
        let module = if path.starts_with("http://") || path.starts_with("https://") {
            let fault = |text: &str| ConfigError::value("envoy.filter_module", format!("`{path}` {text}"));
            let url = reqwest::Url::parse(&path).map_err(|_| fault("is not a URL"))?;
            let sha256 = self.filter_sha256.unwrap_or_default().to_ascii_lowercase();
            if !hex::decode(&sha256).is_ok_and(|bytes| bytes.len() == 32) {
                return Err(ConfigError::value(
                    "envoy.filter_sha256",
                    "a module at a URL needs its SHA-256, 64 hex digits",
                ));
            }
            let cluster = self.filter_cluster.unwrap_or_else(|| "miroir-module".to_owned());
            Module::Remote { url, sha256, cluster, tls_ca: self.filter_tls_ca }
        } else {
            Module::File(path)
        };
        let control_cluster = self.control_cluster.unwrap_or_else(|| "miroir-control".to_owned());
        named("envoy.control_cluster", &control_cluster)?;
        let control_internal_cluster =
            self.control_internal_cluster.unwrap_or_else(|| "miroir-control-internal".to_owned());
        named("envoy.control_internal_cluster", &control_internal_cluster)?;
        Ok(Envoy {
            control_cluster,
            control_internal_cluster,
            cluster_names,
            advertise: self.advertise.unwrap_or_else(|| match listen_api.ip() {
                ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
                ip => ip.to_string(),
            }),
            module,
            files: self.files,
        })
    }
}

/// The name, or what follows its last bar, is the host by which upstreams are asked.
fn named(key: &str, name: &str) -> Result<(), ConfigError> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._|{}".contains(letter);
    if name.is_empty() || name.ends_with('|') || !name.chars().all(plain) {
        let fault = format!("`{name}` is not made of letters, digits, `-`, `.`, `_` and, within, `|`");
        return Err(ConfigError::value(key, fault));
    }
    Ok(())
}

/// A template must tell nodes apart: by id, or by host and port.
fn template(key: &str, given: Option<String>, usual: String) -> Result<String, ConfigError> {
    let template = given.unwrap_or(usual);
    named(key, &template)?;
    let has = |part: &str| template.contains(part);
    if has("{id}") || (has("{host}") && has("{port}")) {
        return Ok(template);
    }
    let fault = format!("`{template}` names all nodes alike: it needs {{id}}, or {{host}} and {{port}}");
    Err(ConfigError::value(key, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Envoy, String> {
        let section: EnvoySection = toml::from_str(text).map_err(|error| error.to_string())?;
        section.check(([127, 0, 0, 1], 7701).into()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_template_tells_nodes_apart() {
        let names = check("node_cluster = 'outbound|{port}||{host}'").unwrap().cluster_names;
        assert_eq!(names.read("a", "http://b:1"), "outbound|1||b");
        for template in ["node {id}", "{id}|", "nodes", "outbound|7700||{host}", "{port}", "{ID}"] {
            let error = check(&format!("node_write_cluster = '{template}'")).unwrap_err();
            assert!(error.contains("envoy.node_write_cluster") && error.contains(template), "{error}");
        }
    }

    #[test]
    fn a_module_by_url_has_a_hash() {
        let sha256 = "AB".repeat(32);
        let found = check(&format!("filter_module = 'https://files/m.wasm'\nfilter_sha256 = '{sha256}'")).unwrap();
        let Module::Remote { sha256, cluster, .. } = found.module else { panic!("{found:?}") };
        assert_eq!((sha256, cluster.as_str()), ("ab".repeat(32), "miroir-module"));
        for hash in ["", "filter_sha256 = 'abcd'", "filter_sha256 = 'x'"] {
            let error = check(&format!("filter_module = 'http://files/m.wasm'\n{hash}")).unwrap_err();
            assert!(error.contains("envoy.filter_sha256"), "{error}");
        }
        assert!(check("filter_module = 'https://'").unwrap_err().contains("is not a URL"));
    }
}
