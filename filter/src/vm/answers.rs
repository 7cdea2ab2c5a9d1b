//! Answers that the filter makes itself.

use miroir_core::call::Reply;
use miroir_core::error::ErrorBody;

/// No map has come yet.
pub(super) fn no_map() -> Reply {
    later("Miroir has not received its shard map yet.")
}

/// The worker has just started, and control has not told it that its map is the newest.
pub(super) fn unconfirmed() -> Reply {
    later("Miroir has not received the newest shard map yet; try again.")
}

/// The worker holds as many bodies as it may.
pub(super) fn full() -> Reply {
    later("This worker holds as much request data as it may; try again.")
}

/// A request that cannot be served right now and can be sent again.
fn later(message: &str) -> Reply {
    let mut reply = ErrorBody::new("remote_could_not_send_request", message).reply_with_status(503);
    reply.headers.push(("retry-after".to_owned(), "1".to_owned()));
    reply
}

/// The filter itself failed.
pub(super) fn broken() -> Reply {
    ErrorBody::new("internal", "The request ended without an answer.").reply()
}

/// An encoded body that Envoy did not decode.
pub(super) fn encoded(encoding: &str) -> Reply {
    ErrorBody::new("unsupported_media_type", format!("The content encoding `{encoding}` is not supported.")).reply()
}

/// A body beyond the limit, in the engine's words.
pub(super) fn too_large(limit: u64) -> Reply {
    ErrorBody::payload_too_large(limit).reply()
}

/// Where the worker's map stands.
pub(super) fn filter_state(epoch: u64) -> Reply {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Reply { status: 200, headers, body: format!(r#"{{"epoch":{epoch}}}"#).into_bytes() }
}

/// 404 as the engine answers unknown paths.
pub(super) fn not_found() -> Reply {
    Reply { status: 404, headers: Vec::new(), body: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_reads_as_the_engines() {
        let text = String::from_utf8(too_large(100_000_000).body).unwrap();
        assert!(text.contains("The maximum accepted payload size is 100 MB."), "{text}");
    }
}
