//! ECDS: the Wasm filter with the shard map as its configuration.

use envoy_types::pb::envoy::config::core::v3::async_data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::http_uri::HttpUpstreamType;
use envoy_types::pb::envoy::config::core::v3::{
    AsyncDataSource, BackoffStrategy, DataSource, HttpUri, RemoteDataSource, RetryPolicy, TypedExtensionConfig,
    data_source,
};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::envoy::extensions::wasm::v3::{FailurePolicy, PluginConfig, VmConfig};
use envoy_types::pb::google::protobuf::{Any, Duration, UInt32Value};
use miroir_core::shardmap::{self, MapError, ShardMap};

use super::FILTER_RESOURCE;
use super::clusters::{pack, yes};
use crate::config::Module;

/// Type of the filter's configuration.
const WASM_TYPE: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

const EXTENSION_NAME: &str = "envoy.config.core.v3.TypedExtensionConfig";
/// Seconds in which the module must have arrived.
const FETCH_TIMEOUT: i64 = 30;
/// How often Envoy tries again. It serves nothing that this filter is for meanwhile, and after the last time refuses it
/// until the next push.
const FETCH_RETRIES: u32 = 8;

/// Builds the filter's resource. Only `configuration` changes between pushes: anything else would make Envoy start new
/// VMs and lose what the filter has learned.
pub(super) fn resource(map: &ShardMap, module: &Module) -> Result<Any, MapError> {
    let configuration = pack("google.protobuf.StringValue", &shardmap::print(map)?);
    let vm = VmConfig {
        vm_id: FILTER_RESOURCE.to_owned(),
        runtime: "envoy.wasm.runtime.v8".to_owned(),
        code: Some(AsyncDataSource { specifier: Some(code(module)) }),
        ..Default::default()
    };
    let config = PluginConfig {
        name: FILTER_RESOURCE.to_owned(),
        root_id: FILTER_RESOURCE.to_owned(),
        configuration: Some(configuration),
        // Never open: a write that was not split would reach one node.
        failure_policy: FailurePolicy::FailReload as i32,
        // Without it a request with a body hangs when the filter pauses its headers.
        allow_on_headers_stop_iteration: yes(),
        vm: Some(Vm::VmConfig(vm)),
        ..Default::default()
    };
    let resource = TypedExtensionConfig {
        name: FILTER_RESOURCE.to_owned(),
        typed_config: Some(pack(WASM_TYPE, &Wasm { config: Some(config) })),
    };
    Ok(pack(EXTENSION_NAME, &resource))
}

fn code(module: &Module) -> Specifier {
    match module {
        Module::File(path) => Specifier::Local(DataSource {
            specifier: Some(data_source::Specifier::Filename(path.clone())),
            ..Default::default()
        }),
        Module::Remote { url, sha256, cluster, .. } => Specifier::Remote(RemoteDataSource {
            http_uri: Some(HttpUri {
                uri: url.to_string(),
                timeout: Some(Duration { seconds: FETCH_TIMEOUT, nanos: 0 }),
                http_upstream_type: Some(HttpUpstreamType::Cluster(cluster.clone())),
            }),
            sha256: sha256.clone(),
            retry_policy: Some(RetryPolicy {
                retry_back_off: Some(BackoffStrategy {
                    base_interval: Some(Duration { seconds: 0, nanos: 200_000_000 }),
                    max_interval: Some(Duration { seconds: 2, nanos: 0 }),
                }),
                num_retries: Some(UInt32Value { value: FETCH_RETRIES }),
                ..Default::default()
            }),
        }),
    }
}
