//! Clients: what they write, through which filter, and what they do with the answer.

use std::collections::BTreeMap;

use miroir_core::call::Machine;
use miroir_core::wire::WriteKind;
use miroir_core::write::{WriteHead, WriteMachine, WriteSetup};

use crate::vm::{Running, Write};
use crate::world::{Event, World};

/// A write as its client sends it.
#[derive(Clone, Debug)]
struct Request {
    kind: WriteKind,
    index: &'static str,
    id: Option<String>,
    query: String,
    body: String,
}

impl World {
    /// The client goes on to its next write.
    pub fn client_free(&mut self, write: u64) {
        let Some(client) = self.writes.get(&write).map(|write| write.client) else { return };
        if self.clients[client].waits_for == Some(write) {
            self.clients[client].waits_for = None;
            // A refused client comes back, and later: what is refused tests little.
            let refused = self.writes.get(&write).is_some_and(|write| write.status == Some(503));
            self.clients[client].left += u32::from(refused);
            let delay =
                if refused { self.net.random.between(200, 2_500) } else { self.net.random.between(1, self.swarm.rest) };
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
        let request = self.some_request(write);
        let idempotency = self.net.random.chance(250).then(|| format!("idem-{write}"));
        self.note(|| format!("client {client} write {write} by vm {vm}: {request:?}"));
        self.writes.insert(write, Write { client, idempotency, ..Write::default() });
        self.clients[client].waits_for = Some(write);
        self.send_request(vm, write, &request);
        // A second try of the very same request, through another VM, while the first is under way.
        let other = (vm + 1) % self.vms.len();
        let again = self.writes[&write].idempotency.is_some() && self.net.random.chance(500);
        if again && self.vms[other].up && !self.vms[other].stopped && self.vms[other].map.is_some() {
            self.send_request(other, write, &request);
        }
    }

    fn some_request(&mut self, write: u64) -> Request {
        let index = if self.net.random.chance(850) { "a" } else { "b" };
        if self.swarm.rivals && self.net.random.chance(400) {
            return self.rival(write);
        }
        let (mut id, mut query) = (None, Vec::new());
        let (kind, body) = match self.net.random.below(20) {
            drawn if drawn < 15 - self.swarm.updates => (WriteKind::Replace, self.documents(write, "v", "id")),
            0..=14 => (WriteKind::Update, self.documents(write, "u", "id")),
            15 => {
                id = Some(self.some_key());
                (WriteKind::DeleteOne, String::new())
            }
            16 => (WriteKind::Edit, self.edit(write)),
            17 => {
                let ids = [self.some_key(), self.some_key()];
                (WriteKind::DeleteBatch, serde_json::to_string(&ids).expect("ids"))
            }
            18 => {
                let field = *self.net.random.pick(&["v", "u", "e"]);
                (WriteKind::DeleteByFilter, format!(r#"{{"filter":"{field} EXISTS"}}"#))
            }
            _ => (WriteKind::DeleteAll, String::new()),
        };
        if matches!(kind, WriteKind::Replace | WriteKind::Update) {
            query.extend(self.net.random.chance(300).then_some("primaryKey=id"));
            query.extend(self.net.random.chance(self.swarm.skips).then_some("skipCreation=true"));
        }
        Request { kind, index, id, query: query.join("&"), body }
    }

    /// Documents of an index that knows no key yet: they come with one of two.
    fn rival(&mut self, write: u64) -> Request {
        let key = *self.net.random.pick(&["id", "kid"]);
        let body = self.documents(write, "v", key);
        Request { kind: WriteKind::Replace, index: "c", id: None, query: String::new(), body }
    }

    fn some_key(&mut self) -> String {
        format!("k{}", self.net.random.below(6))
    }

    /// Hands a client's write to a filter.
    fn send_request(&mut self, vm: usize, write: u64, request: &Request) {
        let Some(map) = self.vms[vm].map.clone() else { return };
        let Request { kind, index, id, query, body } = request;
        let query = Some(query.as_str()).filter(|query| !query.is_empty());
        let content_type = (!body.is_empty()).then_some("application/json");
        let setup = WriteSetup {
            head: WriteHead::read(*kind, index, id.as_deref(), query, content_type).expect("a fair request"),
            body: body.clone().into_bytes(),
            node_body_bytes: u64::MAX,
            path: format!("/indexes/{index}/documents"),
            content_type: content_type.map(str::to_owned),
            authorization: None,
            idempotency_key: self.writes[&write].idempotency.clone(),
            attempt: format!("{:032x}", (u128::from(self.net.random.next()) << 64) | u128::from(write)),
            vm: self.vms[vm].name(),
            epoch: map.map.epoch,
            shard_count: self.shards,
            index: map.map.indexes.get(*index).map(|entry| (entry.incarnation, entry.primary_key.clone())),
            geo: false,
            control_cluster: "internal".into(),
            trace: Vec::new(),
        };
        self.run_machine(vm, WriteMachine::new(setup), write);
    }

    fn run_machine(&mut self, vm: usize, machine: WriteMachine, write: u64) {
        let id = self.vms[vm].next_machine;
        self.vms[vm].next_machine += 1;
        self.vms[vm]
            .machines
            .insert(id, Running { machine, write, open: BTreeMap::new(), cut_short: Default::default() });
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
        let fatal = self.net.random.chance(self.swarm.fatal).then(|| self.net.random.below(6));
        let throw = fatal.map(|key| format!("if doc.id == \"k{key}\" {{ throw }} ")).unwrap_or_default();
        serde_json::json!({ "function": format!("{throw}doc.e += \"{write};\"") }).to_string()
    }

    fn documents(&mut self, write: u64, field: &str, key: &str) -> String {
        let count = self.net.random.between(1, 3);
        let documents: Vec<String> =
            (0..count).map(|_| format!(r#"{{"{key}":"{}","{field}":"{write}"}}"#, self.some_key())).collect();
        format!("[{}]", documents.join(","))
    }
}
