//! The machine around a model node: what reaches it, when, and how its answers leave.

use miroir_core::call::{CallResult, NotSent};
use miroir_sequencer::*;

use crate::engine::Work;
use crate::network::Party;
use crate::world::{Caller, Enqueued, Event, NodeRequest, World, party};

impl World {
    /// A request reaches a node, or what is left of it.
    pub fn node_hears(&mut self, node: usize, caller: Caller, request: NodeRequest) {
        if !self.nodes[node].up {
            return self.answer_write_or_action(node, caller, &request, None);
        }
        let now = self.net.now;
        let fencing = self.fencing;
        match request {
            NodeRequest::Write { method, path, body, key } => {
                if !self.nodes[node].authorised(fencing, key.as_deref()) {
                    return self.answer_write(
                        node,
                        caller,
                        403,
                        br#"{"message":"no","code":"invalid_api_key","type":"auth","link":""}"#.to_vec(),
                    );
                }
                self.check_taken(node, key.as_deref(), None);
                let Some((work, task_type, index, metadata)) = self.nodes[node].parse_write(&method, &path, &body)
                else {
                    return self.breaks(format!("unreadable write {method} {path}"));
                };
                let generation = key.as_deref().and_then(|key| key.strip_prefix("key-")?.parse().ok()).unwrap_or(0);
                let gap = self.net.random.below(66);
                let boot = self.boots[node];
                self.net
                    .after(gap, Event::Enqueue { node, boot, caller, work, task_type, index, metadata, generation });
            }
            NodeRequest::Action(action) => {
                if let (Some(key), Caller::Control { instance, .. }) = (key_of(&action), &caller)
                    && self.nodes[node].authorised(fencing, key)
                {
                    self.check_taken(node, key, Some(*instance));
                }
                let engine = &mut self.nodes[node];
                let answer = match &action {
                    NodeAction::Inspect => {
                        let indexes =
                            engine.disk.indexes.iter().map(|(uid, index)| (uid.clone(), index.created.clone()));
                        let (indexes, keys) = (indexes.collect(), Vec::new());
                        NodeAnswer::State { version: "1.50.0".into(), indexes, keys }
                    }
                    NodeAction::ReadTasks { from, limit, open } => {
                        let tasks = &engine.disk.tasks;
                        let listed = tasks.iter().filter(|task| !task.gone);
                        let mut newer = listed.skip_while(|task| task.view.uid < *from).map(|task| task.view.clone());
                        let page: Vec<NodeTask> = newer.by_ref().take(*limit as usize).collect();
                        let more = newer.next().is_some();
                        let known = open.iter().filter_map(|uid| tasks.get(*uid as usize)).filter(|task| !task.gone);
                        let open = known.map(|task| task.view.clone()).collect();
                        NodeAnswer::Tasks { open, tasks: page, more, bytes: 0 }
                    }
                    NodeAction::Fence { generation, term } => match engine.fence(*generation, *term) {
                        Ok(()) => {
                            let key = engine.key(*generation);
                            self.note_fence(node, *generation, *term);
                            NodeAnswer::Fenced { data: key.clone(), admin: key.clone(), edit: key }
                        }
                        Err((generation, term)) => NodeAnswer::Outdated { generation, term },
                    },
                    NodeAction::Request { key, step } => {
                        if engine.authorised(fencing, key.as_deref()) {
                            let work = engine.parse_step(step);
                            let index = step.task_index.clone();
                            let uid = engine.enqueue(work.clone(), index.clone(), &step.task_type, None, now);
                            let answer = engine.accepted(uid);
                            self.logged(node, None, index.unwrap_or_default(), work, false);
                            answer
                        } else {
                            NodeAnswer::Refused { status: 403, error: None }
                        }
                    }
                    NodeAction::DeleteTasks { key, from, below } => {
                        if engine.authorised(fencing, key.as_deref()) {
                            let uid = engine.delete_tasks(*from, *below, now);
                            engine.accepted(uid)
                        } else {
                            NodeAnswer::Refused { status: 403, error: None }
                        }
                    }
                    NodeAction::ListKeys { .. }
                    | NodeAction::Digests { .. }
                    | NodeAction::ListOutsiders { .. }
                    | NodeAction::FetchPage { .. }
                    | NodeAction::CountShard { .. } => self.read_copy(node, &action),
                    // Here documents have nothing but a shard.
                    NodeAction::TagPage { .. } => NodeAnswer::Tagged { documents: 0, left: 0 },
                    NodeAction::PutPage { .. }
                    | NodeAction::DeleteKeys { .. }
                    | NodeAction::DeleteShard { .. }
                    | NodeAction::DivideBatch { .. } => {
                        return self.write_copy(node, caller, action);
                    }
                    NodeAction::Cancel { key, uids } => {
                        if engine.authorised(fencing, key.as_deref()) {
                            let uid = engine.cancel(uids, now);
                            engine.accepted(uid)
                        } else {
                            NodeAnswer::Refused { status: 403, error: None }
                        }
                    }
                };
                self.schedule_work(node);
                self.answer_action(node, caller, Ok(answer));
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub fn enqueue(
        &mut self,
        node: usize,
        caller: Caller,
        work: Work,
        task_type: &'static str,
        index: String,
        metadata: Option<String>,
        generation: u64,
    ) {
        let now = self.net.now;
        let ticket = metadata.as_deref().and_then(|text| text.rsplit('.').next()?.parse().ok());
        let (faulty, hollow) =
            (self.net.random.chance(self.swarm.task_fault), self.net.random.chance(self.swarm.hollow));
        let engine = &mut self.nodes[node];
        let uid = engine.enqueue(work.clone(), Some(index.clone()), task_type, metadata, now);
        if let Some(task) = engine.disk.tasks.last_mut() {
            task.fault = faulty.then_some("invalid_vector_dimensions");
            // Payload files belong to additions; the ids of deletions lie in the synced task store.
            task.hollow = hollow && matches!(task.work, Work::Add { .. });
        }
        self.note(|| format!("node {node} enqueues {uid}: ticket {ticket:?} {index} {work:?}"));
        let _ = generation;
        let page = matches!(caller, Caller::Control { .. });
        if page {
            self.check_written_down(node, &index, &work);
        }
        self.logged(node, ticket, index, work, page);
        self.schedule_work(node);
        if page {
            let answer = self.nodes[node].accepted(uid);
            return self.answer_action(node, caller, Ok(answer));
        }
        let body = format!(r#"{{"taskUid":{uid},"status":"enqueued"}}"#).into_bytes();
        self.answer_write(node, caller, 202, body);
    }

    fn logged(&mut self, node: usize, ticket: Option<u32>, index: String, work: Work, page: bool) {
        let history = self.nodes[node].disk.history;
        let at = self.net.now;
        self.log.push(Enqueued { node, history, at, ticket, index, work, page });
    }

    pub fn schedule_work(&mut self, node: usize) {
        let slow = self.net.random.chance(150);
        let delay = if slow { self.net.random.between(200, 3_000) } else { self.net.random.between(5, 100) };
        let boot = self.boots[node];
        self.net.after(delay, Event::Work { node, boot });
    }

    fn answer_write_or_action(&mut self, node: usize, caller: Caller, request: &NodeRequest, _none: Option<()>) {
        match request {
            NodeRequest::Write { .. } => {
                let to = party(&caller);
                let result = CallResult::NotSent(NotSent::ConnectFailed);
                self.net.send(Party::Node(node), to, Event::WriteAnswer { caller, result });
            }
            NodeRequest::Action(_) => self.answer_action(node, caller, Err(NodeFault::NotSent)),
        }
    }

    fn answer_write(&mut self, node: usize, caller: Caller, status: u16, body: Vec<u8>) {
        let to = party(&caller);
        let result = CallResult::Answer { status, headers: Vec::new(), body };
        self.net.send(Party::Node(node), to, Event::WriteAnswer { caller, result });
    }

    pub fn answer_action(&mut self, node: usize, caller: Caller, result: Result<NodeAnswer, NodeFault>) {
        self.net.send(Party::Node(node), Party::Control, Event::NodeAnswer { caller, result });
    }
}

/// The key that a change of a node carries; none for what only looks, and for fences.
fn key_of(action: &NodeAction) -> Option<Option<&str>> {
    match action {
        NodeAction::Request { key, .. }
        | NodeAction::DeleteTasks { key, .. }
        | NodeAction::Cancel { key, .. }
        | NodeAction::PutPage { key, .. }
        | NodeAction::DeleteKeys { key, .. }
        | NodeAction::DeleteShard { key, .. }
        | NodeAction::DivideBatch { key, .. } => Some(key.as_deref()),
        _ => None,
    }
}
