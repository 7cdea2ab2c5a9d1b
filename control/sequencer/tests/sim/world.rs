//! The world: control with its store, nodes, filters' VMs, clients, and what goes wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use miroir_core::call::{CallId, CallResult, Unknown};
use miroir_core::shardmap::{CompiledMap, ShardMap};
use miroir_sequencer::planted::Planted;
use miroir_sequencer::*;

use crate::batch::Batching;
use crate::engine::{Engine, Work};
use crate::faults::Fault;
use crate::network::{Network, Party};
use crate::notes::Notes;
use crate::random::Random;
use crate::shell::Shell;
use crate::swarm::{Stats, Swarm};
use crate::vm::Vm;

/// A request to a node.
#[derive(Clone, Debug)]
pub enum NodeRequest {
    Write { method: String, path: String, body: Vec<u8>, key: Option<String> },
    Action(NodeAction),
}

/// Whose call it is.
#[derive(Clone, Debug)]
pub enum Caller {
    Control { instance: u64, op: OpId },
    Vm { vm: usize, boot: u64, machine: u64, call: CallId },
}

#[derive(Debug)]
pub enum Event {
    ToNode {
        node: usize,
        caller: Caller,
        request: NodeRequest,
    },
    /// The gap between authorising and enqueueing (M7).
    Enqueue {
        node: usize,
        boot: u64,
        caller: Caller,
        work: Work,
        task_type: &'static str,
        index: String,
        metadata: Option<String>,
        generation: u64,
    },
    Work {
        node: usize,
        boot: u64,
    },
    NodeAnswer {
        caller: Caller,
        result: Result<NodeAnswer, NodeFault>,
    },
    WriteAnswer {
        caller: Caller,
        result: CallResult,
    },
    ToControl {
        vm: usize,
        boot: u64,
        machine: u64,
        call: CallId,
        path: String,
        body: Vec<u8>,
        answered: bool,
    },
    FromControl {
        vm: usize,
        boot: u64,
        machine: u64,
        call: CallId,
        result: CallResult,
    },
    Heartbeat {
        vm: usize,
        boot: u64,
    },
    HeartbeatArrives {
        vm: usize,
        boot: u64,
        epoch: u64,
        /// The last one.
        gone: bool,
    },
    /// Control's answer to a heartbeat.
    Heard {
        vm: usize,
        boot: u64,
        epoch: u64,
    },
    Map {
        vm: usize,
        boot: u64,
        map: Arc<ShardMap>,
    },
    VmWake {
        vm: usize,
        boot: u64,
        machine: u64,
    },
    ControlWake {
        instance: u64,
        at: u64,
    },
    Caller {
        instance: u64,
        event: Box<miroir_sequencer::Event>,
    },
    /// Control looks at a node to see what it lacks.
    LookAt {
        instance: u64,
        op: OpId,
        node: usize,
        indexes: Vec<IndexRow>,
    },
    Client {
        client: usize,
    },
    ClientLeaves {
        vm: usize,
        boot: u64,
        machine: u64,
    },
    Read,
    Fault(Fault),
    Inject,
}

/// A part as it was enqueued by a node.
#[derive(Clone, Debug)]
pub struct Enqueued {
    pub node: usize,
    pub history: u64,
    pub at: u64,
    pub ticket: Option<u32>,
    pub index: String,
    pub work: Work,
    /// Control's own: no client wrote it.
    pub page: bool,
}

pub struct World {
    pub net: Network<Event>,
    pub shards: u32,
    pub replicas: u8,
    pub fencing: bool,
    pub min_accept: u32,
    pub swarm: Swarm,
    pub nodes: Vec<Engine>,
    /// How many of the nodes the configuration lists.
    pub listed: usize,
    pub boots: Vec<u64>,
    pub backlog: Vec<Vec<Event>>,
    pub snapshots: Vec<Option<crate::engine::Disk>>,
    /// Disks that come back later.
    pub stash: Vec<Option<crate::engine::Disk>>,
    /// Nodes that came back with keys of an earlier time: what had been fenced is authorised again until the next fence.
    pub aged: std::collections::BTreeSet<String>,
    /// Which disk a node had in an incarnation, as far as control has noticed, and its last task that was read.
    pub disk_of: BTreeMap<(usize, u64), (u64, u32)>,
    pub control: Shell,
    /// A leader whose lease is over and that does not know it.
    pub former: Option<crate::leaders::Former>,
    /// `control` is the former leader for the moment.
    pub acting_former: bool,
    /// The leader is about to be stopped for longer than its lease.
    pub deposing: bool,
    pub vms: Vec<Vm>,
    pub clients: Vec<crate::vm::Client>,
    pub log: Vec<Enqueued>,
    /// Documents as nodes showed them, by the page that control knows them by.
    pub pages: BTreeMap<PageId, Vec<(String, u32, miroir_core::invariants::Document)>>,
    pub next_page: u64,
    pub writes: BTreeMap<u64, crate::vm::Write>,
    pub next_write: u64,
    pub next_history: u64,
    pub faults_until: u64,
    pub broken: Vec<String>,
    pub traced: bool,
    pub stats: Stats,
    /// Nodes whose disk was changed, and control's incarnation number before.
    pub changed: Vec<Option<u64>>,
    /// Epoch of the map that tells of the latest change of a disk. One that is older knows nothing of it, and what is
    /// read by it is the window that F9 leaves.
    pub disk_epoch: u64,
    pub planted: Planted,
    pub drifting: crate::drift::Drifting,
    pub notes: Notes,
    /// Where all that happens is written down, if somebody wants to compare it.
    pub tape: Option<crate::replay::Tape>,
}

impl World {
    pub fn new(seed: u64, swarm: Swarm, planted: Planted) -> Self {
        let mut random = Random::new(seed);
        let count = random.between(2, 4) as usize;
        let replicas = (*random.pick(&[1, 2, 2, 2, 2, 3])).min(count as u8);
        let shards = random.between(1, 4) as u32;
        let min_accept = if replicas > 1 && random.chance(150) { 2 } else { 1 };
        let fencing = swarm.fencing;
        // One more node than the configuration lists, where operators may add it.
        let listed = count;
        let count = count + usize::from(swarm.kinds.contains(&"admin"));
        let mut world = Self {
            net: Network::new(random, 1_000_000),
            shards,
            replicas,
            fencing,
            min_accept,
            nodes: (0..count)
                .map(|at| Engine { id: format!("node-{at}"), up: true, shards, ..Engine::default() })
                .collect(),
            listed,
            boots: vec![0; count],
            backlog: (0..count).map(|_| Vec::new()).collect(),
            snapshots: vec![None; count],
            stash: vec![None; count],
            aged: Default::default(),
            disk_of: BTreeMap::new(),
            control: Shell::default(),
            former: None,
            acting_former: false,
            deposing: false,
            vms: (0..2).map(Vm::new).collect(),
            clients: (0..3).map(|_| crate::vm::Client { left: swarm.writes, ..Default::default() }).collect(),
            log: Vec::new(),
            pages: BTreeMap::new(),
            next_page: 1,
            writes: BTreeMap::new(),
            next_write: 1,
            next_history: 1,
            faults_until: 1_000_000 + 30_000,
            broken: Vec::new(),
            traced: std::env::var_os("SIM_TRACE").is_some(),
            stats: Default::default(),
            changed: vec![None; count],
            disk_epoch: 0,
            planted,
            drifting: Default::default(),
            notes: Notes::default(),
            tape: None,
            swarm,
        };
        world.start_control();
        for vm in 0..2 {
            world.net.after(50, Event::Heartbeat { vm, boot: 0 });
        }
        for client in 0..3 {
            let delay = world.net.random.between(2_500, 4_000);
            world.net.after(delay, Event::Client { client });
        }
        if world.swarm.reads {
            world.net.after(3_000, Event::Read);
        }
        world.net.after(3_000, Event::Inject);
        world
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if self.traced {
            let line = format!("{:>8} {}", self.net.now - 1_000_000, line());
            eprintln!("{line}");
        }
    }

    pub fn breaks(&mut self, what: String) {
        if self.broken.len() < 5 {
            self.broken.push(format!("at {}: {what}", self.net.now - 1_000_000));
        }
    }

    /// Runs until this time or until something breaks.
    pub fn run(&mut self, until: u64) {
        while self.broken.is_empty() && self.net.next_at().is_some_and(|at| at <= until) {
            let Some(event) = self.net.pop() else { break };
            self.stats.events += 1;
            if let Some(tape) = &mut self.tape {
                tape.record(self.net.now, &event);
            }
            self.step(event);
        }
        self.net.now = self.net.now.max(until);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::ToNode { node, .. } | Event::Enqueue { node, .. } | Event::Work { node, .. }
                if self.nodes[node].stopped =>
            {
                self.backlog[node].push(event);
            }
            Event::ToNode { node, caller, request } => self.node_hears(node, caller, request),
            Event::Enqueue { node, boot, caller, work, task_type, index, metadata, generation } => {
                if self.boots[node] == boot && self.nodes[node].up {
                    self.enqueue(node, caller, work, task_type, index, metadata, generation);
                }
            }
            Event::Work { node, boot } => {
                if self.boots[node] == boot && self.nodes[node].up {
                    let (now, batching) = (self.net.now, self.some_batching());
                    self.nodes[node].process(now, batching);
                }
            }
            Event::NodeAnswer { caller: Caller::Control { instance, op }, result } => {
                self.control_event(instance, miroir_sequencer::Event::Node { op, result });
            }
            Event::WriteAnswer { caller: Caller::Vm { vm, boot, machine, call }, result }
            | Event::FromControl { vm, boot, machine, call, result } => {
                self.vm_event(vm, boot, crate::vm::Input::Result { machine, call, result });
            }
            Event::NodeAnswer { .. } | Event::WriteAnswer { .. } => {}
            Event::ToControl { vm, boot, machine, call, path, body, answered } => {
                self.control_hears(vm, boot, machine, call, &path, &body, answered);
            }
            Event::Heartbeat { vm, boot } => self.vm_event(vm, boot, crate::vm::Input::Heartbeat),
            Event::HeartbeatArrives { vm, boot, epoch, gone } => {
                let (name, now) = (format!("vm-{vm}-{boot}"), self.net.now);
                if self.control.alive && !self.control.stopped && self.vms[vm].boot == boot {
                    self.vms[vm].heard = Some(now);
                }
                let heartbeat = miroir_core::wire::Heartbeat {
                    vm: name,
                    epoch,
                    oldest_epoch: epoch,
                    rejected: None,
                    gone,
                    envoy: None,
                };
                let instance = self.control.instance;
                self.control_event(instance, miroir_sequencer::Event::Heartbeat(heartbeat));
                if let Some(epoch) = self.control.sequencer.as_ref().map(miroir_sequencer::Sequencer::epoch)
                    && self.control.alive
                    && !self.control.stopped
                {
                    self.net.send(Party::Control, Party::Vm(vm), Event::Heard { vm, boot, epoch });
                }
            }
            Event::Heard { vm, boot, epoch } => self.vm_event(vm, boot, crate::vm::Input::Heard(epoch)),
            Event::Map { vm, boot, map } => self.vm_event(vm, boot, crate::vm::Input::Map(map)),
            Event::VmWake { vm, boot, machine } => self.vm_event(vm, boot, crate::vm::Input::Wake { machine }),
            Event::ControlWake { instance, at } => {
                if self.control.wake == Some(at) || self.is_former(instance) {
                    self.control_event(instance, miroir_sequencer::Event::Tick);
                }
            }
            Event::Caller { instance, event } => self.control_event(instance, *event),
            Event::LookAt { instance, op, node, indexes } => self.look_at(instance, op, node, &indexes),
            Event::Client { client } => self.client_writes(client),
            Event::ClientLeaves { vm, boot, machine } => self.vm_event(vm, boot, crate::vm::Input::Gone { machine }),
            Event::Read => self.read(),
            Event::Inject => self.inject(),
            Event::Fault(fault) => self.fault(fault),
        }
    }

    fn some_batching(&mut self) -> Batching {
        let most = self.swarm.batch;
        if most < 2 {
            return Batching { most: 1, divided: false };
        }
        Batching { most: self.net.random.between(1, most) as usize, divided: self.net.random.chance(500) }
    }

    /// Readable copies of a shard for a VM, as the filter sees them.
    pub fn readable(&self, map: &CompiledMap, index: &str, shard: u32) -> Vec<usize> {
        let Some(entry) = map.map.indexes.get(index) else { return Vec::new() };
        let nodes = map.readable(entry.placement, shard).iter().filter(|node| !entry.unreadable.contains(node));
        let id = |node: &u16| &map.map.nodes[usize::from(*node)].id;
        nodes.filter_map(|node| self.nodes.iter().position(|engine| engine.id == *id(node))).collect()
    }
}

pub fn party(caller: &Caller) -> Party {
    match caller {
        Caller::Control { .. } => Party::Control,
        Caller::Vm { vm, .. } => Party::Vm(*vm),
    }
}

pub fn timed_out() -> CallResult {
    CallResult::Unknown(Unknown::Timeout)
}
