//! A runtime of a few maps for the tests of the HTTP layers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::Request;
use futures::FutureExt;
use futures::future::BoxFuture;
use miroir_core::error::ErrorBody;
use miroir_core::shardmap::{Limits, MapIndex, MapNode, Placement, ShardMap};
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;
use uuid::Uuid;

use super::SettingsPlanner;
use crate::cluster::{
    IndexOperation, IndexPlan, IndexRow, Indexes, KeyRecord, NodeAnswer, NodeFault, NodeRequest, NodeView, Planner,
    Runtime, Secrets, TaskSummary,
};

fn blank(uid: &str) -> IndexRow {
    IndexRow {
        uid: uid.to_owned(),
        incarnation: 1,
        placement: 0,
        primary_key: None,
        provisional: false,
        swapping: false,
        settings: Value::Null,
        view: Default::default(),
        created_ms: 0,
        updated_ms: 0,
    }
}

type Node = dyn Fn(&str, &NodeRequest) -> (u16, Value) + Send + Sync;

/// Carries operations out at once, on its own state only.
pub(crate) struct Fake {
    secrets: Secrets,
    keys: Mutex<Arc<Vec<KeyRecord>>>,
    indexes: Mutex<Arc<Indexes>>,
    values: Mutex<BTreeMap<String, Value>>,
    operations: Mutex<Vec<(IndexOperation, Result<IndexPlan, ErrorBody>)>>,
    nodes: Vec<NodeView>,
    answer: Box<Node>,
    limits: Limits,
}

impl Fake {
    pub(crate) fn new(master_key: Option<&str>) -> Self {
        let nodes = ["node-0", "node-1"].map(|id| NodeView {
            id: id.to_owned(),
            url: format!("http://{id}"),
            zone: None,
            reachable: true,
            readable: true,
            version: None,
        });
        Self {
            secrets: Secrets { master_key: master_key.map(str::to_owned) },
            keys: Mutex::default(),
            indexes: Mutex::default(),
            values: Mutex::default(),
            operations: Mutex::default(),
            nodes: nodes.to_vec(),
            answer: Box::new(|_, _| (404, Value::Null)),
            limits: Limits::default(),
        }
    }

    pub(crate) fn with_keys(self, keys: Vec<KeyRecord>) -> Self {
        *self.keys.lock().unwrap() = Arc::new(keys);
        self
    }

    pub(crate) fn answering(self, answer: impl Fn(&str, &NodeRequest) -> (u16, Value) + Send + Sync + 'static) -> Self {
        Self { answer: Box::new(answer), ..self }
    }

    pub(crate) fn with_body_limit(mut self, bytes: u64) -> Self {
        self.limits.max_body_bytes = bytes;
        self
    }

    pub(crate) fn without_node(mut self, id: &str) -> Self {
        self.nodes.iter_mut().filter(|node| node.id == id).for_each(|node| node.reachable = false);
        self
    }

    /// Operations so far, and what became of them.
    pub(crate) fn operations(&self) -> Vec<(IndexOperation, Result<IndexPlan, ErrorBody>)> {
        self.operations.lock().unwrap().clone()
    }

    fn carry_out(&self, operation: &IndexOperation) -> Result<IndexPlan, ErrorBody> {
        let mut indexes = self.indexes.lock().unwrap();
        let uid = match operation {
            IndexOperation::Create { uid, .. }
            | IndexOperation::Update { uid, .. }
            | IndexOperation::Delete { uid }
            | IndexOperation::Compact { uid }
            | IndexOperation::Settings { uid, .. } => uid.as_str(),
            IndexOperation::Swap { .. } => "",
        };
        let current = indexes.get(uid).cloned();
        let plan = SettingsPlanner.plan(operation, current.as_deref(), &indexes)?;
        let all = Arc::make_mut(&mut indexes);
        let mut row = current.map_or_else(|| blank(uid), |row| IndexRow::clone(&row));
        row.settings = plan.settings.clone().unwrap_or(row.settings);
        row.view = plan.view.clone().unwrap_or(row.view);
        match operation {
            IndexOperation::Delete { .. } => {
                all.remove(uid);
                return Ok(plan);
            }
            IndexOperation::Create { primary_key, .. } | IndexOperation::Update { primary_key, .. } => {
                row.primary_key = primary_key.clone().or(row.primary_key);
            }
            IndexOperation::Settings { .. } | IndexOperation::Compact { .. } => {}
            IndexOperation::Swap { .. } => return Ok(plan),
        }
        all.insert(row.uid.clone(), Arc::new(row));
        Ok(plan)
    }

    fn node_answer(&self, node: &str, request: &NodeRequest) -> Result<NodeAnswer, NodeFault> {
        if !self.nodes.iter().any(|view| view.id == node && view.reachable) {
            return Err(NodeFault::NotSent("down".to_owned()));
        }
        let (status, body) = (self.answer)(node, request);
        Ok(NodeAnswer { status, body: Bytes::from(body.to_string()) })
    }
}

impl Runtime for Fake {
    fn map(&self) -> Arc<ShardMap> {
        let indexes = self.indexes.lock().unwrap();
        let index = |state: &Arc<IndexRow>| MapIndex {
            incarnation: state.incarnation,
            primary_key: state.primary_key.clone(),
            placement: 0,
            swapping: false,
            unreadable: vec![],
            view: state.view.clone(),
        };
        let node = |id: &String| MapNode {
            id: id.clone(),
            cluster: id.clone(),
            write_cluster: id.clone(),
            readable: true,
            last_resort: false,
        };
        Arc::new(ShardMap {
            cluster: "c0ffee00".to_owned(),
            epoch: 1,
            shards: 4,
            replication_factor: 2,
            nodes: self.nodes.iter().map(|view| node(&view.id)).collect(),
            stale: vec![],
            placements: vec![Placement { owners: vec![vec![0, 1], vec![1, 0], vec![0], vec![1]] }],
            indexes: indexes.iter().map(|(uid, state)| (uid.clone(), index(state))).collect(),
            limits: self.limits.clone(),
            policies: Default::default(),
            control_cluster: "control".to_owned(),
            control_internal_cluster: "internal".to_owned(),
        })
    }

    fn map_changes(&self) -> watch::Receiver<Arc<ShardMap>> {
        watch::channel(self.map()).1
    }

    fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn nodes(&self) -> Vec<NodeView> {
        self.nodes.clone()
    }

    fn indexes(&self) -> Arc<Indexes> {
        self.indexes.lock().unwrap().clone()
    }

    fn is_indexing(&self, _: &str) -> bool {
        false
    }

    fn submit(&self, operation: IndexOperation) -> BoxFuture<'static, Result<TaskSummary, ErrorBody>> {
        let plan = self.carry_out(&operation);
        let (index_uid, task_type) = match &operation {
            IndexOperation::Create { uid, .. } => (Some(uid.clone()), "indexCreation"),
            IndexOperation::Update { uid, .. } => (Some(uid.clone()), "indexUpdate"),
            IndexOperation::Delete { uid } => (Some(uid.clone()), "indexDeletion"),
            IndexOperation::Compact { uid } => (Some(uid.clone()), "indexCompaction"),
            IndexOperation::Swap { .. } => (None, "indexSwap"),
            IndexOperation::Settings { uid, .. } => (Some(uid.clone()), "settingsUpdate"),
        };
        let mut operations = self.operations.lock().unwrap();
        operations.push((operation, plan));
        let task = TaskSummary {
            task_uid: u32::try_from(operations.len()).unwrap(),
            index_uid,
            status: "enqueued".to_owned(),
            task_type: task_type.to_owned(),
            enqueued_at: "2026-11-22T17:52:10Z".to_owned(),
            custom_metadata: None,
        };
        async { Ok(task) }.boxed()
    }

    fn node_request(&self, node: &str, request: NodeRequest) -> BoxFuture<'static, Result<NodeAnswer, NodeFault>> {
        let answer = self.node_answer(node, &request);
        async { answer }.boxed()
    }

    fn every_node(&self, request: NodeRequest) -> BoxFuture<'static, Vec<(String, Result<NodeAnswer, NodeFault>)>> {
        let answers =
            self.nodes.iter().map(|view| (view.id.clone(), self.node_answer(&view.id, &request))).collect::<Vec<_>>();
        async { answers }.boxed()
    }

    fn keys(&self) -> Arc<Vec<KeyRecord>> {
        self.keys.lock().unwrap().clone()
    }

    fn put_key(&self, key: KeyRecord) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let mut keys = self.keys.lock().unwrap();
        let mut all = keys.iter().filter(|other| other.uid != key.uid).cloned().collect::<Vec<_>>();
        all.push(key);
        *keys = Arc::new(all);
        async { Ok(()) }.boxed()
    }

    fn delete_key(&self, uid: Uuid) -> BoxFuture<'static, Result<(), ErrorBody>> {
        let mut keys = self.keys.lock().unwrap();
        *keys = Arc::new(keys.iter().filter(|key| key.uid != uid).cloned().collect());
        async { Ok(()) }.boxed()
    }

    fn value(&self, name: &str) -> Option<Value> {
        self.values.lock().unwrap().get(name).cloned()
    }

    fn put_value(&self, name: &str, value: Value) -> BoxFuture<'static, Result<(), ErrorBody>> {
        self.values.lock().unwrap().insert(name.to_owned(), value);
        async { Ok(()) }.boxed()
    }
}

/// Sends a request through a router: status and JSON body (null for none).
pub(crate) async fn call(router: &Router, method: &str, path: &str, body: &str) -> (u16, Value) {
    call_as(router, Some("Bearer masterkeymasterkey"), method, path, body).await
}

/// As [`call`], with another `Authorization`.
pub(crate) async fn call_as(
    router: &Router,
    authorization: Option<&str>,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let response = router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}
