//! ECDS: the Wasm filter with the shard map as its configuration.

use envoy_types::pb::envoy::config::core::v3::async_data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{AsyncDataSource, DataSource, TypedExtensionConfig, data_source};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::envoy::extensions::wasm::v3::{FailurePolicy, PluginConfig, VmConfig};
use miroir_core::shardmap::{self, MapError, ShardMap};

use super::FILTER_RESOURCE;
use super::clusters::{pack, yes};

/// Type of the filter's configuration.
pub(super) const WASM_TYPE: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// Builds the filter's resource. Only `configuration` changes between pushes: anything else would make Envoy start new
/// VMs and lose what the filter has learned.
pub(super) fn resource(map: &ShardMap, module_path: &str) -> Result<TypedExtensionConfig, MapError> {
    let configuration = pack("google.protobuf.StringValue", &shardmap::print(map)?);
    let local =
        DataSource { specifier: Some(data_source::Specifier::Filename(module_path.to_owned())), ..Default::default() };
    let vm = VmConfig {
        vm_id: FILTER_RESOURCE.to_owned(),
        runtime: "envoy.wasm.runtime.v8".to_owned(),
        code: Some(AsyncDataSource { specifier: Some(Specifier::Local(local)) }),
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
    Ok(TypedExtensionConfig {
        name: FILTER_RESOURCE.to_owned(),
        typed_config: Some(pack(WASM_TYPE, &Wasm { config: Some(config) })),
    })
}
