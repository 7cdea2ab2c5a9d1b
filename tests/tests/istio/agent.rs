//! Istio's agent, as far as Envoy asks it: the workload's certificate and the mesh's root, by SDS.

use std::path::{Path, PathBuf};
use std::pin::Pin;

use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate, secret,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use envoy_types::pb::google::protobuf::Any;
use prost::Message;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

struct Agent {
    dir: PathBuf,
}

impl Agent {
    fn secret(&self, name: &str) -> Option<Secret> {
        let file = |file: &str| {
            let bytes = std::fs::read(self.dir.join(file)).unwrap();
            Some(DataSource { specifier: Some(data_source::Specifier::InlineBytes(bytes)), ..Default::default() })
        };
        let kind = match name {
            "default" => secret::Type::TlsCertificate(TlsCertificate {
                certificate_chain: file("gateway.pem"),
                private_key: file("gateway.key"),
                ..Default::default()
            }),
            "ROOTCA" => secret::Type::ValidationContext(CertificateValidationContext {
                trusted_ca: file("root-cert.pem"),
                ..Default::default()
            }),
            _ => return None,
        };
        Some(Secret { name: name.to_owned(), r#type: Some(kind) })
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for Agent {
    type StreamSecretsStream = Outgoing<DiscoveryResponse>;
    type DeltaSecretsStream = Outgoing<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let agent = Self { dir: self.dir.clone() };
        let responses = request.into_inner().filter_map(move |request| {
            let asked = request.ok().filter(|it| it.response_nonce.is_empty())?;
            let secrets: Vec<Secret> = asked.resource_names.iter().filter_map(|name| agent.secret(name)).collect();
            let packed =
                secrets.iter().map(|secret| Any { type_url: asked.type_url.clone(), value: secret.encode_to_vec() });
            Some(Ok(DiscoveryResponse {
                version_info: "1".to_owned(),
                type_url: asked.type_url.clone(),
                nonce: "1".to_owned(),
                resources: packed.collect(),
                ..Default::default()
            }))
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn delta_secrets(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Err(Status::unimplemented("state of the world only"))
    }

    async fn fetch_secrets(&self, _: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }
}

/// Starts it for the certificates in a folder; its address. It ends with the runtime.
pub async fn start(dir: &Path) -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let service = SecretDiscoveryServiceServer::new(Agent { dir: dir.to_owned() });
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(socket)));
    address
}
