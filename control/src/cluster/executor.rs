//! Carries the sequencer's effects out, in order: what is durable first, then what others see.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use miroir_core::wire::BeginAnswer;
use miroir_sequencer::{Alert, Effect, Event, IndexRow, NodeId, OpId, Record, TaskRow, TaskStatus};
use tokio::sync::{Notify, mpsc};
use tracing::{error, info, warn};

use super::actor::{Message, Step};
use super::errand;
use super::planning::Planning;
use super::reconcile::reconcile;
use super::shared::Shared;
use super::waiters::{Answer, Waiters};
use super::{NodeRequest, Planner, sizes};
use crate::node::Client;
use crate::store::{Change, Store, StoreError};
use crate::telemetry::Metrics;
use crate::webhooks::{self, Courier};

/// Longest wait for one node in a read-back.
const VERIFY: Duration = Duration::from_secs(5);

pub(crate) struct Executor {
    pub(crate) store: Store,
    pub(crate) client: Client,
    pub(crate) planner: Arc<dyn Planner>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) waiters: Waiters,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: mpsc::WeakUnboundedSender<Message>,
    /// Told when a node has new write keys: its other keys are looked at then.
    pub(crate) fenced: Arc<Notify>,
    /// Tells webhooks of finished tasks.
    pub(crate) courier: Courier,
    /// The findings file.
    pub(crate) findings: PathBuf,
}

impl Executor {
    /// Runs until the actor has gone.
    ///
    /// # Errors
    /// The store's: nothing may be done after it.
    pub(crate) async fn run(self, mut steps: mpsc::UnboundedReceiver<Vec<Step>>) -> Result<(), StoreError> {
        while let Some(mut group) = steps.recv().await {
            while let Ok(more) = steps.try_recv() {
                group.extend(more);
            }
            // All records of the group go before all its other effects: later than asked for is never wrong.
            let mut records = Vec::new();
            let mut rest = Vec::with_capacity(group.len());
            for step in group {
                match step {
                    Step::Effect(Effect::Persist(some)) => records.extend(some),
                    step => rest.push(step),
                }
            }
            if !records.is_empty() {
                let swaps = records.iter().filter_map(renames);
                let mut changes: Vec<Change> = swaps.collect();
                changes.insert(0, Change::Records(records.clone()));
                self.store.write(changes).await?;
                self.tell_webhooks(&records);
                if self.shared.adopt(&records) {
                    let members = self.shared.members.borrow().clone();
                    for fault in self.client.set_nodes(&members) {
                        error!("{fault}");
                    }
                }
            }
            for step in rest {
                match step {
                    Step::Map(map) => {
                        self.shared.map.send_replace(map);
                    }
                    Step::Nodes(nodes) => self.shared.nodes.set(nodes),
                    Step::Effect(effect) => self.carry_out(effect),
                }
            }
        }
        Ok(())
    }

    fn tell_webhooks(&self, records: &[Record]) {
        let webhooks = webhooks::stored(self.shared.values.get().get(webhooks::STORED));
        let finished = records.iter().filter_map(|record| match record {
            Record::Task(task) if task.status.is_over() => Some(task.as_ref().clone()),
            _ => None,
        });
        self.courier.tell(webhooks, finished.collect());
    }

    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Begun { request, answer } => {
                let metadata = match &answer {
                    BeginAnswer::Grant(grant) => Some(grant.metadata.clone()),
                    _ => None,
                };
                // A grant that nobody gets is given back by the waiter's owner; see `handle::begin`.
                if !self.waiters.answer(request, Answer::Begun(answer))
                    && let Some(metadata) = metadata
                {
                    info!(metadata, "grant found nobody");
                }
            }
            Effect::Committed { request, answer } => {
                self.waiters.answer(request, Answer::Committed(answer));
            }
            Effect::Renewed { request, answer } => {
                self.waiters.answer(request, Answer::Renewed(answer));
            }
            Effect::Accepted { request, task } => {
                self.waiters.answer(request, Answer::Accepted(task));
            }
            Effect::Admin { request, answer } => {
                self.waiters.answer(request, Answer::Admin(answer));
            }
            Effect::Measure { op, nodes } => self.measure(op, nodes),
            Effect::Plan { op, operation, current } => {
                let asked = Planning {
                    map: self.shared.map.borrow().clone(),
                    nodes: self.shared.nodes.get(),
                    indexes: self.shared.indexes.get(),
                    planner: self.planner.clone(),
                    client: self.client.clone(),
                };
                let events = self.events.clone();
                tokio::spawn(async move {
                    let plan = asked.plan(&operation, current.as_deref()).await;
                    if let Some(events) = events.upgrade() {
                        let _ = events.send(Message::Event(Box::new(Event::Planned { op, plan })));
                    }
                });
            }
            Effect::Verify { op, expected, index, nodes } => self.verify(op, expected, index, nodes),
            Effect::Node { op, node, action, timeout_ms } => {
                let (client, store) = (self.client.clone(), self.store.clone());
                let events = self.events.clone();
                let fence = matches!(action, miroir_sequencer::NodeAction::Fence { .. });
                let fenced = self.fenced.clone();
                tokio::spawn(async move {
                    let timeout = Duration::from_millis(timeout_ms);
                    let result = errand::carry_out(&store, &client, &node, action, timeout).await;
                    if fence && result.is_ok() {
                        fenced.notify_one();
                    }
                    if let Some(events) = events.upgrade() {
                        let _ = events.send(Message::Event(Box::new(Event::Node { op, result })));
                    }
                });
            }
            Effect::Reconcile { op, node, indexes } => {
                let (client, planner, events) = (self.client.clone(), self.planner.clone(), self.events.clone());
                tokio::spawn(async move {
                    let look = reconcile(&client, &planner, &node, &indexes).await;
                    if let Some(events) = events.upgrade() {
                        let _ = events.send(Message::Event(Box::new(Event::Reconciled { op, look })));
                    }
                });
            }
            Effect::WriteDown { op, drifts } => {
                let (client, path, events) = (self.client.clone(), self.findings.clone(), self.events.clone());
                tokio::spawn(async move {
                    let result = crate::findings::write_down(&client, &path, &drifts).await;
                    if let Some(events) = events.upgrade() {
                        let _ = events.send(Message::Event(Box::new(Event::WrittenDown { op, result })));
                    }
                });
            }
            Effect::DropPage(page) => self.client.drop_page(page),
            Effect::TaskChanged { status, .. } => self.metrics.task_changed(status),
            Effect::Alert(alert) => self.alert(&alert),
            Effect::Breach(breach) => {
                self.metrics.breach(breach.invariant);
                error!(invariant = breach.invariant.name(), "{breach}");
            }
            Effect::Persist(_) | Effect::MapChanged { .. } | Effect::WakeAt(_) => {}
        }
    }

    fn alert(&self, alert: &Alert) {
        self.metrics.alert(alert.kind);
        let node = alert.node.as_deref();
        match alert.kind {
            "node_up" | "node_rebuilt" | "documents_tagged" | "sync_started" | "sync_done" | "copy_deleted" => {
                info!(kind = alert.kind, node, "{}", alert.text);
            }
            "last_copy_damaged" | "shard_down" | "audit_lost" | "replica_drift" | "finding_unwritten" => {
                error!(kind = alert.kind, node, "{}", alert.text);
            }
            _ => warn!(kind = alert.kind, node, "{}", alert.text),
        }
    }

    /// Asks nodes how much they hold; those that do not answer are left out.
    fn measure(&self, op: OpId, nodes: Vec<NodeId>) {
        let (client, events) = (self.client.clone(), self.events.clone());
        tokio::spawn(async move {
            let nodes = sizes::of_nodes(&client, &nodes).await;
            if let Some(events) = events.upgrade() {
                let _ = events.send(Message::Event(Box::new(Event::Measured { op, nodes })));
            }
        });
    }

    fn verify(&self, op: OpId, expected: Option<Box<IndexRow>>, index: String, nodes: Vec<NodeId>) {
        let (client, planner, events) = (self.client.clone(), self.planner.clone(), self.events.clone());
        tokio::spawn(async move {
            let checks = nodes.iter().map(|node| agrees(&client, &*planner, node, expected.as_deref(), &index));
            let answers = futures::future::join_all(checks).await;
            let differing =
                nodes.iter().zip(answers).filter(|(_, agrees)| *agrees == Some(false)).map(|(node, _)| node.clone());
            let event = Event::Verified { op, differing: differing.collect() };
            if let Some(events) = events.upgrade() {
                let _ = events.send(Message::Event(Box::new(event)));
            }
        });
    }
}

/// Whether a node has the index as it must be; none when the node could not be asked.
async fn agrees(
    client: &Client,
    planner: &dyn Planner,
    node: &str,
    expected: Option<&IndexRow>,
    index: &str,
) -> Option<bool> {
    let get = |path: String| NodeRequest { method: "GET".to_owned(), path, body: None };
    let found = client.call(node, &get(format!("/indexes/{index}")), VERIFY).await.ok()?;
    let Some(expected) = expected else {
        return match found.status {
            404 => Some(true),
            200 => Some(false),
            _ => None,
        };
    };
    match found.status {
        200 => {}
        404 => return Some(false),
        _ => return None,
    }
    let found: serde_json::Value = serde_json::from_slice(&found.body).ok()?;
    let key = found.get("primaryKey").and_then(serde_json::Value::as_str);
    // A node learns the key with the first write that it gets a part of, and every write names it: none is no difference.
    if key.is_some() && key != expected.primary_key.as_deref() {
        return Some(false);
    }
    let settings = client.call(node, &get(format!("/indexes/{index}/settings")), VERIFY).await.ok()?;
    if settings.status != 200 {
        return None;
    }
    Some(planner.agrees(expected, &serde_json::from_slice(&settings.body).ok()?))
}

/// Indexes that have got other names take their history of tasks with them, as on the engine: what was the one's is the
/// other's, and what was of a name that nobody has any more is of the name that is free now.
fn renames(record: &Record) -> Option<Change> {
    let Record::Task(task) = record else { return None };
    let TaskRow { status: TaskStatus::Succeeded, details: Some(details), .. } = &**task else { return None };
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let pairs: Vec<(String, String)> = match task.task_type.as_str() {
        "indexSwap" => {
            let swaps = details["swaps"].as_array()?.iter();
            swaps.filter_map(|swap| Some((text(&swap["indexes"][0])?, text(&swap["indexes"][1])?))).collect()
        }
        "indexUpdate" => vec![(text(&details["oldIndexUid"])?, text(&details["newIndexUid"])?)],
        _ => return None,
    };
    let both = |(left, right): (String, String)| [(left.clone(), right.clone()), (right, left)];
    Some(Change::RenameTasks(pairs.into_iter().flat_map(both).collect(), task.uid))
}
