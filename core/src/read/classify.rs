//! What a node's answer means.

use crate::call::{CallResult, NotSent, Unknown, header};
use crate::error::ErrorBody;
use crate::tag::lacks_rule;

/// Meaning of a call's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 200 with this body, still to be understood.
    Body(Vec<u8>),
    /// The engine refuses the request: the client's fault, alike on every node.
    Refused(Refusal),
    /// The node could not read these shards for us.
    Trouble(Trouble),
}

/// Why a node is of no use for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// 401 or 403: the client's fault if nodes agree, else the node's.
    Forbidden(Refusal),
    /// 404 for an index of the map: the node's fault, unless no node has it.
    NoIndex(Refusal),
    /// What the node has under this id is not the document of that id. The refusal is what there is to say if no copy
    /// has that.
    Stranger(Refusal),
    /// The node sheds load.
    Overloaded(Refusal),
    /// The index is there, but its settings are not yet: the node cannot tell shards apart.
    Unprepared,
    /// Nothing was sent.
    NotSent,
    /// Nothing was sent, since the proxy's own checks hold the node for bad. It may be well again: they take seconds to
    /// see that.
    HeldBack,
    /// No answer in time.
    Timeout,
    /// The connection broke.
    Broken,
    /// An answer that is none.
    Garbage,
    /// Another status than a read can have.
    Status(u16),
}

/// An error of the engine, to be relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) error: ErrorBody,
    pub(super) retry_after: Option<String>,
}

/// Reads the result of a call. Only an error in the engine's own shape can be the client's fault: anything else that
/// stands where a node should be must not decide what the client is told.
pub(super) fn classify(result: CallResult) -> Verdict {
    let (status, headers, body) = match result {
        CallResult::NotSent(NotSent::NoHealthyHost) => return Verdict::Trouble(Trouble::HeldBack),
        CallResult::NotSent(_) => return Verdict::Trouble(Trouble::NotSent),
        CallResult::Unknown(Unknown::Timeout) => return Verdict::Trouble(Trouble::Timeout),
        CallResult::Unknown(Unknown::Broken) => return Verdict::Trouble(Trouble::Broken),
        CallResult::Answer { status: 200, body, .. } => return Verdict::Body(body),
        CallResult::Answer { status, headers, body } => (status, headers, body),
    };
    let Ok(error) = serde_json::from_slice::<ErrorBody>(&body) else {
        return Verdict::Trouble(if status >= 500 { Trouble::Status(status) } else { Trouble::Garbage });
    };
    let retry_after = header(&headers, "retry-after").map(str::to_owned);
    let code = error.code.clone();
    let refusal = Refusal { status, error, retry_after };
    match (status, code.as_str()) {
        (401 | 403, _) => Verdict::Trouble(Trouble::Forbidden(refusal)),
        (404, "index_not_found") => Verdict::Trouble(Trouble::NoIndex(refusal)),
        (503, "too_many_search_requests") => Verdict::Trouble(Trouble::Overloaded(refusal)),
        (400, _) if lacks_rule(&refusal.error) => Verdict::Trouble(Trouble::Unprepared),
        (408 | 429, _) => Verdict::Trouble(Trouble::Status(status)),
        (400..=499, _) => Verdict::Refused(refusal),
        _ => Verdict::Trouble(Trouble::Status(status)),
    }
}

impl Trouble {
    /// The cause in words, behind the name of a node.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Forbidden(refusal) | Self::NoIndex(refusal) | Self::Overloaded(refusal) => {
                format!("answered {} ({})", refusal.status, refusal.error.code)
            }
            Self::Stranger(_) => "has another document under this id".to_owned(),
            Self::Unprepared => "has not taken the settings of the index yet".to_owned(),
            Self::NotSent | Self::HeldBack => "cannot be reached".to_owned(),
            Self::Timeout => "did not answer in time".to_owned(),
            Self::Broken => "broke the connection off".to_owned(),
            Self::Garbage => "gave an unusable answer".to_owned(),
            Self::Status(status) => format!("answered {status}"),
        }
    }

    /// What is to be said against the client, where that may be the node's own fault.
    pub(super) fn denial(&self) -> Option<&Refusal> {
        match self {
            Self::Forbidden(refusal) | Self::NoIndex(refusal) | Self::Stranger(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The node may be slow because it has too much to do: asking others instead adds to their load (F19).
    pub(super) fn may_be_load(&self) -> bool {
        matches!(self, Self::Timeout | Self::Overloaded(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Verdict {
        let headers = vec![("retry-after".to_owned(), "10".to_owned())];
        classify(CallResult::Answer { status, headers, body: body.as_bytes().to_vec() })
    }

    fn error(status: u16, code: &str) -> Verdict {
        answer(status, &serde_json::to_string(&ErrorBody::new(code, "message")).unwrap())
    }

    #[test]
    fn only_errors_of_the_engine_are_the_clients_fault() {
        assert!(matches!(error(400, "invalid_search_filter"), Verdict::Refused(_)));
        assert!(matches!(error(404, "document_not_found"), Verdict::Refused(_)));
        assert!(matches!(error(413, "payload_too_large"), Verdict::Refused(_)));
        assert_eq!(answer(400, "bad request"), Verdict::Trouble(Trouble::Garbage));
        assert_eq!(answer(404, ""), Verdict::Trouble(Trouble::Garbage));
        assert_eq!(answer(204, ""), Verdict::Trouble(Trouble::Garbage));
        assert_eq!(answer(429, "{}"), Verdict::Trouble(Trouble::Garbage));
        assert_eq!(error(429, "too_many"), Verdict::Trouble(Trouble::Status(429)));
    }

    #[test]
    fn what_another_replica_may_answer_is_trouble() {
        assert!(matches!(error(401, "missing_authorization_header"), Verdict::Trouble(Trouble::Forbidden(_))));
        assert!(matches!(error(403, "invalid_api_key"), Verdict::Trouble(Trouble::Forbidden(_))));
        assert!(matches!(error(404, "index_not_found"), Verdict::Trouble(Trouble::NoIndex(_))));
        assert_eq!(error(500, "internal"), Verdict::Trouble(Trouble::Status(500)));
        assert_eq!(answer(503, "no"), Verdict::Trouble(Trouble::Status(503)));
        let Verdict::Trouble(Trouble::Overloaded(refusal)) = error(503, "too_many_search_requests") else { panic!() };
        assert_eq!(refusal.retry_after.as_deref(), Some("10"));
    }

    #[test]
    fn an_index_without_the_rule_for_shards_is_the_nodes_trouble() {
        let with = |message: &str| {
            answer(400, &serde_json::to_string(&ErrorBody::new("invalid_document_filter", message)).unwrap())
        };
        let message = "Attribute `_miroir_shard` is not filterable. This index does not have configured filterable attributes.\n1:14 _miroir_shard IN [\"x\"]";
        assert_eq!(with(message), Verdict::Trouble(Trouble::Unprepared));
        let message = "Attribute `a` is not filterable. Available filterable attribute patterns are: `_miroir_shard`.";
        assert!(matches!(with(message), Verdict::Refused(_)));
    }

    #[test]
    fn what_was_not_answered_is_trouble() {
        assert_eq!(classify(CallResult::NotSent(NotSent::ConnectFailed)), Verdict::Trouble(Trouble::NotSent));
        assert_eq!(classify(CallResult::NotSent(NotSent::NoHealthyHost)), Verdict::Trouble(Trouble::HeldBack));
        assert_eq!(classify(CallResult::Unknown(Unknown::Timeout)), Verdict::Trouble(Trouble::Timeout));
        assert_eq!(classify(CallResult::Unknown(Unknown::Broken)), Verdict::Trouble(Trouble::Broken));
    }
}
