//! One query's way over the shards: who was asked for what, what was answered, and who else can be asked.

mod denial;

use std::sync::Arc;

use super::classify::{Refusal, Trouble, Verdict};
use super::cover::Wanted;
use super::dispatch::{ContentType, Dispatch, Way};
use super::reply;
use crate::call::{CallId, Reply};
use crate::health::TRIAL_TIMEOUT_MS;
use crate::search::{Authority, Gather};
use crate::shardmap::{Cover, CoverPart, MapIndex, NodeIndex};

/// One query over its shards.
pub(super) struct Leg {
    pub(super) gather: Box<dyn Gather>,
    /// Answer in place of a 200: the leg was sent only to hear the engine's refusal.
    pub(super) otherwise: Option<Reply>,
    content_type: ContentType,
    placement: u16,
    unreadable: Vec<NodeIndex>,
    shards: Vec<u32>,
    /// Everything asked so far, by part number.
    parts: Vec<Arc<CoverPart>>,
    flying: Vec<Flight>,
    /// Shards whose node refused the key. They wait for the nodes that are still being asked: where those refuse it too,
    /// asking further copies would only multiply the load that a wrong key makes.
    parked: Vec<u32>,
    answered: usize,
    lost: Vec<u32>,
    troubles: Vec<(NodeIndex, Trouble)>,
    /// Nodes of which a timeout that came too late has been overlooked; the next counts.
    pardoned: Vec<NodeIndex>,
    /// A node has answered properly to the client's own key.
    any_good: bool,
    refused: Option<(NodeIndex, Refusal)>,
    phase: Phase,
}

/// What a leg may still do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Ask nodes.
    Asking,
    /// Ask everything anew.
    Anew,
    /// Nothing more: the time is over, or another query has decided the answer.
    Closed,
    /// Nothing more, and what was merged makes no page: a part that was to be asked again was not answered.
    Torn,
    /// Nothing more: everything is merged.
    Complete,
}

/// What a call takes out of the reserve of fail-over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cost {
    Free,
    Reserve,
}

/// A call under way.
struct Flight {
    call: CallId,
    part: usize,
    /// When its timeout is due.
    due_ms: u64,
    /// The part has been accepted once already ([`Gather::again`]).
    again: bool,
    /// In whose name it was asked.
    authority: Authority,
    way: Way,
}

/// Where a leg stands.
pub(super) enum Standing {
    /// Answers are awaited.
    Open,
    /// All there is has been merged.
    Complete,
    /// A node refused the rewritten request: hear what it says to the client's own.
    Refused(NodeIndex, Refusal),
    /// Nodes agree that the client may not, or that there is no such index.
    Denied(NodeIndex, Refusal),
    /// Shards without an answer.
    Failed(Reply),
    /// A part that was merged could not be asked again, and another copy's would not fit to it: everything has to be
    /// asked anew, with a fresh gather.
    Restart,
}

impl Leg {
    /// A query over `shards` of an index.
    pub(super) fn new(gather: Box<dyn Gather>, index: &MapIndex, shards: Vec<u32>) -> Self {
        Self::relay(gather, index.placement, index.unreadable.clone(), shards, ContentType::Json, None)
    }

    /// A request whose 200 is answered by `otherwise`, where given.
    pub(super) fn relay(
        gather: Box<dyn Gather>,
        placement: u16,
        unreadable: Vec<NodeIndex>,
        shards: Vec<u32>,
        content_type: ContentType,
        otherwise: Option<Reply>,
    ) -> Self {
        Self {
            gather,
            otherwise,
            content_type,
            placement,
            unreadable,
            shards,
            parts: Vec::new(),
            flying: Vec::new(),
            parked: Vec::new(),
            answered: 0,
            lost: Vec::new(),
            troubles: Vec::new(),
            pardoned: Vec::new(),
            any_good: false,
            refused: None,
            phase: Phase::Asking,
        }
    }

    /// Shards answered, shards in all, and those that nobody could read.
    pub(super) fn coverage(&self) -> (usize, usize, &[u32]) {
        (self.answered, self.shards.len(), &self.lost)
    }

    /// The node that judges the client's own request after `refuser` has refused a rewritten one.
    pub(super) fn judge(&self, refuser: NodeIndex) -> NodeIndex {
        let part = self.gather.judge().and_then(|part| self.parts.get(part));
        part.map_or(refuser, |part| part.node)
    }

    /// Nodes that a call is under way to.
    pub(super) fn awaited_nodes(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.flying.iter().filter_map(|flight| self.parts.get(flight.part)).map(|part| part.node)
    }

    /// True when the call is one of this leg's.
    pub(super) fn awaits(&self, call: CallId) -> bool {
        self.flying.iter().any(|flight| flight.call == call)
    }

    /// Asks for all shards.
    pub(super) fn start(&mut self, dispatch: &mut Dispatch<'_>) {
        let cover = self.wanted(&self.shards).first(dispatch, self.gather.query_hash());
        dispatch.count_first_calls(cover.parts.len());
        self.launch(dispatch, cover, Cost::Free);
    }

    /// Asks for everything anew, on nodes that have not failed.
    pub(super) fn restart(&mut self, dispatch: &mut Dispatch<'_>, gather: Box<dyn Gather>) {
        self.gather = gather;
        self.parts.clear();
        self.flying.clear();
        self.parked.clear();
        self.lost.clear();
        self.answered = 0;
        self.phase = Phase::Asking;
        self.start(dispatch);
    }

    /// Asks nobody any more.
    pub(super) fn close(&mut self) {
        if self.phase == Phase::Asking {
            self.phase = Phase::Closed;
        }
    }

    /// Gives up what was merged: nothing whole can come of it.
    pub(super) fn tear(&mut self) {
        self.phase = Phase::Torn;
    }

    /// The request's time is over: what is under way is lost. Health is not told, since a call may have been sent just
    /// now.
    pub(super) fn expire(&mut self) {
        self.close();
        for flight in std::mem::take(&mut self.flying) {
            let Some(part) = self.parts.get(flight.part).cloned() else { continue };
            self.troubles.push((part.node, Trouble::Timeout));
            self.give_up(&part.shards, flight.again);
        }
    }

    /// Takes the result of one of its calls.
    pub(super) fn on_verdict(&mut self, dispatch: &mut Dispatch<'_>, call: CallId, verdict: Verdict) {
        let Some(at) = self.flying.iter().position(|flight| flight.call == call) else { return };
        let flight = self.flying.swap_remove(at);
        let Some(part) = self.parts.get(flight.part).cloned() else { return };
        if verdict == Verdict::Trouble(Trouble::Timeout)
            && dispatch.has_overslept(flight.due_ms)
            && !self.pardoned.contains(&part.node)
        {
            self.pardoned.push(part.node);
            dispatch.learn_nothing(part.node);
            dispatch.put_off_deadline();
            return self.ask_in_place(dispatch, &part.shards, &flight, Cost::Free);
        }
        let trouble = match verdict {
            Verdict::Refused(refusal) => {
                dispatch.learn_success(part.node);
                self.refused.get_or_insert((part.node, refusal));
                return;
            }
            Verdict::Body(body) => match self.take_in(flight.part, body) {
                Ok(()) => {
                    dispatch.learn_success(part.node);
                    self.any_good |= flight.authority == Authority::Client;
                    if !flight.again {
                        self.answered = self.answered.saturating_add(part.shards.len());
                    }
                    return;
                }
                Err(trouble) => trouble,
            },
            Verdict::Trouble(Trouble::HeldBack) if flight.way == Way::PastChecks => Trouble::NotSent,
            Verdict::Trouble(trouble) => trouble,
        };
        dispatch.learn_trouble(part.node, &trouble);
        let unanswered = matches!(trouble, Trouble::NotSent | Trouble::Timeout | Trouble::Broken);
        if unanswered && flight.way == Way::PastChecks {
            dispatch.learn_checks_were_right(part.node);
        }
        // A node that is slow under its load must not hand all of it to the others (F19).
        let cost = if trouble.may_be_load() { Cost::Reserve } else { Cost::Free };
        let forbidden = matches!(trouble, Trouble::Forbidden(_));
        self.troubles.push((part.node, trouble));
        if forbidden && self.phase == Phase::Asking && !flight.again {
            self.parked.extend_from_slice(&part.shards);
        } else {
            self.ask_in_place(dispatch, &part.shards, &flight, cost);
        }
    }

    fn take_in(&mut self, part: usize, body: Vec<u8>) -> Result<(), Trouble> {
        if let Some(error) = self.gather.belied(&body) {
            return Err(Trouble::Stranger(Refusal { status: error.status(), error, retry_after: None }));
        }
        self.gather.accept(part, body).map_err(|_| Trouble::Garbage)
    }

    /// Asks for the shards of a call that came to nothing.
    fn ask_in_place(&mut self, dispatch: &mut Dispatch<'_>, shards: &[u32], flight: &Flight, cost: Cost) {
        match self.phase {
            Phase::Asking | Phase::Anew if flight.again => self.phase = Phase::Anew,
            Phase::Asking => {
                let cover = self.wanted(shards).repair(dispatch);
                self.launch(dispatch, cover, cost);
            }
            _ => self.give_up(shards, flight.again),
        }
    }

    /// What is to be done now. `partial`: an answer without some shards is wanted rather than none.
    pub(super) fn advance(&mut self, dispatch: &mut Dispatch<'_>, partial: bool) -> Standing {
        if self.phase == Phase::Complete {
            return Standing::Complete;
        }
        if let Some((node, refusal)) = self.refused.clone() {
            return Standing::Refused(node, refusal);
        }
        if let Some((node, refusal)) = self.agreed_denial() {
            return Standing::Denied(node, refusal);
        }
        if self.phase == Phase::Anew {
            // The first round may be asked in another name than the client's: only the rest of this one can tell whose
            // fault a refused key is.
            let refused = self.troubles.iter().any(|(_, trouble)| matches!(trouble, Trouble::Forbidden(_)));
            return if refused && !self.flying.is_empty() { Standing::Open } else { Standing::Restart };
        }
        if self.flying.is_empty() && !self.parked.is_empty() {
            let parked = std::mem::take(&mut self.parked);
            self.ask_elsewhere(dispatch, parked);
        }
        // Where a node refused the key or had no index, the answers of the others tell whose fault that is; and none
        // but a node can tell whether the client may know that shards are lost.
        let wait = partial || !self.was_heard() || self.troubles.iter().any(|(_, trouble)| trouble.denial().is_some());
        if !self.flying.is_empty() && (self.lost.is_empty() || wait) {
            return Standing::Open;
        }
        let mergeable = self.lost.is_empty() || (partial && self.answered > 0);
        if !mergeable || self.phase == Phase::Torn {
            return match self.lone_denial() {
                Some((node, refusal)) => Standing::Denied(node, refusal),
                None => Standing::Failed(self.failure(dispatch)),
            };
        }
        self.ask_again(dispatch);
        match (self.phase, self.flying.is_empty()) {
            (Phase::Torn, _) => Standing::Failed(self.failure(dispatch)),
            (_, false) => Standing::Open,
            (_, true) => self.settle(dispatch),
        }
    }

    /// Puts the page together. An answer that fails at that is a node's failure like any other, but its hits cannot be
    /// told from the rest any more.
    fn settle(&mut self, dispatch: &Dispatch<'_>) -> Standing {
        let Err(part) = self.gather.settle() else {
            self.phase = Phase::Complete;
            return Standing::Complete;
        };
        let node = self.parts.get(part).map(|part| part.node);
        if let Some(node) = node {
            dispatch.learn_trouble(node, &Trouble::Garbage);
            self.troubles.push((node, Trouble::Garbage));
        }
        if node.is_some() && self.phase == Phase::Asking {
            return Standing::Restart;
        }
        self.phase = Phase::Torn;
        self.lost.clone_from(&self.shards);
        self.answered = 0;
        Standing::Failed(self.failure(dispatch))
    }

    fn ask_elsewhere(&mut self, dispatch: &mut Dispatch<'_>, mut shards: Vec<u32>) {
        if self.phase != Phase::Asking {
            return self.lose(&shards);
        }
        shards.sort_unstable();
        let cover = self.wanted(&shards).repair(dispatch);
        self.launch(dispatch, cover, Cost::Free);
    }

    /// Sends what the gather wants to ask once more, now that all parts are in.
    fn ask_again(&mut self, dispatch: &mut Dispatch<'_>) {
        for number in self.gather.again() {
            let Some(part) = self.parts.get(number).cloned() else { continue };
            let timeout_ms = dispatch.timeout_ms(part.node, || true);
            if timeout_ms == 0 || self.phase != Phase::Asking {
                self.phase = Phase::Torn;
                return;
            }
            self.ask(dispatch, &part, number, timeout_ms, true);
        }
    }

    /// Sends the parts of a cover; what it misses, or what cannot be sent, is lost.
    fn launch(&mut self, dispatch: &mut Dispatch<'_>, cover: Cover, cost: Cost) {
        self.lose(&cover.missing);
        for part in cover.parts {
            let timeout_ms =
                dispatch.timeout_ms(part.node, || self.wanted(&part.shards).has_alternative(dispatch, part.node));
            if timeout_ms == 0 || (cost == Cost::Reserve && !dispatch.spend()) {
                self.lose(&part.shards);
                continue;
            }
            let number = self.parts.len();
            self.ask(dispatch, &part, number, timeout_ms, false);
            self.parts.push(part);
        }
    }

    fn ask(&mut self, dispatch: &mut Dispatch<'_>, part: &CoverPart, number: usize, timeout_ms: u64, again: bool) {
        let way = self.way(part.node);
        let timeout_ms = if way == Way::PastChecks { timeout_ms.min(TRIAL_TIMEOUT_MS) } else { timeout_ms };
        let request = self.gather.request(&part.clause, number);
        let authority = self.gather.authority();
        let call = dispatch.send(part.node, way, request, authority, &self.content_type, timeout_ms);
        let due_ms = dispatch.now_ms.saturating_add(timeout_ms);
        self.flying.push(Flight { call, part: number, due_ms, again, authority, way });
    }

    /// How to reach a node: once the proxy has held it back, past its checks.
    fn way(&self, node: NodeIndex) -> Way {
        let held_back = |(failed, trouble): &(NodeIndex, Trouble)| *failed == node && *trouble == Trouble::HeldBack;
        if self.troubles.iter().any(held_back) { Way::PastChecks } else { Way::Checked }
    }

    fn wanted<'a>(&'a self, shards: &'a [u32]) -> Wanted<'a> {
        Wanted { shards, placement: self.placement, unreadable: &self.unreadable, troubles: &self.troubles }
    }

    fn give_up(&mut self, shards: &[u32], merged: bool) {
        if merged {
            self.answered = self.answered.saturating_sub(shards.len());
            self.phase = Phase::Torn;
        }
        self.lose(shards);
    }

    fn lose(&mut self, shards: &[u32]) {
        self.lost.extend_from_slice(shards);
        self.lost.sort_unstable();
    }

    fn failure(&self, dispatch: &Dispatch<'_>) -> Reply {
        let overload = self.troubles.iter().find_map(|(_, trouble)| match trouble {
            Trouble::Overloaded(refusal) => Some(refusal),
            _ => None,
        });
        match overload {
            Some(refusal) => reply::relayed(refusal, None, None),
            None => {
                let troubles = self.troubles.iter().map(|(node, trouble)| (dispatch.node_id(*node), trouble));
                reply::unreadable(self.gather.index(), &self.lost, self.shards.len(), troubles)
            }
        }
    }
}
