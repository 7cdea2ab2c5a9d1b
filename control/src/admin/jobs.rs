//! Routes that change the cluster. Each hands one command to the sequencer, which plans, refuses or carries it out.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use miroir_admin::{
    AcceptLoss, Done, ForceDeletion, Job, JobList, Loss, NewNode, Outcome, Repair, ReplaceNode, ReplicationFactor,
    Throttle,
};
use miroir_core::error::ErrorBody;
use miroir_sequencer::{AdminCommand, JobId, Refusal, Replacement};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cluster::{answer, body};
use super::convert;
use crate::api::{Service, reply};

pub(super) fn routes() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(add))
        .routes(routes!(drain))
        .routes(routes!(remove))
        .routes(routes!(replace))
        .routes(routes!(replication_factor))
        .routes(routes!(rebalance))
        .routes(routes!(jobs))
        .routes(routes!(job))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
        .routes(routes!(throttle))
        .routes(routes!(repair))
        .routes(routes!(acknowledge))
        .routes(routes!(accept_loss))
        .routes(routes!(force_deletion))
}

/// How a change is carried out.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct How {
    /// Answer with the plan, and do nothing.
    #[param(required = false)]
    dry_run: bool,
}

/// How a node is removed.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Removal {
    /// Answer with the plan, and do nothing.
    #[param(required = false)]
    dry_run: bool,
    /// Give up what only this node has.
    #[param(required = false)]
    force: bool,
}

type Asked<T> = Result<Json<T>, JsonRejection>;
type Hows<T> = Result<Query<T>, QueryRejection>;
type Number = Result<Path<u64>, PathRejection>;

fn how<T>(query: Hows<T>) -> Result<T, ErrorBody> {
    query.map(|Query(how)| how).map_err(|rejection| ErrorBody::new("bad_parameter", rejection.body_text()))
}

fn number(path: Number) -> Result<JobId, ErrorBody> {
    path.map(|Path(job)| JobId(job)).map_err(|_| ErrorBody::new("bad_parameter", "A job is named by its number."))
}

/// Why there is no outcome.
enum Failure {
    Error(ErrorBody),
    Refused(Refusal),
}

impl From<ErrorBody> for Failure {
    fn from(error: ErrorBody) -> Self {
        Self::Error(error)
    }
}

async fn ask(service: &Service, command: AdminCommand) -> Result<Outcome, Failure> {
    let answer = service.cluster.admin(command).await?;
    convert::outcome(answer).map_err(Failure::Refused)
}

fn respond<T: serde::Serialize>(result: Result<T, Failure>) -> Response {
    match result {
        Ok(body) => answer(Ok(body)),
        Err(Failure::Error(error)) => reply::error(&error),
        Err(Failure::Refused(refusal)) => convert::refused(refusal),
    }
}

/// Carries a change out, or plans it.
async fn change(service: &Service, dry_run: bool, command: Result<AdminCommand, ErrorBody>) -> Response {
    let result = match command {
        Err(error) => Err(Failure::Error(error)),
        Ok(command) if dry_run => ask(service, AdminCommand::Plan { of: Box::new(command) }).await,
        Ok(command) => ask(service, command).await,
    };
    respond(result)
}

/// Only this member of an outcome.
fn only<T>(outcome: Result<Outcome, Failure>, member: impl FnOnce(Outcome) -> Option<T>) -> Result<T, Failure> {
    member(outcome?).ok_or_else(|| Failure::Error(ErrorBody::new("internal", "The command was answered by another.")))
}

/// Takes a node in.
///
/// Its share of the shards moves to it: a job. Also for a node that is a member without shards.
#[utoipa::path(post, path = "/_miroir/nodes", tag = "nodes", params(How), request_body = NewNode,
    responses((status = 200, body = Outcome), (status = 409, description = "It cannot be done; the message says why.")))]
async fn add(State(service): State<Arc<Service>>, query: Hows<How>, asked: Asked<NewNode>) -> Response {
    match how(query) {
        Err(error) => reply::error(&error),
        Ok(how) => {
            let command = body(asked).and_then(convert::new_node).map(AdminCommand::NodeAdd);
            change(&service, how.dry_run, command).await
        }
    }
}

/// Moves all shards of a node to others.
///
/// It stays a member without shards.
#[utoipa::path(post, path = "/_miroir/nodes/{node}/drain", tag = "nodes",
    params(("node" = String, Path, description = "Node id."), How),
    responses((status = 200, body = Outcome), (status = 404, description = "No such node."),
              (status = 409, description = "It cannot be done; the message says why.")))]
async fn drain(State(service): State<Arc<Service>>, Path(node): Path<String>, query: Hows<How>) -> Response {
    match how(query) {
        Err(error) => reply::error(&error),
        Ok(how) => change(&service, how.dry_run, Ok(AdminCommand::NodeDrain { node })).await,
    }
}

/// Forgets a node.
///
/// An empty one at once; one out of reach when its copies have been made elsewhere; refused for one that serves shards,
/// and while data would be lost, unless `force` is set.
#[utoipa::path(delete, path = "/_miroir/nodes/{node}", tag = "nodes",
    params(("node" = String, Path, description = "Node id."), Removal),
    responses((status = 200, body = Outcome), (status = 404, description = "No such node."),
              (status = 409, description = "It cannot be done; the message says why.")))]
async fn remove(State(service): State<Arc<Service>>, Path(node): Path<String>, query: Hows<Removal>) -> Response {
    match how(query) {
        Err(error) => reply::error(&error),
        Ok(how) => change(&service, how.dry_run, Ok(AdminCommand::NodeRemove { node, force: how.force })).await,
    }
}

/// Puts another machine, or another disk, in the place of a node.
#[utoipa::path(post, path = "/_miroir/nodes/{node}/replace", tag = "nodes", request_body = ReplaceNode,
    params(("node" = String, Path, description = "Node id."), How),
    responses((status = 200, body = Outcome), (status = 404, description = "No such node."),
              (status = 409, description = "It cannot be done; the message says why.")))]
async fn replace(
    State(service): State<Arc<Service>>,
    Path(node): Path<String>,
    query: Hows<How>,
    asked: Asked<ReplaceNode>,
) -> Response {
    let with = |asked: ReplaceNode| match asked {
        ReplaceNode { with: Some(_), url: Some(_) } => {
            Err(ErrorBody::new("bad_request", "`with` brings its own `url`; give one of the two."))
        }
        ReplaceNode { with: Some(new), url: None } => convert::new_node(new).map(Replacement::Node),
        ReplaceNode { with: None, url } => {
            let url = url.map(|url| convert::address(&node, url)).transpose();
            url.map(|url| Replacement::Disk { url })
        }
    };
    match how(query) {
        Err(error) => reply::error(&error),
        Ok(how) => {
            let command = body(asked).and_then(with);
            let command = command.map(|with| AdminCommand::NodeReplace { node: node.clone(), with });
            change(&service, how.dry_run, command).await
        }
    }
}

/// Sets the number of copies of each shard.
#[utoipa::path(put, path = "/_miroir/replication-factor", tag = "moves", params(How), request_body = ReplicationFactor,
    responses((status = 200, body = Outcome), (status = 409, description = "It cannot be done; the message says why.")))]
async fn replication_factor(
    State(service): State<Arc<Service>>,
    query: Hows<How>,
    asked: Asked<ReplicationFactor>,
) -> Response {
    match how(query) {
        Err(error) => reply::error(&error),
        Ok(how) => {
            let command = body(asked)
                .map(|asked| AdminCommand::SetReplicationFactor { replication_factor: asked.replication_factor });
            change(&service, how.dry_run, command).await
        }
    }
}

/// Evens out what the nodes hold.
#[utoipa::path(post, path = "/_miroir/rebalance", tag = "moves", params(How),
    responses((status = 200, body = Outcome), (status = 409, description = "It cannot be done; the message says why.")))]
async fn rebalance(State(service): State<Arc<Service>>, query: Hows<How>) -> Response {
    match how(query) {
        Err(error) => reply::error(&error),
        Ok(how) => change(&service, how.dry_run, Ok(AdminCommand::RebalanceStart)).await,
    }
}

/// Jobs that are not forgotten, oldest first.
#[utoipa::path(get, path = "/_miroir/jobs", tag = "moves", responses((status = 200, body = JobList)))]
async fn jobs(State(service): State<Arc<Service>>) -> Response {
    let jobs = service.cluster.jobs().await;
    answer(jobs.map(|jobs| JobList { jobs: jobs.into_iter().map(convert::job).collect() }))
}

/// One job.
#[utoipa::path(get, path = "/_miroir/jobs/{job}", tag = "moves", params(("job" = u64, Path, description = "Number.")),
    responses((status = 200, body = Job), (status = 404, description = "No such job.")))]
async fn job(State(service): State<Arc<Service>>, path: Number) -> Response {
    let found = async {
        let JobId(job) = number(path)?;
        let jobs = service.cluster.jobs().await?;
        let found = jobs.into_iter().find(|found| found.id.0 == job).map(convert::job);
        let message = format!("There is no job {job}.");
        found.ok_or_else(|| Failure::Refused(Refusal { code: "job_unknown", message, shards: Vec::new() }))
    };
    respond(found.await)
}

async fn turn(service: &Service, path: Number, command: impl FnOnce(JobId) -> AdminCommand) -> Response {
    let asked = async { ask(service, command(number(path)?)).await };
    respond(only(asked.await, |outcome| outcome.job))
}

/// Starts no further move of a job.
///
/// Those under way end.
#[utoipa::path(post, path = "/_miroir/jobs/{job}/pause", tag = "moves",
    params(("job" = u64, Path, description = "Number.")),
    responses((status = 200, body = Job), (status = 404, description = "No such job."),
              (status = 409, description = "The job is over.")))]
async fn pause(State(service): State<Arc<Service>>, path: Number) -> Response {
    turn(&service, path, |job| AdminCommand::JobPause { job }).await
}

/// Goes on with a paused job.
#[utoipa::path(post, path = "/_miroir/jobs/{job}/resume", tag = "moves",
    params(("job" = u64, Path, description = "Number.")),
    responses((status = 200, body = Job), (status = 404, description = "No such job."),
              (status = 409, description = "The job is over.")))]
async fn resume(State(service): State<Arc<Service>>, path: Number) -> Response {
    turn(&service, path, |job| AdminCommand::JobResume { job }).await
}

/// Ends a job.
///
/// Shards that have moved stay where they are, the others do not move.
#[utoipa::path(post, path = "/_miroir/jobs/{job}/cancel", tag = "moves",
    params(("job" = u64, Path, description = "Number.")),
    responses((status = 200, body = Job), (status = 404, description = "No such job."),
              (status = 409, description = "The job is over.")))]
async fn cancel(State(service): State<Arc<Service>>, path: Number) -> Response {
    turn(&service, path, |job| AdminCommand::JobCancel { job }).await
}

/// Sets the pace of copying.
///
/// For all jobs and repairs, from now on and after restarts. What is left out has no limit.
#[utoipa::path(put, path = "/_miroir/throttle", tag = "moves", request_body = Throttle,
    responses((status = 200, body = Done)))]
async fn throttle(State(service): State<Arc<Service>>, asked: Asked<Throttle>) -> Response {
    let asked = match body(asked) {
        Ok(asked) => asked,
        Err(error) => return reply::error(&error),
    };
    let command = AdminCommand::Throttle(miroir_sequencer::Throttle {
        documents_per_second: asked.documents_per_second,
        bytes_per_second: asked.bytes_per_second,
        moves: asked.moves,
    });
    respond(only(ask(&service, command).await, |outcome| outcome.done))
}

/// Brings copies that missed writes up to date now, rather than at the next turn.
#[utoipa::path(post, path = "/_miroir/repair", tag = "repair", request_body = Repair,
    responses((status = 200, body = Done), (status = 404, description = "No such node.")))]
async fn repair(State(service): State<Arc<Service>>, asked: Asked<Repair>) -> Response {
    match body(asked) {
        Ok(Repair { node }) => {
            respond(only(ask(&service, AdminCommand::Repair { node }).await, |outcome| outcome.done))
        }
        Err(error) => reply::error(&error),
    }
}

/// Takes note of all findings.
///
/// They are no reason any more to call the cluster degraded.
#[utoipa::path(post, path = "/_miroir/findings/acknowledge", tag = "repair", responses((status = 200, body = Done)))]
async fn acknowledge(State(service): State<Arc<Service>>) -> Response {
    respond(only(ask(&service, AdminCommand::AcknowledgeFindings).await, |outcome| outcome.done))
}

/// What cannot be taken back is done only by those who say so.
fn not_confirmed(what: &str) -> Response {
    let message = format!("{what} Send `confirm: true` to do it.");
    convert::refused(Refusal { code: "not_confirmed", message, shards: Vec::new() })
}

/// Accepts a loss.
///
/// What only copies out of reach have is given up: the named node's copies of these shards count as in sync from now on.
/// Refused without `confirm`.
#[utoipa::path(post, path = "/_miroir/shards/accept-loss", tag = "shards", request_body = AcceptLoss,
    responses((status = 200, body = Loss), (status = 404, description = "No such copy."),
              (status = 409, description = "It cannot be done; the message says why.")))]
async fn accept_loss(State(service): State<Arc<Service>>, asked: Asked<AcceptLoss>) -> Response {
    let asked = match body(asked) {
        Ok(asked) => asked,
        Err(error) => return reply::error(&error),
    };
    if !asked.confirm {
        return not_confirmed("This gives up for good what newer copies out of reach have.");
    }
    let AcceptLoss { node, placement, shards, .. } = asked;
    let command = AdminCommand::AcceptLoss { node, placement, shards };
    respond(only(ask(&service, command).await, |outcome| outcome.loss))
}

/// Deletes the copies that leave without waiting for silent filters.
///
/// A copy that leaves is kept until every filter is known to read by a later map; one that has been silent for a while
/// keeps it for up to a day. To be used when the Envoys of such filters are gone for good. Refused without `confirm`.
#[utoipa::path(post, path = "/_miroir/shards/force-deletion", tag = "shards", request_body = ForceDeletion,
    responses((status = 200, body = Done), (status = 409, description = "It was not confirmed.")))]
async fn force_deletion(State(service): State<Arc<Service>>, asked: Asked<ForceDeletion>) -> Response {
    match body(asked) {
        Ok(ForceDeletion { confirm: true }) => {
            respond(only(ask(&service, AdminCommand::ForceDeletion).await, |outcome| outcome.done))
        }
        Ok(_) => not_confirmed("A filter that is only cut off would search without the documents of these copies."),
        Err(error) => reply::error(&error),
    }
}
