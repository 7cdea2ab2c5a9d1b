//! What the end of a call means.

use miroir_core::call::{CallResult, Headers, NotSent, Unknown, header};

/// Header by which an answer of the upstream itself is known; Envoy's own answers lack it.
const UPSTREAM_TIME: &str = "x-envoy-upstream-service-time";

/// Tells an upstream's answer from what Envoy says in its place (Envoy 1.40). Without headers the call broke off after
/// the answer had begun, or the answer was larger than Envoy takes. Headers are fetched only of answers that are no
/// success: nothing asks for those of others, and they cost as much as a small body.
pub(super) fn result(status: Option<u16>, body: Vec<u8>, headers: impl FnOnce() -> Headers) -> CallResult {
    let Some(status) = status else { return CallResult::Unknown(Unknown::Broken) };
    if matches!(status, 200..=299) {
        return CallResult::Answer { status, headers: Headers::new(), body };
    }
    let headers = headers();
    if matches!(status, 502..=504) && header(&headers, UPSTREAM_TIME).is_none() {
        return proxy_fault(status, &String::from_utf8_lossy(&body));
    }
    let headers = headers.into_iter().filter(|(name, _)| !name.starts_with(':')).collect();
    CallResult::Answer { status, headers, body }
}

fn proxy_fault(status: u16, text: &str) -> CallResult {
    const BEFORE_CONNECTING: [&str; 3] =
        ["remote connection failure", "local connection failure", "connection timeout"];
    if status == 504 {
        CallResult::Unknown(Unknown::Timeout)
    } else if BEFORE_CONNECTING.iter().any(|reason| text.contains(reason)) {
        CallResult::NotSent(NotSent::ConnectFailed)
    } else if text.contains("no healthy upstream") || text.contains("reset reason: overflow") {
        CallResult::NotSent(NotSent::NoHealthyHost)
    } else {
        CallResult::Unknown(Unknown::Broken)
    }
}

/// A short name of the outcome, for statistics.
pub(super) fn name(result: &CallResult) -> &'static str {
    match result {
        CallResult::NotSent(_) => "not_sent",
        CallResult::Unknown(Unknown::Timeout) => "timeout",
        CallResult::Unknown(Unknown::Broken) => "broken",
        CallResult::Answer { status, .. } => match status {
            200..=299 => "ok",
            400..=499 => "refused",
            500..=599 => "error",
            _ => "other",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(pairs: &[(&str, &str)], body: &str) -> CallResult {
        let headers: Headers = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let status = header(&headers, ":status").and_then(|status| status.parse().ok());
        result(status, body.into(), || headers)
    }

    /// Texts recorded from Envoy 1.40.
    #[test]
    fn what_envoy_says_is_not_taken_for_the_upstreams_word() {
        let said = |status: &str, text: &str| ended(&[(":status", status), ("content-type", "text/plain")], text);
        let prefix = "upstream connect error or disconnect/reset before headers. reset reason: ";
        assert_eq!(
            said("503", &format!("{prefix}remote connection failure")),
            CallResult::NotSent(NotSent::ConnectFailed)
        );
        assert_eq!(said("503", &format!("{prefix}connection termination")), CallResult::Unknown(Unknown::Broken));
        assert_eq!(said("503", "no healthy upstream"), CallResult::NotSent(NotSent::NoHealthyHost));
        assert_eq!(said("502", &format!("{prefix}protocol error")), CallResult::Unknown(Unknown::Broken));
        assert_eq!(said("504", "upstream request timeout"), CallResult::Unknown(Unknown::Timeout));
        assert_eq!(ended(&[], ""), CallResult::Unknown(Unknown::Broken));
        assert_eq!(ended(&[(":status", "two hundred")], ""), CallResult::Unknown(Unknown::Broken));
    }

    #[test]
    fn an_upstreams_own_503_is_its_answer() {
        let own = ended(&[(":status", "503"), (UPSTREAM_TIME, "1")], "busy");
        assert!(matches!(own, CallResult::Answer { status: 503, .. }));
        let CallResult::Answer { headers, .. } = own else { unreachable!() };
        assert_eq!(header(&headers, ":status"), None);
    }
}
