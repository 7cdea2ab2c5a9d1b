//! The actor around the sequencer: takes events one by one, and passes effects on to the [`super::executor`], which
//! makes them durable and carries them out in order. The sequencer may be ahead of the disk; nobody sees more of it
//! than the disk holds.

use std::sync::Arc;

use miroir_core::shardmap::ShardMap;
use miroir_sequencer::{
    CopyRow, DeletionWait, Effect, Event, JobView, MemberView, NodeStatus, ScrubView, Sequencer, SyncStatus,
    TaggingView,
};
use tokio::sync::{mpsc, oneshot};

use super::clock::Clock;

/// What reaches the actor.
#[derive(Debug)]
pub(crate) enum Message {
    /// For the sequencer.
    Event(Box<Event>),
    /// Somebody wants to see how things are.
    Look(oneshot::Sender<Look>),
    /// Somebody wants to know the epoch when all that was sent before has been taken in.
    Epoch(oneshot::Sender<u64>),
    /// Somebody waits until no write is open.
    Settled(oneshot::Sender<()>),
}

/// How things are.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) now_ms: u64,
    pub(crate) nodes: Vec<NodeStatus>,
    pub(crate) copies: Vec<CopyRow>,
    pub(crate) members: Vec<MemberView>,
    pub(crate) jobs: Vec<JobView>,
    pub(crate) syncs: Vec<SyncStatus>,
    pub(crate) deletions: Option<DeletionWait>,
    pub(crate) scrub: ScrubView,
    pub(crate) tagging: Option<TaggingView>,
    pub(crate) map: Arc<ShardMap>,
}

/// An effect for the executor; a change of the map carries the map as it was then.
#[derive(Debug)]
pub(crate) enum Step {
    Effect(Effect),
    Map(Arc<ShardMap>),
    Nodes(Vec<NodeStatus>),
}

pub(crate) struct Actor {
    pub(crate) sequencer: Sequencer,
    pub(crate) clock: Clock,
    pub(crate) inbox: mpsc::UnboundedReceiver<Message>,
    pub(crate) steps: mpsc::UnboundedSender<Vec<Step>>,
    pub(crate) seen: Vec<NodeStatus>,
    pub(crate) wake_ms: Option<u64>,
    /// Who waits until no write is open.
    pub(crate) leaving: Vec<oneshot::Sender<()>>,
}

impl Actor {
    /// Runs until the inbox is closed or the executor has gone. `first` are the effects of the sequencer's start.
    pub(crate) async fn run(mut self, first: Vec<Effect>) {
        if !self.pass_on(first) {
            return;
        }
        loop {
            let wake = async {
                match self.wake_ms {
                    Some(time) => tokio::time::sleep(self.clock.until(time)).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(Message::Event(event)) => *event,
                    Some(Message::Look(who)) => {
                        let _ = who.send(self.look());
                        continue;
                    }
                    Some(Message::Epoch(who)) => {
                        let _ = who.send(self.sequencer.epoch());
                        continue;
                    }
                    Some(Message::Settled(who)) => {
                        self.leaving.push(who);
                        self.tell_leaving();
                        continue;
                    }
                    None => return,
                },
                () = wake => {
                    self.wake_ms = None;
                    Event::Tick
                }
            };
            let effects = self.sequencer.handle(self.clock.now_ms(), event);
            if !self.pass_on(effects) {
                return;
            }
            self.tell_leaving();
        }
    }

    fn tell_leaving(&mut self) {
        if !self.leaving.is_empty() && self.sequencer.open_writes() == 0 {
            for who in self.leaving.drain(..) {
                // Who has gone does not wait.
                let _ = who.send(());
            }
        }
    }

    fn look(&self) -> Look {
        Look {
            now_ms: self.clock.now_ms(),
            nodes: self.sequencer.nodes(),
            copies: self.sequencer.copies(),
            members: self.sequencer.members(),
            jobs: self.sequencer.jobs(),
            syncs: self.sequencer.syncs(),
            deletions: self.sequencer.deletion_wait(),
            scrub: self.sequencer.scrub(),
            tagging: self.sequencer.tagging(),
            map: self.sequencer.map(),
        }
    }

    fn pass_on(&mut self, effects: Vec<Effect>) -> bool {
        let mut steps = Vec::with_capacity(effects.len() + 1);
        for effect in effects {
            match effect {
                Effect::WakeAt(time) => self.wake_ms = Some(time),
                Effect::MapChanged { .. } => steps.push(Step::Map(self.sequencer.map())),
                effect => steps.push(Step::Effect(effect)),
            }
        }
        let nodes = self.sequencer.nodes();
        if nodes != self.seen {
            self.seen.clone_from(&nodes);
            steps.push(Step::Nodes(nodes));
        }
        steps.is_empty() || self.steps.send(steps).is_ok()
    }
}
