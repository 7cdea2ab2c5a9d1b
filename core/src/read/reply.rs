//! What the client of a read is told.

use super::classify::{Refusal, Trouble};
use crate::call::Reply;
use crate::error::ErrorBody;
use crate::search;
use crate::shardmap::SearchView;

/// Header `x-miroir-shards: answered/total`.
const SHARDS_HEADER: &str = "x-miroir-shards";
/// Header that marks an answer that lacks something.
const DEGRADED_HEADER: &str = "x-miroir-degraded";
/// Troubles named in an error, so that a large cluster does not make a large message.
const NAMED_TROUBLES: usize = 8;

/// Content type of every body.
pub(super) fn json_header() -> (String, String) {
    ("content-type".to_owned(), "application/json".to_owned())
}

/// 503 in the engine's shape. The code is the engine's for an instance that an answer needs and that cannot be reached
/// (there with 502, which clients do not retry).
pub(super) fn unavailable(message: impl Into<String>) -> Reply {
    let mut reply = ErrorBody::new("remote_could_not_send_request", message).reply_with_status(503);
    reply.headers.push(("retry-after".to_owned(), "1".to_owned()));
    reply
}

/// 503 that names the shards that nobody could read, of `total`, and why.
pub(super) fn unreadable<'a>(
    uid: &str,
    lost: &[u32],
    total: usize,
    troubles: impl Iterator<Item = (&'a str, &'a Trouble)>,
) -> Reply {
    // A node that was asked more than once says the same each time, or something else.
    let mut reasons: Vec<String> = Vec::new();
    for reason in troubles.map(|(node, trouble)| format!("`{node}` {}", trouble.describe())) {
        if reasons.len() < NAMED_TROUBLES && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let reasons = if reasons.is_empty() { "no copy in sync".to_owned() } else { reasons.join(", ") };
    let mut reply = unavailable(format!("Shards {} of index `{uid}` cannot be read: {reasons}.", shard_ranges(lost)));
    reply.headers.push((SHARDS_HEADER.to_owned(), format!("{}/{total}", total.saturating_sub(lost.len()))));
    reply
}

/// A refusal of the engine as the client may see it, where its words are about the index of `view`. `position` is that of the query within a multi-search, whose
/// errors the engine marks, and where a missing index is 400.
pub(super) fn relayed(refusal: &Refusal, position: Option<usize>, view: Option<&SearchView>) -> Reply {
    let mut message = search::scrub_message(&refusal.error.message);
    if view.is_some_and(|view| view.tag_rule_first) {
        message = search::renumber_rules(&message);
    }
    let (message, status) = match position {
        None => (message, refusal.status),
        Some(position) => {
            let status = if refusal.error.code == "index_not_found" { 400 } else { refusal.status };
            (format!("Inside `.queries[{position}]`: {message}"), status)
        }
    };
    let mut reply = ErrorBody { message, ..refusal.error.clone() }.reply_with_status(status);
    if let Some(seconds) = &refusal.retry_after {
        reply.headers.push(("retry-after".to_owned(), seconds.clone()));
    }
    reply
}

/// The page. `lost` are shards without an answer, where the client accepts that.
pub(super) fn page(body: Vec<u8>, answered: usize, total: usize, lost: &[u32]) -> Reply {
    let mut headers = vec![json_header(), (SHARDS_HEADER.to_owned(), format!("{answered}/{total}"))];
    if !lost.is_empty() {
        headers.push((DEGRADED_HEADER.to_owned(), format!("missing-shards={}", shard_ranges(lost))));
    }
    Reply { status: 200, headers, body }
}

/// `0-3,7` for ascending numbers.
#[must_use]
pub fn shard_ranges(numbers: &[u32]) -> String {
    numbers
        .chunk_by(|left, right| left.checked_add(1) == Some(*right))
        .filter_map(|run| Some((run.first()?, run.last()?)))
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str) -> Refusal {
        Refusal { status, error: ErrorBody::new(code, "Index `a` not found."), retry_after: Some("10".into()) }
    }

    #[test]
    fn runs_of_shards_are_written_short() {
        assert_eq!(shard_ranges(&[]), "");
        assert_eq!(shard_ranges(&[4]), "4");
        assert_eq!(shard_ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
    }

    #[test]
    fn errors_within_a_multi_search_are_positioned() {
        let reply = relayed(&refusal(404, "index_not_found"), Some(3), None);
        assert_eq!(reply.status, 400);
        assert!(String::from_utf8(reply.body).unwrap().contains("Inside `.queries[3]`: Index `a` not found."));
        assert_eq!(relayed(&refusal(404, "index_not_found"), None, None).status, 404);
        assert_eq!(relayed(&refusal(403, "invalid_api_key"), Some(0), None).status, 403);
    }

    #[test]
    fn retry_after_is_relayed() {
        let reply = relayed(&refusal(503, "too_many_search_requests"), None, None);
        assert!(reply.headers.contains(&("retry-after".into(), "10".into())));
    }

    #[test]
    fn lost_shards_and_their_nodes_are_named() {
        let reply = unreadable("movies", &[0, 1], 4, [("n1", &Trouble::Timeout)].into_iter());
        let body = String::from_utf8(reply.body).unwrap();
        assert!(body.contains("Shards 0-1 of index `movies` cannot be read: `n1` did not answer in time."), "{body}");
        assert_eq!(reply.status, 503);
        assert!(reply.headers.contains(&("x-miroir-shards".into(), "2/4".into())));
    }

    #[test]
    fn a_trouble_is_named_once_however_often_the_node_had_it() {
        let held_back = (0..9).map(|_| ("n1", &Trouble::HeldBack));
        let others = [("n1", &Trouble::NotSent), ("n1", &Trouble::Timeout), ("n2", &Trouble::NotSent)];
        let reply = unreadable("movies", &[0], 4, held_back.chain(others));
        let body = String::from_utf8(reply.body).unwrap();
        let reasons = "`n1` cannot be reached, `n1` did not answer in time, `n2` cannot be reached.";
        assert!(body.contains(&format!("Shards 0 of index `movies` cannot be read: {reasons}")), "{body}");
    }
}
