//! Scripted runs of the machine: the test plays control, the nodes and the clock.

mod flow;
mod random;
mod trouble;

use super::*;
use crate::call::{Action, Call, CallResult, Machine, NotSent, Reply, Unknown};
use crate::tag;
use crate::wire::*;

/// One machine with the world around it.
struct Run {
    machine: WriteMachine,
    now: u64,
    open: Vec<Call>,
    notices: Vec<Call>,
    reply: Option<Reply>,
    done: bool,
    wakes: Vec<u64>,
}

fn setup(kind: WriteKind, query: Option<&str>, body: &str) -> WriteSetup {
    WriteSetup {
        head: WriteHead::read(kind, "m", Some("7"), query, Some("application/json")).unwrap(),
        body: body.into(),
        path: "/indexes/m/documents".into(),
        content_type: Some("application/json".into()),
        authorization: Some("Bearer client".into()),
        idempotency_key: None,
        attempt: "a".repeat(32),
        vm: "v".repeat(32),
        epoch: 9,
        shard_count: 4,
        index: Some((1, Some("id".into()))),
        geo: false,
        node_body_bytes: 100_000_000,
        control_cluster: "internal".into(),
        trace: vec![("x-request-id".into(), "r".into())],
    }
}

const DOCUMENTS: &str = r#"[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5}]"#;

impl Run {
    fn new(setup: WriteSetup) -> Self {
        let machine = WriteMachine::new(setup);
        let mut run =
            Self { machine, now: 1_000, open: vec![], notices: vec![], reply: None, done: false, wakes: vec![] };
        let actions = run.machine.start(run.now);
        run.take(actions);
        run
    }

    fn replace() -> Self {
        Self::new(setup(WriteKind::Replace, None, DOCUMENTS))
    }

    /// A write whose three parts are on their way.
    fn dispatched() -> Self {
        let mut run = Self::replace();
        run.answer(BEGIN_PATH, &BeginAnswer::Grant(run.grant()));
        run
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            assert!(!self.done, "after the end: {action:?}");
            match action {
                Action::Call(call) => self.open.push(call),
                Action::Notify(call) => self.notices.push(call),
                Action::Reply(reply) => assert!(self.reply.replace(reply).is_none(), "a second reply"),
                Action::WakeAt(at) => self.wakes.push(at),
                Action::Done => self.done = true,
            }
        }
    }

    /// Ends the open call whose cluster or path begins so.
    fn end(&mut self, which: &str, result: CallResult) {
        let at = self.open.iter().position(|call| call.path == which || call.cluster == which);
        let call = self.open.remove(at.unwrap_or_else(|| panic!("no call {which} in {:?}", self.open)));
        let actions = self.machine.on_result(call.id, result, self.now);
        self.take(actions);
    }

    fn answer(&mut self, which: &str, answer: &impl serde::Serialize) {
        self.end(which, ok(200, &serde_json::to_string(answer).unwrap()));
    }

    fn accept(&mut self, node: &str, uid: u32) {
        self.end(node, ok(202, &format!(r#"{{"taskUid":{uid}}}"#)));
    }

    fn sleep(&mut self, ms: u64) {
        self.now += ms;
        let actions = self.machine.on_wake(self.now);
        self.take(actions);
    }

    fn leave(&mut self) {
        let actions = self.machine.on_client_gone(self.now);
        self.take(actions);
    }

    fn call(&self, which: &str) -> &Call {
        self.open.iter().find(|call| call.path == which || call.cluster == which).unwrap()
    }

    fn message<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        serde_json::from_slice(&self.call(path).body).unwrap()
    }

    /// What the commit that is on its way reports, by node.
    fn report(&self) -> Vec<(String, PartOutcome)> {
        let commit: Commit = self.message(COMMIT_PATH);
        assert_eq!(commit.ticket, 70);
        commit.parts.into_iter().map(|part| (part.node, part.outcome)).collect()
    }

    /// All shards on n0 and n1, both in sync, and on n2 which is being filled.
    fn grant(&self) -> Grant {
        let part = |node: &str, counts| GrantPart {
            node: node.into(),
            cluster: format!("{node}-w"),
            key: Some(format!("key-{node}")),
            shards: (0..4).map(|shard| PartShard { shard, counts }).collect(),
        };
        Grant {
            ticket: 70,
            metadata: "c0ffee00.1.70".into(),
            primary_key: Some("id".into()),
            deadline_ms: 20_000,
            soft_ms: 2_000,
            min_accept: 1,
            parts: vec![part("n0", true), part("n1", true), part("n2", false)],
        }
    }

    /// Part of [`Run::grant`] for one node, with another key.
    fn again(&self, node: &str) -> Grant {
        let mut grant = self.grant();
        grant.parts.retain(|part| part.node == node);
        for part in &mut grant.parts {
            part.key = Some("fresh".into());
        }
        grant
    }

    fn status(&self) -> u16 {
        assert!(self.done);
        self.reply.as_ref().unwrap().status
    }
}

fn ok(status: u16, body: &str) -> CallResult {
    CallResult::Answer { status, headers: vec![], body: body.into() }
}

fn reply(status: u16) -> ControlReply {
    ControlReply { status, headers: vec![], body: Some(serde_json::json!({"taskUid": 70})) }
}

fn committed() -> CommitAnswer {
    CommitAnswer::Reply(reply(202))
}
