use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::{Node, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::FailurePolicy;
use envoy_types::pb::google::rpc::Status;
use miroir_core::shardmap::{self, Placement, ShardMap};
use prost::Message;

use super::*;
use crate::xds::{Role, Upstream};

pub(in crate::xds) fn pushed(epoch: u64) -> Pushed {
    let map = ShardMap {
        cluster: "c0ffee00".into(),
        epoch,
        shards: 1,
        replication_factor: 1,
        nodes: vec![],
        stale: vec![],
        placements: vec![Placement { owners: vec![vec![]] }],
        indexes: Default::default(),
        limits: Default::default(),
        policies: Default::default(),
        control_cluster: "control".into(),
        control_internal_cluster: "internal".into(),
    };
    let upstream = Upstream {
        cluster: "miroir-node-0".into(),
        host: "127.0.0.1".into(),
        port: 7701,
        tls_ca: None,
        role: Role::NodeRead,
    };
    Pushed { map: Arc::new(map), upstreams: vec![upstream] }
}

fn request(type_url: &str, names: &[&str], nonce: &str) -> DiscoveryRequest {
    DiscoveryRequest {
        node: Some(Node { id: "envoy-1".into(), ..Default::default() }),
        type_url: type_url.into(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        response_nonce: nonce.into(),
        ..Default::default()
    }
}

fn stream() -> (Stream, Tracker) {
    let tracker = Tracker::default();
    (Stream::new(tracker.clone(), Module::File("/module.wasm".into())), tracker)
}

#[test]
fn the_filter_carries_the_map_and_fails_closed() {
    let (mut stream, _) = stream();
    let responses = stream.on_request(&request(EXTENSION_TYPE, &["miroir"], ""), &pushed(5));
    let resource = TypedExtensionConfig::decode(responses[0].resources[0].value.as_slice()).unwrap();
    let wasm = Wasm::decode(resource.typed_config.unwrap().value.as_slice()).unwrap().config.unwrap();
    let text = String::decode(wasm.configuration.unwrap().value.as_slice()).unwrap();
    assert_eq!(shardmap::parse(&text).unwrap().epoch, 5);
    assert!(wasm.allow_on_headers_stop_iteration.unwrap().value);
    assert_eq!(wasm.failure_policy, FailurePolicy::FailReload as i32);
}

#[test]
fn an_acknowledgement_is_recorded_and_not_answered() {
    let (mut stream, tracker) = stream();
    let first = stream.on_request(&request(CLUSTER_TYPE, &[], ""), &pushed(5));
    assert_eq!(first.len(), 1);
    assert!(stream.on_request(&request(CLUSTER_TYPE, &[], &first[0].nonce), &pushed(5)).is_empty());
    assert_eq!(tracker.envoys()["envoy-1"].clusters_acknowledged, Some(5));
}

#[test]
fn a_refusal_is_shown_until_the_next_acknowledgement() {
    let (mut stream, tracker) = stream();
    let first = stream.on_request(&request(EXTENSION_TYPE, &["miroir"], ""), &pushed(5));
    let mut refusal = request(EXTENSION_TYPE, &["miroir"], &first[0].nonce);
    refusal.error_detail = Some(Status { message: "no".into(), ..Default::default() });
    assert!(stream.on_request(&refusal, &pushed(5)).is_empty());
    assert_eq!(tracker.envoys()["envoy-1"].refusal.as_deref(), Some("no"));
    let second = stream.on_push(&pushed(6), false);
    stream.on_request(&request(EXTENSION_TYPE, &["miroir"], &second[0].nonce), &pushed(6));
    assert_eq!(tracker.envoys()["envoy-1"].refusal, None);
    assert_eq!(tracker.envoys()["envoy-1"].filter_acknowledged, Some(6));
}

#[test]
fn clusters_go_before_the_configuration_that_names_them() {
    let (mut stream, _) = stream();
    stream.on_request(&request(CLUSTER_TYPE, &[], ""), &pushed(1));
    stream.on_request(&request(EXTENSION_TYPE, &["miroir"], ""), &pushed(1));
    let types: Vec<String> = stream.on_push(&pushed(2), true).into_iter().map(|response| response.type_url).collect();
    assert_eq!(types, [CLUSTER_TYPE, EXTENSION_TYPE]);
}

#[test]
fn a_reconnecting_envoy_with_an_old_version_gets_everything() {
    let (mut stream, _) = stream();
    let mut first = request(EXTENSION_TYPE, &["miroir"], "");
    first.version_info = "78".into();
    assert_eq!(stream.on_request(&first, &pushed(80)).len(), 1);
}

#[test]
fn a_second_listener_extends_the_names_and_is_answered() {
    let (mut stream, _) = stream();
    let first = stream.on_request(&request(EXTENSION_TYPE, &["other"], ""), &pushed(1));
    assert!(first.is_empty());
    let second = stream.on_request(&request(EXTENSION_TYPE, &["miroir", "other"], ""), &pushed(1));
    assert_eq!(second.len(), 1);
}

#[test]
fn an_answer_to_a_replaced_response_changes_nothing() {
    let (mut stream, tracker) = stream();
    let first = stream.on_request(&request(EXTENSION_TYPE, &["miroir"], ""), &pushed(5));
    stream.on_push(&pushed(6), false);
    stream.on_request(&request(EXTENSION_TYPE, &["miroir"], &first[0].nonce), &pushed(6));
    assert_eq!(tracker.envoys()["envoy-1"].filter_acknowledged, None);
}

#[test]
fn a_closed_stream_is_counted_off() {
    let (mut stream, tracker) = stream();
    stream.on_request(&request(CLUSTER_TYPE, &[], ""), &pushed(1));
    assert_eq!(tracker.envoys()["envoy-1"].streams, 1);
    drop(stream);
    assert_eq!(tracker.envoys()["envoy-1"].streams, 0);
}
