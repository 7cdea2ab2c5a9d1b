//! What goes wrong, and which of it in this run: every seed draws its own mixture.

use std::collections::BTreeMap;

use miroir_sequencer::IndexOperation;
use serde_json::json;

use crate::engine::Disk;
use crate::network::Party;
use crate::world::{Event, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    KillNode(usize),
    NodeBack(usize, Comeback),
    StopNode(usize),
    ContinueNode(usize),
    Snapshot(usize),
    KillControl,
    ControlBack,
    StopControl,
    ContinueControl,
    /// Control is stopped in the middle of what it does, for longer than its lease lasts.
    Depose,
    FormerWakes,
    FormerEnds,
    KillVm(usize),
    VmBack(usize),
    StopVm(usize),
    ContinueVm(usize),
    Cut(Party, Party),
    Mend(Party, Party),
    Operation,
    Swap,
    /// An index is deleted; the next write makes it again.
    Recreate,
    Cancel,
    HollowQueue(usize),
    /// Somebody moves a copy, gives a move up, or changes the pace.
    Move,
    /// An operator gives a command.
    Admin,
    /// What lies on a disk changes, and no task tells of it.
    Drift(usize),
    /// Somebody writes to a node directly, or a request of an earlier time turns up.
    Stray(usize),
    /// Somebody changes settings on a node directly.
    ForeignSettings(usize),
}

/// With which disk a node comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comeback {
    Same,
    Empty,
    Older,
    /// An empty one, in the place of one that comes back later.
    Interim,
    /// The one that it had before it came back with an interim one.
    Former,
}

impl World {
    pub fn inject(&mut self) {
        if self.net.now > self.faults_until {
            return;
        }
        (self.net.drop, self.net.slow) = (self.swarm.drop, self.swarm.slow);
        let pause = self.net.random.between(100, self.swarm.pause);
        self.net.after(pause, Event::Inject);
        if self.swarm.kinds.is_empty() {
            return;
        }
        let kind = *self.net.random.pick(&self.swarm.kinds.clone());
        let node = self.net.random.below(self.nodes.len() as u64) as usize;
        let vm = self.net.random.below(self.vms.len() as u64) as usize;
        let lasts = if self.net.random.chance(700) {
            self.net.random.between(50, 4_000)
        } else {
            self.net.random.between(4_000, 30_000)
        };
        // Without control nothing much happens: it comes back sooner.
        let lasts = if kind.ends_with("control") { lasts / 4 } else { lasts };
        let (now, then) = match kind {
            "kill-node" => (Fault::KillNode(node), Some(Fault::NodeBack(node, Comeback::Same))),
            "wipe-node" if self.net.random.chance(300) => {
                (Fault::KillNode(node), Some(Fault::NodeBack(node, Comeback::Empty)))
            }
            // What is to join must be empty: with an older disk it waits for an operator.
            "restore-node" | "quick-restore" | "late-disk" if self.is_joining(node) => return,
            "restore-node" if self.net.random.chance(300) => {
                (Fault::KillNode(node), Some(Fault::NodeBack(node, Comeback::Older)))
            }
            // Faster than anybody looks.
            "quick-restore" if self.snapshots[node].is_some() && self.net.random.chance(500) => {
                self.fault(Fault::KillNode(node));
                let soon = self.net.random.between(5, 200);
                return self.net.after(soon, Event::Fault(Fault::NodeBack(node, Comeback::Older)));
            }
            "late-disk" => {
                let back = Event::Fault(Fault::KillNode(node));
                let wait = self.net.random.between(500, 20_000);
                self.net.after(lasts + wait, back);
                self.net.after(lasts + wait + 300, Event::Fault(Fault::NodeBack(node, Comeback::Former)));
                (Fault::KillNode(node), Some(Fault::NodeBack(node, Comeback::Interim)))
            }
            "wipe-node" | "restore-node" | "quick-restore" => (Fault::Snapshot(node), None),
            "stop-one" if self.nodes.iter().any(|engine| engine.stopped) => return,
            "stop-node" | "stop-one" => (Fault::StopNode(node), Some(Fault::ContinueNode(node))),
            "kill-control" => (Fault::KillControl, Some(Fault::ControlBack)),
            "stop-control" => (Fault::StopControl, Some(Fault::ContinueControl)),
            "depose" => (Fault::Depose, None),
            "kill-vm" => (Fault::KillVm(vm), Some(Fault::VmBack(vm))),
            "stop-vm" => (Fault::StopVm(vm), Some(Fault::ContinueVm(vm))),
            "cut" => {
                let ends = *self.net.random.pick(&[
                    (Party::Control, Party::Node(node)),
                    (Party::Node(node), Party::Vm(vm)),
                    (Party::Control, Party::Vm(vm)),
                ]);
                (Fault::Cut(ends.0, ends.1), Some(Fault::Mend(ends.0, ends.1)))
            }
            "operation" => (Fault::Operation, None),
            "swap" => (Fault::Swap, None),
            "recreate" => (Fault::Recreate, None),
            "cancel" => (Fault::Cancel, None),
            "move" => (Fault::Move, None),
            "admin" => (Fault::Admin, None),
            "hollow" => (Fault::HollowQueue(node), None),
            "stray" => (Fault::Stray(node), None),
            "drift" => (Fault::Drift(node), None),
            "foreign-settings" => (Fault::ForeignSettings(node), None),
            _ => return,
        };
        self.fault(now);
        if let Some(then) = then {
            self.net.after(lasts, Event::Fault(then));
        }
    }

    pub fn fault(&mut self, fault: Fault) {
        self.note(|| format!("## {fault:?}"));
        match fault {
            Fault::KillNode(node) => self.kill_node(node),
            Fault::NodeBack(node, comeback) => self.node_back(node, comeback),
            Fault::StopNode(node) => self.nodes[node].stopped = true,
            Fault::ContinueNode(node) => self.continue_node(node),
            Fault::Snapshot(node) => self.snapshots[node] = Some(self.nodes[node].disk.clone()),
            Fault::KillControl => self.kill_control(),
            Fault::ControlBack if !self.control.alive => self.start_control(),
            Fault::ControlBack => {}
            Fault::StopControl => self.control.stopped = self.control.alive,
            Fault::ContinueControl => self.continue_control(),
            Fault::Depose => self.depose(),
            Fault::FormerWakes => self.former_wakes(),
            Fault::FormerEnds => self.end_former(),
            Fault::KillVm(vm) => self.kill_vm(vm),
            Fault::VmBack(vm) => self.vm_back(vm),
            Fault::StopVm(vm) => self.vms[vm].stopped = true,
            Fault::ContinueVm(vm) => self.continue_vm(vm),
            Fault::Cut(a, b) => drop(self.net.cuts.insert((a.min(b), a.max(b)))),
            Fault::Mend(a, b) => drop(self.net.cuts.remove(&(a.min(b), a.max(b)))),
            Fault::Operation => self.some_operation(),
            Fault::Swap => {
                self.index_operation(IndexOperation::exchange("a", "b"));
            }
            Fault::Recreate => self.index_operation(IndexOperation::Delete { uid: "a".into() }),
            Fault::Cancel => self.some_cancel(),
            Fault::Move => self.some_move(),
            Fault::Admin => self.some_command(),
            Fault::Stray(node) => self.stray(node),
            Fault::Drift(node) => self.drift(node),
            Fault::ForeignSettings(node) => self.foreign_settings(node),
            Fault::HollowQueue(node) => {
                for task in self.nodes[node].disk.tasks.iter_mut().filter(|task| !task.view.status.is_over()) {
                    task.hollow = matches!(task.work, crate::engine::Work::Add { .. });
                }
            }
        }
    }

    fn stray(&mut self, node: usize) {
        if !self.nodes[node].up || self.nodes[node].stopped {
            return;
        }
        let now = self.net.now;
        let key = format!("k{}", self.net.random.below(6));
        let shard = miroir_core::hash::shard_of(key.as_bytes(), self.shards);
        let fields = BTreeMap::from([("id".to_owned(), key.clone()), ("v".to_owned(), "stray".to_owned())]);
        let documents = vec![(key, shard, fields)];
        let work = crate::engine::Work::Add { index: "a".into(), replace: true, skips: false, documents };
        self.nodes[node].enqueue(work, Some("a".into()), "documentAdditionOrUpdate", None, now);
        self.schedule_work(node);
    }

    fn foreign_settings(&mut self, node: usize) {
        let (index, now) = (if self.net.random.chance(800) { "a" } else { "b" }.to_owned(), self.net.now);
        let engine = &mut self.nodes[node];
        if !engine.up || engine.stopped {
            return;
        }
        let work = crate::engine::Work::Settings { index: index.clone(), value: "foreign".into() };
        engine.enqueue(work, Some(index), "settingsUpdate", None, now);
        self.schedule_work(node);
    }

    fn kill_node(&mut self, node: usize) {
        self.nodes[node].up = false;
        self.nodes[node].stopped = false;
        self.boots[node] += 1;
        self.backlog[node].clear();
    }

    fn node_back(&mut self, node: usize, comeback: Comeback) {
        if self.nodes[node].up {
            return;
        }
        let fresh = |mut disk: Disk, history: &mut u64| {
            disk.history = *history;
            *history += 1;
            disk
        };
        // Two empty disks are one and the same.
        let empty = self.nodes[node].disk.tasks.is_empty();
        let replaced = match comeback {
            Comeback::Same => None,
            Comeback::Empty | Comeback::Interim if empty => None,
            Comeback::Empty => Some(fresh(Disk::default(), &mut self.next_history)),
            Comeback::Older => self.snapshots[node].clone().map(|disk| fresh(disk, &mut self.next_history)),
            Comeback::Interim if self.stash[node].is_none() => {
                self.stash[node] = Some(self.nodes[node].disk.clone());
                Some(fresh(Disk::default(), &mut self.next_history))
            }
            Comeback::Interim => None,
            Comeback::Former => self.stash[node].take(),
        };
        if let Some(disk) = replaced {
            if disk.keys.last() < self.nodes[node].disk.keys.last() {
                self.aged.insert(self.nodes[node].id.clone());
            }
            let known = self.control.store.get(&("node", self.nodes[node].id.clone()));
            let row = known.and_then(|json| serde_json::from_str::<miroir_sequencer::NodeRow>(json).ok());
            self.changed[node] = Some(row.map_or(0, |row| row.incarnation));
            self.nodes[node].disk = disk;
        }
        self.nodes[node].up = true;
        let open = self.nodes[node].disk.tasks.iter().filter(|task| !task.view.status.is_over()).count();
        for _ in 0..open {
            self.schedule_work(node);
        }
    }

    fn continue_node(&mut self, node: usize) {
        self.nodes[node].stopped = false;
        // A socket's backlog is served in no order (M2).
        for event in std::mem::take(&mut self.backlog[node]) {
            let delay = self.net.random.below(50);
            self.net.after(delay, event);
        }
    }

    fn continue_control(&mut self) {
        self.control.stopped = false;
        self.notes.running_since = self.net.now;
        for event in std::mem::take(&mut self.control.backlog) {
            let instance = self.control.instance;
            self.control_event(instance, event);
        }
        let (instance, now) = (self.control.instance, self.net.now);
        self.control.wake = Some(now);
        self.net.at(now, Event::ControlWake { instance, at: now });
    }

    fn kill_vm(&mut self, vm: usize) {
        let graceful = self.net.random.chance(300);
        let machines = std::mem::take(&mut self.vms[vm].machines);
        for (id, mut running) in machines {
            let write = running.write;
            if graceful && let Some(call) = running.machine.give_up() {
                let boot = self.vms[vm].boot;
                let event = Event::ToControl {
                    vm,
                    boot,
                    machine: id,
                    call: call.id,
                    path: call.path,
                    body: call.body,
                    answered: false,
                };
                self.net.send(Party::Vm(vm), Party::Control, event);
            }
            if let Some(client) = self.writes.get(&write).map(|write| write.client)
                && self.clients[client].waits_for == Some(write)
            {
                self.clients[client].waits_for = None;
                self.net.after(500, Event::Client { client });
            }
        }
        if graceful {
            // One that is replaced says goodbye when its requests have ended.
            let (boot, epoch) = (self.vms[vm].boot, self.vms[vm].epoch());
            let event = Event::HeartbeatArrives { vm, boot, epoch, gone: true };
            self.net.send(Party::Vm(vm), Party::Control, event);
        }
        let vm = &mut self.vms[vm];
        (vm.up, vm.stopped, vm.heard, vm.confirmed, vm.map) = (false, false, None, false, None);
        vm.backlog.clear();
        vm.boot += 1;
    }

    fn vm_back(&mut self, vm: usize) {
        if self.vms[vm].up {
            return;
        }
        self.vms[vm].up = true;
        let boot = self.vms[vm].boot;
        self.net.after(10, Event::Heartbeat { vm, boot });
    }

    fn continue_vm(&mut self, vm: usize) {
        self.vms[vm].stopped = false;
        for (boot, input) in std::mem::take(&mut self.vms[vm].backlog) {
            self.vm_event(vm, boot, input);
        }
    }

    fn some_operation(&mut self) {
        let uid = if self.net.random.chance(500) { "a" } else { "b" }.to_owned();
        let operation = match self.net.random.below(10) {
            0..=5 => IndexOperation::Settings {
                uid,
                change: json!(format!("s{}", self.net.random.below(1000))),
                details: json!({}),
                may_create: true,
            },
            6 => IndexOperation::Create { uid, primary_key: None },
            7 => IndexOperation::Delete { uid },
            8 => IndexOperation::exchange("a", "b"),
            _ => IndexOperation::Settings { uid, change: json!("same"), details: json!({}), may_create: false },
        };
        self.index_operation(operation);
    }

    fn some_cancel(&mut self) {
        let open: Vec<u32> = self
            .control
            .tasks
            .values()
            .filter(|task| !task.status.is_over() && task.task_type != "taskCancelation")
            .map(|task| task.uid)
            .collect();
        if open.is_empty() {
            return;
        }
        let task = *self.net.random.pick(&open);
        self.control.next_request += 1;
        let request = miroir_sequencer::RequestId(self.control.next_request);
        let event =
            miroir_sequencer::Event::Cancel { request, tasks: vec![task], original_filter: format!("?uids={task}") };
        self.control_event(self.control.instance, event);
    }

    /// Ends all trouble, so that everything must come to rest.
    pub fn heal(&mut self) {
        self.note(|| "## heal".to_owned());
        self.faults_until = 0;
        self.deposing = false;
        self.end_former();
        self.sync_command(miroir_sequencer::SyncCommand::Limits(Default::default()));
        self.net.cuts.clear();
        (self.net.drop, self.net.slow) = (0, 0);
        self.swarm.task_fault = 0;
        self.swarm.hollow = 0;
        self.swarm.crash_mid = 0;
        for node in 0..self.nodes.len() {
            self.continue_node(node);
            if self.stash[node].is_some() {
                self.kill_node(node);
            }
            self.node_back(node, Comeback::Former);
        }
        for vm in 0..self.vms.len() {
            if self.vms[vm].stopped {
                self.continue_vm(vm);
            }
            self.vm_back(vm);
        }
        if self.control.stopped {
            self.continue_control();
        }
        if !self.control.alive {
            self.start_control();
        }
        self.resume_jobs();
    }
}
