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
    json(error.status(), error)
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
