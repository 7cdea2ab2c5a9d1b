//! `/indexes/{uid}/settings` and the route of every setting.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{self, MethodRouter};
use miroir_core::error::ErrorBody;
use serde_json::Value;

use super::body::{Payload, answer, json, respond};
use super::model::Settings;
use super::planner::not_found;
use super::schema::{SETTINGS, Setting, Verb};
use super::update::Update;
use crate::auth::{self, Caller};
use crate::cluster::{Handle, IndexOperation, NodeRequest};
use crate::stats::is_on;

/// The settings routes.
pub fn router(handle: Handle) -> Router {
    let all = routing::get(show_all).patch(change_all).delete(reset_all);
    let mut router = Router::new().route("/indexes/{uid}/settings", all);
    for setting in SETTINGS {
        router = router.route(&format!("/indexes/{{uid}}/settings/{}", setting.route), of(setting));
    }
    router.with_state(handle)
}

fn of(setting: &'static Setting) -> MethodRouter<Handle> {
    let show = move |State(handle): State<Handle>, Path(uid): Path<String>, headers: HeaderMap| async move {
        respond(view(&handle, &uid, &headers, |settings| settings.shown(setting)))
    };
    let change = move |State(handle): State<Handle>,
                       Path(uid): Path<String>,
                       headers: HeaderMap,
                       Payload(body): Payload| async move {
        let parse = |body| Update::of_one(setting, body);
        respond(change(handle, uid, &headers, &body, parse).await)
    };
    let reset = move |State(handle): State<Handle>, Path(uid): Path<String>, headers: HeaderMap| async move {
        respond(reset(handle, uid, &headers, Update::reset_one(setting)).await)
    };
    let route = routing::get(show).delete(reset);
    match setting.verb {
        Verb::Put => route.put(change),
        Verb::Patch => route.patch(change),
    }
}

async fn show_all(State(handle): State<Handle>, Path(uid): Path<String>, headers: HeaderMap) -> Response {
    respond(view(&handle, &uid, &headers, Settings::view))
}

async fn change_all(
    State(handle): State<Handle>,
    Path(uid): Path<String>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Response {
    respond(change(handle, uid, &headers, &body, Update::of_all).await)
}

async fn reset_all(State(handle): State<Handle>, Path(uid): Path<String>, headers: HeaderMap) -> Response {
    respond(reset(handle, uid, &headers, Update::reset_all()).await)
}

fn view(
    handle: &Handle,
    uid: &str,
    headers: &HeaderMap,
    show: impl Fn(&Settings) -> Value,
) -> Result<Response, ErrorBody> {
    permit(handle, headers, "settings.get", uid)?;
    crate::indexes::valid_uid(uid)?;
    let index = handle.index(uid).ok_or_else(|| not_found(uid))?;
    Ok(answer(StatusCode::OK, &show(&Settings::from_stored(&index.settings))))
}

/// A reset creates no index, whoever asks for it.
async fn reset(handle: Handle, uid: String, headers: &HeaderMap, update: Update) -> Result<Response, ErrorBody> {
    permit(&handle, headers, "settings.update", &uid)?;
    crate::indexes::valid_uid(&uid)?;
    enqueue(handle, uid, update, false).await
}

/// Authorisation, body, uid and the change itself are judged in the engine's order.
async fn change(
    handle: Handle,
    uid: String,
    headers: &HeaderMap,
    body: &[u8],
    parse: impl FnOnce(Value) -> Result<Update, ErrorBody>,
) -> Result<Response, ErrorBody> {
    let caller = permit(&handle, headers, "settings.update", &uid)?;
    let body = json(headers, body)?;
    let update = parse(body)?;
    crate::indexes::valid_uid(&uid)?;
    update.judge(|feature| is_on(&*handle, feature))?;
    judge_embedders(&handle, &update).await?;
    let may_create = caller.may_create(&uid);
    enqueue(handle, uid, update, may_create).await
}

async fn enqueue(handle: Handle, uid: String, update: Update, may_create: bool) -> Result<Response, ErrorBody> {
    let (change, details) = (update.to_change(), update.details());
    let task = handle.submit(IndexOperation::Settings { uid, change, details, may_create }).await?;
    Ok(answer(StatusCode::ACCEPTED, &task))
}

fn permit(handle: &Handle, headers: &HeaderMap, action: &str, uid: &str) -> Result<Caller, ErrorBody> {
    auth::permit(handle.as_ref(), headers, action, Some(uid))
}

/// Embedders have rules that only the engine knows (templates, models, the places of texts in requests): a node is
/// asked, by a body that it refuses whatever it thinks of them. Without any node the task will tell.
async fn judge_embedders(handle: &Handle, update: &Update) -> Result<(), ErrorBody> {
    let Some((body, fine)) = update.embedder_probe() else { return Ok(()) };
    for node in handle.nodes().into_iter().filter(|node| node.reachable) {
        let request = NodeRequest {
            method: "PATCH".to_owned(),
            path: "/indexes/miroir-probe/settings".to_owned(),
            body: Some(body.clone()),
        };
        let Ok(answer) = handle.node_request(&node.id, request).await else { continue };
        if answer.status != 400 {
            continue;
        }
        let Ok(error) = serde_json::from_slice::<ErrorBody>(&answer.body) else { continue };
        return if error.message.starts_with(&fine) { Ok(()) } else { Err(error) };
    }
    Ok(())
}
