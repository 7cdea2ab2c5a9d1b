//! [`Runtime`] for the HTTP layers, and the messages about tickets for the internal listener.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use miroir_core::error::ErrorBody;
use miroir_core::shardmap::ShardMap;
use miroir_core::wire;
use miroir_sequencer::{AdminAnswer, AdminCommand, Event, IndexOperation, JobView, MemberView, RequestId, TaskRow};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::actor::{Look, Message};
use super::closing::{closing, no_ticket};
use super::shared::Shared;
use super::waiters::{Answer, Waiter, Waiters};
use super::{Indexes, KeyRecord, Members, NodeAnswer, NodeFault, NodeRequest, NodeView, Runtime, Secrets, TaskSummary};
use crate::config::Node;
use crate::keys::with_reader;
use crate::node::Client;
use crate::stats::{FEATURES, features_on_nodes};
use crate::store::{Change, Store};
use crate::tasks::view;

/// Longest wait for a node in a plain request.
const NODE_REQUEST: Duration = Duration::from_secs(5);

/// The running cluster. Shared behind an `Arc`.
#[derive(Debug)]
pub struct Cluster {
    pub(super) secrets: Secrets,
    pub(super) shared: Arc<Shared>,
    pub(super) store: Store,
    pub(super) client: Client,
    pub(super) waiters: Waiters,
    pub(super) events: mpsc::UnboundedSender<Message>,
    /// Told when keys have changed.
    pub(super) keys_changed: Arc<Notify>,
    /// One change of keys or values at a time.
    pub(super) changing: Arc<tokio::sync::Mutex<()>>,
    /// No write begins any more.
    pub(super) closing: CancellationToken,
}

fn store_failed(error: &crate::store::StoreError) -> ErrorBody {
    ErrorBody::new("internal", error.to_string())
}

/// Gives a begin up when its handler is dropped before the answer: nobody will dispatch it (F5).
struct Giveup<'a> {
    cluster: &'a Cluster,
    attempt: String,
    armed: bool,
}

impl Drop for Giveup<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.cluster.tell(Event::Abort(wire::Abort { attempt: std::mem::take(&mut self.attempt) }));
        }
    }
}

impl Cluster {
    pub(crate) fn tell(&self, event: Event) {
        // A closed inbox means shutdown; every waiter is told by its dropped channel.
        let _ = self.events.send(Message::Event(Box::new(event)));
    }

    async fn ask(&self, event: impl FnOnce(RequestId) -> Event) -> Option<Answer> {
        let mut waiter: Waiter = self.waiters.join();
        self.tell(event(waiter.id));
        waiter.wait().await
    }

    /// Asks for a ticket; waits until it is granted or refused. The caller has authorised it. Dropping the future
    /// gives the attempt up.
    ///
    /// # Errors
    /// Shutdown.
    pub async fn begin(
        &self,
        begin: wire::Begin,
        api_key: Option<String>,
        may_create: bool,
    ) -> Result<wire::BeginAnswer, ErrorBody> {
        // Before the sequencer hears of it, and creates the index that it names.
        if self.closing.is_cancelled() {
            return Ok(no_ticket());
        }
        // The order of declarations matters: the waiter goes first, so that no answer can be on its way to it when
        // the attempt is given up.
        let mut giveup = Giveup { cluster: self, attempt: begin.attempt.clone(), armed: true };
        let mut waiter = self.waiters.join();
        self.tell(Event::Begin { request: waiter.id, begin, api_key, may_create });
        tokio::select! {
            // First: a grant that comes at the same time is given back, so that none is handed out from then on.
            biased;
            () = self.closed() => Ok(no_ticket()),
            answer = waiter.wait() => match answer {
                Some(Answer::Begun(answer)) => {
                    giveup.armed = false;
                    Ok(answer)
                }
                _ => Err(closing()),
            },
        }
    }

    /// Reports the outcome of a dispatch; waits for the decision.
    ///
    /// # Errors
    /// Shutdown.
    pub async fn commit(&self, commit: wire::Commit) -> Result<wire::CommitAnswer, ErrorBody> {
        match self.ask(|request| Event::Commit { request, commit }).await {
            Some(Answer::Committed(answer)) => Ok(answer),
            _ => Err(closing()),
        }
    }

    /// Asks for fresh keys.
    ///
    /// # Errors
    /// Shutdown.
    pub async fn renew(&self, renew: wire::Renew) -> Result<wire::RenewAnswer, ErrorBody> {
        match self.ask(|request| Event::Renew { request, renew }).await {
            Some(Answer::Renewed(answer)) => Ok(answer),
            _ => Err(closing()),
        }
    }

    /// Cancels the tasks with these uids.
    ///
    /// # Errors
    /// Shutdown.
    pub async fn cancel(&self, tasks: Vec<u32>, original_filter: String) -> Result<TaskRow, ErrorBody> {
        match self.ask(|request| Event::Cancel { request, tasks, original_filter }).await {
            Some(Answer::Accepted(task)) => Ok(*task),
            _ => Err(closing()),
        }
    }

    /// Gives a task that control carries out itself a place in the one sequence; or says what has become of one that is
    /// `known`.
    ///
    /// # Errors
    /// Shutdown.
    pub async fn record(&self, task: TaskRow, known: bool) -> Result<TaskRow, ErrorBody> {
        match self.ask(|request| Event::Recorded { request, task: Box::new(task), known }).await {
            Some(Answer::Accepted(task)) => Ok(*task),
            _ => Err(closing()),
        }
    }

    /// Waits until none of the tasks is open that are open now, but for those of these types.
    pub(crate) async fn wait_for_open_tasks(&self, except: &[&str]) {
        let open = self.shared.open.but(except);
        self.shared.open.all_over(&open).await;
    }

    /// Waits until none of these tasks is open any more, or the time is over.
    pub async fn wait_for_tasks(&self, uids: &[u32], longest: Duration) {
        let _ = tokio::time::timeout(longest, self.shared.open.all_over(uids)).await;
    }

    /// Takes a heartbeat in; the epoch after that. The worker may read by a map of this epoch: from then on it is waited
    /// for.
    ///
    /// # Errors
    /// Shutdown.
    pub(crate) async fn heartbeat(&self, heartbeat: wire::Heartbeat) -> Result<u64, ErrorBody> {
        self.tell(Event::Heartbeat(heartbeat));
        let (who, answer) = oneshot::channel();
        self.events.send(Message::Epoch(who)).map_err(|_| closing())?;
        answer.await.map_err(|_| closing())
    }

    /// How things are, from the sequencer itself.
    pub(crate) async fn look(&self) -> Option<Look> {
        let (who, answer) = oneshot::channel();
        self.events.send(Message::Look(who)).ok()?;
        answer.await.ok()
    }

    /// The store, for reading tasks.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Follows where members are.
    pub(crate) fn member_changes(&self) -> watch::Receiver<Members> {
        self.shared.members.subscribe()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Carries an operator's command out. It has been authorised, and a node's URL been checked.
    ///
    /// # Errors
    /// Shutdown. A refused command is an answer.
    pub async fn admin(&self, command: AdminCommand) -> Result<AdminAnswer, ErrorBody> {
        match self.ask(|request| Event::Admin { request, command }).await {
            Some(Answer::Admin(answer)) => Ok(*answer),
            _ => Err(closing()),
        }
    }

    /// All members, by id.
    ///
    /// # Errors
    /// Shutdown.
    pub async fn members(&self) -> Result<Vec<MemberView>, ErrorBody> {
        self.look().await.map(|look| look.members).ok_or_else(closing)
    }

    /// All jobs that are not forgotten, oldest first.
    ///
    /// # Errors
    /// Shutdown.
    pub async fn jobs(&self) -> Result<Vec<JobView>, ErrorBody> {
        self.look().await.map(|look| look.jobs).ok_or_else(closing)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn open_tasks(&self) -> usize {
        self.shared.open_tasks()
    }

    /// Nodes that do not answer; not those of which nothing is known yet.
    pub(crate) fn lost_nodes(&self) -> Vec<String> {
        self.shared.nodes.get().iter().filter(|node| node.phase == "down").map(|node| node.id.clone()).collect()
    }

    /// Brings keys and features to all nodes that can be reached; false when one of those did not take them.
    pub(super) async fn align(&self) -> bool {
        let down = self.lost_nodes();
        let members = self.shared.members.borrow().clone();
        let nodes: Vec<&Node> = members.iter().filter(|node| !down.contains(&node.id)).collect();
        align_nodes(&self.shared, &self.client, &nodes).await
    }

    fn change_keys(
        &self,
        change: impl FnOnce(&mut Vec<KeyRecord>) + Send + 'static,
    ) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let (shared, store, client) = (self.shared.clone(), self.store.clone(), self.client.clone());
        let (changed, changing) = (self.keys_changed.clone(), self.changing.clone());
        async move {
            let _one = changing.lock().await;
            let mut keys = shared.keys.get().as_ref().clone();
            change(&mut keys);
            keys.sort_by_key(|key| (key.created_at, key.uid));
            let json = serde_json::to_string(&keys).map_err(|error| ErrorBody::new("internal", error.to_string()))?;
            let change = Change::Value(KeyRecord::STORED.to_owned(), Some(json));
            store.write(vec![change]).await.map_err(|error| store_failed(&error))?;
            shared.keys.set(keys);
            let members = shared.members.borrow().clone();
            if !align_nodes(&shared, &client, &members.iter().collect::<Vec<_>>()).await {
                changed.notify_one();
            }
            Ok(())
        }
        .boxed()
    }
}

async fn align_nodes(shared: &Shared, client: &Client, nodes: &[&Node]) -> bool {
    let keys = with_reader(&shared.keys.get(), &shared.left_on_nodes());
    let stored = shared.values.get().get(FEATURES).cloned();
    let features = stored.as_ref().map(|stored| features_on_nodes(Some(stored)));
    let align = nodes.iter().map(|node| client.align(&node.id, &keys, features.clone(), NODE_REQUEST));
    futures::future::join_all(align).await.iter().all(Result::is_ok)
}

impl Runtime for Cluster {
    fn map(&self) -> Arc<ShardMap> {
        self.shared.map.borrow().clone()
    }

    fn map_changes(&self) -> watch::Receiver<Arc<ShardMap>> {
        self.shared.map.subscribe()
    }

    fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn nodes(&self) -> Vec<NodeView> {
        let statuses = self.shared.nodes.get();
        let map = self.map();
        let view = |node: &Node| {
            let status = statuses.iter().find(|status| status.id == node.id);
            let phase = status.map_or("starting", |status| status.phase);
            NodeView {
                id: node.id.clone(),
                url: node.url.as_str().trim_end_matches('/').to_owned(),
                zone: node.zone.clone(),
                reachable: !matches!(phase, "down" | "starting"),
                readable: map.nodes.iter().any(|found| found.id == node.id && found.readable),
                version: status.and_then(|status| status.version.clone()),
            }
        };
        self.shared.members.borrow().iter().map(view).collect()
    }

    fn indexes(&self) -> Arc<Indexes> {
        self.shared.indexes.get()
    }

    fn is_indexing(&self, uid: &str) -> bool {
        self.shared.is_indexing(uid)
    }

    fn submit(&self, operation: IndexOperation) -> BoxFuture<'static, Result<TaskSummary, ErrorBody>> {
        let mut waiter = self.waiters.join();
        self.tell(Event::IndexOperation { request: waiter.id, operation, custom_metadata: None });
        async move {
            match waiter.wait().await {
                Some(Answer::Accepted(task)) => Ok(view::summary(&task)),
                _ => Err(closing()),
            }
        }
        .boxed()
    }

    fn node_request(&self, node: &str, request: NodeRequest) -> BoxFuture<'static, Result<NodeAnswer, NodeFault>> {
        let (client, node) = (self.client.clone(), node.to_owned());
        async move { client.call(&node, &request, NODE_REQUEST).await }.boxed()
    }

    fn every_node(&self, request: NodeRequest) -> BoxFuture<'static, Vec<(String, Result<NodeAnswer, NodeFault>)>> {
        let members = self.shared.members.borrow().clone();
        let calls: Vec<_> = members
            .iter()
            .map(|node| {
                let (client, id, request) = (self.client.clone(), node.id.clone(), request.clone());
                async move {
                    let answer = client.call(&id, &request, NODE_REQUEST).await;
                    (id, answer)
                }
            })
            .collect();
        futures::future::join_all(calls).boxed()
    }

    fn keys(&self) -> Arc<Vec<KeyRecord>> {
        self.shared.keys.get()
    }

    fn put_key(&self, key: KeyRecord) -> BoxFuture<'static, Result<(), ErrorBody>> {
        self.change_keys(move |keys| {
            keys.retain(|known| known.uid != key.uid);
            keys.push(key);
        })
    }

    fn delete_key(&self, uid: Uuid) -> BoxFuture<'static, Result<(), ErrorBody>> {
        self.change_keys(move |keys| keys.retain(|known| known.uid != uid))
    }

    fn value(&self, name: &str) -> Option<Value> {
        self.shared.values.get().get(name).cloned()
    }

    fn put_value(&self, name: &str, value: Value) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let (shared, store, changing) = (self.shared.clone(), self.store.clone(), self.changing.clone());
        let name = name.to_owned();
        async move {
            let _one = changing.lock().await;
            let change = Change::Value(name.clone(), Some(value.to_string()));
            store.write(vec![change]).await.map_err(|error| store_failed(&error))?;
            let mut values: BTreeMap<String, Value> = shared.values.get().as_ref().clone();
            values.insert(name, value);
            shared.values.set(values);
            Ok(())
        }
        .boxed()
    }
}
