//! Answers and refusals in the engine's shape.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use miroir_core::error::ErrorBody;
use serde_json::Value;

/// A refusal: the engine's error body with its status.
#[derive(Clone, Debug)]
pub(crate) struct Refusal(pub(crate) ErrorBody, pub(crate) u16);

/// What every handler returns.
pub(crate) type Answer = Result<Response, Refusal>;

impl From<ErrorBody> for Refusal {
    fn from(body: ErrorBody) -> Self {
        let status = body.status();
        Self(body, status)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}

/// A refusal by code and text, with the status that the code has.
pub(crate) fn refuse(code: &str, message: impl Into<String>) -> Refusal {
    ErrorBody::new(code, message).into()
}

/// `200` with a body.
pub(crate) fn ok(body: Value) -> Answer {
    Ok(Json(body).into_response())
}

/// A body with another status.
pub(crate) fn with_status(status: u16, body: Value) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok((status, Json(body)).into_response())
}

/// The refusal of a missing index.
pub(crate) fn no_index(uid: &str) -> Refusal {
    refuse("index_not_found", format!("Index `{uid}` not found."))
}
