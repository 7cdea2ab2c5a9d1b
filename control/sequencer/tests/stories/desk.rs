//! A sequencer on a desk: obedient nodes that a story can make silent, a store, and a clock that is moved by hand.

use std::collections::{BTreeMap, VecDeque};

use miroir_core::invariants::{Breach, Invariant};
use miroir_core::wire::*;
use miroir_sequencer::*;

use crate::fake_node::{FakeNode, plan};

pub struct Desk {
    pub sequencer: Sequencer,
    pub config: Config,
    pub now: u64,
    pub nodes: BTreeMap<String, FakeNode>,
    pub store: BTreeMap<(&'static str, String), String>,
    pub tasks: BTreeMap<u32, TaskRow>,
    pub begun: BTreeMap<u64, BeginAnswer>,
    pub committed: BTreeMap<u64, CommitAnswer>,
    pub renewed: BTreeMap<u64, RenewAnswer>,
    pub accepted: BTreeMap<u64, TaskRow>,
    pub admin: BTreeMap<u64, AdminAnswer>,
    /// Copies can be made and repaired: nodes answer what syncs ask. Otherwise whatever is stale stays so.
    pub repairs: bool,
    pub alerts: Vec<&'static str>,
    /// Writes that came late; no story sees anything else broken.
    pub breaches: Vec<Breach>,
    /// Nodes whose indexes were to be compared with what they must be.
    pub looked_at: Vec<String>,
    /// What the next node that is looked at must be told.
    pub tells: Vec<NodeStep>,
    /// What nodes say that they hold of each index.
    pub sizes: Vec<(NodeId, Vec<(String, Amount)>)>,
    /// What is about to be lost, as it was written down; none: it cannot be written.
    pub findings_file: Option<Vec<Drift>>,
    /// What nodes must be told so that their indexes are as they must be, until they have been told.
    pub drifted: BTreeMap<String, Vec<NodeStep>>,
    /// Answers on their way back.
    answers: VecDeque<Event>,
    wake: Option<u64>,
    pub next: u64,
    pub pages: BTreeMap<PageId, BTreeMap<String, u128>>,
}

pub fn config(nodes: usize, owners: Vec<Vec<u16>>) -> Config {
    Config {
        cluster: "c0ffee00".into(),
        shards: owners.len() as u32,
        replication_factor: owners.iter().map(Vec::len).max().unwrap_or(1) as u8,
        nodes: (0..nodes).map(|at| ConfigNode { id: format!("n{at}"), place: NodePlace::default() }).collect(),
        owners,
        fencing: true,
        min_accept: 1,
        node_tasks: 100_000,
        cluster_names: Default::default(),
        control_cluster: "control".into(),
        control_internal_cluster: "internal".into(),
        limits: Default::default(),
        policies: Default::default(),
        timing: Timing::default(),
        scrub: ScrubPace::default(),
    }
}

impl Desk {
    /// A started cluster with an index `a` (primary key `id` where `key`).
    pub fn new(config: Config, key: bool) -> Self {
        let mut desk = Self::bare(config);
        desk.wait(2_500);
        let primary_key = key.then(|| "id".to_owned());
        desk.operate(IndexOperation::Create { uid: "a".into(), primary_key });
        desk.wait(100);
        desk
    }

    pub fn bare(config: Config) -> Self {
        let nodes = config.nodes.iter().map(|node| (node.id.clone(), FakeNode::default())).collect();
        Self::over(config, nodes)
    }

    /// A cluster that begins on these nodes.
    pub fn over(config: Config, nodes: BTreeMap<NodeId, FakeNode>) -> Self {
        let (sequencer, effects) = Sequencer::new(config.clone(), Snapshot::default(), 1_000_000);
        let mut desk = Self {
            sequencer,
            config,
            now: 1_000_000,
            nodes,
            store: BTreeMap::new(),
            tasks: BTreeMap::new(),
            begun: BTreeMap::new(),
            committed: BTreeMap::new(),
            renewed: BTreeMap::new(),
            accepted: BTreeMap::new(),
            admin: BTreeMap::new(),
            repairs: false,
            alerts: Vec::new(),
            breaches: Vec::new(),
            looked_at: Vec::new(),
            tells: Vec::new(),
            sizes: Vec::new(),
            findings_file: Some(Vec::new()),
            drifted: BTreeMap::new(),
            answers: VecDeque::new(),
            wake: None,
            next: 0,
            pages: BTreeMap::new(),
        };
        desk.carry_out(effects);
        desk.deliver();
        desk
    }

    /// Control dies and starts again on its store.
    pub fn restart(&mut self) {
        let mut snapshot = Snapshot::default();
        for ((kind, _), json) in &self.store {
            snapshot.add(kind, json).unwrap();
        }
        let (sequencer, effects) = Sequencer::new(self.config.clone(), snapshot, self.now);
        self.sequencer = sequencer;
        self.answers.clear();
        self.carry_out(effects);
        self.deliver();
    }

    pub fn send(&mut self, event: Event) {
        self.answers.push_back(event);
        self.deliver();
    }

    fn deliver(&mut self) {
        while let Some(event) = self.answers.pop_front() {
            let effects = self.sequencer.handle(self.now, event);
            self.carry_out(effects);
        }
    }

    /// Lets time pass, with the wake-ups that were asked for.
    pub fn wait(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(at) = self.wake.filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.wake = None;
            self.send(Event::Tick);
        }
        self.now = end;
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(records) => records.into_iter().for_each(|record| self.persist(record)),
                Effect::Begun { request, answer } => drop(self.begun.insert(request.0, answer)),
                Effect::Committed { request, answer } => drop(self.committed.insert(request.0, answer)),
                Effect::Renewed { request, answer } => drop(self.renewed.insert(request.0, answer)),
                Effect::Accepted { request, task } => drop(self.accepted.insert(request.0, *task)),
                Effect::Alert(alert) => self.alerts.push(alert.kind),
                Effect::WakeAt(at) => self.wake = Some(at),
                Effect::Plan { op, operation, current } => {
                    self.answers.push_back(Event::Planned { op, plan: Ok(plan(&operation, current.as_deref())) })
                }
                Effect::Verify { op, .. } => self.answers.push_back(Event::Verified { op, differing: Vec::new() }),
                Effect::Node { op, node, action, .. } => {
                    let result = self.node_does(&node, action);
                    self.answers.push_back(Event::Node { op, result });
                }
                Effect::Admin { request, answer } => drop(self.admin.insert(request.0, *answer)),
                Effect::Measure { op, .. } => {
                    self.answers.push_back(Event::Measured { op, nodes: self.sizes.clone() });
                }
                Effect::Breach(breach) => {
                    assert_eq!(breach.invariant, Invariant::TicketOrder, "{breach}");
                    self.breaches.push(breach);
                }
                Effect::TaskChanged { .. } | Effect::MapChanged { .. } => {}
                Effect::Reconcile { node, .. } if !self.repairs => self.looked_at.push(node),
                Effect::Reconcile { op, node, .. } => {
                    let mut steps = std::mem::take(&mut self.tells);
                    steps.extend(self.drifted.get(&node).cloned().unwrap_or_default());
                    let look = Look { changing: false, steps };
                    self.answers.push_back(Event::Reconciled { op, look: Ok(look) });
                }
                Effect::WriteDown { op, drifts } => {
                    let result =
                        self.findings_file.as_mut().map(|file| file.extend(drifts)).ok_or("no space".to_owned());
                    self.answers.push_back(Event::WrittenDown { op, result });
                }
                Effect::DropPage(page) => drop(self.pages.remove(&page)),
            }
        }
    }

    fn persist(&mut self, record: Record) {
        if let Record::Task(task) = &record {
            self.tasks.insert(task.uid, (**task).clone());
            return;
        }
        match record.value() {
            Some(json) => self.store.insert(record.slot(), json),
            None => self.store.remove(&record.slot()),
        };
    }

    fn request(&mut self) -> RequestId {
        self.next += 1;
        RequestId(self.next)
    }

    /// Gives an operator's command.
    pub fn command(&mut self, command: AdminCommand) -> AdminAnswer {
        let request = self.request();
        self.send(Event::Admin { request, command });
        self.admin.remove(&request.0).expect("an answer")
    }

    /// A filter's VM tells which map it reads by.
    pub fn heartbeat(&mut self, vm: &str, envoy: Option<&str>, epoch: u64) {
        let envoy = envoy.map(str::to_owned);
        let beat = Heartbeat { vm: vm.into(), epoch, oldest_epoch: epoch, rejected: None, gone: false, envoy };
        self.send(Event::Heartbeat(beat));
    }

    pub fn begin(&mut self, begin: Begin) -> u64 {
        let request = self.request();
        self.send(Event::Begin { request, begin, api_key: None, may_create: true });
        request.0
    }

    /// Begins a write and expects to be granted.
    pub fn granted(&mut self, begin: Begin) -> Grant {
        let request = self.begin(begin);
        match self.begun.remove(&request) {
            Some(BeginAnswer::Grant(grant)) => grant,
            other => panic!("expected a grant, got {other:?}"),
        }
    }

    /// Begins a write and expects to be answered at once.
    pub fn answered(&mut self, begin: Begin) -> ControlReply {
        let request = self.begin(begin);
        match self.begun.remove(&request) {
            Some(BeginAnswer::Reply(reply)) => reply,
            other => panic!("expected a reply, got {other:?}"),
        }
    }

    pub fn commit(&mut self, grant: &Grant, attempt: &str, parts: &[(&str, PartOutcome)]) -> u64 {
        let request = self.request();
        let parts =
            parts.iter().map(|(node, outcome)| CommitPart { node: (*node).to_owned(), outcome: outcome.clone() });
        let commit = Commit { ticket: grant.ticket, attempt: attempt.to_owned(), parts: parts.collect() };
        self.send(Event::Commit { request, commit });
        request.0
    }

    /// The status of an answered commit.
    pub fn status(&mut self, commit: u64) -> Option<u16> {
        match self.committed.get(&commit)? {
            CommitAnswer::Reply(reply) => Some(reply.status),
            CommitAnswer::Resend(_) => None,
        }
    }

    /// Every part of a grant is accepted by its node and done at once.
    pub fn accept_all(&mut self, grant: &Grant, count: u64) -> Vec<(String, PartOutcome)> {
        let parts: Vec<String> = grant.parts.iter().map(|part| part.node.clone()).collect();
        parts
            .into_iter()
            .map(|node| {
                let kind = "documentAdditionOrUpdate";
                let uid =
                    self.add_task(&node, Some(&grant.metadata), kind, Some("a"), TaskStatus::Succeeded, Some(count));
                (node, PartOutcome::Accepted { uid })
            })
            .collect()
    }

    /// Asks for an index, and does not look at the answer.
    pub fn ask_to_create(&mut self, uid: &str) -> u64 {
        let request = self.request();
        let operation = IndexOperation::Create { uid: uid.into(), primary_key: None };
        self.send(Event::IndexOperation { request, operation, custom_metadata: None });
        request.0
    }

    pub fn operate(&mut self, operation: IndexOperation) -> u32 {
        let request = self.request();
        self.send(Event::IndexOperation { request, operation, custom_metadata: None });
        self.accepted.remove(&request.0).expect("an enqueued task").uid
    }

    pub fn cancel(&mut self, tasks: Vec<u32>) -> u32 {
        let request = self.request();
        self.send(Event::Cancel { request, tasks, original_filter: "?uids=x".into() });
        self.accepted.remove(&request.0).expect("an enqueued task").uid
    }

    pub fn renew(&mut self, grant: &Grant, attempt: &str, nodes: &[&str]) -> u64 {
        let request = self.request();
        let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        self.send(Event::Renew { request, renew: Renew { ticket: grant.ticket, attempt: attempt.to_owned(), nodes } });
        request.0
    }

    pub fn task(&self, uid: u32) -> &TaskRow {
        self.tasks.get(&uid).expect("a task in the store")
    }
}

/// A write of one document to each of these shards of index `a`.
pub fn write(attempt: &str, shards: &[u32]) -> Begin {
    Begin {
        version: WIRE_VERSION,
        attempt: attempt.to_owned(),
        vm: "vm".into(),
        epoch: 1,
        index: "a".into(),
        incarnation: None,
        kind: WriteKind::Replace,
        authorization: None,
        primary_key: Some("id".into()),
        key_source: KeySource::Inferred,
        shards: shards.iter().map(|shard| ShardCount { shard: *shard, keys: 1 }).collect(),
        keys: None,
        received: shards.len() as u64,
        bytes: 100,
        digest: "d1".into(),
        idempotency_key: None,
        custom_metadata: None,
        skip_creation: false,
        original_filter: None,
        edit: None,
        fault: None,
    }
}
