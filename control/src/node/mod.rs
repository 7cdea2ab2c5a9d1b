//! The client of the nodes: what the sequencer asks for ([`Client::act`]) and plain requests ([`Client::call`]).

mod address;
mod copy;
mod fence;
mod keys;
pub(crate) mod pages;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

pub use address::AddressFault;
use address::{Address, Addresses};
use bytes::Bytes;
pub use copy::Copied;
pub(crate) use fence::WriteKey;
use miroir_core::error::ErrorBody;
use miroir_sequencer::{NodeAction, NodeAnswer as Answer, NodeFault as Fault};
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::{FoundIndex, NodeAnswer, NodeFault, NodeRequest, Secrets};
use crate::config::Node;
use fence::owner;

/// Talks to all nodes. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    addresses: Arc<Addresses>,
    master_key: Option<String>,
    cluster: String,
    shards: u32,
    pages: copy::Pages,
    copied: Copied,
}

/// With which right a request goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Right<'a> {
    /// The master key.
    Master,
    /// A key of a generation; none where nodes are open.
    Key(Option<&'a str>),
}

impl Client {
    /// A client that knows no node yet; `cluster` is the cluster id, which names our write keys, and `shards` the number
    /// of its shards. What is copied is counted in `copied`.
    #[must_use]
    pub fn new(secrets: &Secrets, cluster: &str, shards: u32, copied: Copied) -> Self {
        Self {
            addresses: Arc::default(),
            master_key: secrets.master_key.clone(),
            cluster: cluster.to_owned(),
            shards,
            pages: copy::Pages::default(),
            copied,
        }
    }

    /// Takes the list of nodes over. Returns what is wrong with some of them: nothing is sent to those.
    pub fn set_nodes(&self, nodes: &[Node]) -> Vec<AddressFault> {
        self.addresses.set(nodes)
    }

    /// Whether nodes ask for keys.
    pub(crate) fn has_master_key(&self) -> bool {
        self.master_key.is_some()
    }

    /// What may be given in the place of a write key where no leader has made one.
    pub(crate) fn master_key(&self) -> Option<String> {
        self.master_key.clone()
    }

    /// A request with the right headers, for bodies that are streamed.
    pub(crate) fn request(
        &self,
        node: &str,
        method: &str,
        path: &str,
        right: Right<'_>,
    ) -> Result<reqwest::RequestBuilder, NodeFault> {
        let Address { url, http, .. } = self.addresses.get(node).ok_or(NodeFault::NoSuchNode)?;
        let url = url.join(path).map_err(|error| NodeFault::NotSent(error.to_string()))?;
        let method = method.parse().map_err(|_| NodeFault::NotSent(format!("method {method}")))?;
        let request = http.map_err(NodeFault::NotSent)?.request(method, url);
        Ok(match right {
            Right::Master => match &self.master_key {
                Some(key) => request.bearer_auth(key),
                None => request,
            },
            Right::Key(Some(key)) => request.bearer_auth(key),
            Right::Key(None) => request,
        })
    }

    /// Sends a request with the master key and waits for the whole answer.
    ///
    /// # Errors
    /// [`NodeFault`] when there is none.
    pub async fn call(&self, node: &str, request: &NodeRequest, timeout: Duration) -> Result<NodeAnswer, NodeFault> {
        self.send(node, request, Right::Master, timeout).await
    }

    async fn send(
        &self,
        node: &str,
        request: &NodeRequest,
        right: Right<'_>,
        timeout: Duration,
    ) -> Result<NodeAnswer, NodeFault> {
        let mut builder = self.request(node, &request.method, &request.path, right)?.timeout(timeout);
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        receive(builder).await
    }

    async fn get(&self, node: &str, path: String, timeout: Duration) -> Result<Bytes, Fault> {
        let request = NodeRequest { method: "GET".to_owned(), path, body: None };
        match self.call(node, &request, timeout).await {
            Ok(NodeAnswer { status: 200, body }) => Ok(body),
            Ok(_) => Err(Fault::Unknown),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Carries an action of the sequencer out, within the timeout.
    ///
    /// # Errors
    /// The sequencer's words for no answer.
    pub async fn act(&self, node: &str, action: NodeAction, timeout: Duration) -> Result<Answer, Fault> {
        let work = async {
            match action {
                NodeAction::ReadTasks { from, limit, open } => self.read_tasks(node, from, limit, &open, timeout).await,
                NodeAction::Inspect => self.inspect(node, timeout).await,
                NodeAction::Fence { generation, term } => self.fence(node, generation, term, timeout).await,
                NodeAction::Request { key, step } => {
                    let body = step.body.as_deref().map(serde_json::from_str).transpose();
                    let body = body.map_err(|_| Fault::NotSent)?;
                    let request = NodeRequest { method: step.method, path: step.path, body };
                    self.enqueue(node, &request, key.as_deref(), timeout).await
                }
                NodeAction::Cancel { key, uids } => {
                    let uids = tasks::joined(&uids);
                    let path = format!("/tasks/cancel?uids={uids}");
                    let request = NodeRequest { method: "POST".to_owned(), path, body: None };
                    self.enqueue(node, &request, key.as_deref(), timeout).await
                }
                NodeAction::DeleteTasks { key, from, below } => {
                    let uids: Vec<u32> = (from..below).collect();
                    let path = format!("/tasks?uids={}", tasks::joined(&uids));
                    let request = NodeRequest { method: "DELETE".to_owned(), path, body: None };
                    self.enqueue(node, &request, key.as_deref(), timeout).await
                }
                action => self.copy(node, action, timeout).await,
            }
        };
        tokio::time::timeout(timeout, work).await.unwrap_or(Err(Fault::Unknown))
    }

    async fn enqueue(
        &self,
        node: &str,
        request: &NodeRequest,
        key: Option<&str>,
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let answer = self.send(node, request, Right::Key(key), timeout).await?;
        enqueued(&answer)
    }

    async fn inspect(&self, node: &str, timeout: Duration) -> Result<Answer, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            pkg_version: String,
        }
        self.get(node, "/health".to_owned(), timeout).await?;
        let version: Version = read(&self.get(node, "/version".to_owned(), timeout).await?)?;
        let indexes = self.list_indexes(node, timeout).await?;
        let indexes = indexes.into_iter().map(|index| (index.uid, index.created_at)).collect();
        let keys = match self.master_key {
            Some(_) => {
                self.list_keys(node, timeout).await?.iter().filter_map(|key| owner(key, &self.cluster)).collect()
            }
            None => Vec::new(),
        };
        Ok(Answer::State { version: version.pkg_version, indexes, keys })
    }

    async fn list_indexes(&self, node: &str, timeout: Duration) -> Result<Vec<Index>, Fault> {
        pages::all("/indexes", |path| async { read(&self.get(node, path, timeout).await?) }).await
    }

    /// The indexes of a node; settings are read of those that `wanted` says.
    pub async fn found_indexes(
        &self,
        node: &str,
        wanted: impl Fn(&str) -> bool,
        timeout: Duration,
    ) -> Result<Vec<FoundIndex>, Fault> {
        let mut found = Vec::new();
        for Index { uid, primary_key, .. } in self.list_indexes(node, timeout).await? {
            let settings = match wanted(&uid) {
                true => read(&self.get(node, format!("/indexes/{uid}/settings"), timeout).await?)?,
                false => Value::Null,
            };
            found.push(FoundIndex { uid, primary_key, settings });
        }
        Ok(found)
    }
}

/// An index as a node lists it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    uid: String,
    created_at: String,
    primary_key: Option<String>,
}

/// Sends and reads to the end.
pub(crate) async fn receive(request: reqwest::RequestBuilder) -> Result<NodeAnswer, NodeFault> {
    let response = request.send().await.map_err(|error| fault(&error))?;
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(|error| NodeFault::Unknown(error.to_string()))?;
    Ok(NodeAnswer { status, body })
}

fn fault(error: &reqwest::Error) -> NodeFault {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if error.is_connect() || error.is_builder() { NodeFault::NotSent(text) } else { NodeFault::Unknown(text) }
}

impl From<NodeFault> for Fault {
    fn from(fault: NodeFault) -> Self {
        match fault {
            NodeFault::NotSent(_) | NodeFault::NoSuchNode => Self::NotSent,
            NodeFault::Unknown(_) => Self::Unknown,
        }
    }
}

/// JSON of a node, or no sensible answer.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|_| Fault::Unknown)
}

/// What a node said to something that makes a task. A success whose task uid cannot be read is no sensible answer.
pub(crate) fn enqueued(answer: &NodeAnswer) -> Result<Answer, Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Summary {
        task_uid: u32,
        enqueued_at: String,
    }
    match answer.status {
        200..=299 => {
            let Summary { task_uid: uid, enqueued_at } = read(&answer.body)?;
            Ok(Answer::Enqueued { uid, enqueued_at })
        }
        400..=599 => {
            let error = serde_json::from_slice::<ErrorBody>(&answer.body).ok();
            Ok(Answer::Refused { status: answer.status, error })
        }
        _ => Err(Fault::Unknown),
    }
}
