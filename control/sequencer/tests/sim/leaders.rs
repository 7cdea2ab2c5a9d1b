//! Two leaders at once: one was stopped in the middle of what it does, its lease ran out, another one leads, and the old
//! one goes on where it stood. The store refuses what it writes (the lease's fence), and nodes refuse its keys as soon as
//! the new leader has replaced them (F15); what it has sent before is on its way.

use crate::faults::Fault;
use crate::shell::Shell;
use crate::world::{Event, World};
use miroir_sequencer::Effect;

/// A leader whose lease is over, and that does not know it.
pub struct Former {
    shell: Shell,
    /// What it was about to do.
    rest: Vec<Effect>,
    awake: bool,
}

impl World {
    /// At the next event, control is stopped in the middle of what it does, for longer than its lease lasts.
    pub fn depose(&mut self) {
        self.deposing = self.control.alive && !self.control.stopped;
    }

    /// Takes the leader away, if it is its turn, with what it has not done yet; none is left then.
    pub fn stop_for_good(&mut self, rest: Vec<Effect>) {
        self.note(|| format!("control is stopped, and was about to do {rest:?}"));
        self.deposing = false;
        self.end_former();
        let next = Shell {
            instance: self.control.instance + 1,
            next_request: self.control.next_request,
            store: std::mem::take(&mut self.control.store),
            tasks: std::mem::take(&mut self.control.tasks),
            ..Shell::default()
        };
        let shell = std::mem::replace(&mut self.control, next);
        self.former = Some(Former { shell, rest, awake: false });
        let lease = self.net.random.between(500, 6_000);
        self.net.after(lease, Event::Fault(Fault::ControlBack));
        let asleep = lease + self.net.random.between(0, 8_000);
        self.net.after(asleep, Event::Fault(Fault::FormerWakes));
    }

    /// It goes on where it stood.
    pub fn former_wakes(&mut self) {
        let Some(former) = &mut self.former else { return };
        former.awake = true;
        self.stats.formers += 1;
        let (instance, rest) = (former.shell.instance, std::mem::take(&mut former.rest));
        self.note(|| format!("the former leader {instance} wakes up"));
        self.as_former(|world| {
            world.carry_out(rest);
            for event in std::mem::take(&mut world.control.backlog) {
                world.control_event(instance, event);
            }
            world.control_event(instance, miroir_sequencer::Event::Tick);
        });
        // Its own clock tells it at last.
        let notices = self.net.random.between(1, 2_000);
        self.net.after(notices, Event::Fault(Fault::FormerEnds));
    }

    /// Whether this instance is the former leader.
    pub fn is_former(&self, instance: u64) -> bool {
        self.former.as_ref().is_some_and(|former| former.shell.instance == instance) && !self.acting_former
    }

    /// Something for the former leader, who hears of it when it is awake.
    pub fn former_event(&mut self, instance: u64, event: miroir_sequencer::Event) {
        let Some(former) = &mut self.former else { return };
        if former.awake {
            self.as_former(|world| world.control_event(instance, event));
        } else {
            former.shell.backlog.push(event);
        }
    }

    /// Whether a filter's message reaches the former leader: connections to it are still there.
    pub fn is_heard_by_former(&mut self) -> bool {
        self.former.as_ref().is_some_and(|former| former.awake) && !self.acting_former && self.net.random.chance(500)
    }

    /// Does something in the former leader's place. Store and tasks are those of everybody.
    pub fn as_former(&mut self, act: impl FnOnce(&mut Self)) {
        let Some(mut former) = self.former.take() else { return };
        self.change_places(&mut former.shell);
        self.acting_former = true;
        act(self);
        self.acting_former = false;
        self.change_places(&mut former.shell);
        // One that the store has refused is no more.
        self.former = Some(former).filter(|former| former.shell.alive);
    }

    fn change_places(&mut self, other: &mut Shell) {
        std::mem::swap(&mut self.control, other);
        self.control.store = std::mem::take(&mut other.store);
        self.control.tasks = std::mem::take(&mut other.tasks);
        self.control.next_request = other.next_request.max(self.control.next_request);
    }

    /// The former leader is told by its clock, or by the store, that it leads no more.
    pub fn end_former(&mut self) {
        self.as_former(Self::kill_control);
        self.former = None;
    }

    /// Whether the store takes what is written: not from who does not lead.
    pub fn store_refuses(&mut self) -> bool {
        let refused = self.acting_former && !self.swarm.store_unfenced;
        if refused {
            self.note(|| "the store refuses the former leader".to_owned());
            self.stats.refused += 1;
            self.kill_control();
        }
        refused
    }
}
