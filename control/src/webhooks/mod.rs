//! Webhooks: where finished tasks are told to. Nodes have none: their tasks are parts of a client's task, of which the
//! cluster tells once.

mod courier;
mod egress;
mod routes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) use courier::Courier;
pub use routes::router;

/// Under which name control stores them.
pub(crate) const STORED: &str = "webhooks";

/// One webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Webhook {
    url: String,
    headers: BTreeMap<String, String>,
}

/// All of them.
pub(crate) type Webhooks = BTreeMap<Uuid, Webhook>;

/// The stored webhooks.
pub(crate) fn stored(value: Option<&Value>) -> Webhooks {
    value.and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
}

impl Webhook {
    /// As clients see it: what authorises is not shown.
    fn view(&self, uuid: Uuid) -> Value {
        let shown = |(name, value): (&String, &String)| {
            let value = if name.eq_ignore_ascii_case("authorization") { redacted(value) } else { value.clone() };
            (name.clone(), value)
        };
        let headers: BTreeMap<String, String> = self.headers.iter().map(shown).collect();
        json!({ "uuid": uuid, "isEditable": true, "url": self.url, "headers": headers })
    }
}

fn redacted(value: &str) -> String {
    match value.strip_prefix("Bearer ") {
        Some(secret) => format!("Bearer {}", crate::settings::mask(secret)),
        None => crate::settings::mask(value),
    }
}
