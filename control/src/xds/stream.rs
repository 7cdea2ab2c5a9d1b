//! One ADS stream as a state machine: requests and pushes in, responses out. Clusters always go before the filter's
//! configuration that names them.

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::google::protobuf::value::Kind;

use super::tracker::Tracker;
use super::{FILTER_RESOURCE, Pushed, clusters, filter};
use crate::config::Module;

pub(super) const CLUSTER_TYPE: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
pub(super) const EXTENSION_TYPE: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

/// Where Envoy says in its node metadata that the module lies: `{"miroir": {"module": "/path"}}`.
const METADATA_KEY: &str = "miroir";

#[derive(Debug, Default)]
struct Subscription {
    wanted: bool,
    names: Vec<String>,
    nonce: String,
    sent_epoch: u64,
}

/// State of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    tracker: Tracker,
    module: Module,
    envoy: Option<String>,
    nonces: u64,
    clusters: Subscription,
    extensions: Subscription,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(envoy) = &self.envoy {
            self.tracker.update(envoy, |state| state.streams = state.streams.saturating_sub(1));
        }
    }
}

impl Stream {
    /// `module` is for an Envoy that names none.
    pub(super) fn new(tracker: Tracker, module: Module) -> Self {
        Self {
            tracker,
            module,
            envoy: None,
            nonces: 0,
            clusters: Subscription::default(),
            extensions: Subscription::default(),
        }
    }

    /// Takes a request; the answer, if one is due.
    pub(super) fn on_request(&mut self, request: &DiscoveryRequest, pushed: &Pushed) -> Vec<DiscoveryResponse> {
        self.introduce(request);
        let is_clusters = request.type_url == CLUSTER_TYPE;
        if !is_clusters && request.type_url != EXTENSION_TYPE {
            return vec![];
        }
        let subscription = if is_clusters { &mut self.clusters } else { &mut self.extensions };
        let answers_us = !request.response_nonce.is_empty();
        if answers_us && request.response_nonce != subscription.nonce {
            // An answer to a response that a newer one has replaced.
            return vec![];
        }
        let fresh = !subscription.wanted || subscription.names != request.resource_names;
        subscription.wanted = true;
        subscription.names.clone_from(&request.resource_names);
        if answers_us {
            let epoch = subscription.sent_epoch;
            self.record(is_clusters, epoch, request.error_detail.as_ref().map(|status| status.message.clone()));
        }
        if !fresh {
            return vec![];
        }
        if is_clusters { self.clusters(pushed) } else { self.extensions(pushed) }
    }

    /// Takes a change; what is to be sent, clusters first.
    pub(super) fn on_push(&mut self, pushed: &Pushed, clusters_changed: bool) -> Vec<DiscoveryResponse> {
        let mut responses = if clusters_changed { self.clusters(pushed) } else { vec![] };
        responses.extend(self.extensions(pushed));
        responses
    }

    fn introduce(&mut self, request: &DiscoveryRequest) {
        let Some(node) = request.node.as_ref().filter(|_| self.envoy.is_none()) else { return };
        let own = node.metadata.as_ref().and_then(|metadata| {
            let Some(Kind::StructValue(ours)) = metadata.fields.get(METADATA_KEY)?.kind.as_ref() else { return None };
            let Some(Kind::StringValue(path)) = ours.fields.get("module")?.kind.as_ref() else { return None };
            Some(Module::File(path.clone()))
        });
        if let Some(own) = own {
            self.module = own;
        }
        self.tracker.update(&node.id, |state| state.streams = state.streams.saturating_add(1));
        self.envoy = Some(node.id.clone());
    }

    fn record(&self, is_clusters: bool, epoch: u64, refusal: Option<String>) {
        let Some(envoy) = &self.envoy else { return };
        if let Some(message) = &refusal {
            tracing::warn!(%envoy, epoch, clusters = is_clusters, %message, "an Envoy refused a configuration");
        }
        self.tracker.update(envoy, |state| match refusal {
            Some(message) => state.refusal = Some(message),
            None => {
                let slot = if is_clusters { &mut state.clusters_acknowledged } else { &mut state.filter_acknowledged };
                *slot = Some(epoch);
                state.refusal = None;
            }
        });
    }

    fn clusters(&mut self, pushed: &Pushed) -> Vec<DiscoveryResponse> {
        if !self.clusters.wanted {
            return vec![];
        }
        vec![self.respond(CLUSTER_TYPE, clusters::resources(&pushed.upstreams), pushed.map.epoch)]
    }

    fn extensions(&mut self, pushed: &Pushed) -> Vec<DiscoveryResponse> {
        let named = self.extensions.names.iter().any(|name| name == FILTER_RESOURCE);
        if !self.extensions.wanted || !named {
            return vec![];
        }
        match filter::resource(&pushed.map, &self.module) {
            Ok(resource) => vec![self.respond(EXTENSION_TYPE, vec![resource], pushed.map.epoch)],
            Err(error) => {
                tracing::error!(%error, "the shard map cannot be written");
                vec![]
            }
        }
    }

    fn respond(&mut self, type_url: &str, resources: Vec<Any>, epoch: u64) -> DiscoveryResponse {
        self.nonces = self.nonces.wrapping_add(1);
        let nonce = self.nonces.to_string();
        let subscription = if type_url == CLUSTER_TYPE { &mut self.clusters } else { &mut self.extensions };
        subscription.nonce.clone_from(&nonce);
        subscription.sent_epoch = epoch;
        DiscoveryResponse {
            version_info: epoch.to_string(),
            resources,
            type_url: type_url.to_owned(),
            nonce,
            ..Default::default()
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
