//! Jobs, plans and refusals of the sequencer in the words of the admin API, and the other way round.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use miroir_admin as api;
use miroir_core::error::{ErrorBody, ErrorType};
use miroir_sequencer as sequencer;

use crate::api::reply;
use crate::config::{Node, NodeSection};

pub(super) fn amount(amount: sequencer::Amount) -> api::Amount {
    api::Amount { documents: amount.documents, bytes: amount.bytes }
}

fn step(step: sequencer::MoveView) -> api::Move {
    api::Move {
        placement: step.shard.placement,
        shard: step.shard.shard,
        to: step.to,
        leaving: step.leaving,
        estimate: step.estimate.map(amount),
    }
}

fn kind(kind: sequencer::JobKind) -> api::JobKind {
    match kind {
        sequencer::JobKind::Join { node } => api::JobKind::Join { node },
        sequencer::JobKind::Drain { node } => api::JobKind::Drain { node },
        sequencer::JobKind::Remove { node } => api::JobKind::Remove { node },
        sequencer::JobKind::Replace { node, with } => api::JobKind::Replace { node, with },
        sequencer::JobKind::ReplicationFactor { from, to } => api::JobKind::ReplicationFactor { from, to },
        sequencer::JobKind::Rebalance => api::JobKind::Rebalance,
    }
}

fn state(state: sequencer::JobState) -> api::JobState {
    match state {
        sequencer::JobState::Queued => api::JobState::Queued,
        sequencer::JobState::Running => api::JobState::Running,
        sequencer::JobState::Paused => api::JobState::Paused,
        sequencer::JobState::Done => api::JobState::Done,
        sequencer::JobState::Cancelled => api::JobState::Cancelled,
    }
}

pub(super) fn job(job: sequencer::JobView) -> api::Job {
    api::Job {
        id: job.id.0,
        why: kind(job.kind),
        state: state(job.state),
        waiting: job.waiting,
        deletions: job.deletions.map(deletions),
        left: job.left,
        moves: job.moves,
        moves_done: job.moves_done,
        moves_skipped: job.moves_skipped,
        skips: job.skips.into_iter().map(skip).collect(),
        running: job.running.into_iter().map(step).collect(),
        estimate: job.estimate.map(amount),
        copied: amount(job.copied),
        created_ms: job.created_ms,
        started_ms: job.started_ms,
        finished_ms: job.finished_ms,
        seconds_left: job.seconds_left,
    }
}

pub(super) fn deletions(wait: sequencer::DeletionWait) -> api::DeletionWait {
    let filter = |filter: &sequencer::WaitedFilter| api::WaitedFilter {
        vm: filter.vm.clone(),
        envoy: filter.envoy.clone(),
        epoch: filter.epoch,
        heard_ms: filter.heard_ms,
        silent: filter.silent,
    };
    api::DeletionWait {
        sentence: wait.sentence(),
        copies: wait.copies,
        since_ms: wait.since_ms,
        until_ms: wait.until_ms,
        filters: wait.filters.iter().map(filter).collect(),
        command: wait.is_stuck().then(|| "miroirctl shard force-deletion".to_owned()),
    }
}

fn skip(skip: sequencer::SkipView) -> api::Skip {
    api::Skip { why: skip.why, moves: skip.moves, shards: names(skip.shards) }
}

fn names(names: Vec<sequencer::ShardName>) -> Vec<api::ShardName> {
    names.into_iter().map(|name| api::ShardName { placement: name.placement, shard: name.shard }).collect()
}

fn plan(plan: sequencer::PlanView) -> api::Plan {
    let node = |node: sequencer::NodeLoad| api::NodeLoad {
        id: node.id,
        before: node.before,
        after: node.after,
        share: node.share,
    };
    api::Plan {
        moves: plan.moves.into_iter().map(step).collect(),
        copies_made: plan.copies_made,
        copies_least: plan.copies_least,
        estimate: plan.estimate.map(amount),
        seconds: plan.time.map(|time| time.seconds),
        pace: plan.time.map(|time| pace(time.pace)),
        nodes: plan.nodes.into_iter().map(node).collect(),
    }
}

fn pace(pace: sequencer::Pace) -> api::Pace {
    match pace {
        sequencer::Pace::Measured => api::Pace::Measured,
        sequencer::Pace::Throttled => api::Pace::Throttled,
        sequencer::Pace::Assumed => api::Pace::Assumed,
    }
}

fn loss(loss: sequencer::LossView) -> api::Loss {
    api::Loss { promoted: names(loss.promoted), emptied: names(loss.emptied), tasks: loss.tickets }
}

fn tally(tally: sequencer::ScrubTally) -> api::ScrubTally {
    let sequencer::ScrubTally { compared, passed_over, undecided, documents, findings } = tally;
    api::ScrubTally { compared, passed_over, undecided, documents, findings }
}

pub(super) fn scrub(view: &sequencer::ScrubView) -> api::Scrub {
    let row = &view.row;
    let last = row.last.map(|last| api::ScrubPass {
        pass: last.pass,
        started_ms: last.started_ms,
        ended_ms: last.ended_ms,
        tally: tally(last.tally),
    });
    api::Scrub {
        interval_ms: view.interval,
        pass: row.pass,
        started_ms: row.started_ms,
        steps: view.units,
        steps_done: row.done,
        tally: tally(row.tally),
        last,
        waiting: view.waiting.clone(),
        blocked: view.blocked.clone(),
        unacknowledged: view.findings.iter().filter(|finding| !finding.acknowledged).count() as u64,
    }
}

pub(super) fn drift(row: sequencer::FindingRow) -> api::Drift {
    api::Drift {
        id: row.id,
        found_ms: row.found_ms,
        index: row.index,
        placement: row.placement,
        shard: row.shard,
        kept: row.kept,
        lost: row.lost,
        differing: row.differing,
        missing: row.missing,
        extra: row.extra,
        documents: row.documents,
        repaired_ms: row.repaired_ms,
        acknowledged: row.acknowledged,
    }
}

/// What the sequencer said to a command; an error for a refusal.
pub(super) fn outcome(answer: sequencer::AdminAnswer) -> Result<api::Outcome, sequencer::Refusal> {
    let nothing = api::Outcome::default();
    Ok(match answer {
        sequencer::AdminAnswer::Job(view) => api::Outcome { job: Some(job(view)), ..nothing },
        sequencer::AdminAnswer::Done { message } => api::Outcome { done: Some(api::Done { message }), ..nothing },
        sequencer::AdminAnswer::Plan(view) => api::Outcome { plan: Some(plan(view)), ..nothing },
        sequencer::AdminAnswer::LossAccepted(view) => api::Outcome { loss: Some(loss(view)), ..nothing },
        sequencer::AdminAnswer::Removed { loss: lost, job: view } => {
            api::Outcome { loss: Some(loss(lost)), job: Some(job(view)), ..nothing }
        }
        sequencer::AdminAnswer::Refused(refusal) => return Err(refusal),
    })
}

/// A refusal in the engine's shape, with the shards that are the reason.
pub(super) fn refused(refusal: sequencer::Refusal) -> Response {
    let status = match refusal.code {
        "node_unknown" | "job_unknown" | "no_such_copy" => StatusCode::NOT_FOUND,
        "bad_value" => StatusCode::BAD_REQUEST,
        _ => StatusCode::CONFLICT,
    };
    let mut message = refusal.message;
    if !refusal.shards.is_empty() {
        let shards: Vec<String> = refusal.shards.iter().take(20).map(|name| name.shard.to_string()).collect();
        let more = if refusal.shards.len() > shards.len() { ", …" } else { "" };
        message = format!("{}. Shards: {}{more}.", message.trim_end_matches('.'), shards.join(", "));
    }
    let error = ErrorBody {
        message,
        code: refusal.code.to_owned(),
        error_type: ErrorType::InvalidRequest,
        link: "https://github.com/miroir-search/miroir/blob/main/docs/operations.md".to_owned(),
    };
    reply::core(error.reply_with_status(status.as_u16())).into_response()
}

/// A node to be taken in, checked as the configuration's are.
pub(super) fn new_node(node: api::NewNode) -> Result<sequencer::NewNode, ErrorBody> {
    let section = NodeSection { id: node.id, url: node.url, weight: node.weight, zone: node.zone, tls_ca: node.tls_ca };
    let node = Node::check(&section).map_err(|error| ErrorBody::new("bad_request", error.to_string()))?;
    Ok(sequencer::NewNode {
        id: node.id,
        url: node.url.to_string(),
        weight: node.weight,
        zone: node.zone,
        tls_ca: node.tls_ca,
    })
}

/// An address for a node that is known, checked as the configuration's are.
pub(super) fn address(node: &str, url: String) -> Result<String, ErrorBody> {
    let node = api::NewNode { id: node.to_owned(), url, weight: None, zone: None, tls_ca: None };
    new_node(node).map(|node| node.url)
}

/// How far the tagging of documents is.
pub(super) fn tagging(view: sequencer::TaggingView) -> miroir_admin::Tagging {
    let sequencer::TaggingView { tagged, index, left, trouble } = view;
    miroir_admin::Tagging { tagged, index, left, trouble }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_tell_what_is_missing_from_what_stands_against_it() {
        let refusal = |code| sequencer::Refusal { code, message: "No.".into(), shards: Vec::new() };
        for (code, status) in [("node_unknown", 404), ("bad_value", 400), ("last_copies", 409), ("job_exists", 409)] {
            assert_eq!(refused(refusal(code)).status().as_u16(), status, "{code}");
        }
    }

    #[test]
    fn new_nodes_are_checked_as_configured_ones() {
        let node = |id: &str, url: &str| api::NewNode {
            id: id.into(),
            url: url.into(),
            weight: None,
            zone: None,
            tls_ca: None,
        };
        assert_eq!(new_node(node("a", "http://a:7700")).unwrap().weight, 1.0);
        let zoned = |zone: &str| api::NewNode { zone: Some(zone.into()), ..node("a", "http://a:7700") };
        let weighing = |weight| api::NewNode { weight: Some(weight), ..node("a", "http://a:7700") };
        assert_eq!(new_node(zoned("east 1")).unwrap().zone.as_deref(), Some("east 1"));
        for bad in [
            node("A", "http://a:7700"),
            node("a", "a:7700"),
            node("a", "http://a:7700/path"),
            node("a", "http://a:7700/?x"),
            node("a", "http://key@a:7700"),
            zoned(""),
            zoned(" "),
            zoned("a\nb"),
            weighing(0.0),
            weighing(-1.0),
            weighing(f64::INFINITY),
        ] {
            assert_eq!(new_node(bad).unwrap_err().code, "bad_request");
        }
    }
}
