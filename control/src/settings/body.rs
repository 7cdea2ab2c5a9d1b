//! JSON bodies in, JSON answers out, with the engine's words for what is not JSON.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::FromRequest;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use miroir_core::error::ErrorBody;
use miroir_core::media;
use serde::Serialize;
use serde_json::Value;

use crate::api::reply;
use crate::cluster::Handle;

/// A whole body, no larger than what the cluster takes of documents: settings may be large as well.
pub(crate) struct Payload(pub Bytes);

impl FromRequest<Handle> for Payload {
    type Rejection = Response;

    async fn from_request(request: Request<Body>, handle: &Handle) -> Result<Self, Response> {
        whole(handle, request.into_body()).await.map(Self).map_err(|error| refusal(&error))
    }
}

/// Reads a body to its end.
///
/// # Errors
/// 413 for one that is larger than allowed.
pub(crate) async fn whole(handle: &Handle, body: Body) -> Result<Bytes, ErrorBody> {
    let limit = handle.map().limits.max_body_bytes;
    let read = to_bytes(body, usize::try_from(limit).unwrap_or(usize::MAX)).await;
    read.map_err(|_| ErrorBody::payload_too_large(limit))
}

/// Reads a JSON body.
///
/// # Errors
/// 415 for another or no content type, 400 for no body or one that is not JSON.
pub(crate) fn json(headers: &HeaderMap, body: &[u8]) -> Result<Value, ErrorBody> {
    media::require_json(headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default()))?;
    if body.is_empty() {
        return Err(ErrorBody::new("missing_payload", "A json payload is missing."));
    }
    serde_json::from_slice(body).map_err(|fault| {
        ErrorBody::new("malformed_payload", format!("The json payload provided is malformed. `{fault}`."))
    })
}

/// An answer with a JSON body.
pub(crate) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// The answer that an error is.
pub(crate) fn refusal(error: &ErrorBody) -> Response {
    reply::error(error)
}

/// The answer of a handler that can fail.
pub(crate) fn respond(result: Result<Response, ErrorBody>) -> Response {
    result.unwrap_or_else(|error| refusal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_json_is_refused_in_the_engines_words() {
        let typed = |value: &'static str| HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
        let code = |headers: &HeaderMap, body: &str| json(headers, body.as_bytes()).unwrap_err().code;
        assert_eq!(code(&HeaderMap::new(), "{}"), "missing_content_type");
        assert_eq!(code(&typed("text/plain"), "{}"), "invalid_content_type");
        assert_eq!(code(&typed("application/json"), ""), "missing_payload");
        let fault = json(&typed("application/json; charset=utf-8"), b"{").unwrap_err();
        assert_eq!(
            fault.message,
            "The json payload provided is malformed. `EOF while parsing an object at line 1 column 1`."
        );
        assert!(json(&typed("application/json"), b"{\"a\":1}").is_ok());
    }
}
