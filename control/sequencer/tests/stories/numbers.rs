//! Numbers are given once, also by a leader whose store has forgotten some (F16).

use miroir_core::wire::*;

use crate::desk::{Desk, config, write};

fn pair() -> Desk {
    Desk::new(config(2, vec![vec![0, 1], vec![1, 0]]), true)
}

fn done(desk: &mut Desk, attempt: &str) -> Grant {
    let grant = desk.granted(write(attempt, &[0]));
    let parts = desk.accept_all(&grant, 1);
    let parts: Vec<(&str, PartOutcome)> = parts.iter().map(|(node, said)| (node.as_str(), said.clone())).collect();
    desk.commit(&grant, attempt, &parts);
    desk.wait(100);
    grant
}

/// The term in what a grant's requests carry.
fn term(grant: &Grant) -> u64 {
    grant.metadata.split('.').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_store_from_a_backup_gives_no_number_again() {
    let mut desk = pair();
    let backup = desk.store.clone();
    done(&mut desk, "t1");
    desk.restart();
    desk.wait(2_500);
    let last = done(&mut desk, "t2");
    assert_eq!(term(&last), 2);
    desk.store = backup;
    desk.restart();
    let asked = desk.begin(write("t3", &[0]));
    let operation = desk.ask_to_create("b");
    assert!(!desk.accepted.contains_key(&operation), "no number is given before the nodes have been read");
    desk.wait(3_500);
    let Some(BeginAnswer::Grant(grant)) = desk.begun.remove(&asked) else { panic!("no grant") };
    assert!(grant.ticket > last.ticket, "{} after {}", grant.ticket, last.ticket);
    assert!(desk.accepted[&operation].uid > last.ticket);
    assert!(term(&grant) > term(&last), "{}", grant.metadata);
    assert!(desk.alerts.contains(&"store_behind"));
}

#[test]
fn a_term_in_which_nothing_was_written_is_not_led_again_either() {
    let mut desk = pair();
    let backup = desk.store.clone();
    for _ in 0..3 {
        desk.restart();
        desk.wait(2_500);
    }
    let newest = desk.nodes["n0"].fences.last().copied().unwrap();
    desk.store = backup;
    desk.restart();
    desk.wait(3_500);
    let grant = desk.granted(write("t1", &[0]));
    assert!(term(&grant) > 4, "{}", grant.metadata);
    assert_eq!(grant.parts[0].key, Some(format!("{}-{}", grant.parts[0].node, newest + 1)));
}

#[test]
fn a_node_that_does_not_answer_does_not_keep_others_waiting() {
    let mut desk = pair();
    desk.nodes.get_mut("n1").unwrap().silent = Some(miroir_sequencer::NodeFault::NotSent);
    desk.restart();
    let asked = desk.begin(write("t1", &[0]));
    desk.wait(2_100);
    assert!(matches!(desk.begun.get(&asked), Some(BeginAnswer::Grant(_))), "{:?}", desk.begun.get(&asked));
}
