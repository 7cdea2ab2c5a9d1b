//! Reads of node task lists: when, and what comes of them. One read of a node at a time; its pace follows how much
//! there is to see. Each read begins with the last task known, which the node must still have (WITNESS, F9).

use crate::Sequencer;
use crate::api::*;
use crate::state::{N, Op, Reach, Reading, Timer, Todo};

const PAGE: u32 = 1000;
/// Failed reads in a row after which a node counts as lost; the first may be a connection that had been closed.
const PATIENCE: u32 = 2;
/// Up to so many unfinished tasks of a node are watched closely: somebody may be waiting for each of them.
const FEW: usize = 16;
/// Longest pause between reads of such a node, in milliseconds: with the reading and the storing that follow, a task
/// is seen done within 50 ms. A node that answers 40 short reads a second is hardly busier for it.
const CLOSE: u64 = 25;

/// The pause after a read that showed nothing new, from the one before it. It grows by a sixteenth, and so stays at
/// about a sixteenth of the time waited, up to the longest for a queue.
fn next_pause(pause: u64, open: usize, (least, most): (u64, u64)) -> u64 {
    let most = if open <= FEW { most.min(CLOSE) } else { most };
    (pause + pause.div_ceil(16)).min(most).max(least)
}

/// Bytes of task lists that a node is asked for a millisecond, at most.
const BYTES_PER_MS: u64 = 4_000;
/// Longest pause on account of that, in milliseconds.
const LONGEST_REST: u64 = 2_000;

/// How long a node is left alone after so much of its list. A task carries its settings, which may be megabytes, and is
/// read again until it has ended.
fn rest_after(bytes: u64) -> u64 {
    (bytes / BYTES_PER_MS).min(LONGEST_REST)
}

impl Sequencer {
    /// Wants a read that starts from now on; returns its stamp: it has ended when `read_done` is no lower.
    pub(crate) fn want_read(&mut self, n: N) -> u64 {
        let wanted = self.stamp + 1;
        self.nodes[n].read_wanted = wanted;
        if self.nodes[n].reading.is_none() {
            self.start_read(n);
        }
        wanted
    }

    fn start_read(&mut self, n: N) {
        self.stamp += 1;
        let stamp = self.stamp;
        let expected = self.nodes[n].open.keys().next_back().map_or(0, |uid| uid + 1);
        self.send_read(n, stamp, expected);
    }

    fn send_read(&mut self, n: N, stamp: u64, expected: u32) {
        let op = self.op(Op::Read(n));
        let node = &mut self.nodes[n];
        node.reading = Some(Reading { op, stamp, expected });
        let from = node.row.witness.last.as_ref().map_or(node.row.floor, |(uid, _)| *uid);
        let open = node.open.keys().copied().filter(|uid| *uid <= from).take(crate::OPEN_LIMIT).collect();
        let action = NodeAction::ReadTasks { from, limit: PAGE, open };
        let node = node.row.id.clone();
        self.emit(Effect::Node { op, node, action, timeout_ms: self.config.timing.probe });
    }

    pub(crate) fn read_answered(&mut self, n: N, op: OpId, result: Result<NodeAnswer, NodeFault>) {
        let Some(reading) = self.nodes[n].reading.filter(|reading| reading.op == op) else { return };
        let (tasks, more, open, bytes) = match result {
            Ok(NodeAnswer::Tasks { tasks, more, open, bytes }) => (tasks, more, open, bytes),
            Err(NodeFault::NotSent) => return self.lose(n, "its tasks cannot be read: not reachable"),
            _ => {
                self.nodes[n].fails += 1;
                if self.nodes[n].fails >= PATIENCE {
                    return self.lose(n, "its tasks cannot be read");
                }
                return self.send_read(n, reading.stamp, reading.expected);
            }
        };
        self.nodes[n].fails = 0;
        let known = self.nodes[n].row.witness.last.clone();
        let named = |task: Option<&NodeTask>| task.map(|task| (task.uid, task.enqueued_at.clone()));
        let shown = named(tasks.first());
        let words = |task: &Option<(u32, String)>| {
            task.as_ref().map_or("no task".to_owned(), |(uid, enqueued)| format!("task {uid} of {enqueued}"))
        };
        let accepted = &self.nodes[n].accepted;
        let replaced = tasks.iter().find(|task| accepted.get(&task.uid).is_some_and(|at| *at != task.enqueued_at));
        let evidence = match (&known, replaced) {
            (Some(_), _) if known != shown => Some((words(&shown), words(&known))),
            (_, Some(task)) => Some((words(&named(Some(task))), "what it had accepted as that".to_owned())),
            (None, _) if self.lacks_accepted(n, tasks.first()) => {
                Some((words(&shown), "a task that it had accepted".to_owned()))
            }
            _ => None,
        };
        if let Some((shows, had)) = evidence.filter(|_| !self.planted.witness_off) {
            self.new_incarnation(n, &format!("it shows {shows}, and not {had}"));
            return self.lose(n, "the disk is another one");
        }
        let news = tasks.len() > usize::from(known.is_some());
        let ended = self.audit(n, &tasks, &open);
        self.nodes[n].reading = None;
        if more && news {
            return self.send_read(n, reading.stamp, reading.expected);
        }
        if self.nodes[n].row.floor < reading.expected && !self.planted.witness_off {
            // It has forgotten tasks that it had accepted: the disk that had them is gone.
            let (floor, newest) = (self.nodes[n].row.floor, reading.expected.saturating_sub(1));
            self.new_incarnation(n, &format!("its next task is {floor}, and it had accepted task {newest}"));
            return self.lose(n, "the disk is another one");
        }
        if self.recognise_disk(n) {
            return;
        }
        if self.nodes[n].upgraded {
            return self.lose(n, "another version of its engine was started");
        }
        self.nodes[n].row.seen = true;
        self.nodes[n].read_done = reading.stamp;
        self.pace(n, news || ended, bytes);
        self.todo.insert(Todo::Node(n));
        self.todo_waiting_for_reads(n);
        self.sources_read(n);
        if self.nodes[n].read_wanted > reading.stamp {
            self.start_read(n);
        }
    }

    /// Whether a disk that has shown no task yet begins its list behind one that it had accepted: only what is resolved
    /// is ever deleted.
    fn lacks_accepted(&self, n: N, first: Option<&NodeTask>) -> bool {
        let node = &self.nodes[n];
        first.is_some_and(|task| node.open.range(node.row.floor..).next().is_some_and(|(uid, _)| *uid < task.uid))
    }

    /// Tickets that look for their parts look again.
    fn todo_waiting_for_reads(&mut self, n: N) {
        let looking = self.settling.intersection(&self.nodes[n].parts).copied();
        self.todo.extend(looking.map(Todo::Settle));
    }

    /// Reads soon after something happened, then ever less often, and as a witness check when nothing is open.
    fn pace(&mut self, n: N, busy: bool, bytes: u64) {
        let timing = &self.config.timing;
        let node = &mut self.nodes[n];
        node.no_read_before = self.now + rest_after(bytes);
        node.pause = next_pause(if busy { 0 } else { node.pause }, node.open.len(), timing.poll);
        let idle = node.open.is_empty() && node.journal.is_empty();
        node.next_read = (self.now + if idle { timing.witness } else { node.pause }).max(node.no_read_before);
        let at = node.next_read;
        self.at(at, Timer::Node(n));
    }

    /// Something was sent to the node: look soon.
    pub(crate) fn expect_news(&mut self, n: N) {
        let soon = self.config.timing.poll.0;
        let node = &mut self.nodes[n];
        node.pause = soon;
        node.next_read = node.next_read.min((self.now + soon).max(node.no_read_before));
        let at = node.next_read;
        self.at(at, Timer::Node(n));
    }

    pub(crate) fn schedule_read(&mut self, n: N) {
        let node = &self.nodes[n];
        let settled = matches!(node.reach, Reach::Up | Reach::Joining(_));
        if settled && node.reading.is_none() && node.next_read <= self.now && node.keys.is_some() {
            self.start_read(n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(reads: u32, open: usize) -> u64 {
        (0..reads).fold(0, |pause, _| next_pause(pause, open, (10, 500)))
    }

    #[test]
    fn few_tasks_are_watched_closely_however_long_they_take() {
        assert_eq!((after(1, 1), after(1_000, 1), after(1_000, FEW)), (10, CLOSE, CLOSE));
    }

    #[test]
    fn a_queue_is_read_ever_less_often() {
        assert_eq!((after(1, FEW + 1), after(1_000, FEW + 1)), (10, 500));
    }

    #[test]
    fn large_lists_are_read_less_often() {
        assert_eq!((rest_after(3_000), rest_after(900_000), rest_after(1 << 30)), (0, 225, LONGEST_REST));
    }

    #[test]
    fn a_configured_shortest_pause_holds() {
        assert_eq!(next_pause(40, 1, (40, 500)), 40);
    }
}
