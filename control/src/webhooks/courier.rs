//! Tells webhooks of finished tasks: as the engine does, compressed lines of tasks, once, without a second try.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use miroir_sequencer::TaskRow;
use tokio::sync::mpsc;
use tracing::warn;

use super::egress::{connections, names_private_address};
use super::{Webhook, Webhooks};
use crate::tasks::view;

/// Longest wait for one receiver.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most batches of tasks that wait for slow receivers; later ones are lost, and said to be.
const WAITING: usize = 1_000;

/// What is to be told, and to whom: the webhooks as they were when the tasks ended.
type Parcel = (Webhooks, Vec<TaskRow>);

/// Takes finished tasks, and never makes anybody wait.
#[derive(Clone, Debug)]
pub(crate) struct Courier(mpsc::Sender<Parcel>);

impl Courier {
    /// Starts one. `private`: receivers may have private addresses.
    ///
    /// # Errors
    /// When connections cannot be made at all.
    pub(crate) fn start(private: bool) -> reqwest::Result<Self> {
        let client = connections(private)?;
        let (sender, inbox) = mpsc::channel(WAITING);
        tokio::spawn(run(client, private, inbox));
        Ok(Self(sender))
    }

    /// Tells of finished tasks.
    pub(crate) fn tell(&self, webhooks: Webhooks, tasks: Vec<TaskRow>) {
        if !webhooks.is_empty() && !tasks.is_empty() && self.0.try_send((webhooks, tasks)).is_err() {
            warn!("webhooks are not told of tasks: their receivers are too slow");
        }
    }
}

async fn run(client: reqwest::Client, private: bool, mut inbox: mpsc::Receiver<Parcel>) {
    while let Some((webhooks, tasks)) = inbox.recv().await {
        let body: Arc<[u8]> = match packed(&tasks) {
            Ok(body) => body.into(),
            Err(error) => {
                warn!("webhooks are not told of tasks: {error}");
                continue;
            }
        };
        let sends = webhooks.iter().map(|(uuid, webhook)| {
            let (client, body) = (client.clone(), body.clone());
            async move {
                if let Err(fault) = send(&client, private, webhook, &body).await {
                    warn!(%uuid, "webhook: {fault}");
                }
            }
        });
        futures::future::join_all(sends).await;
    }
}

fn packed(tasks: &[TaskRow]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for task in tasks {
        serde_json::to_writer(&mut encoder, &view::task(task))?;
        encoder.write_all(b"\n")?;
    }
    encoder.finish()
}

async fn send(client: &reqwest::Client, private: bool, webhook: &Webhook, body: &[u8]) -> Result<(), String> {
    let url: reqwest::Url = webhook.url.parse().map_err(|error| format!("{error}"))?;
    if !private && names_private_address(&url) {
        return Err("private addresses are not allowed".to_owned());
    }
    let mut request = client.post(url).timeout(TIMEOUT);
    for (name, value) in &webhook.headers {
        request = request.header(name, value);
    }
    let request = request.header("content-type", "application/x-ndjson").header("content-encoding", "gzip");
    let answer = request.body(body.to_vec()).send().await.map_err(|error| format!("{error:#}"))?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("answered {}", answer.status())) }
}
