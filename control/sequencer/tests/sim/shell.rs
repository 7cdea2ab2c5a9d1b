//! Control's shell: carries out effects on a store that survives, and can be killed between any two of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use miroir_core::call::{CallId, CallResult, Unknown};
use miroir_core::invariants::{self, Invariant};
use miroir_core::shardmap::ShardMap;
use miroir_core::wire;
use miroir_sequencer::*;
use serde::Serialize;

use crate::network::Party;
use crate::operations::plan;
use crate::world::{Caller, Event, NodeRequest, World};

/// A call of a VM that waits for control.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub vm: usize,
    pub boot: u64,
    pub machine: u64,
    pub call: CallId,
}

#[derive(Default)]
pub struct Shell {
    pub alive: bool,
    pub stopped: bool,
    pub instance: u64,
    pub sequencer: Option<Sequencer>,
    /// (kind, key) to JSON: what is on disk.
    pub store: BTreeMap<(&'static str, String), String>,
    pub tasks: BTreeMap<u32, TaskRow>,
    pub wake: Option<u64>,
    pub waiting: BTreeMap<RequestId, Waiting>,
    pub next_request: u64,
    pub backlog: Vec<miroir_sequencer::Event>,
    /// Answers to operations count once, be it the answer or the timeout.
    pub open_ops: BTreeMap<OpId, usize>,
    /// Pages that it keeps.
    pub pages: BTreeSet<PageId>,
}

impl World {
    pub fn config(&self) -> Config {
        let count = self.listed;
        let place = |id: &str| NodePlace { url: crate::operators::url(id), ..NodePlace::default() };
        let node = |engine: &crate::engine::Engine| ConfigNode { id: engine.id.clone(), place: place(&engine.id) };
        let owners = (0..self.shards as usize)
            .map(|shard| (0..usize::from(self.replicas)).map(|at| ((shard + at) % count) as u16).collect());
        Config {
            cluster: "c0ffee00".into(),
            shards: self.shards,
            replication_factor: self.replicas,
            nodes: self.nodes[..count].iter().map(node).collect(),
            owners: owners.collect(),
            fencing: self.fencing,
            min_accept: self.min_accept,
            node_tasks: 10,
            cluster_names: Default::default(),
            control_cluster: "control".into(),
            control_internal_cluster: "internal".into(),
            limits: Default::default(),
            policies: Default::default(),
            timing: Timing { lag: 20_000, vm_grace: 60_000, longest_read: 5_000, starved: 5_000, ..Timing::default() },
            scrub: ScrubPace { interval: 5_000, documents_per_s: 1_000, busy_percent: 100 },
        }
    }

    pub fn start_control(&mut self) {
        let mut snapshot = Snapshot::default();
        for ((kind, _), json) in &self.control.store {
            snapshot.add(kind, json).expect("a row of the store");
        }
        self.control.alive = true;
        self.control.stopped = false;
        self.control.instance += 1;
        self.control.wake = None;
        self.control.open_ops.clear();
        self.control.pages.clear();
        self.control.backlog.clear();
        self.note_start();
        let (sequencer, effects) = Sequencer::with_planted(self.config(), snapshot, self.net.now, self.planted);
        self.control.sequencer = Some(sequencer);
        self.note(|| "control starts".to_owned());
        self.carry_out(effects);
    }

    pub fn kill_control(&mut self) {
        if !self.control.alive {
            return;
        }
        self.note(|| "control is killed".to_owned());
        self.control.alive = false;
        self.control.sequencer = None;
        self.control.instance += 1;
        for waiting in std::mem::take(&mut self.control.waiting).into_values() {
            let Waiting { vm, boot, machine, call } = waiting;
            let result = CallResult::Unknown(Unknown::Broken);
            self.net.send(Party::Control, Party::Vm(vm), Event::FromControl { vm, boot, machine, call, result });
        }
    }

    pub fn control_event(&mut self, instance: u64, event: miroir_sequencer::Event) {
        if self.is_former(instance) {
            return self.former_event(instance, event);
        }
        if !self.control.alive || instance != self.control.instance {
            return;
        }
        if self.control.stopped {
            return self.control.backlog.push(event);
        }
        if let miroir_sequencer::Event::Node { op, result } = &event {
            let Some(node) = self.control.open_ops.remove(op) else { return };
            if let Ok(NodeAnswer::Fenced { data, .. }) = result
                && !self.acting_former
            {
                self.note_key(node, data.clone());
            }
        }
        if let miroir_sequencer::Event::Node { result: Ok(NodeAnswer::Page { page, .. }), .. } = &event {
            self.control.pages.insert(*page);
        }
        let now = self.net.now;
        let Some(sequencer) = self.control.sequencer.as_mut() else { return };
        let shown = if self.traced
            && !matches!(&event, miroir_sequencer::Event::Tick | miroir_sequencer::Event::Heartbeat(_))
        {
            Some(format!("{event:?}"))
        } else {
            None
        };
        let effects = sequencer.handle(now, event);
        if let Some(shown) = shown.filter(|shown| !shown.contains("tasks: [], more: false, open: []")) {
            self.note(|| format!("  <- {}", shown.chars().take(400).collect::<String>()));
        }
        self.carry_out(effects);
    }

    pub fn carry_out(&mut self, mut effects: Vec<Effect>) {
        if self.deposing && !self.acting_former && !effects.is_empty() {
            let at = self.net.random.below(effects.len() as u64 + 1) as usize;
            let rest = effects.split_off(at);
            effects.into_iter().for_each(|effect| self.do_effect(effect));
            return self.stop_for_good(rest);
        }
        let cut = if self.swarm.crash_mid > 0
            && !self.acting_former
            && self.net.now < self.faults_until
            && self.net.random.chance(self.swarm.crash_mid)
        {
            Some(self.net.random.below(effects.len() as u64 + 1) as usize)
        } else {
            None
        };
        for (at, effect) in effects.into_iter().enumerate() {
            if cut == Some(at) {
                self.kill_control();
                let delay = self.net.random.between(100, 5_000);
                return self.net.after(delay, Event::Fault(crate::faults::Fault::ControlBack));
            }
            self.do_effect(effect);
            if !self.control.alive {
                return;
            }
        }
    }

    fn do_effect(&mut self, effect: Effect) {
        if let Some(tape) = &mut self.tape {
            tape.record(self.net.now, &effect);
        }
        let instance = self.control.instance;
        match effect {
            Effect::Persist(records) => self.persist(records),
            Effect::Begun { request, answer } => {
                if let wire::BeginAnswer::Grant(grant) = &answer {
                    self.check_grant(grant);
                }
                self.reply(request, &answer);
            }
            Effect::Committed { request, answer } => {
                self.check_acceptance(&answer);
                if let wire::CommitAnswer::Resend(grant) = &answer {
                    self.check_grant(grant);
                }
                self.reply(request, &answer);
            }
            Effect::Renewed { request, answer } => {
                if let wire::RenewAnswer::Grant(grant) = &answer {
                    self.check_grant(grant);
                }
                self.reply(request, &answer);
            }
            Effect::Admin { .. } => {}
            Effect::Measure { op, .. } => {
                let event = miroir_sequencer::Event::Measured { op, nodes: Vec::new() };
                self.net.after(1, Event::Caller { instance, event: Box::new(event) });
            }
            Effect::Reconcile { op, node, indexes } => {
                let Some(node) = self.nodes.iter().position(|engine| engine.id == node) else { return };
                let delay = self.net.random.between(1, 50);
                self.net.after(delay, Event::LookAt { instance, op, node, indexes });
            }
            Effect::WriteDown { op, drifts } => self.write_down(instance, op, &drifts),
            Effect::DropPage(page) => drop(self.control.pages.remove(&page)),
            Effect::Accepted { .. } | Effect::TaskChanged { .. } => {}
            Effect::Plan { op, operation, current } => {
                let event = miroir_sequencer::Event::Planned { op, plan: Ok(plan(&operation, current.as_deref())) };
                let delay = self.net.random.between(1, 30);
                self.net.after(delay, Event::Caller { instance, event: Box::new(event) });
            }
            Effect::Verify { op, expected, index, nodes } => {
                let differing = self.read_back(expected.as_deref(), &index, &nodes);
                let event = miroir_sequencer::Event::Verified { op, differing };
                let delay = self.net.random.between(1, 30);
                self.net.after(delay, Event::Caller { instance, event: Box::new(event) });
            }
            Effect::Node { op, node, action, timeout_ms } => {
                let Some(at) = self.nodes.iter().position(|engine| engine.id == node) else { return };
                if !matches!(action, NodeAction::ReadTasks { .. }) {
                    self.note(|| format!("  -> {node} {op:?} {action:?}"));
                }
                self.control.open_ops.insert(op, at);
                let caller = Caller::Control { instance, op };
                let request = NodeRequest::Action(action);
                self.net.send(Party::Control, Party::Node(at), Event::ToNode { node: at, caller, request });
                let event = miroir_sequencer::Event::Node { op, result: Err(NodeFault::Unknown) };
                self.net.after(timeout_ms, Event::Caller { instance, event: Box::new(event) });
            }
            Effect::MapChanged { epoch } => {
                self.note_map(epoch);
                self.check_readable();
                let Some(map) = self.control.sequencer.as_ref().map(Sequencer::map) else { return };
                self.push_map(&map);
            }
            Effect::WakeAt(at) => {
                self.control.wake = Some(at);
                self.net.at(at, Event::ControlWake { instance, at });
            }
            Effect::Alert(alert) => {
                self.stats.alert(&alert);
                if let Some(uid) = alert.text.strip_prefix("ticket ").filter(|_| alert.kind == "shard_down") {
                    self.notes.down.extend(uid.split(' ').next().and_then(|uid| uid.parse::<u32>().ok()));
                }
                let aged = alert.node.as_ref().is_some_and(|node| self.aged.contains(node));
                if let Some(ticket) = alert.text.strip_prefix("ticket ").filter(|_| aged && alert.kind == "audit_late")
                {
                    self.stats.late.extend(ticket.split(':').next().and_then(|uid| uid.parse::<u32>().ok()));
                }
                self.check_alert(&alert);
                self.note(|| format!("  !! {} {:?} {}", alert.kind, alert.node, alert.text));
            }
            // Disorder is what happens to nodes here, and what comes of it is looked at when all is at rest.
            Effect::Breach(breach) if breach.invariant == Invariant::TicketOrder => {
                self.note(|| format!("  !! {breach}"));
            }
            Effect::Breach(breach) => self.breaks(format!("control reports: {breach}")),
        }
    }

    fn push_map(&mut self, map: &Arc<ShardMap>) {
        for vm in 0..self.vms.len() {
            let boot = self.vms[vm].boot;
            self.net.send(Party::Control, Party::Vm(vm), Event::Map { vm, boot, map: map.clone() });
        }
    }

    fn persist(&mut self, records: Vec<Record>) {
        if self.store_refuses() {
            return;
        }
        self.check_planned(&records);
        self.note_births(&records);
        let moved = records.iter().any(|record| matches!(record, Record::Copy(_) | Record::CopyGone(..)));
        for record in records {
            if let Record::Task(task) = &record {
                self.see_task(task);
                self.control.tasks.insert(task.uid, (**task).clone());
                continue;
            }
            let slot = record.slot();
            match &record {
                Record::Meta(row) => self.note_term(row),
                Record::Node(row) => self.notice_disk(row),
                Record::Copy(row) => {
                    self.see_copy(row);
                    self.note_copy(row, &slot);
                }
                Record::Ticket(row) => self.see_ticket(row),
                Record::TicketGone(uid) => self.forget_ticket(*uid),
                _ => {}
            }
            match record.value() {
                Some(json) => drop(self.control.store.insert(slot, json)),
                None => drop(self.control.store.remove(&slot)),
            }
        }
        if let Some(sequencer) = self.control.sequencer.as_ref().filter(|_| moved) {
            let shards = (0..self.shards).map(|shard| (0, shard));
            let broken = invariants::every_shard_has_a_copy(shards, sequencer.copies().iter().map(Into::into));
            self.judge(broken);
        }
    }

    fn see_task(&mut self, task: &TaskRow) {
        self.note(|| {
            format!("  == task {} {:?} {:?}", task.uid, task.status, task.details.as_ref().map(ToString::to_string))
        });
        let before = self.control.tasks.get(&task.uid).map(|before| before.status);
        if let Some(before) = before {
            self.judge(invariants::task_goes_forward(task.uid, before.into(), task.status.into()));
        }
        if before != Some(task.status) {
            self.check_success(task);
            self.check_key(task);
        }
        if task.status.is_over() {
            self.stats.task(task);
        }
    }

    fn reply(&mut self, request: RequestId, answer: &impl Serialize) {
        let Some(Waiting { vm, boot, machine, call }) = self.control.waiting.remove(&request) else { return };
        let body = serde_json::to_vec(answer).expect("an answer");
        self.note(|| {
            format!("  -> vm {vm}/{machine} {}", String::from_utf8_lossy(&body).chars().take(300).collect::<String>())
        });
        let result = CallResult::Answer { status: 200, headers: Vec::new(), body };
        self.net.send(Party::Control, Party::Vm(vm), Event::FromControl { vm, boot, machine, call, result });
    }

    #[allow(clippy::too_many_arguments)]
    pub fn control_hears(
        &mut self,
        vm: usize,
        boot: u64,
        machine: u64,
        call: CallId,
        path: &str,
        body: &[u8],
        answered: bool,
    ) {
        if self.is_heard_by_former() {
            return self.as_former(|world| world.control_hears(vm, boot, machine, call, path, body, answered));
        }
        if !self.control.alive {
            let result = CallResult::NotSent(miroir_core::call::NotSent::ConnectFailed);
            return self.net.send(
                Party::Control,
                Party::Vm(vm),
                Event::FromControl { vm, boot, machine, call, result },
            );
        }
        self.control.next_request += 1;
        let request = RequestId(self.control.next_request);
        if answered {
            self.control.waiting.insert(request, Waiting { vm, boot, machine, call });
        }
        let parsed = match path {
            wire::BEGIN_PATH => serde_json::from_slice(body).map(|begin| miroir_sequencer::Event::Begin {
                request,
                begin,
                api_key: None,
                may_create: true,
            }),
            wire::COMMIT_PATH => {
                serde_json::from_slice(body).map(|commit| miroir_sequencer::Event::Commit { request, commit })
            }
            wire::RENEW_PATH => {
                serde_json::from_slice(body).map(|renew| miroir_sequencer::Event::Renew { request, renew })
            }
            wire::ABORT_PATH => serde_json::from_slice(body).map(|abort: wire::Abort| {
                self.note_given_up(&abort.attempt);
                miroir_sequencer::Event::Abort(abort)
            }),
            wire::ABANDON_PATH => serde_json::from_slice(body).map(|abandon: wire::Abandon| {
                self.note_given_up(&abandon.attempt);
                miroir_sequencer::Event::Abandon(abandon)
            }),
            _ => return self.breaks(format!("unknown path {path}")),
        };
        match parsed {
            Ok(event) => self.control_event(self.control.instance, event),
            Err(error) => self.breaks(format!("unreadable message to {path}: {error}")),
        }
    }
}
