//! The gRPC service around [`super::stream::Stream`].

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use futures::Stream as FutureStream;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::stream::Stream;
use super::{Pushed, Tracker};

/// Shortest time between two pushes to one Envoy: a burst of changes costs one configuration.
const COALESCE: Duration = Duration::from_millis(100);

type Outgoing<T> = Pin<Box<dyn FutureStream<Item = Result<T, Status>> + Send>>;

struct Service {
    pushed: watch::Receiver<Arc<Pushed>>,
    tracker: Tracker,
    default_module: String,
    shutdown: CancellationToken,
}

/// Serves ADS on `listener` until `shutdown`. `default_module` is the path of the filter's module for Envoys that do not
/// name one in their node metadata.
///
/// # Errors
/// The transport's, when the listener fails.
pub async fn serve(
    listener: TcpListener,
    pushed: watch::Receiver<Arc<Pushed>>,
    tracker: Tracker,
    default_module: String,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let service = Service { pushed, tracker, default_module, shutdown: shutdown.clone() };
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(15)))
        .add_service(AggregatedDiscoveryServiceServer::new(service))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned())
        .await
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Outgoing<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Outgoing<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (sender, receiver) = mpsc::channel(8);
        let stream = Stream::new(self.tracker.clone(), self.default_module.clone());
        let session = converse(request.into_inner(), stream, self.pushed.clone(), sender);
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = session => {}
                () = shutdown.cancelled() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("miroir-control serves state-of-the-world ADS: set api_type GRPC"))
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
