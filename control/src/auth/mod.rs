//! Who may do what, as the engine judges it: the master key may do everything, an API key what its actions and index
//! patterns allow until it expires. Tenant tokens are good for searches alone, of which control answers few.

pub(crate) mod actions;
mod tenant;

use axum::http::{HeaderMap, header};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use miroir_core::error::ErrorBody;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::cluster::{KeyRecord, Runtime};

/// Somebody who may do what was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The API key; none for the master key and in a cluster without one.
    pub key_uid: Option<Uuid>,
    /// The key's index patterns; none for all indexes.
    indexes: Option<Vec<String>>,
    /// The key lacks `indexes.create`.
    no_creation: bool,
}

impl Caller {
    /// Whether the index is one of the caller's.
    #[must_use]
    pub fn sees(&self, index: &str) -> bool {
        self.indexes.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, index)))
    }

    /// Whether all indexes are the caller's.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.indexes.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern == "*"))
    }

    /// Whether a write of the caller may bring the index into being.
    #[must_use]
    pub fn may_create(&self, index: &str) -> bool {
        !self.no_creation && self.sees(index)
    }
}

/// The value of a key: hex HMAC-SHA256 of the hyphenated uid under the master key, as every node computes it.
#[must_use]
pub fn key_value(master_key: &str, uid: Uuid) -> String {
    // HMAC takes keys of any length, so there is no error to handle.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(master_key.as_bytes()) else { return String::new() };
    mac.update(uid.hyphenated().to_string().as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// The key with this value.
#[must_use]
pub fn find_key<'a>(keys: &'a [KeyRecord], master_key: &str, value: &str) -> Option<&'a KeyRecord> {
    keys.iter().find(|key| same(&key_value(master_key, key.uid), value))
}

/// Judges a request by its headers ([`authorise`]).
///
/// # Errors
/// As there.
pub fn permit(
    runtime: &dyn Runtime,
    headers: &HeaderMap,
    action: &str,
    index: Option<&str>,
) -> Result<Caller, ErrorBody> {
    // One that is no text is a token that is wrong, and not none.
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    authorise(runtime, authorization, action, index)
}

/// Judges a request by its `Authorization` header, the action that its route needs, and the index in its path.
///
/// # Errors
/// 401 `missing_authorization_header` or `missing_master_key`, 403 `invalid_api_key`.
pub fn authorise(
    runtime: &dyn Runtime,
    authorization: Option<&str>,
    action: &str,
    index: Option<&str>,
) -> Result<Caller, ErrorBody> {
    let token = bearer(authorization)?;
    let Some(master_key) = &runtime.secrets().master_key else {
        return if action.starts_with("keys.") { Err(missing_master_key()) } else { Ok(Caller::default()) };
    };
    let Some(token) = token else { return Err(missing_header()) };
    if same(master_key, token) {
        return Ok(Caller::default());
    }
    let keys = runtime.keys();
    let Some(key) = find_key(&keys, master_key, token) else {
        return tenant::authorise(&keys, master_key, token, action, index);
    };
    let sees = |index: &str| key.indexes.iter().any(|pattern| matches(pattern, index));
    if let Some(index) = index.filter(|index| !sees(index)) {
        let mut allowed = key.indexes.clone();
        allowed.sort_unstable();
        let message = format!("The API key cannot acces the index `{index}`, authorized indexes are {allowed:?}.");
        return Err(ErrorBody::new("invalid_api_key", message));
    }
    if !grants(key, action, index) {
        return Err(invalid());
    }
    Ok(Caller {
        key_uid: Some(key.uid),
        indexes: Some(key.indexes.clone()),
        no_creation: !grants(key, "indexes.create", None),
    })
}

fn grants(key: &KeyRecord, action: &str, index: Option<&str>) -> bool {
    let within = match index {
        _ if key.indexes.iter().any(|pattern| pattern == "*") => true,
        Some(index) => key.indexes.iter().any(|pattern| matches(pattern, index)),
        None => !key.indexes.is_empty() && actions::judged_by_route(action),
    };
    within
        && key.actions.iter().any(|granted| actions::covers(granted, action))
        && key.expires_at.is_none_or(|end| Timestamp::now() < end)
}

fn matches(pattern: &str, index: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == index, |prefix| index.starts_with(prefix))
}

fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

/// The token of the header; none without a header.
fn bearer(authorization: Option<&str>) -> Result<Option<&str>, ErrorBody> {
    match authorization.map(|header| header.split_once(' ').map_or((header, None), |(s, token)| (s, Some(token)))) {
        None => Ok(None),
        Some(("Bearer", Some(token))) => Ok(Some(token)),
        Some(("Bearer", None)) => Err(invalid()),
        Some(_) => Err(missing_header()),
    }
}

/// 403: the engine's answer to a key that is unknown, expired or not entitled.
pub(crate) fn invalid() -> ErrorBody {
    ErrorBody::new("invalid_api_key", "The provided API key is invalid.")
}

fn missing_header() -> ErrorBody {
    let message = "The Authorization header is missing. It must use the bearer authorization method.";
    ErrorBody::new("missing_authorization_header", message)
}

fn missing_master_key() -> ErrorBody {
    let message = "Meilisearch is running without a master key. To access this API endpoint, you must have set a master key at launch.";
    ErrorBody::new("missing_master_key", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::testing::Fake;

    const MASTER: &str = "masterkeymasterkey";

    fn key(actions: &[&str], indexes: &[&str], expires_at: Option<&str>) -> (KeyRecord, String) {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let record = KeyRecord {
            uid: Uuid::from_u128(7),
            name: None,
            description: None,
            actions: owned(actions),
            indexes: owned(indexes),
            expires_at: expires_at.map(|end| end.parse().unwrap()),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        (record, format!("Bearer {}", key_value(MASTER, Uuid::from_u128(7))))
    }

    fn judge(key: (KeyRecord, String), action: &str, index: Option<&str>) -> Result<Caller, String> {
        let runtime = Fake::new(Some(MASTER)).with_keys(vec![key.0]);
        authorise(&runtime, Some(&key.1), action, index).map_err(|error| error.message)
    }

    #[test]
    fn a_keys_value_is_the_engines() {
        let uid = "01b4bc42-eb33-4041-b481-254d00cce834".parse().unwrap();
        assert_eq!(key_value(MASTER, uid), "b422a79b707024e09852ee48edc7ec3ad227a8405f66604be93d3208e29976bd");
    }

    #[test]
    fn headers_are_judged_before_keys() {
        let runtime = Fake::new(Some(MASTER));
        let code = |header| authorise(&runtime, header, "indexes.get", None).map_err(|error| error.code);
        assert_eq!(code(None), Err("missing_authorization_header".to_owned()));
        assert_eq!(code(Some("Basic x")), Err("missing_authorization_header".to_owned()));
        assert_eq!(code(Some("bearer masterkeymasterkey")), Err("missing_authorization_header".to_owned()));
        assert_eq!(code(Some("Bearer")), Err("invalid_api_key".to_owned()));
        assert_eq!(code(Some("Bearer nope")), Err("invalid_api_key".to_owned()));
        assert_eq!(code(Some("Bearer masterkeymasterkey")), Ok(Caller::default()));
    }

    #[test]
    fn without_a_master_key_only_the_key_routes_are_closed() {
        let runtime = Fake::new(None);
        let code = |header, action| authorise(&runtime, header, action, None).map_err(|error| error.code);
        assert_eq!(code(None, "indexes.get"), Ok(Caller::default()));
        assert_eq!(code(Some("Bearer x"), "indexes.get"), Ok(Caller::default()));
        assert_eq!(code(None, "keys.get"), Err("missing_master_key".to_owned()));
    }

    #[test]
    fn actions_indexes_and_expiry_are_all_needed() {
        let scoped = || key(&["documents.*", "indexes.get"], &["b", "a*"], None);
        assert!(judge(scoped(), "documents.add", Some("a1")).is_ok());
        assert_eq!(
            judge(scoped(), "documents.add", Some("m")).unwrap_err(),
            "The API key cannot acces the index `m`, authorized indexes are [\"a*\", \"b\"]."
        );
        assert_eq!(judge(scoped(), "settings.get", Some("b")).unwrap_err(), "The provided API key is invalid.");
        let caller = judge(scoped(), "indexes.get", None).unwrap();
        assert!(caller.sees("b") && caller.sees("a1") && !caller.sees("c") && !caller.sees_all());
        assert!(!caller.may_create("b"));
        assert!(judge(key(&["*"], &["*"], None), "version", None).unwrap().may_create("x"));
        assert!(judge(key(&["*"], &["a"], None), "version", None).is_err());
        assert!(judge(key(&["*"], &["*"], Some("2020-01-01T00:00:00Z")), "version", None).is_err());
        assert!(judge(key(&["search"], &[], None), "search", None).is_err());
    }
}
