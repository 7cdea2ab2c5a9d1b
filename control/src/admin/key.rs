//! The admin key: who has it may change the cluster. It is no key of the engine's, and no other key opens the admin
//! API.

use std::fmt;

use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;
use miroir_core::error::ErrorBody;
use subtle::ConstantTimeEq;
use tracing::info;

use crate::api::reply;

/// The configured admin key; none closes the admin API.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AdminKey(Option<String>);

impl fmt::Debug for AdminKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("AdminKey").field(&self.0.as_ref().map(|_| "…")).finish()
    }
}

impl AdminKey {
    /// A key; none closes the admin API.
    #[must_use]
    pub fn new(key: Option<String>) -> Self {
        Self(key)
    }

    /// Judges an `Authorization` header.
    ///
    /// # Errors
    /// `feature_not_enabled` without a configured key, 401 `missing_authorization_header`, 403 `invalid_api_key`.
    pub fn judge(&self, authorization: Option<&str>) -> Result<(), ErrorBody> {
        let Some(key) = &self.0 else {
            let message = "The admin API is closed: control runs without an admin key. Set `admin.key_file` or \
                           `MIROIR_ADMIN_KEY_FILE` and start it again.";
            return Err(ErrorBody::new("feature_not_enabled", message));
        };
        match authorization.and_then(|header| header.strip_prefix("Bearer ")) {
            None => Err(ErrorBody::new(
                "missing_authorization_header",
                "The Authorization header is missing. It must hold the admin key: `Authorization: Bearer KEY`.",
            )),
            Some(token) if bool::from(token.as_bytes().ct_eq(key.as_bytes())) => Ok(()),
            Some(_) => Err(ErrorBody::new(
                "invalid_api_key",
                "The provided key is not the admin key. The master key and API keys do not open the admin API.",
            )),
        }
    }
}

/// Lets nobody by without the key, and notes every request that may change something.
pub(super) async fn guard(State(key): State<AdminKey>, request: Request, next: Next) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap_or_default());
    if let Err(error) = key.judge(authorization) {
        return match error.code.as_str() {
            "feature_not_enabled" => reply::core(error.reply_with_status(403)),
            _ => reply::error(&error),
        };
    }
    let change = (request.method() != Method::GET).then(|| (request.method().clone(), request.uri().path().to_owned()));
    let response = next.run(request).await;
    if let Some((method, path)) = change {
        info!(%method, path, status = response.status().as_u16(), "admin request");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(key: Option<&str>, header: Option<&str>) -> Result<(), String> {
        AdminKey::new(key.map(str::to_owned)).judge(header).map_err(|error| error.code)
    }

    #[test]
    fn only_the_key_opens() {
        let key = Some("an-admin-key-of-some-length");
        assert_eq!(judge(key, Some("Bearer an-admin-key-of-some-length")), Ok(()));
        for header in ["Bearer an-admin-key-of-some-lengt", "Bearer ", "Bearer other"] {
            assert_eq!(judge(key, Some(header)), Err("invalid_api_key".to_owned()), "{header}");
        }
        for header in [None, Some(""), Some("an-admin-key-of-some-length"), Some("Basic x")] {
            assert_eq!(judge(key, header), Err("missing_authorization_header".to_owned()), "{header:?}");
        }
    }

    #[test]
    fn without_a_key_nothing_opens() {
        for header in [None, Some("Bearer "), Some("Bearer x")] {
            assert_eq!(judge(None, header), Err("feature_not_enabled".to_owned()));
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        assert!(!format!("{:?}", AdminKey::new(Some("very-secret".to_owned()))).contains("very-secret"));
    }
}
