//! Tenant tokens: JSON web tokens that are signed with an API key's value, for searches within rules of their own. Nodes
//! judge them for what they serve; here they are judged for what control answers in the nodes' place.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use miroir_core::error::ErrorBody;
use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::{Caller, grants, invalid, key_value, matches};
use crate::cluster::KeyRecord;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signer {
    api_key_uid: Uuid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    search_rules: Rules,
    exp: Option<i64>,
}

/// Patterns of indexes, with or without filters.
#[derive(Deserialize)]
#[serde(untagged)]
enum Rules {
    List(Vec<String>),
    Filters(BTreeMap<String, IgnoredAny>),
}

impl Rules {
    fn patterns(self) -> Vec<String> {
        let mut patterns = match self {
            Self::List(patterns) => patterns,
            Self::Filters(filters) => filters.into_keys().collect(),
        };
        patterns.sort_unstable();
        patterns
    }
}

/// Judges what may be a tenant token, in the engine's order and words.
///
/// # Errors
/// 403 `invalid_api_key`.
pub(super) fn authorise(
    keys: &[KeyRecord],
    master_key: &str,
    token: &str,
    action: &str,
    index: Option<&str>,
) -> Result<Caller, ErrorBody> {
    // The only actions that the engine takes tenant tokens for.
    if !matches!(action, "search" | "chatCompletions") {
        return Err(invalid());
    }
    let signer = insecure_decode::<Signer>(token).map_err(|_| invalid())?.claims.api_key_uid;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let secret = DecodingKey::from_secret(key_value(master_key, signer).as_bytes());
    let claims = decode::<Claims>(token, &secret, &validation)
        .map_err(|fault| denied(format!("Could not decode tenant token, {fault}.")))?
        .claims;
    let now = Timestamp::now().as_second();
    if let Some(end) = claims.exp.filter(|end| *end < now) {
        return Err(denied(format!("Tenant token expired. Was valid up to `{end}` and we're now `{now}`.")));
    }
    let patterns = claims.search_rules.patterns();
    let key = keys.iter().find(|key| key.uid == signer).ok_or_else(invalid)?;
    if let Some(index) = index {
        if !patterns.iter().any(|pattern| matches(pattern, index)) {
            let message = format!(
                "The provided tenant token cannot acces the index `{index}`, allowed indexes are {patterns:?}."
            );
            return Err(denied(message));
        }
        if !key.indexes.iter().any(|pattern| matches(pattern, index)) {
            let message = format!("The API key used to generate this tenant token cannot acces the index `{index}`.");
            return Err(denied(message));
        }
    }
    if !grants(key, action, index) {
        return Err(invalid());
    }
    Ok(Caller { key_uid: Some(key.uid), indexes: Some(patterns), no_creation: true })
}

fn denied(message: String) -> ErrorBody {
    ErrorBody::new("invalid_api_key", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "a-master-key-for-scenarios";
    /// `{"searchRules":["*"]}`, HS256.
    const ALL: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcGlLZXlVaWQiOiI2ZjFhMmMzZC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMGFhMDEiLCJzZWFyY2hSdWxlcyI6WyIqIl19.4YFegorAjxBvzlywhPv5HuEh1cnfRO-S4iA4lK_NhIc";
    /// `{"searchRules":{"f*":…,"films":…}}`, HS384.
    const SOME: &str = "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJhcGlLZXlVaWQiOiI2ZjFhMmMzZC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMGFhMDEiLCJzZWFyY2hSdWxlcyI6eyJmKiI6eyJmaWx0ZXIiOiJ1c2VyID0gMiJ9LCJmaWxtcyI6eyJmaWx0ZXIiOiJ1c2VyID0gMCJ9fX0.V4UJtjsvNVDMDv2TFCBmXvI0WHP8_UNVwfvXoMJRSYsY6TQVl1ZIX3XB2pygKx9h";
    /// As [`ALL`], with `"exp":1000`.
    const OLD: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcGlLZXlVaWQiOiI2ZjFhMmMzZC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMGFhMDEiLCJzZWFyY2hSdWxlcyI6WyIqIl0sImV4cCI6MTAwMH0.jN3DDYm6ffwMuLCpyRtX3h2tOs1fFX5Ft-QPetqmbf8";
    /// As [`ALL`], signed with another secret.
    const FORGED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcGlLZXlVaWQiOiI2ZjFhMmMzZC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMGFhMDEiLCJzZWFyY2hSdWxlcyI6WyIqIl19.zYWo9gCcBSZMLu6o6_x5iZmDmTr7qa-6nlm3rQcIyVw";

    fn judge(token: &str, action: &str, index: Option<&str>) -> Result<Caller, String> {
        let key = KeyRecord {
            uid: "6f1a2c3d-0000-4000-8000-00000000aa01".parse().unwrap(),
            name: None,
            description: None,
            actions: vec!["search".into()],
            indexes: vec!["films".into(), "books".into()],
            expires_at: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        authorise(&[key], MASTER, token, action, index).map_err(|error| error.message)
    }

    /// Texts recorded from Meilisearch 1.50.
    #[test]
    fn tokens_are_judged_as_by_the_engine() {
        assert!(judge(ALL, "search", Some("films")).unwrap().sees("films"));
        assert!(judge(SOME, "search", Some("films")).is_ok());
        let cases = [
            (ALL, "The API key used to generate this tenant token cannot acces the index `nope`."),
            (SOME, "The provided tenant token cannot acces the index `nope`, allowed indexes are [\"f*\", \"films\"]."),
            (FORGED, "Could not decode tenant token, InvalidSignature."),
            ("a.b.c", "The provided API key is invalid."),
            ("nobodys", "The provided API key is invalid."),
        ];
        for (token, message) in cases {
            assert_eq!(judge(token, "search", Some("nope")).unwrap_err(), message);
        }
        assert!(judge(OLD, "search", None).unwrap_err().starts_with("Tenant token expired. Was valid up to `1000`"));
        assert_eq!(judge(ALL, "tasks.get", None).unwrap_err(), "The provided API key is invalid.");
    }
}
