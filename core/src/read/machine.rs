//! The machine of one read: it drives the legs, and makes the one answer out of them.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;

use super::classify::{Refusal, Trouble, Verdict, classify};
use super::dispatch::{ContentType, Dispatch, SLACK_MS, Way, passed};
use super::leg::{Leg, Standing};
use super::plan::Planned;
use super::{Decision, ReadRequest, reply};
use crate::call::{Action, CallId, CallResult, Headers, Machine, Reply, header};
use crate::health::{Admission, SharedHealth};
use crate::route::Matched;
use crate::search::{self, Authority, NodeRequest, Subject};
use crate::shardmap::{CompiledMap, NodeIndex};

/// Header by which a request asks for what there is (`allow`) or for all or nothing (`refuse`).
const PARTIAL_HEADER: &str = "x-miroir-partial";

/// The clause of no shard.
const NOBODY: &str = r#""""#;

/// Makes the legs of a read. Deterministic, since a query may have to be asked anew.
pub(super) type Planner = fn(&CompiledMap, &Matched, &ReadRequest) -> Option<Planned>;

/// One read, from the request to the answer.
pub struct ReadMachine {
    map: Arc<CompiledMap>,
    health: SharedHealth,
    matched: Arc<Matched>,
    request: ReadRequest,
    planner: Planner,
    passed: Headers,
    reader_key: Option<Rc<str>>,
    partial: bool,
    legs: Vec<Leg>,
    multi: Option<NodeRequest>,
    replay: Option<Replay>,
    admissions: HashMap<NodeIndex, Admission>,
    next_call: u32,
    started_ms: u64,
    deadline_ms: u64,
    /// The deadline has been put off once, because nobody woke the machine when it came.
    overslept: bool,
    done: bool,
}

/// The client's own request under way to one node, for what that says against it.
struct Replay {
    call: CallId,
    /// The answer where the node has nothing to say.
    fallback: Reply,
    /// Only a refused key counts: the node cannot answer the request, for want of shards.
    keys_only: bool,
}

impl fmt::Debug for ReadMachine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = format_args!("{} {}", self.matched.rule.method, self.matched.pattern);
        formatter.debug_struct("ReadMachine").field("route", &route).field("done", &self.done).finish_non_exhaustive()
    }
}

impl ReadMachine {
    /// Plans a read and makes its machine.
    pub(super) fn decide(
        planner: Planner,
        map: &Arc<CompiledMap>,
        health: &SharedHealth,
        matched: &Matched,
        request: ReadRequest,
    ) -> Decision {
        let Some(Planned { legs, multi }) = planner(map, matched, &request) else {
            return Decision::Reply(reply::unavailable("The index is not in the shard map of this worker."));
        };
        let partial = match header(&request.headers, PARTIAL_HEADER) {
            Some("allow") => true,
            Some("refuse") => false,
            _ => map.map.policies.partial_results,
        };
        Decision::Machine(Box::new(Self {
            map: Arc::clone(map),
            health: SharedHealth::clone(health),
            matched: Arc::new(matched.clone()),
            passed: passed(&request.headers),
            reader_key: request.reader_key.clone(),
            request,
            planner,
            partial,
            legs,
            multi,
            replay: None,
            admissions: HashMap::new(),
            next_call: 0,
            started_ms: 0,
            deadline_ms: u64::MAX,
            overslept: false,
            done: false,
        }))
    }

    /// Lets the legs send calls; adds these to `actions`, and a wake-up where the deadline has been put off.
    fn dispatching<T>(
        &mut self,
        now_ms: u64,
        actions: &mut Vec<Action>,
        work: impl FnOnce(&mut [Leg], &mut Dispatch<'_>) -> T,
    ) -> T {
        let mut dispatch = Dispatch {
            map: &self.map,
            health: &self.health,
            passed: &self.passed,
            reader_key: self.reader_key.as_deref(),
            now_ms,
            deadline_ms: self.deadline_ms,
            admissions: &mut self.admissions,
            next_call: &mut self.next_call,
            actions: std::mem::take(actions),
        };
        let result = work(&mut self.legs, &mut dispatch);
        *actions = dispatch.actions;
        if dispatch.deadline_ms != self.deadline_ms {
            self.deadline_ms = dispatch.deadline_ms;
            actions.push(Action::WakeAt(self.deadline_ms));
        }
        result
    }

    /// Runs one step over the legs, then sees what they make together.
    fn step(&mut self, now_ms: u64, event: impl FnOnce(&mut [Leg], &mut Dispatch<'_>)) -> Vec<Action> {
        let mut actions = Vec::new();
        self.dispatching(now_ms, &mut actions, event);
        if self.replay.is_some() {
            return actions;
        }
        let (map, planner, partial) = (Arc::clone(&self.map), self.planner, self.partial);
        let (matched, request) = (Arc::clone(&self.matched), std::mem::take(&mut self.request));
        let replan = |position: usize| {
            let planned = planner(&map, &matched, &request)?;
            planned.legs.into_iter().nth(position).map(|leg| leg.gather)
        };
        let conclusion =
            self.dispatching(now_ms, &mut actions, |legs, dispatch| conclude(legs, dispatch, partial, &replan));
        self.request = request;
        actions.extend(self.conclude(now_ms, conclusion));
        actions
    }

    fn conclude(&mut self, now_ms: u64, conclusion: Option<Conclusion>) -> Vec<Action> {
        let own = |machine: &Self, position: usize| {
            machine.multi.clone().or_else(|| machine.legs.get(position).and_then(|leg| leg.gather.replay()))
        };
        match conclusion {
            None => Vec::new(),
            Some(Conclusion::Page) => {
                let page = self.page(now_ms);
                self.end(page)
            }
            Some(Conclusion::Failed(reply)) => self.end(reply),
            Some(Conclusion::Unheard(position, nodes, fallback)) => {
                // A request for nobody's shards is the client's own where it is for one node.
                let asked = |leg: &Leg| leg.gather.request(NOBODY, 0);
                let request = own(self, position).or_else(|| self.legs.get(position).map(asked));
                self.ask_for_refusal(now_ms, &nodes, request, fallback, true)
            }
            Some(Conclusion::Denied(position, node, refusal)) => {
                let fallback = self.relayed(&refusal, self.multi.is_some().then_some(position));
                self.ask_for_refusal(now_ms, &[node], self.multi.clone(), fallback, false)
            }
            Some(Conclusion::Refused(position, node, refusal)) => {
                let fallback = self.relayed(&refusal, self.multi.is_some().then_some(position));
                let request = own(self, position);
                let node = self.legs.get(position).map_or(node, |leg| leg.judge(node));
                self.ask_for_refusal(now_ms, &[node], request, fallback, false)
            }
        }
    }

    /// A refusal as the client may see it. `position` is that of its query, where the message does not have that yet.
    fn relayed(&self, refusal: &Refusal, position: Option<usize>) -> Reply {
        let of_query = |position: usize| self.legs.get(position).map(|leg| leg.gather.index());
        let uid = match search::subject(&refusal.error.message) {
            Subject::Index(uid) => Some(uid),
            Subject::Query(position) => of_query(position),
            Subject::Unsaid => of_query(position.unwrap_or_default()),
        };
        let index = uid.and_then(|uid| self.map.map.indexes.get(uid));
        reply::relayed(refusal, position, index.map(|index| &index.view))
    }

    /// Lets the first of the nodes judge the client's own request, so that the message is about that. `fallback` is the
    /// answer where there is nobody to ask, or no time.
    fn ask_for_refusal(
        &mut self,
        now_ms: u64,
        nodes: &[NodeIndex],
        request: Option<NodeRequest>,
        fallback: Reply,
        keys_only: bool,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let call = self.dispatching(now_ms, &mut actions, |_, dispatch| {
            let node = *nodes.first()?;
            let timeout_ms = dispatch.timeout_ms(node, || keys_only);
            let request = request.filter(|_| timeout_ms > 0)?;
            Some(dispatch.send(node, Way::Checked, request, Authority::Client, &ContentType::Json, timeout_ms))
        });
        let Some(call) = call else { return self.end(fallback) };
        self.legs.iter_mut().for_each(Leg::close);
        self.replay = Some(Replay { call, fallback, keys_only });
        actions
    }

    /// The client's answer once every leg is complete.
    fn page(&mut self, now_ms: u64) -> Reply {
        let took_ms = now_ms.saturating_sub(self.started_ms);
        // Of several queries the one that lacks most speaks for all.
        let worst = self.legs.iter().map(Leg::coverage).max_by_key(|(_, _, lost)| lost.len());
        let (answered, total, lost) =
            worst.map_or((0, 0, Vec::new()), |(answered, total, lost)| (answered, total, lost.to_vec()));
        let mut legs = std::mem::take(&mut self.legs);
        if self.multi.is_some() {
            let answers = legs.into_iter().map(|leg| (leg.gather.index().to_owned(), leg.gather.finish(took_ms)));
            return reply::page(search::join_multi_search(answers.collect()), answered, total, &lost);
        }
        match legs.pop() {
            Some(Leg { otherwise: Some(otherwise), .. }) => otherwise,
            Some(leg) => reply::page(leg.gather.finish(took_ms), answered, total, &lost),
            None => reply::unavailable("No shard was asked."),
        }
    }

    /// Trials that end here without a verdict are given to other requests.
    fn release_trials(&mut self) {
        let Ok(mut health) = self.health.try_borrow_mut() else { return };
        for node in self.legs.iter().flat_map(Leg::awaited_nodes) {
            if self.admissions.get(&node) == Some(&Admission::Trial)
                && let Some(node) = self.map.map.nodes.get(usize::from(node))
            {
                health.undecided(&node.id);
            }
        }
    }

    fn end(&mut self, reply: Reply) -> Vec<Action> {
        self.release_trials();
        self.done = true;
        vec![Action::Reply(reply), Action::Done]
    }
}

/// What the legs make together.
enum Conclusion {
    Page,
    Failed(Reply),
    /// Shards without an answer, and no node has said whether the client may ask at all. These might.
    Unheard(usize, Vec<NodeIndex>, Reply),
    Denied(usize, NodeIndex, Refusal),
    Refused(usize, NodeIndex, Refusal),
}

/// None while answers are awaited. `replan` makes the gather of a query afresh.
fn conclude(
    legs: &mut [Leg],
    dispatch: &mut Dispatch<'_>,
    partial: bool,
    replan: &dyn Fn(usize) -> Option<Box<dyn search::Gather>>,
) -> Option<Conclusion> {
    let mut complete = true;
    for (position, leg) in legs.iter_mut().enumerate() {
        loop {
            match leg.advance(dispatch, partial) {
                Standing::Complete => {}
                Standing::Open => complete = false,
                Standing::Refused(node, refusal) => return Some(Conclusion::Refused(position, node, refusal)),
                Standing::Denied(node, refusal) => return Some(Conclusion::Denied(position, node, refusal)),
                Standing::Failed(reply) if leg.was_heard() => return Some(Conclusion::Failed(reply)),
                Standing::Failed(reply) => {
                    return Some(Conclusion::Unheard(position, leg.judges(dispatch), reply));
                }
                Standing::Restart => match replan(position) {
                    Some(gather) => {
                        leg.restart(dispatch, gather);
                        continue;
                    }
                    None => {
                        leg.tear();
                        continue;
                    }
                },
            }
            break;
        }
    }
    complete.then_some(Conclusion::Page)
}

impl Machine for ReadMachine {
    fn start(&mut self, now_ms: u64) -> Vec<Action> {
        self.started_ms = now_ms;
        self.deadline_ms = now_ms.saturating_add(self.map.map.limits.request_timeout_ms);
        let mut actions = self.step(now_ms, |legs, dispatch| legs.iter_mut().for_each(|leg| leg.start(dispatch)));
        if !self.done {
            actions.push(Action::WakeAt(self.deadline_ms));
        }
        actions
    }

    fn on_result(&mut self, id: CallId, result: CallResult, now_ms: u64) -> Vec<Action> {
        if self.done {
            return Vec::new();
        }
        let verdict = classify(result);
        match self.replay.take_if(|replay| replay.call == id) {
            None => self.step(now_ms, |legs, dispatch| {
                if let Some(leg) = legs.iter_mut().find(|leg| leg.awaits(id)) {
                    leg.on_verdict(dispatch, id, verdict);
                }
            }),
            Some(replay) => {
                let reply = match verdict {
                    Verdict::Trouble(Trouble::Forbidden(refusal)) => self.relayed(&refusal, None),
                    Verdict::Refused(refusal) if !replay.keys_only => self.relayed(&refusal, None),
                    _ => replay.fallback,
                };
                self.end(reply)
            }
        }
    }

    fn on_wake(&mut self, now_ms: u64) -> Vec<Action> {
        if self.done {
            return Vec::new();
        }
        if now_ms < self.deadline_ms {
            return vec![Action::WakeAt(self.deadline_ms)];
        }
        if now_ms > self.deadline_ms.saturating_add(SLACK_MS) && !std::mem::replace(&mut self.overslept, true) {
            // This process has been stopped, or held up: answers may be there and have not been handed over yet.
            self.deadline_ms = now_ms.saturating_add(self.map.map.limits.read_timeout_ms);
            return vec![Action::WakeAt(self.deadline_ms)];
        }
        if let Some(replay) = self.replay.take() {
            return self.end(replay.fallback);
        }
        self.step(now_ms, |legs, _| legs.iter_mut().for_each(Leg::expire))
    }

    fn on_client_gone(&mut self, _now_ms: u64) -> Vec<Action> {
        if self.done {
            return Vec::new();
        }
        // Nodes' answers are of no use to anybody now.
        self.release_trials();
        self.done = true;
        vec![Action::Done]
    }
}
