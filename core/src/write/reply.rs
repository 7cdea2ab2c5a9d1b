//! What the client reads when a write ends without control's word.

use crate::call::Reply;
use crate::error::ErrorBody;
use crate::wire::ControlReply;

/// Nothing was written and the same request can be sent again.
pub(super) fn unavailable(why: &str) -> Reply {
    let message = format!("Writes are not possible at the moment: {why}. Nothing was written; try again.");
    let mut reply = ErrorBody::new("remote_could_not_send_request", message).reply_with_status(503);
    reply.headers.push(("retry-after".to_owned(), "1".to_owned()));
    reply
}

/// Parts may have been written and nobody could be asked.
pub(super) fn outcome_unknown(ticket: u32) -> Reply {
    let message = format!(
        "The outcome of this write is unknown: it was sent to the nodes, but its commit was not confirmed in time. \
         Task {ticket} will tell what became of it."
    );
    ErrorBody::new("remote_timeout", message).reply_with_status(503)
}

/// Control's own answer, as it stands.
pub(super) fn from_control(reply: ControlReply) -> Reply {
    let mut headers = reply.headers;
    headers.retain(|(name, _)| name != "content-type");
    let body = match reply.body {
        Some(body) => {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
            serde_json::to_vec(&body).unwrap_or_default()
        }
        None => Vec::new(),
    };
    Reply { status: reply.status, headers, body }
}
