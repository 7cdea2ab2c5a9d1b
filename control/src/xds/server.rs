//! The gRPC services around [`super::stream::Stream`]: ADS, and CDS and ECDS alone.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::cluster::v3::cluster_discovery_service_server::{
    ClusterDiscoveryService, ClusterDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_server::{
    ExtensionConfigDiscoveryService, ExtensionConfigDiscoveryServiceServer,
};
use futures::Stream as FutureStream;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::stream::Stream;
use super::{Pushed, Tracker};
use crate::config::Module;

/// Shortest time between two pushes to one Envoy: a burst of changes costs one configuration.
const COALESCE: Duration = Duration::from_millis(100);

type Outgoing<T> = Pin<Box<dyn FutureStream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone)]
struct Service {
    pushed: watch::Receiver<Arc<Pushed>>,
    tracker: Tracker,
    module: Module,
    shutdown: CancellationToken,
}

/// Serves xDS on `listener` until `shutdown`. `module` is the filter's module for Envoys that do not name one in their
/// node metadata.
///
/// # Errors
/// The transport's, when the listener fails.
pub async fn serve(
    listener: TcpListener,
    pushed: watch::Receiver<Arc<Pushed>>,
    tracker: Tracker,
    module: Module,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let service = Service { pushed, tracker, module, shutdown: shutdown.clone() };
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(15)))
        .add_service(AggregatedDiscoveryServiceServer::new(service.clone()))
        .add_service(ClusterDiscoveryServiceServer::new(service.clone()))
        .add_service(ExtensionConfigDiscoveryServiceServer::new(service))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned())
        .await
}

impl Service {
    fn stream(&self, requests: Streaming<DiscoveryRequest>) -> Answer<Outgoing<DiscoveryResponse>> {
        let (sender, receiver) = mpsc::channel(8);
        let stream = Stream::new(self.tracker.clone(), self.module.clone());
        let session = converse(requests, stream, self.pushed.clone(), sender);
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = session => {}
                () = shutdown.cancelled() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

fn no_delta() -> Answer<Outgoing<DeltaDiscoveryResponse>> {
    Err(Status::unimplemented("miroir-control serves the state of the world: set api_type GRPC"))
}

fn no_rest() -> Answer<DiscoveryResponse> {
    Err(Status::unimplemented("miroir-control serves streams: set api_type GRPC"))
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Outgoing<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Outgoing<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Answer<Outgoing<DiscoveryResponse>> {
        self.stream(request.into_inner())
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Answer<Outgoing<DeltaDiscoveryResponse>> {
        no_delta()
    }
}

#[tonic::async_trait]
impl ClusterDiscoveryService for Service {
    type StreamClustersStream = Outgoing<DiscoveryResponse>;
    type DeltaClustersStream = Outgoing<DeltaDiscoveryResponse>;

    async fn stream_clusters(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Answer<Outgoing<DiscoveryResponse>> {
        self.stream(request.into_inner())
    }

    async fn delta_clusters(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Answer<Outgoing<DeltaDiscoveryResponse>> {
        no_delta()
    }

    async fn fetch_clusters(&self, _: Request<DiscoveryRequest>) -> Answer<DiscoveryResponse> {
        no_rest()
    }
}

#[tonic::async_trait]
impl ExtensionConfigDiscoveryService for Service {
    type StreamExtensionConfigsStream = Outgoing<DiscoveryResponse>;
    type DeltaExtensionConfigsStream = Outgoing<DeltaDiscoveryResponse>;

    async fn stream_extension_configs(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Answer<Outgoing<DiscoveryResponse>> {
        self.stream(request.into_inner())
    }

    async fn delta_extension_configs(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Answer<Outgoing<DeltaDiscoveryResponse>> {
        no_delta()
    }

    async fn fetch_extension_configs(&self, _: Request<DiscoveryRequest>) -> Answer<DiscoveryResponse> {
        no_rest()
    }
}

async fn converse(
    mut requests: Streaming<DiscoveryRequest>,
    mut stream: Stream,
    mut pushed: watch::Receiver<Arc<Pushed>>,
    sender: mpsc::Sender<Result<DiscoveryResponse, Status>>,
) {
    let mut current = pushed.borrow_and_update().clone();
    let mut not_before = tokio::time::Instant::now();
    loop {
        let responses = tokio::select! {
            request = requests.message() => match request {
                Ok(Some(request)) => stream.on_request(&request, &current),
                Ok(None) | Err(_) => return,
            },
            change = changed(&mut pushed, not_before) => {
                let Some(next) = change else { return };
                let clusters_changed = next.upstreams != current.upstreams;
                current = next;
                not_before = tokio::time::Instant::now() + COALESCE;
                stream.on_push(&current, clusters_changed)
            }
        };
        for response in responses {
            if sender.send(Ok(response)).await.is_err() {
                return;
            }
        }
    }
}

/// The newest state once it has changed, but not before its time. Cancel-safe: nothing is marked as seen before the
/// change is returned.
async fn changed(pushed: &mut watch::Receiver<Arc<Pushed>>, not_before: tokio::time::Instant) -> Option<Arc<Pushed>> {
    tokio::time::sleep_until(not_before).await;
    pushed.changed().await.ok()?;
    Some(pushed.borrow_and_update().clone())
}
