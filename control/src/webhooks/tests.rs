//! Delivery to a receiver that is played here.

use std::io::Read;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use miroir_sequencer::{TaskRow, TaskStatus};
use serde_json::Value;
use tokio::sync::mpsc;

use super::*;

fn task(uid: u32) -> TaskRow {
    TaskRow {
        uid,
        index: Some("films".into()),
        indexes: vec!["films".into()],
        task_type: "indexCreation".into(),
        status: TaskStatus::Succeeded,
        canceled_by: None,
        details: None,
        error: None,
        custom_metadata: None,
        enqueued_ms: 1,
        started_ms: Some(2),
        finished_ms: Some(3),
    }
}

/// A receiver, and what it gets.
async fn receiver() -> (String, mpsc::UnboundedReceiver<(HeaderMap, Vec<Value>)>) {
    let (sender, received) = mpsc::unbounded_channel();
    let take = move |headers: HeaderMap, body: Bytes| async move {
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
        sender.send((headers, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())).unwrap();
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", post(take))).await });
    (url, received)
}

fn to(url: &str) -> Webhooks {
    let headers = [("authorization".to_owned(), "Bearer secret".to_owned())].into();
    [(Uuid::from_u128(1), Webhook { url: url.to_owned(), headers })].into()
}

#[tokio::test]
async fn finished_tasks_are_told_once_and_together() {
    let (url, mut received) = receiver().await;
    let courier = Courier::start(true).unwrap();
    courier.tell(to(&url), vec![task(7), task(8)]);
    courier.tell(to(&url), vec![]);
    courier.tell(to(&url), vec![task(9)]);
    let (headers, tasks) = received.recv().await.unwrap();
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(headers["content-type"], "application/x-ndjson");
    assert_eq!(tasks.iter().map(|task| task["uid"].as_u64().unwrap()).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(tasks[0]["status"], "succeeded");
    assert_eq!(received.recv().await.unwrap().1[0]["uid"], 9);
}

#[tokio::test]
async fn a_private_address_is_told_nothing_unless_it_may() {
    let (url, mut received) = receiver().await;
    let port = url.rsplit(':').next().unwrap();
    for guarded in [url.clone(), format!("http://localhost:{port}")] {
        Courier::start(false).unwrap().tell(to(&guarded), vec![task(1)]);
    }
    // The first thing to arrive is what came last.
    let mut both = to("http://127.0.0.1:1/nobody");
    both.insert(Uuid::from_u128(2), Webhook { url, headers: BTreeMap::new() });
    let open = Courier::start(true).unwrap();
    open.tell(both, vec![task(2)]);
    assert_eq!(received.recv().await.unwrap().1[0]["uid"], 2);
}

#[test]
fn what_authorises_is_not_shown() {
    let webhook = &to("http://x")[&Uuid::from_u128(1)];
    assert_eq!(webhook.view(Uuid::nil())["headers"]["authorization"], "Bearer XXX...");
}
