//! Envoy's VMs, driving the real write machine, and clients.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use miroir_core::call::{Action, Call, CallId, CallResult, Machine, Unknown};
use miroir_core::shardmap::{CompiledMap, ShardMap};
use miroir_core::wire::{ABANDON_PATH, ABORT_PATH};
use miroir_core::write::WriteMachine;

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
    /// Nodes to which a connection has broken.
    pub cut_short: BTreeSet<usize>,
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
                    self.net.send(
                        Party::Vm(vm),
                        Party::Control,
                        Event::HeartbeatArrives { vm, boot, epoch, gone: false },
                    );
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
        let names = miroir_sequencer::ClusterNames::default();
        let Some(node) = self.nodes.iter().position(|engine| names.write(&engine.id, "") == call.cluster) else {
            return self.breaks(format!("no cluster {}", call.cluster));
        };
        let bearer = call.headers.iter().find(|(name, _)| name == "authorization");
        let key = bearer.and_then(|(_, value)| value.strip_prefix("Bearer ")).map(str::to_owned);
        let request = NodeRequest::Write { method: call.method.to_owned(), path: call.path, body: call.body, key };
        let caller = Caller::Vm { vm, boot, machine, call: id };
        if self.is_cut_short(vm, machine, node) {
            let result = CallResult::Unknown(Unknown::Broken);
            self.net.after(5, Event::FromControl { vm, boot, machine, call: id, result });
            // The request may have got through before.
            if self.net.random.chance(500) {
                return;
            }
        }
        self.net.send(Party::Vm(vm), Party::Node(node), Event::ToNode { node, caller, request });
    }

    /// Whether the connection to a node ends under this call; it does so once.
    fn is_cut_short(&mut self, vm: usize, machine: u64, node: usize) -> bool {
        if self.swarm.breaks == 0 || !self.net.random.chance(self.swarm.breaks) {
            return false;
        }
        let running = self.vms[vm].machines.get_mut(&machine);
        running.is_some_and(|running| running.cut_short.insert(node))
    }
}
