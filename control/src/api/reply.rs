//! Answers.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use miroir_core::call::Reply;
use miroir_core::error::ErrorBody;
use serde::Serialize;

/// An error in the engine's shape, with its status.
#[must_use]
pub fn error(error: &ErrorBody) -> Response {
    let (status, headers) = standing(error);
    let mut response = json(status, error);
    extend(&mut response, &headers);
    response
}

/// Status and headers of an error. What cannot be done now can be asked for again: 503 with `retry-after`, as for
/// searches and writes, where the engine's network has 502, by which proxies and clients do not know that.
pub(crate) fn standing(error: &ErrorBody) -> (u16, Vec<(String, String)>) {
    let status = if error.code == "remote_could_not_send_request" { 503 } else { error.status() };
    let retry = (status == 503).then(|| ("retry-after".to_owned(), "1".to_owned()));
    (status, retry.into_iter().collect())
}

/// JSON under a status.
pub fn json(status: u16, body: &impl Serialize) -> Response {
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(body)).into_response()
}

/// What the core made.
#[must_use]
pub fn core(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Body::from(reply.body).into_response();
    *response.status_mut() = status;
    extend(&mut response, &reply.headers);
    response
}

/// Adds headers; those that cannot be are left out.
pub fn extend(response: &mut Response, headers: &[(String, String)]) {
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked_for_again_says_so() {
        let answered = |code: &'static str| {
            let response = error(&ErrorBody::new(code, "No."));
            (response.status().as_u16(), response.headers().get("retry-after").cloned())
        };
        let soon = Some(HeaderValue::from_static("1"));
        assert_eq!(answered("remote_could_not_send_request"), (503, soon.clone()));
        assert_eq!(answered("too_many_search_requests"), (503, soon));
        assert_eq!(answered("remote_bad_response"), (502, None));
        assert_eq!(answered("index_not_found"), (404, None));
    }
}
