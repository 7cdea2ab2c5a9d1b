//! CDS: the cluster of an upstream.

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, DnsLookupFamily,
};
use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster, OutlierDetection, UpstreamConnectionOptions,
};
use envoy_types::pb::envoy::config::core::v3::health_check::{HealthChecker, HttpHealthCheck};
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::core::v3::{
    Address, DataSource, HealthCheck, Http2ProtocolOptions, SocketAddress, TcpKeepalive, TransportSocket, address,
    data_source,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SubjectAltNameMatcher, UpstreamTlsContext,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::{Any, BoolValue, Duration, UInt32Value};

use super::{Role, Upstream};

const CLUSTER_NAME: &str = "envoy.config.cluster.v3.Cluster";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Far above what the filter's own budgets allow: the breaker must not refuse what the filter admitted.
const NO_BREAKER: u32 = 1 << 20;

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

/// Builds the cluster of an upstream.
fn cluster(upstream: &Upstream) -> Cluster {
    let node_read = upstream.role == Role::NodeRead;
    let is_address = upstream.host.parse::<std::net::IpAddr>().is_ok();
    let discovery = if is_address { DiscoveryType::Static } else { DiscoveryType::StrictDns };
    let mut cluster = Cluster {
        name: upstream.cluster.clone(),
        connect_timeout: seconds(1),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery as i32)),
        dns_lookup_family: DnsLookupFamily::V4Preferred as i32,
        load_assignment: Some(endpoints(upstream)),
        // A dead node must fail at once: with the default threshold Envoy would go on sending to it.
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Percent { value: 0.0 }),
            ..Default::default()
        }),
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![Thresholds {
                max_connections: number(NO_BREAKER),
                max_pending_requests: number(NO_BREAKER),
                max_requests: number(NO_BREAKER),
                ..Default::default()
            }],
            ..Default::default()
        }),
        upstream_connection_options: Some(UpstreamConnectionOptions {
            tcp_keepalive: Some(TcpKeepalive {
                keepalive_probes: number(3),
                keepalive_time: number(10),
                keepalive_interval: number(5),
            }),
            ..Default::default()
        }),
        transport_socket: upstream.tls_ca.as_deref().map(|ca| tls(&upstream.host, ca)),
        health_checks: if node_read { vec![health_check(&upstream.host)] } else { vec![] },
        outlier_detection: node_read.then(outlier_detection),
        ..Default::default()
    };
    if upstream.role == Role::ControlInternal {
        cluster.typed_extension_protocol_options.insert(HTTP_OPTIONS.to_owned(), pack(HTTP_OPTIONS, &http2()));
    }
    cluster
}

fn endpoints(upstream: &Upstream) -> ClusterLoadAssignment {
    let socket = SocketAddress {
        address: upstream.host.clone(),
        port_specifier: Some(PortSpecifier::PortValue(u32::from(upstream.port))),
        ..Default::default()
    };
    let endpoint = Endpoint {
        address: Some(Address { address: Some(address::Address::SocketAddress(socket)) }),
        ..Default::default()
    };
    let host = LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..Default::default() };
    ClusterLoadAssignment {
        cluster_name: upstream.cluster.clone(),
        endpoints: vec![LocalityLbEndpoints { lb_endpoints: vec![host], ..Default::default() }],
        ..Default::default()
    }
}

fn health_check(host: &str) -> HealthCheck {
    let http = HttpHealthCheck { path: "/health".to_owned(), host: host.to_owned(), ..Default::default() };
    HealthCheck {
        timeout: seconds(2),
        interval: seconds(1),
        no_traffic_interval: seconds(1),
        unhealthy_threshold: number(2),
        healthy_threshold: number(1),
        health_checker: Some(HealthChecker::HttpHealthCheck(http)),
        ..Default::default()
    }
}

/// Counts what happens on our side of the wire only (refused, reset, timeout): a node that answers 503 because it is
/// busy is alive (F19).
fn outlier_detection() -> OutlierDetection {
    OutlierDetection {
        split_external_local_origin_errors: true,
        consecutive_5xx: number(0),
        enforcing_consecutive_5xx: number(0),
        enforcing_consecutive_gateway_failure: number(0),
        enforcing_success_rate: number(0),
        enforcing_failure_percentage: number(0),
        consecutive_local_origin_failure: number(3),
        enforcing_consecutive_local_origin_failure: number(100),
        enforcing_local_origin_success_rate: number(0),
        interval: seconds(1),
        base_ejection_time: seconds(2),
        max_ejection_time: seconds(30),
        max_ejection_percent: number(100),
        ..Default::default()
    }
}

fn http2() -> HttpProtocolOptions {
    let http2 = explicit_http_config::ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default());
    HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(http2),
        })),
        ..Default::default()
    }
}

/// A host is checked by its name, which is asked for too; an address, which cannot be asked for, by itself.
fn tls(host: &str, ca: &str) -> TransportSocket {
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let address = SubjectAltNameMatcher {
        san_type: SanType::IpAddress as i32,
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(host.to_owned())),
            ..Default::default()
        }),
        ..Default::default()
    };
    let validation = CertificateValidationContext {
        match_typed_subject_alt_names: if is_address { vec![address] } else { vec![] },
        trusted_ca: Some(DataSource {
            specifier: Some(data_source::Specifier::Filename(ca.to_owned())),
            ..Default::default()
        }),
        ..Default::default()
    };
    let context = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
            ..Default::default()
        }),
        sni: if is_address { String::new() } else { host.to_owned() },
        auto_sni_san_validation: !is_address,
        ..Default::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(ConfigType::TypedConfig(pack(
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            &context,
        ))),
    }
}

/// The clusters of upstreams, wrapped.
pub(super) fn resources(upstreams: &[Upstream]) -> Vec<Any> {
    upstreams.iter().map(|upstream| pack(CLUSTER_NAME, &cluster(upstream))).collect()
}

/// Wraps a message under its full name.
pub(super) fn pack(name: &str, message: &impl prost::Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

/// A `true` of the wrapper kind.
pub(super) fn yes() -> Option<BoolValue> {
    Some(BoolValue { value: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(role: Role, host: &str) -> Upstream {
        Upstream { cluster: "miroir-node-0".into(), host: host.into(), port: 7700, tls_ca: None, role }
    }

    #[test]
    fn a_read_cluster_fails_at_once_when_its_node_is_dead() {
        let cluster = cluster(&upstream(Role::NodeRead, "127.0.0.1"));
        assert_eq!(cluster.common_lb_config.unwrap().healthy_panic_threshold.unwrap().value, 0.0);
        assert_eq!(cluster.health_checks.len(), 1);
        assert!(cluster.outlier_detection.unwrap().split_external_local_origin_errors);
    }

    #[test]
    fn a_write_cluster_is_never_ejected() {
        let cluster = cluster(&upstream(Role::NodeWrite, "node.example"));
        assert!(cluster.outlier_detection.is_none() && cluster.health_checks.is_empty());
        assert_eq!(cluster.cluster_discovery_type, Some(ClusterDiscoveryType::Type(DiscoveryType::StrictDns as i32)));
    }

    #[test]
    fn the_internal_cluster_speaks_http2() {
        let cluster = cluster(&upstream(Role::ControlInternal, "127.0.0.1"));
        assert!(cluster.typed_extension_protocol_options.contains_key(HTTP_OPTIONS));
    }

    fn tls_context(host: &str) -> UpstreamTlsContext {
        let mut upstream = upstream(Role::NodeRead, host);
        upstream.tls_ca = Some("/etc/ssl/certs/ca-certificates.crt".into());
        let socket = cluster(&upstream).transport_socket.unwrap();
        let Some(ConfigType::TypedConfig(any)) = socket.config_type else { panic!("no config") };
        prost::Message::decode(any.value.as_slice()).unwrap()
    }

    #[test]
    fn tls_checks_the_host_by_its_name() {
        let context = tls_context("node.example");
        assert_eq!((context.sni.as_str(), context.auto_sni_san_validation), ("node.example", true));
    }

    #[test]
    fn tls_checks_an_address_by_itself() {
        let context = tls_context("10.0.0.1");
        assert_eq!((context.sni.as_str(), context.auto_sni_san_validation), ("", false));
        let Some(ValidationContextType::ValidationContext(validation)) =
            context.common_tls_context.unwrap().validation_context_type
        else {
            panic!("nothing is checked");
        };
        let [matcher] = &validation.match_typed_subject_alt_names[..] else { panic!("{validation:?}") };
        assert_eq!(matcher.san_type, SanType::IpAddress as i32);
        let pattern = matcher.matcher.clone().unwrap().match_pattern;
        assert_eq!(pattern, Some(MatchPattern::Exact("10.0.0.1".to_owned())));
    }
}
