//! Another management server than control: by ADS it has one listener, which answers by itself, and nothing else.

use std::pin::Pin;

use envoy_types::pb::envoy::config::core::v3::address::Address as At;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, DataSource, SocketAddress, data_source};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteConfiguration, RouteMatch, VirtualHost, route, route_match,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, http_connection_manager, http_filter,
};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::Any;
use prost::Message;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// What it answers.
pub const WORDS: &str = "a listener of another server's";

const LISTENERS: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";

type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

struct Management {
    listener: Listener,
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Management {
    type StreamAggregatedResourcesStream = Outgoing<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Outgoing<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let listener = packed("envoy.config.listener.v3.Listener", &self.listener);
        // The first request is answered; those that acknowledge are not.
        let responses = request.into_inner().filter_map(move |request| {
            let asked = request.ok().filter(|it| it.type_url == LISTENERS && it.response_nonce.is_empty())?;
            Some(Ok(DiscoveryResponse {
                version_info: "1".to_owned(),
                type_url: asked.type_url,
                nonce: "1".to_owned(),
                resources: vec![listener.clone()],
                ..Default::default()
            }))
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("state of the world only"))
    }
}

/// Starts it for a listener at a port of 127.0.0.1; its own address. It ends with the runtime.
pub async fn start(port: u16) -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let service = AggregatedDiscoveryServiceServer::new(Management { listener: listener(port) });
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(socket)));
    address
}

fn packed(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn listener(port: u16) -> Listener {
    let body =
        DataSource { specifier: Some(data_source::Specifier::InlineString(WORDS.to_owned())), ..Default::default() };
    let everything = route_match::PathSpecifier::Prefix("/".to_owned());
    let route = Route {
        r#match: Some(RouteMatch { path_specifier: Some(everything), ..Default::default() }),
        action: Some(route::Action::DirectResponse(DirectResponseAction {
            status: 200,
            body: Some(body),
            ..Default::default()
        })),
        ..Default::default()
    };
    let host = VirtualHost {
        name: "theirs".to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![route],
        ..Default::default()
    };
    let routes = RouteConfiguration { name: "theirs".to_owned(), virtual_hosts: vec![host], ..Default::default() };
    let router = HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(packed(
            "envoy.extensions.filters.http.router.v3.Router",
            &Router::default(),
        ))),
        ..Default::default()
    };
    let manager = HttpConnectionManager {
        stat_prefix: "theirs".to_owned(),
        route_specifier: Some(http_connection_manager::RouteSpecifier::RouteConfig(routes)),
        http_filters: vec![router],
        ..Default::default()
    };
    let manager = Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(packed(
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            &manager,
        ))),
    };
    let socket = SocketAddress {
        address: "127.0.0.1".to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(u32::from(port))),
        ..Default::default()
    };
    Listener {
        name: "theirs".to_owned(),
        address: Some(Address { address: Some(At::SocketAddress(socket)) }),
        filter_chains: vec![FilterChain { filters: vec![manager], ..Default::default() }],
        ..Default::default()
    }
}
