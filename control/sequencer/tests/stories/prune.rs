//! Nodes' lists of tasks are kept short, and nothing that matters is deleted from them (F14).

use miroir_core::wire::*;
use miroir_sequencer::{Config, TaskStatus};

use crate::desk::{Desk, config, write};

const ADD: &str = "documentAdditionOrUpdate";

fn desk() -> Desk {
    Desk::new(Config { node_tasks: 20, ..config(1, vec![vec![0]]) }, true)
}

fn done(desk: &mut Desk, attempt: &str) -> u32 {
    let grant = desk.granted(write(attempt, &[0]));
    let uid = desk.add_task("n0", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Succeeded, Some(1));
    desk.commit(&grant, attempt, &[("n0", PartOutcome::Accepted { uid })]);
    desk.wait(100);
    uid
}

fn first(desk: &Desk) -> u32 {
    desk.nodes["n0"].tasks.first().unwrap().uid
}

#[test]
fn the_oldest_finished_tasks_go_and_some_are_left() {
    let mut desk = desk();
    for at in 0..60 {
        done(&mut desk, &format!("t{at}"));
    }
    desk.wait(120_000);
    let left = desk.nodes["n0"].tasks.len();
    assert!((20..30).contains(&left), "{left} tasks are left");
    done(&mut desk, "after");
    assert!(!desk.alerts.iter().any(|kind| kind.starts_with("audit") || *kind == "new_incarnation"));
    desk.restart();
    desk.wait(5_000);
    assert!(!desk.alerts.contains(&"new_incarnation"), "the last one read is still there");
}

#[test]
fn what_is_not_resolved_is_kept_with_all_that_came_after_it() {
    let mut desk = desk();
    let grant = desk.granted(write("open", &[0]));
    let open = desk.add_task("n0", Some(&grant.metadata), ADD, Some("a"), TaskStatus::Enqueued, None);
    desk.commit(&grant, "open", &[("n0", PartOutcome::Accepted { uid: open })]);
    for at in 0..60 {
        done(&mut desk, &format!("t{at}"));
    }
    desk.wait(120_000);
    assert!(first(&desk) <= open);
    assert!(desk.nodes["n0"].tasks.len() >= 61);
    desk.end_task("n0", open, TaskStatus::Succeeded, Some(1));
    desk.wait(120_000);
    assert_eq!(desk.task(grant.ticket).status, TaskStatus::Succeeded);
    assert!(first(&desk) > open);
}

#[test]
fn they_go_at_a_bounded_pace() {
    let mut desk = desk();
    desk.nodes.get_mut("n0").unwrap().silent = Some(miroir_sequencer::NodeFault::Unknown);
    desk.wait(3_000);
    desk.nodes.get_mut("n0").unwrap().silent = None;
    for _ in 0..500 {
        desk.add_task("n0", None, "dumpCreation", None, TaskStatus::Succeeded, None);
    }
    desk.wait(5_000);
    let before = desk.nodes["n0"].tasks.len();
    desk.wait(10_000);
    let gone = before - desk.nodes["n0"].tasks.len();
    assert!((5..=20).contains(&gone), "{gone} in 10 s, at 2 a second");
}
