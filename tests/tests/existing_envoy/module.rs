//! A server from which Envoy fetches the filter's module by HTTPS: another Envoy, with a certificate of its own.

use std::path::{Path, PathBuf};

use miroir_e2e::harness::existing::{Bootstrap, Existing};
use miroir_e2e::harness::parts;
use sha2::{Digest, Sha256};

const SERVER: &str = r#"
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 9901 } } }
static_resources:
  listeners:
    - name: files
      address: { socket_address: { address: files, port_value: 443 } }
      filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                tls_certificates:
                  - certificate_chain: { filename: /tls/files.pem }
                    private_key: { filename: /tls/files.key }
          filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: files
                route_config:
                  max_direct_response_body_size_bytes: 67108864
                  virtual_hosts:
                    - name: files
                      domains: ["*"]
                      routes:
                        - match: { path: /miroir_filter.wasm }
                          direct_response: { status: 200, body: { filename: /module/miroir_filter.wasm } }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"#;

/// A running server.
pub struct Files {
    _envoy: Existing,
    /// Where the module is.
    pub url: String,
    /// What it hashes to.
    pub sha256: String,
    /// The certificate's bundle.
    pub ca: PathBuf,
}

/// Starts one that has the module which the tests run.
pub async fn serve(dir: &Path) -> Files {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let ca = dir.join("files.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    std::fs::write(dir.join("files.key"), made.signing_key.serialize_pem()).unwrap();
    let module = parts::filter().unwrap();
    std::fs::copy(&module, dir.join("miroir_filter.wasm")).unwrap();
    let server = Bootstrap::read(SERVER).unwrap().place("/tls", dir).place("/module", dir);
    let envoy = Existing::start(dir, "files", server, "files:443").await.unwrap();
    let url = format!("{}/miroir_filter.wasm", envoy.process.part.url.replace("http://", "https://"));
    let sha256 = hex::encode(Sha256::digest(std::fs::read(module).unwrap()));
    Files { _envoy: envoy, url, sha256, ca }
}
