//! The end of a cluster in order: no write begins any more, and those that have a ticket get to their decision. A write
//! that has been sent to nodes and finds nobody to commit it would leave its client without an outcome.

use miroir_core::call::Reply;
use miroir_core::error::ErrorBody;
use miroir_core::wire::{BeginAnswer, ControlReply};
use tokio::sync::oneshot;

use super::Cluster;
use super::actor::Message;

const STATUS: u16 = 503;
const RETRY_AFTER: (&str, &str) = ("retry-after", "1");

fn error() -> ErrorBody {
    let message = "Miroir's control service is shutting down. Nothing was written; try again.";
    ErrorBody::new("remote_could_not_send_request", message)
}

/// The cluster has ended before it answered: 503, to be asked for again. What was asked for may have been done.
pub(crate) fn closing() -> ErrorBody {
    ErrorBody::new("remote_could_not_send_request", "Miroir's control service is shutting down; try again.")
}

fn retry_after() -> (String, String) {
    (RETRY_AFTER.0.to_owned(), RETRY_AFTER.1.to_owned())
}

/// What the client of a write reads that has not begun when the cluster is closed.
pub(crate) fn not_begun() -> Reply {
    let mut reply = error().reply_with_status(STATUS);
    reply.headers.push(retry_after());
    reply
}

/// The same as the answer to a begin.
pub(super) fn no_ticket() -> BeginAnswer {
    let body = serde_json::to_value(error()).ok();
    BeginAnswer::Reply(ControlReply { status: STATUS, headers: vec![retry_after()], body })
}

impl Cluster {
    /// Lets no write begin from now on; those that wait for their ticket are refused.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Ends when the cluster has been closed.
    pub(crate) async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// Ends when no write is open: each that has a ticket has been decided or given up.
    pub(crate) async fn settled(&self) {
        let (who, answer) = oneshot::channel();
        if self.events.send(Message::Settled(who)).is_ok() {
            // A cluster that has ended has nothing open.
            let _ = answer.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::closing;
    use crate::api::reply;

    #[test]
    fn who_asked_a_cluster_that_has_ended_asks_again() {
        let response = reply::error(&closing());
        assert_eq!((response.status().as_u16(), response.headers()["retry-after"].as_bytes()), (503, &b"1"[..]));
    }
}
