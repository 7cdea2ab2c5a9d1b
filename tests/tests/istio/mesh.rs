//! A mesh in small: sidecars that let in nobody without a certificate of the mesh, and the clusters that istiod would
//! make for the gateway.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use miroir_e2e::harness::existing::{Bootstrap, Existing};
use miroir_e2e::harness::ports;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use serde_json::{Value, json};

/// Who workloads of the namespace are.
const SERVICES: &str = "spiffe://cluster.local/ns/miroir/sa/miroir";
const GATEWAY: &str = "spiffe://cluster.local/ns/miroir/sa/miroir-gateway";

/// Certificates, as files.
pub struct Mesh {
    dir: PathBuf,
    sidecars: Vec<Existing>,
    /// By cluster: where its sidecar listens, and whether it speaks HTTP/2.
    clusters: BTreeMap<String, (String, bool)>,
}

impl Mesh {
    pub fn new(dir: &Path) -> Self {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::OrganizationName, "cluster.local");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.join("root-cert.pem"), authority.pem()).unwrap();
        for (name, identity) in [("services", SERVICES), ("gateway", GATEWAY)] {
            let key = KeyPair::generate().unwrap();
            let mut parameters = CertificateParams::default();
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters.subject_alt_names = vec![SanType::URI(identity.try_into().unwrap())];
            let certificate = parameters.signed_by(&key, &authority).unwrap();
            std::fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        std::fs::create_dir_all(dir.join("istiod")).unwrap();
        Self { dir: dir.to_owned(), sidecars: Vec::new(), clusters: BTreeMap::new() }
    }

    /// Where istiod's clusters are.
    pub fn istiod(&self) -> PathBuf {
        self.dir.join("istiod")
    }

    /// Starts a sidecar in front of `target`, `host:port`; where it listens.
    pub async fn sidecar(&mut self, target: &str) -> String {
        let id = format!("sidecar-{}", self.sidecars.len());
        let tls = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": self.identity("services", GATEWAY),
        });
        let proxy = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "inbound", "cluster": "inbound",
        });
        let bootstrap = json!({
            "admin": {"address": address("127.0.0.1:9901")},
            "static_resources": {
                "clusters": [{"name": "inbound", "connect_timeout": "1s", "load_assignment": endpoints("inbound", "target:80")}],
                "listeners": [{"name": "virtualInbound", "address": address("sidecar:15006"), "filter_chains": [{
                    "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
                    "filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}],
                }]}],
            },
        });
        let bootstrap = Bootstrap::read(&bootstrap.to_string()).unwrap().address("target:80", target);
        let sidecar = Existing::start(&self.dir, &id, bootstrap, "sidecar:15006").await.unwrap();
        let at = sidecar.process.part.url.trim_start_matches("http://").to_owned();
        self.sidecars.push(sidecar);
        at
    }

    /// There is a Service, or a subset of one, behind a sidecar.
    pub fn cluster(&mut self, name: String, sidecar: &str, http2: bool) {
        self.clusters.insert(name, (sidecar.to_owned(), http2));
    }

    /// Has istiod send what there is.
    pub fn push(&self) {
        let resources: Vec<Value> =
            self.clusters.iter().map(|(name, (at, http2))| self.made(name, at, *http2)).collect();
        let file = self.istiod().join("clusters.json");
        let next = self.dir.join("clusters.next");
        let version = ports::free(1).unwrap()[0];
        let response = json!({"version_info": version.to_string(), "resources": resources});
        std::fs::write(&next, serde_json::to_vec_pretty(&response).unwrap()).unwrap();
        std::fs::rename(next, file).unwrap();
    }

    fn made(&self, name: &str, at: &str, http2: bool) -> Value {
        let tls = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": self.identity("gateway", SERVICES),
        });
        let (host, port) = at.rsplit_once(':').unwrap();
        let port: u16 = port.parse().unwrap();
        let mut cluster = json!({
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": name,
            "connect_timeout": "10s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {
                "address": {"socket_address": {"address": host, "port_value": port}},
            }}]}]},
            "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
            "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        });
        if name.contains("|read|") {
            cluster["outlier_detection"] = json!({
                "split_external_local_origin_errors": true, "consecutive_local_origin_failure": 3,
                "enforcing_consecutive_local_origin_failure": 100, "enforcing_consecutive_5xx": 0,
                "enforcing_consecutive_gateway_failure": 0, "enforcing_success_rate": 0, "interval": "1s",
                "base_ejection_time": "2s", "max_ejection_percent": 100,
            });
        }
        if http2 {
            cluster["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            });
        }
        cluster
    }

    /// Own certificate, and whom to talk to.
    fn identity(&self, name: &str, peer: &str) -> Value {
        let file = |file: &str| json!({"filename": self.dir.join(file)});
        json!({
            "tls_certificates": [{
                "certificate_chain": file(&format!("{name}.pem")), "private_key": file(&format!("{name}.key")),
            }],
            "validation_context": {
                "trusted_ca": file("root-cert.pem"),
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": peer}}],
            },
        })
    }
}

fn address(at: &str) -> Value {
    let (host, port) = at.rsplit_once(':').unwrap();
    json!({"socket_address": {"address": host, "port_value": port.parse::<u16>().unwrap()}})
}

fn endpoints(cluster: &str, at: &str) -> Value {
    json!({"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(at)}}]}]})
}
