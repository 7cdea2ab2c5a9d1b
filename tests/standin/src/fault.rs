//! Faults that tests plant: hang, delay, refuse, fail tasks, hold the queue. Set by `POST /_standin/faults`.

use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::node::Shared;

/// What is wrong with this node at present. Everything off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Faults {
    /// Take requests and never answer them.
    pub(crate) hang: bool,
    /// Milliseconds to wait before a request is handled.
    pub(crate) delay_ms: u64,
    /// Milliseconds to wait before the answer is sent, once the request was handled.
    pub(crate) answer_delay_ms: u64,
    /// Answer every request with this status and no body.
    pub(crate) refuse: Option<u16>,
    /// Answer every request as no node should.
    pub(crate) garble: Option<Garbled>,
    /// Only requests whose path contains this text meet `hang`, `delayMs`, `refuse` and `garble`; all of them if empty.
    pub(crate) path: String,
    /// Only requests that store something meet them: the disk is full.
    pub(crate) writes: bool,
    /// Fail this many of the document tasks that come next.
    pub(crate) fail_tasks: u32,
    /// Error code of those tasks.
    pub(crate) fail_code: Option<String>,
    /// Enqueue tasks, but process none.
    pub(crate) hold_queue: bool,
}

/// What stands in place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Garbled {
    /// The first half of it.
    Truncated,
    /// Its first half, and then the connection ends before all is there that was announced.
    CutOff,
    /// Nothing.
    Empty,
    /// What a proxy might say.
    Html,
    /// JSON without any member.
    Bare,
    /// The members, with other types.
    WrongTypes,
    /// Bytes that are no text.
    Binary,
    /// JSON that nests deeper than any reader should follow.
    Nested,
    /// The answer without any header of its own.
    Headless,
    /// Far more than was asked for.
    Huge,
}

impl Garbled {
    async fn apply(self, answer: Response) -> Response {
        let (mut parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        let half = body.slice(..body.len() / 2);
        parts.headers.remove(header::CONTENT_LENGTH);
        let garbled = match self {
            Self::Truncated => Body::from(half),
            Self::CutOff => {
                let parts = [Ok(half), Err(std::io::Error::other("cut off"))];
                Body::from_stream(futures::stream::iter(parts))
            }
            Self::Empty => Body::empty(),
            Self::Html => Body::from("<html><body>It works!</body></html>"),
            Self::Bare => Body::from("{}"),
            Self::WrongTypes => {
                Body::from(r#"{"hits":7,"results":{"a":[]},"estimatedTotalHits":"many","limit":[],"offset":null}"#)
            }
            Self::Binary => Body::from(vec![0xff; 4096]),
            Self::Nested => Body::from("{\"hits\":[".repeat(50_000)),
            Self::Headless => {
                parts.headers.clear();
                Body::from(body)
            }
            Self::Huge => {
                let hit = br#"{"id":1,"_rankingScore":1.0},"#.repeat(2_000_000);
                Body::from([br#"{"hits":["#.as_slice(), &hit].concat())
            }
        };
        Response::from_parts(parts, garbled)
    }
}

/// The present faults, shared by request handlers and the queue.
#[derive(Default)]
pub(crate) struct FaultBoard(Mutex<Faults>);

impl FaultBoard {
    /// A copy of the present faults.
    pub(crate) fn get(&self) -> Faults {
        self.0.lock().map(|faults| faults.clone()).unwrap_or_default()
    }

    /// Replaces them.
    pub(crate) fn set(&self, faults: Faults) {
        if let Ok(mut slot) = self.0.lock() {
            *slot = faults;
        }
    }

    /// Takes one of the failures planted for tasks.
    pub(crate) fn take_task_failure(&self) -> Option<String> {
        let mut faults = self.0.lock().ok()?;
        faults.fail_tasks = faults.fail_tasks.checked_sub(1)?;
        Some(faults.fail_code.clone().unwrap_or_else(|| "internal".to_owned()))
    }
}

/// Stands before every route. A request that has come in whole is carried out even when its client leaves, as by the
/// engine.
pub(crate) async fn inject(State(node): State<Shared>, request: Request, next: Next) -> Response {
    let carried_out = tokio::spawn(with_faults(node, request, next)).await;
    carried_out.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Whether a request makes the node store something.
fn stores(method: &Method, path: &str) -> bool {
    let reads = ["/search", "/multi-search", "/facet-search", "/fetch"];
    *method != Method::GET && !reads.iter().any(|end| path.ends_with(end))
}

/// Applies the faults to all requests except those under `/_standin/`.
async fn with_faults(node: Shared, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if path.starts_with("/_standin/") {
        return next.run(request).await;
    }
    let faults = node.faults.get();
    if !path.contains(&faults.path) || faults.writes && !stores(request.method(), &path) {
        return next.run(request).await;
    }
    if faults.hang {
        std::future::pending::<()>().await;
    }
    if faults.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(faults.delay_ms)).await;
    }
    if let Some(status) = faults.refuse.and_then(|status| StatusCode::from_u16(status).ok()) {
        return status.into_response();
    }
    let answer = next.run(request).await;
    tokio::time::sleep(Duration::from_millis(faults.answer_delay_ms)).await;
    match faults.garble {
        Some(garbled) => garbled.apply(answer).await,
        None => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_keeps_no_search_out() {
        assert!(stores(&Method::POST, "/indexes/a/documents"));
        assert!(stores(&Method::DELETE, "/keys/x"));
        assert!(!stores(&Method::POST, "/indexes/a/search"));
        assert!(!stores(&Method::POST, "/indexes/a/documents/fetch"));
        assert!(!stores(&Method::GET, "/tasks"));
    }
}
