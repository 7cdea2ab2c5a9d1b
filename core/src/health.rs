//! What one worker has learnt about the nodes from the calls that it made itself, and from what the other workers tell:
//! what one request learns, the next ones know. A node that fails becomes suspect for a time that grows with every further failure; while it is suspect
//! it is only asked where no other copy is left. When the time is over, one request at a time may try it again.
//!
//! Pure: time comes in as milliseconds of the clock of [`crate::call`]. Nodes are named by id, since their positions
//! change between maps.

use std::cell::RefCell;
use std::rc::Rc;

use hashbrown::HashMap;

/// Suspicion after the first failure that makes a node suspect; doubled with each further one.
pub const FIRST_SUSPICION_MS: u64 = 250;
/// Longest suspicion.
pub const LONGEST_SUSPICION_MS: u64 = 16_000;
/// A trial that has not ended after this time counts as lost, and another request may try.
pub const TRIAL_LEASE_MS: u64 = 10_000;
/// Longest wait for the answer to a trial: a node that still hangs must not cost every trial the whole timeout.
pub const TRIAL_TIMEOUT_MS: u64 = 1_000;
/// Time for which a node that the proxy holds back is not tried past its checks, after that was in vain.
pub const PAST_CHECKS_PAUSE_MS: u64 = 1_000;
/// [`Failure::Faulty`] answers in a row that make a node suspect.
pub const FAULTS_TO_SUSPECT: u32 = 3;
/// Extra calls that may be saved up for fail-over from slow nodes.
pub const RESERVE_CALLS: u64 = 500;

/// Thousandths of an extra call that each first call adds to the reserve (F19: at most 20 % extra calls).
const EARNED_PER_CALL: u64 = 200;
const COST_OF_EXTRA: u64 = 1_000;

/// Health as the request machines of one worker share it.
pub type SharedHealth = Rc<RefCell<NodeHealth>>;

/// How a node failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing could be sent, or no answer came in time: suspect at once.
    Dead,
    /// A broken connection, an answer that is none, or a 5xx of its own: suspect when it goes on. One of these may be a
    /// race with a closing connection, or the fault of one query.
    Faulty,
}

/// Whether a node should be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Ask it.
    Healthy,
    /// Its suspicion has run out and this request is the one to try; the call must end within [`TRIAL_TIMEOUT_MS`].
    Trial,
    /// Ask another copy.
    Suspect,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    faults: u32,
    suspicions: u32,
    suspect_until: u64,
    trial_until: u64,
    past_checks_after: u64,
}

impl State {
    /// One more failure: suspect from now on, twice as long as before.
    fn suspect(&mut self, now_ms: u64) {
        let doubled = FIRST_SUSPICION_MS.checked_shl(self.suspicions).unwrap_or(LONGEST_SUSPICION_MS);
        self.suspect_until = now_ms.saturating_add(doubled.min(LONGEST_SUSPICION_MS));
        // Beyond this the shift only overflows; the longest suspicion has been reached long before.
        self.suspicions = self.suspicions.saturating_add(1).min(16);
        self.trial_until = 0;
    }
}

/// What a worker tells the others of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has failed.
    Failed,
    /// It was suspect, and answers again.
    Recovered,
}

/// Passive health of all nodes, as one worker sees it.
#[derive(Clone, Debug)]
pub struct NodeHealth {
    nodes: HashMap<String, State>,
    reserve: u64,
    /// Turns that the other workers have not been told.
    untold: HashMap<String, Turn>,
}

impl Default for NodeHealth {
    fn default() -> Self {
        let reserve = RESERVE_CALLS.saturating_mul(COST_OF_EXTRA);
        Self { nodes: HashMap::new(), reserve, untold: HashMap::new() }
    }
}

impl NodeHealth {
    /// Health of which nothing is known: every node counts as healthy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The health, ready to be shared by the machines of a worker.
    #[must_use]
    pub fn shared() -> SharedHealth {
        Rc::new(RefCell::new(Self::default()))
    }

    /// Whether to ask a node now. [`Admission::Trial`] is given once; who gets it must record the outcome, else the
    /// next one is given after [`TRIAL_LEASE_MS`].
    pub fn admit(&mut self, node: &str, now_ms: u64) -> Admission {
        let Some(state) = self.nodes.get_mut(node) else { return Admission::Healthy };
        if state.suspicions == 0 {
            return Admission::Healthy;
        }
        if now_ms < state.suspect_until || now_ms < state.trial_until {
            return Admission::Suspect;
        }
        state.trial_until = now_ms.saturating_add(TRIAL_LEASE_MS);
        Admission::Trial
    }

    /// True while a node is suspect or on trial.
    #[must_use]
    pub fn is_suspect(&self, node: &str) -> bool {
        self.nodes.get(node).is_some_and(|state| state.suspicions > 0)
    }

    /// A node answered as a node should: all is forgiven.
    pub fn succeeded(&mut self, node: &str) {
        if self.nodes.remove(node).is_some_and(|state| state.suspicions > 0) {
            self.untold.insert(node.to_owned(), Turn::Recovered);
        }
    }

    /// A node failed. Failures of calls that were sent before it became suspect do not lengthen the suspicion: many
    /// requests in flight on a dying node are one event.
    pub fn failed(&mut self, node: &str, failure: Failure, now_ms: u64) {
        let state = self.nodes.entry_ref(node).or_default();
        let on_trial = state.trial_until > 0;
        if state.suspicions > 0 && !on_trial {
            return;
        }
        state.faults = state.faults.saturating_add(1);
        if failure == Failure::Faulty && !on_trial && state.faults < FAULTS_TO_SUSPECT {
            return;
        }
        state.suspect(now_ms);
        self.untold.insert(node.to_owned(), Turn::Failed);
    }

    /// What has become of nodes since the last time, for the other workers.
    pub fn take_untold(&mut self) -> HashMap<String, Turn> {
        std::mem::take(&mut self.untold)
    }

    /// Another worker tells of a node. A failure counts as one of our own, unless a trial of ours is about to tell; a
    /// recovery makes the next request the trial.
    pub fn told(&mut self, node: &str, turn: Turn, now_ms: u64) {
        match turn {
            Turn::Failed => {
                let state = self.nodes.entry_ref(node).or_default();
                if now_ms >= state.trial_until {
                    state.suspect(now_ms);
                }
            }
            Turn::Recovered => {
                if let Some(state) = self.nodes.get_mut(node) {
                    state.suspect_until = now_ms;
                }
            }
        }
    }

    /// Whether a node that the proxy's own checks hold for bad may be tried past them, where no other copy is left: they
    /// take seconds to see that it is well, and until then it may be the only one.
    #[must_use]
    pub fn may_go_past_checks(&self, node: &str, now_ms: u64) -> bool {
        self.nodes.get(node).is_none_or(|state| now_ms >= state.past_checks_after)
    }

    /// Such a try was in vain: not every request shall make one.
    pub fn checks_were_right(&mut self, node: &str, now_ms: u64) {
        self.nodes.entry_ref(node).or_default().past_checks_after = now_ms.saturating_add(PAST_CHECKS_PAUSE_MS);
    }

    /// A trial ended without a verdict (the node shed load, or the client left): another request may try at once.
    pub fn undecided(&mut self, node: &str) {
        if let Some(state) = self.nodes.get_mut(node) {
            state.trial_until = 0;
        }
    }

    /// Counts calls that are no fail-over.
    pub fn called(&mut self, calls: u64) {
        let most = RESERVE_CALLS.saturating_mul(COST_OF_EXTRA);
        self.reserve = self.reserve.saturating_add(calls.saturating_mul(EARNED_PER_CALL)).min(most);
    }

    /// Takes one call of fail-over out of the reserve. False when it is empty: nodes that are slow because they are
    /// overloaded must not be given the load of others as well (F19).
    pub fn spend(&mut self) -> bool {
        match self.reserve.checked_sub(COST_OF_EXTRA) {
            Some(rest) => {
                self.reserve = rest;
                true
            }
            None => false,
        }
    }

    /// Forgets nodes that are not in the map any more.
    pub fn retain(&mut self, known: &dyn Fn(&str) -> bool) {
        self.nodes.retain(|node, _| known(node));
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_node_nobody_complained_about_is_healthy() {
        assert_eq!(NodeHealth::new().admit("a", 0), Admission::Healthy);
    }

    #[test]
    fn a_dead_node_is_suspect_at_once_and_tried_by_one_request_at_a_time() {
        let mut health = NodeHealth::new();
        health.failed("a", Failure::Dead, 1_000);
        assert_eq!(health.admit("a", 1_249), Admission::Suspect);
        assert_eq!(health.admit("b", 1_249), Admission::Healthy);
        assert_eq!(health.admit("a", 1_250), Admission::Trial);
        assert_eq!(health.admit("a", 1_251), Admission::Suspect);
        health.succeeded("a");
        assert_eq!(health.admit("a", 1_252), Admission::Healthy);
    }

    #[test]
    fn suspicion_doubles_with_each_failed_trial_up_to_a_limit() {
        let mut health = NodeHealth::new();
        let mut now = 0;
        let mut waits = Vec::new();
        health.failed("a", Failure::Dead, now);
        for _ in 0..40 {
            let start = now;
            while health.admit("a", now) != Admission::Trial {
                now += 1;
            }
            waits.push(now - start);
            health.failed("a", Failure::Faulty, now);
        }
        assert_eq!(waits[..4], [250, 500, 1_000, 2_000]);
        assert!(waits[8..].iter().all(|wait| *wait == LONGEST_SUSPICION_MS), "{waits:?}");
    }

    #[test]
    fn calls_in_flight_on_a_dying_node_are_one_event() {
        let mut health = NodeHealth::new();
        for at in 0..50 {
            health.failed("a", Failure::Dead, at);
        }
        assert_eq!(health.admit("a", FIRST_SUSPICION_MS), Admission::Trial);
    }

    #[test]
    fn single_faults_are_forgiven_and_runs_of_them_are_not() {
        let mut health = NodeHealth::new();
        for _ in 0..10 {
            health.failed("a", Failure::Faulty, 0);
            health.failed("a", Failure::Faulty, 0);
            assert_eq!(health.admit("a", 0), Admission::Healthy);
            health.succeeded("a");
        }
        for _ in 0..FAULTS_TO_SUSPECT {
            health.failed("a", Failure::Faulty, 0);
        }
        assert_eq!(health.admit("a", 0), Admission::Suspect);
    }

    #[test]
    fn a_lost_trial_is_given_again() {
        let mut health = NodeHealth::new();
        health.failed("a", Failure::Dead, 0);
        assert_eq!(health.admit("a", 250), Admission::Trial);
        assert_eq!(health.admit("a", 250 + TRIAL_LEASE_MS - 1), Admission::Suspect);
        assert_eq!(health.admit("a", 250 + TRIAL_LEASE_MS), Admission::Trial);
        health.undecided("a");
        assert_eq!(health.admit("a", 250 + TRIAL_LEASE_MS), Admission::Trial);
    }

    #[test]
    fn fail_over_from_slow_nodes_is_bounded_to_a_fifth() {
        let mut health = NodeHealth::new();
        let saved = (0..RESERVE_CALLS + 1).filter(|_| health.spend()).count();
        assert_eq!(u64::try_from(saved).unwrap(), RESERVE_CALLS);
        health.called(10);
        assert!(health.spend() && health.spend() && !health.spend());
    }

    #[test]
    fn what_one_worker_learns_another_knows() {
        let (mut one, mut other) = (NodeHealth::new(), NodeHealth::new());
        one.failed("a", Failure::Faulty, 0);
        assert!(one.take_untold().is_empty(), "a single fault is no news");
        one.failed("a", Failure::Dead, 0);
        assert_eq!(one.take_untold().into_iter().collect::<Vec<_>>(), [("a".to_owned(), Turn::Failed)]);
        other.told("a", Turn::Failed, 100);
        assert!(other.take_untold().is_empty(), "what was told is not told on");
        assert_eq!(other.admit("a", 349), Admission::Suspect);
        assert_eq!(one.admit("a", 250), Admission::Trial);
        one.failed("a", Failure::Dead, 1_250);
        other.told("a", Turn::Failed, 1_260);
        assert_eq!(other.admit("a", 1_260 + 2 * FIRST_SUSPICION_MS - 1), Admission::Suspect, "no trial of its own");
        one.succeeded("a");
        assert_eq!(one.take_untold().into_iter().collect::<Vec<_>>(), [("a".to_owned(), Turn::Recovered)]);
        other.told("a", Turn::Recovered, 1_300);
        assert_eq!(other.admit("a", 1_300), Admission::Trial);
        other.told("a", Turn::Failed, 1_310);
        other.succeeded("a");
        assert_eq!(other.admit("a", 1_320), Admission::Healthy, "its own trial is the newer word");
    }

    #[test]
    fn nodes_that_left_are_forgotten() {
        let mut health = NodeHealth::new();
        health.failed("a", Failure::Dead, 0);
        health.retain(&|node| node == "b");
        assert!(!health.is_suspect("a"));
    }

    proptest! {
        #[test]
        fn no_node_is_shut_out_for_ever(failures in prop::collection::vec((any::<bool>(), 0u64..5_000), 0..60)) {
            let mut health = NodeHealth::new();
            let mut now = 0;
            for (dead, pause) in failures {
                now += pause;
                let _ = health.admit("a", now);
                health.failed("a", if dead { Failure::Dead } else { Failure::Faulty }, now);
            }
            prop_assert_ne!(health.admit("a", now + LONGEST_SUSPICION_MS + TRIAL_LEASE_MS), Admission::Suspect);
        }
    }
}
