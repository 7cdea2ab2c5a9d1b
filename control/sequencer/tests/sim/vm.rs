//! Envoy's VMs, driving the real write machine, and clients.

use std::collections::BTreeMap;
use std::sync::Arc;

use miroir_core::call::{Action, Call, CallId, CallResult, Machine};
use miroir_core::shardmap::{CompiledMap, ShardMap};
use miroir_core::wire::{ABANDON_PATH, ABORT_PATH, WriteKind};
use miroir_core::write::{WriteHead, WriteMachine, WriteSetup};

use crate::network::Party;
use crate::world::{Caller, Event, NodeRequest, World, timed_out};

pub enum Input {
    Result {
        machine: u64,
        call: CallId,
        result: CallResult,
    },
    Wake {
        machine: u64,
    },
    Map(Arc<ShardMap>),
    Heartbeat,
    /// Control's answer to a heartbeat: its epoch.
    Heard(u64),
    Gone {
        machine: u64,
    },
}

pub struct Running {
    pub machine: WriteMachine,
    pub write: u64,
    pub open: BTreeMap<CallId, ()>,
}

pub struct Vm {
    pub at: usize,
    pub boot: u64,
    pub up: bool,
    pub stopped: bool,
    pub map: Option<Arc<CompiledMap>>,
    pub machines: BTreeMap<u64, Running>,
    pub next_machine: u64,
    pub backlog: Vec<(u64, Input)>,
    /// When control last heard its heartbeat.
    pub heard: Option<u64>,
    /// Control had no newer map when it had heard of it: the filter reads from then on.
    pub confirmed: bool,
    /// Until then its Envoy is still starting: it has its first map, hears of no other, and has sent no heartbeat.
    pub warm_at: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Client {
    pub left: u32,
    pub waits_for: Option<u64>,
}

/// A client's write.
#[derive(Clone, Debug, Default)]
pub struct Write {
    pub client: usize,
    pub idempotency: Option<String>,
    pub status: Option<u16>,
    pub text: String,
    pub task: Option<u32>,
}

impl Vm {
    pub fn new(at: usize) -> Self {
        Self {
            at,
            boot: 0,
            up: true,
            stopped: false,
            map: None,
            machines: BTreeMap::new(),
            next_machine: 1,
            backlog: Vec::new(),
            heard: None,
            confirmed: false,
            warm_at: 0,
        }
    }

    pub fn name(&self) -> String {
        format!("vm-{}-{}", self.at, self.boot)
    }

    pub fn epoch(&self) -> u64 {
        self.map.as_ref().map_or(0, |map| map.map.epoch)
    }
}

impl World {
    pub fn vm_event(&mut self, vm: usize, boot: u64, input: Input) {
        if !self.vms[vm].up || self.vms[vm].boot != boot {
            return;
        }
        if self.vms[vm].stopped {
            return self.vms[vm].backlog.push((boot, input));
        }
        let now = self.net.now;
        match input {
            Input::Map(map) if self.vms[vm].map.is_some() && now < self.vms[vm].warm_at => {
                let at = self.vms[vm].warm_at + self.net.random.between(0, 50);
                self.net.at(at, Event::Map { vm, boot, map });
            }
            Input::Map(map) => {
                if self.vms[vm].map.is_none() && boot > 0 {
                    self.vms[vm].warm_at = now + self.net.random.between(0, 5_000);
                }
                if map.epoch > self.vms[vm].epoch() {
                    self.vms[vm].map = Some(Arc::new(CompiledMap::new((*map).clone())));
                }
            }
            Input::Heartbeat => {
                let epoch = self.vms[vm].epoch();
                if self.vms[vm].map.is_some() && now >= self.vms[vm].warm_at {
                    self.net.send(Party::Vm(vm), Party::Control, Event::HeartbeatArrives { vm, boot, epoch });
                }
                self.net.after(1_000, Event::Heartbeat { vm, boot });
                // A push that was lost is made good by the next one: ADS is a stream that reconnects.
                if self.control.alive
                    && !self.control.stopped
                    && let Some(sequencer) = &self.control.sequencer
                    && sequencer.epoch() > epoch
                {
                    let map = sequencer.map();
                    self.net.send(Party::Control, Party::Vm(vm), Event::Map { vm, boot, map });
                }
            }
            Input::Heard(epoch) => self.vms[vm].confirmed |= epoch <= self.vms[vm].epoch(),
            Input::Result { machine, call, result } => {
                let Some(running) = self.vms[vm].machines.get_mut(&machine) else { return };
                if running.open.remove(&call).is_some() {
                    let actions = running.machine.on_result(call, result, now);
                    self.act(vm, machine, actions);
                }
            }
            Input::Wake { machine } => {
                let Some(running) = self.vms[vm].machines.get_mut(&machine) else { return };
                let actions = running.machine.on_wake(now);
                self.act(vm, machine, actions);
            }
            Input::Gone { machine } => {
                let Some(running) = self.vms[vm].machines.get_mut(&machine) else { return };
                let write = running.write;
                let actions = running.machine.on_client_gone(now);
                self.note(|| format!("client of write {write} leaves"));
                self.act(vm, machine, actions);
                self.client_free(write);
            }
        }
    }

    pub fn act(&mut self, vm: usize, machine: u64, actions: Vec<Action>) {
        let boot = self.vms[vm].boot;
        for action in actions {
            match action {
                Action::Call(call) => self.call(vm, machine, call, true),
                Action::Notify(call) => self.call(vm, machine, call, false),
                Action::WakeAt(at) => self.net.at(at, Event::VmWake { vm, boot, machine }),
                Action::Reply(reply) => {
                    let Some(write) = self.vms[vm].machines.get(&machine).map(|running| running.write) else {
                        continue;
                    };
                    let text = String::from_utf8_lossy(&reply.body).into_owned();
                    self.note(|| format!("write {write} answered {}: {text}", reply.status));
                    self.stats.reply(reply.status);
                    if let Some(entry) = self.writes.get_mut(&write) {
                        entry.status = Some(reply.status);
                        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                        entry.task = value.get("taskUid").and_then(|uid| uid.as_u64()).map(|uid| uid as u32);
                        entry.text = text;
                    }
                    self.client_free(write);
                }
                Action::Done => drop(self.vms[vm].machines.remove(&machine)),
            }
        }
    }

    fn call(&mut self, vm: usize, machine: u64, call: Call, answered: bool) {
        let boot = self.vms[vm].boot;
        let id = call.id;
        if answered {
            if let Some(running) = self.vms[vm].machines.get_mut(&machine) {
                running.open.insert(id, ());
            }
            let result = timed_out();
            self.net.after(call.timeout_ms, Event::FromControl { vm, boot, machine, call: id, result });
        }
        if call.cluster == "internal" {
            let path = call.path;
            // Control's messages may arrive twice.
            let copies = if answered || !matches!(path.as_str(), ABORT_PATH | ABANDON_PATH) {
                1 + usize::from(self.net.random.chance(self.swarm.repeat))
            } else {
                1
            };
            for _ in 0..copies {
                let event = Event::ToControl {
                    vm,
                    boot,
                    machine,
                    call: id,
                    path: path.clone(),
                    body: call.body.clone(),
                    answered,
                };
                self.net.send(Party::Vm(vm), Party::Control, event);
            }
            return;
        }
        let Some(node) =
            self.nodes.iter().position(|engine| miroir_sequencer::write_cluster(&engine.id) == call.cluster)
        else {
            return self.breaks(format!("no cluster {}", call.cluster));
        };
        let bearer = call.headers.iter().find(|(name, _)| name == "authorization");
        let key = bearer.and_then(|(_, value)| value.strip_prefix("Bearer ")).map(str::to_owned);
        let request = NodeRequest::Write { method: call.method.to_owned(), path: call.path, body: call.body, key };
        let caller = Caller::Vm { vm, boot, machine, call: id };
        self.net.send(Party::Vm(vm), Party::Node(node), Event::ToNode { node, caller, request });
    }

    /// The client goes on to its next write.
    fn client_free(&mut self, write: u64) {
        let Some(client) = self.writes.get(&write).map(|write| write.client) else { return };
        if self.clients[client].waits_for == Some(write) {
            self.clients[client].waits_for = None;
            // A refused client comes back, and later: what is refused tests little.
            let refused = self.writes.get(&write).is_some_and(|write| write.status == Some(503));
            self.clients[client].left += u32::from(refused);
            let delay = if refused { self.net.random.between(200, 2_500) } else { self.net.random.between(1, 1_500) };
            self.net.after(delay, Event::Client { client });
        }
    }

    pub fn client_writes(&mut self, client: usize) {
        if self.clients[client].left == 0 || self.net.now > self.faults_until {
            return;
        }
        let vm = self.net.random.below(self.vms.len() as u64) as usize;
        if !self.vms[vm].up || self.vms[vm].map.is_none() {
            return self.net.after(300, Event::Client { client });
        }
        self.clients[client].left -= 1;
        let write = self.next_write;
        self.next_write += 1;
        let index = if self.net.random.chance(850) { "a" } else { "b" };
        let key = |world: &mut Self| format!("k{}", world.net.random.below(6));
        let mut query = None;
        let (kind, id, body) = match self.net.random.below(20) {
            drawn if drawn < 15 - self.swarm.updates => (WriteKind::Replace, None, self.documents(write, "v")),
            0..=14 => (WriteKind::Update, None, self.documents(write, "u")),
            15 => (WriteKind::DeleteOne, Some(key(self)), String::new()),
            16 => (WriteKind::Edit, None, self.edit(write)),
            17 => {
                let ids = [key(self), key(self)];
                (WriteKind::DeleteBatch, None, serde_json::to_string(&ids).expect("ids"))
            }
            18 => (WriteKind::DeleteByFilter, None, r#"{"filter":"v EXISTS"}"#.to_owned()),
            _ => (WriteKind::DeleteAll, None, String::new()),
        };
        if matches!(kind, WriteKind::Replace | WriteKind::Update) && self.net.random.chance(300) {
            query = Some("primaryKey=id");
        }
        let has_body = !body.is_empty();
        let content_type = has_body.then_some("application/json");
        let head = WriteHead::read(kind, index, id.as_deref(), query, content_type).expect("a fair request");
        let map = self.vms[vm].map.clone().expect("a map");
        let known = map.map.indexes.get(index).map(|entry| (entry.incarnation, entry.primary_key.clone()));
        // A client that got no answer or an error tries again with the same key, or with none.
        let last = self.writes.values().rev().find(|entry| entry.client == client).cloned();
        let idempotency = self.net.random.chance(250).then(|| format!("idem-{write}"));
        let _ = last;
        let attempt = format!("{:032x}", (u128::from(self.net.random.next()) << 64) | u128::from(write));
        let setup = WriteSetup {
            head,
            body: body.clone().into_bytes(),
            node_body_bytes: u64::MAX,
            path: format!("/indexes/{index}/documents"),
            content_type: content_type.map(str::to_owned),
            authorization: None,
            idempotency_key: idempotency.clone(),
            attempt,
            vm: self.vms[vm].name(),
            epoch: map.map.epoch,
            shard_count: self.shards,
            index: known,
            geo: false,
            control_cluster: "internal".into(),
            trace: Vec::new(),
        };
        self.note(|| format!("client {client} write {write} by vm {vm}: {kind:?} {index} {body} {id:?}"));
        self.writes.insert(write, Write { client, idempotency, ..Write::default() });
        self.clients[client].waits_for = Some(write);
        self.run_machine(vm, WriteMachine::new(setup), write);
        // A second try of the very same request, through another VM, while the first is under way.
        if self.writes[&write].idempotency.is_some() && self.net.random.chance(500) {
            self.repeat(vm, write, kind, index, id, query, content_type, body);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn repeat(
        &mut self,
        vm: usize,
        write: u64,
        kind: WriteKind,
        index: &str,
        id: Option<String>,
        query: Option<&str>,
        content_type: Option<&str>,
        body: String,
    ) {
        let other = (vm + 1) % self.vms.len();
        let (true, Some(map)) = (self.vms[other].up && !self.vms[other].stopped, self.vms[other].map.clone()) else {
            return;
        };
        let known = map.map.indexes.get(index).map(|entry| (entry.incarnation, entry.primary_key.clone()));
        let setup = WriteSetup {
            head: WriteHead::read(kind, index, id.as_deref(), query, content_type).expect("a fair request"),
            body: body.into_bytes(),
            node_body_bytes: u64::MAX,
            path: format!("/indexes/{index}/documents"),
            content_type: content_type.map(str::to_owned),
            authorization: None,
            idempotency_key: self.writes[&write].idempotency.clone(),
            attempt: format!("{:032x}", (u128::from(self.net.random.next()) << 64) | u128::from(write)),
            vm: self.vms[other].name(),
            epoch: map.map.epoch,
            shard_count: self.shards,
            index: known,
            geo: false,
            control_cluster: "internal".into(),
            trace: Vec::new(),
        };
        self.run_machine(other, WriteMachine::new(setup), write);
    }

    fn run_machine(&mut self, vm: usize, machine: WriteMachine, write: u64) {
        let id = self.vms[vm].next_machine;
        self.vms[vm].next_machine += 1;
        self.vms[vm].machines.insert(id, Running { machine, write, open: BTreeMap::new() });
        let now = self.net.now;
        let Some(running) = self.vms[vm].machines.get_mut(&id) else { return };
        let actions = running.machine.start(now);
        self.act(vm, id, actions);
        if self.net.random.chance(self.swarm.client_leaves) {
            let (boot, delay) = (self.vms[vm].boot, self.net.random.between(1, 3_000));
            self.net.after(delay, Event::ClientLeaves { vm, boot, machine: id });
        }
    }

    /// An edit of every document, that may fail where it finds a certain one.
    fn edit(&mut self, write: u64) -> String {
        let fatal = self.net.random.chance(300).then(|| self.net.random.below(6));
        let throw = fatal.map(|key| format!("if doc.id == \"k{key}\" {{ throw }} ")).unwrap_or_default();
        serde_json::json!({ "function": format!("{throw}doc.e += \"{write};\"") }).to_string()
    }

    fn documents(&mut self, write: u64, field: &str) -> String {
        let count = self.net.random.between(1, 3);
        let documents: Vec<String> =
            (0..count).map(|_| format!(r#"{{"id":"k{}","{field}":"{write}"}}"#, self.net.random.below(6))).collect();
        format!("[{}]", documents.join(","))
    }
}
