//! What every node must have besides its share of the data: the clients' API keys and the experimental features.

use std::time::Duration;

use miroir_sequencer::NodeFault as Fault;
use serde_json::Value;

use super::Client;
use super::fence::generation;
use crate::cluster::{KeyRecord, NodeRequest};
use crate::keys::reconcile;

impl Client {
    /// Gives a node the cluster's API keys (its write keys are left alone) and, where the client has set any, the
    /// experimental features.
    ///
    /// # Errors
    /// The first step that failed; what was done stays done, and the call may be repeated.
    pub async fn align(
        &self,
        node: &str,
        keys: &[KeyRecord],
        features: Option<Value>,
        timeout: Duration,
    ) -> Result<(), Fault> {
        let mut requests = Vec::new();
        if self.master_key.is_some() {
            let found = self.list_keys(node, timeout).await?;
            let ours = |uid: uuid::Uuid| {
                let uid = uid.to_string();
                found.iter().any(|key| key["uid"] == uid.as_str() && generation(key, &self.cluster).is_some())
            };
            requests = reconcile(&found, keys, ours);
        }
        if let Some(body) = features {
            let path = "/experimental-features".to_owned();
            requests.push(NodeRequest { method: "PATCH".to_owned(), path, body: Some(body) });
        }
        for request in requests {
            match self.call(node, &request, timeout).await?.status {
                // Somebody else has done it meanwhile: another run of this very function.
                200..=299 | 404 | 409 => {}
                _ => return Err(Fault::Unknown),
            }
        }
        Ok(())
    }
}
