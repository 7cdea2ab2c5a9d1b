//! Readers: clients that read what is there, through the filter's real read machine, and judge what they are shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use miroir_core::call::{Action, Call, CallResult, Machine, NotSent, Reply, header};
use miroir_core::health::NodeHealth;
use miroir_core::invariants;
use miroir_core::read::{Decision, ReadRequest, decide};
use miroir_core::route::{Route, route};
use miroir_core::shardmap::CompiledMap;
use miroir_core::tag;
use serde_json::{Value, json};

use crate::network::Party;
use crate::world::{Event, World, timed_out};

/// A shard, and the node that was asked for it.
type Asked = (u32, String);

impl World {
    /// Reads one document through some filter, as a client does that has waited for its tasks (invariants 7, 9).
    pub fn read(&mut self) {
        if self.net.now < self.faults_until {
            let pause = self.net.random.between(50, 400);
            self.net.after(pause, Event::Read);
        }
        let vm = self.net.random.below(self.vms.len() as u64) as usize;
        if !self.vms[vm].up || self.vms[vm].stopped {
            return;
        }
        let Some(map) = self.vms[vm].map.clone() else { return };
        // A VM that has just started reads when control has told it that its map is the newest.
        if !self.vms[vm].confirmed && !self.swarm.reads_at_once {
            return;
        }
        // A VM that control has not heard for a while is promised nothing (F7).
        let cut_off = self.vms[vm].heard.is_some_and(|at| at + 10_000 <= self.net.now);
        if cut_off || map.map.epoch < self.disk_epoch {
            return;
        }
        let index = if self.net.random.chance(800) { "a" } else { "b" };
        let key = format!("k{}", self.net.random.below(6));
        let shard = miroir_core::hash::shard_of(key.as_bytes(), self.shards);
        let copies = self.readable(&map, index, shard);
        if copies.is_empty() || map.map.indexes.get(index).is_some_and(|entry| entry.swapping) {
            return;
        }
        let node = *self.net.random.pick(&copies);
        if !self.shows(vm, node) {
            return;
        }
        self.stats.reads += 1;
        self.read_all(vm, &map, index);
        let Some(found) = self.nodes[node].disk.indexes.get(index) else { return };
        let state = found.documents.get(&key).map(|(_, document)| document.clone());
        let who = format!("a read of node {node} through vm {vm} at epoch {}", map.map.epoch);
        self.explain(index, &key, state.as_ref(), &who, invariants::read_shows_successes);
    }

    /// Whether a node answers reads of a VM, with a disk that control has noticed (F9).
    fn shows(&self, vm: usize, node: usize) -> bool {
        let engine = &self.nodes[node];
        let reached = !self.net.is_cut(Party::Vm(vm), Party::Node(node));
        engine.up && !engine.stopped && reached && self.changed[node].is_none()
    }

    /// A list of all documents by this map: each one once, counted right, from copies that were in sync when the map was
    /// made, and of one index (invariant 7). Nodes answer within no time, so that the answer is of one moment.
    fn read_all(&mut self, vm: usize, map: &Arc<CompiledMap>, index: &str) {
        let Some((reply, asked)) = self.drive_list(vm, map, index) else { return };
        let counted = header(&reply.headers, "x-miroir-shards").and_then(|text| text.split_once('/'));
        let (200, Some((answered, shards))) = (reply.status, counted) else { return };
        let (answered, shards) = (answered.parse().unwrap_or(0), shards.parse().unwrap_or(0));
        let body: Value = serde_json::from_slice(&reply.body).expect("an answer");
        let documents: Vec<&Value> = body["results"].as_array().into_iter().flatten().collect();
        let ids: Vec<&str> = documents.iter().filter_map(|document| document["id"].as_str()).collect();
        let mut broken = Vec::from_iter(invariants::documents_once(shards, answered, &ids));
        let total = body["total"].as_u64().unwrap_or(u64::MAX);
        broken.extend(invariants::total_fits(shards, answered, ids.len(), total));
        if let Some(readable) = self.notes.readable.get(&map.map.epoch) {
            let in_sync =
                |shard: u32, node: &str| readable.iter().any(|copy| (copy.0, copy.1.as_str()) == (shard, node));
            let used = asked.iter().map(|(shard, node)| (*shard, node.as_str()));
            broken.extend(invariants::only_readable_copies(used, in_sync));
        }
        let newest = self.control.sequencer.as_ref().is_some_and(|sequencer| sequencer.epoch() <= map.map.epoch);
        if newest && self.control.alive {
            let fields = documents.iter().filter_map(|document| document.as_object()).flatten();
            let values: BTreeSet<&str> =
                fields.filter(|(name, _)| *name != "id").filter_map(|(_, value)| value.as_str()).collect();
            broken.extend(invariants::of_one_index(index, &self.lines_of(&values)));
        }
        self.judge(broken);
    }

    /// Lets the read machine list an index. Who was asked for which shard, with the answer.
    fn drive_list(&self, vm: usize, map: &Arc<CompiledMap>, index: &str) -> Option<(Reply, Vec<Asked>)> {
        let path = format!("/indexes/{index}/documents/fetch");
        let Route::Found(matched) = route("POST", &path) else { return None };
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let request = ReadRequest { path, headers, body: br#"{"limit":1000}"#.to_vec(), ..ReadRequest::default() };
        let Decision::Machine(mut machine) = decide(map, &NodeHealth::shared(), &matched, request) else { return None };
        let (mut asked, now) = (Vec::new(), self.net.now);
        let mut actions = machine.start(now);
        while let Some(action) = actions.pop() {
            match action {
                Action::Call(call) => {
                    let result = self.list(vm, map, &call, &mut asked);
                    actions.extend(machine.on_result(call.id, result, now));
                }
                Action::Reply(reply) => return Some((reply, asked)),
                Action::Notify(_) | Action::WakeAt(_) | Action::Done => {}
            }
        }
        None
    }

    /// A node's answer to `POST /indexes/{uid}/documents/fetch`.
    fn list(&self, vm: usize, map: &CompiledMap, call: &Call, asked: &mut Vec<Asked>) -> CallResult {
        let known = map.map.nodes.iter().find(|node| node.cluster == call.cluster);
        let node = known.and_then(|known| self.nodes.iter().position(|engine| engine.id == known.id));
        let Some(node) = node else { return CallResult::NotSent(NotSent::ConnectFailed) };
        if !self.shows(vm, node) {
            return if self.nodes[node].up { timed_out() } else { CallResult::NotSent(NotSent::ConnectFailed) };
        }
        let answer =
            |status, body: Value| CallResult::Answer { status, headers: Vec::new(), body: body.to_string().into() };
        let engine = &self.nodes[node];
        let index = call.path.split('/').nth(2).unwrap_or_default();
        let Some(found) = engine.disk.indexes.get(index) else {
            let error = miroir_core::error::ErrorBody::new("index_not_found", "no such index");
            return answer(404, serde_json::to_value(error).expect("an error"));
        };
        let request: Value = serde_json::from_slice(&call.body).expect("a request");
        let shards = engine.shards_in(&request["filter"].to_string());
        asked.extend(shards.iter().map(|shard| (*shard, engine.id.clone())));
        let held = found.documents.values().filter(|(shard, _)| shards.contains(shard));
        let results: Vec<Value> = held
            .map(|(shard, document)| {
                let mut shown = json!(document);
                shown[tag::TAG_FIELD] = json!(tag::encode(*shard, self.shards));
                shown
            })
            .collect();
        let total = if self.swarm.whole_totals { found.documents.len() } else { results.len() };
        answer(200, json!({ "total": total, "results": results, "offset": 0, "limit": 1000 }))
    }
}
