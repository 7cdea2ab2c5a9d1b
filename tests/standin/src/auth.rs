//! Who may do what.

use axum::http::{HeaderMap, header};

use crate::answer::{Refusal, refuse};
use crate::keys::{self, Key};
use crate::node::Node;

/// The right that a request has shown.
#[derive(Clone, Debug)]
pub(crate) enum Right {
    /// No master key is set, or it was given: everything.
    All,
    /// That of a key.
    Key(Box<Key>),
}

impl Right {
    /// Whether it reaches this index.
    pub(crate) fn covers(&self, index: &str) -> bool {
        match self {
            Self::All => true,
            Self::Key(key) => key.covers(index),
        }
    }

    /// Whether it allows this too.
    pub(crate) fn may(&self, action: &str) -> bool {
        match self {
            Self::All => true,
            Self::Key(key) => key.may(action),
        }
    }

    /// Whether it is limited to some indexes.
    pub(crate) fn limited(&self) -> bool {
        matches!(self, Self::Key(key) if !key.indexes.iter().any(|pattern| pattern == "*"))
    }
}

fn invalid() -> Refusal {
    refuse("invalid_api_key", "The provided API key is invalid.")
}

/// Checks the `Authorization` of a request against an action, and an index if the route names one.
pub(crate) fn check(node: &Node, headers: &HeaderMap, action: &str, index: Option<&str>) -> Result<Right, Refusal> {
    let Some(master) = &node.master else {
        if action.starts_with("keys.") {
            return Err(refuse(
                "missing_master_key",
                "Meilisearch is running without a master key. To access this API endpoint, you must have set a master key at launch.",
            ));
        }
        return Ok(Right::All);
    };
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) else {
        return Err(refuse(
            "missing_authorization_header",
            "The Authorization header is missing. It must use the bearer authorization method.",
        ));
    };
    if token == master {
        return Ok(Right::All);
    }
    let state = node.state();
    let key = state.keys.iter().find(|key| keys::derive(master, &key.uid) == token).ok_or_else(invalid)?;
    if !key.may(action) {
        return Err(invalid());
    }
    if let Some(index) = index
        && !key.covers(index)
    {
        let list = serde_json::to_string(&key.indexes).unwrap_or_default().replace(',', ", ");
        return Err(refuse(
            "invalid_api_key",
            format!("The API key cannot acces the index `{index}`, authorized indexes are {list}."),
        ));
    }
    Ok(Right::Key(Box::new(key.clone())))
}
