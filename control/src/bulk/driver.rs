//! Drives a write machine: calls to control are answered in this process, calls to nodes go out over HTTP.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use miroir_core::call::{Action, Call, CallId, CallResult, Machine, NotSent, Reply, Unknown};
use miroir_core::error::ErrorBody;
use miroir_core::wire::{ABANDON_PATH, ABORT_PATH, AUTHORISE_PATH, BEGIN_PATH, COMMIT_PATH, RENEW_PATH};
use miroir_core::write::WriteMachine;
use miroir_sequencer::Event;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{Service, internal};
use crate::cluster::NodeFault;
use crate::node::{Right, receive};

type Calls = FuturesUnordered<BoxFuture<'static, (CallId, CallResult)>>;

/// Runs a machine to its end, and returns what it answers the client.
pub(super) async fn run(mut machine: WriteMachine, service: Arc<Service>) -> Reply {
    let start = Instant::now();
    let now = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut calls = Calls::new();
    let mut wakes = BTreeSet::new();
    let mut reply = None;
    // Splitting a payload takes long enough to be kept off the other tasks of this thread.
    let mut actions = tokio::task::block_in_place(|| machine.start(now()));
    loop {
        for action in actions {
            match action {
                Action::Call(call) => calls.push(perform(call, service.clone()).boxed()),
                Action::Notify(call) => {
                    tokio::spawn(perform(call, service.clone()));
                }
                Action::Reply(answer) => reply = Some(answer),
                Action::WakeAt(time) => {
                    wakes.insert(time);
                }
                Action::Done => {
                    return reply.unwrap_or_else(|| ErrorBody::new("internal", "the write has no answer").reply());
                }
            }
        }
        let wake = async {
            match wakes.first() {
                Some(time) => tokio::time::sleep(Duration::from_millis(time.saturating_sub(now()))).await,
                None => std::future::pending().await,
            }
        };
        actions = tokio::select! {
            Some((id, result)) = calls.next() => tokio::task::block_in_place(|| machine.on_result(id, result, now())),
            () = wake => {
                wakes.pop_first();
                machine.on_wake(now())
            }
        };
    }
}

async fn perform(call: Call, service: Arc<Service>) -> (CallId, CallResult) {
    let id = call.id;
    let timeout = Duration::from_millis(call.timeout_ms);
    let map = crate::cluster::Runtime::map(&*service.cluster);
    let work = async {
        if call.cluster == map.control_internal_cluster {
            return ask_control(&call, &service).await;
        }
        match map.nodes.iter().find(|node| node.write_cluster == call.cluster) {
            Some(node) => ask_node(call, &node.id, &service).await,
            None => CallResult::NotSent(NotSent::NoCluster),
        }
    };
    let result = tokio::time::timeout(timeout, work).await;
    (id, result.unwrap_or(CallResult::Unknown(Unknown::Timeout)))
}

async fn ask_node(call: Call, node: &str, service: &Service) -> CallResult {
    let request = match service.cluster.client().request(node, call.method, &call.path, Right::Key(None)) {
        Ok(request) => request,
        Err(_) => return CallResult::NotSent(NotSent::NoCluster),
    };
    let request = call.headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    match receive(request.body(call.body)).await {
        Ok(answer) => CallResult::Answer { status: answer.status, headers: Vec::new(), body: answer.body.to_vec() },
        Err(NodeFault::NotSent(_) | NodeFault::NoSuchNode) => CallResult::NotSent(NotSent::ConnectFailed),
        Err(NodeFault::Unknown(_)) => CallResult::Unknown(Unknown::Broken),
    }
}

fn read<T: DeserializeOwned>(call: &Call) -> Result<T, CallResult> {
    serde_json::from_slice(&call.body).map_err(|_| CallResult::Unknown(Unknown::Broken))
}

fn answer(body: &impl Serialize) -> CallResult {
    CallResult::Answer { status: 200, headers: Vec::new(), body: serde_json::to_vec(body).unwrap_or_default() }
}

async fn ask_control(call: &Call, service: &Service) -> CallResult {
    let nothing = || CallResult::Answer { status: 204, headers: Vec::new(), body: Vec::new() };
    let cluster = &service.cluster;
    let result = match call.path.as_str() {
        BEGIN_PATH => match read(call) {
            Ok(begin) => {
                let begun = internal::authorised_begin(cluster, begin).await;
                Ok(answer(&begun.unwrap_or_else(|error| internal::refused(&error))))
            }
            Err(broken) => Err(broken),
        },
        COMMIT_PATH => match read(call) {
            Ok(commit) => cluster.commit(commit).await.map(|decided| answer(&decided)).map_err(gone),
            Err(broken) => Err(broken),
        },
        RENEW_PATH => match read(call) {
            Ok(renew) => cluster.renew(renew).await.map(|renewed| answer(&renewed)).map_err(gone),
            Err(broken) => Err(broken),
        },
        ABORT_PATH => read(call).map(|abort| {
            cluster.tell(Event::Abort(abort));
            nothing()
        }),
        ABANDON_PATH => read(call).map(|abandon| {
            cluster.tell(Event::Abandon(abandon));
            nothing()
        }),
        // The bulk entry has looked at the key already.
        AUTHORISE_PATH => Ok(nothing()),
        _ => Ok(CallResult::Answer { status: 404, headers: Vec::new(), body: Vec::new() }),
    };
    result.unwrap_or_else(|broken| broken)
}

/// Control is shutting down under the machine's feet.
fn gone(_: ErrorBody) -> CallResult {
    CallResult::Unknown(Unknown::Broken)
}
