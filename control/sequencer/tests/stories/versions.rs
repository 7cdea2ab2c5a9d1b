//! Engines of different versions: one is in force, the others are read only where no other copy can be, and written as
//! ever.

use miroir_sequencer::{CopyState, NodeFault, NodeStatus, TaskStatus};

use crate::desk::{Desk, config, write};

fn three() -> Desk {
    Desk::new(config(3, vec![vec![0, 1], vec![1, 2], vec![2, 0]]), true)
}

fn status(desk: &Desk, id: &str) -> NodeStatus {
    desk.sequencer.nodes().into_iter().find(|status| status.id == id).unwrap()
}

fn last_resorts(desk: &Desk) -> Vec<String> {
    let map = desk.sequencer.map();
    map.nodes.iter().filter(|node| node.last_resort).map(|node| node.id.clone()).collect()
}

fn stop(desk: &mut Desk, id: &str) {
    desk.nodes.get_mut(id).unwrap().silent = Some(NodeFault::NotSent);
    desk.wait(1_500);
}

/// The node comes back with an engine of this version.
fn start(desk: &mut Desk, id: &str, version: &'static str) {
    let node = desk.nodes.get_mut(id).unwrap();
    (node.silent, node.version) = (None, Some(version));
    desk.add_task(id, None, "upgradeDatabase", None, TaskStatus::Succeeded, None);
    desk.wait(5_000);
}

fn in_sync(desk: &Desk) -> bool {
    desk.sequencer.copies().iter().all(|copy| copy.state == CopyState::InSync)
}

#[test]
fn nodes_are_upgraded_one_after_the_other() {
    let mut desk = three();
    assert_eq!(last_resorts(&desk), [""; 0]);
    let mut attempt = 0;
    for (id, aside) in [("n0", vec!["n0"]), ("n1", vec!["n2"]), ("n2", vec![])] {
        stop(&mut desk, id);
        start(&mut desk, id, "1.51.0");
        assert_eq!(status(&desk, id).phase, "ready");
        assert_eq!(status(&desk, id).version.as_deref(), Some("1.51.0"));
        assert_eq!(last_resorts(&desk), aside, "after {id}");
        // None of them missed anything, and all are written to.
        assert!(in_sync(&desk) && desk.sequencer.map().stale.is_empty());
        for shard in 0..3 {
            attempt += 1;
            let name = format!("t{attempt}");
            let grant = desk.granted(write(&name, &[shard]));
            assert_eq!(grant.parts.len(), 2);
            let parts = desk.accept_all(&grant, 1);
            let parts: Vec<_> = parts.iter().map(|(node, part)| (node.as_str(), part.clone())).collect();
            let commit = desk.commit(&grant, &name, &parts);
            assert_eq!(desk.status(commit), Some(202));
            desk.wait(200);
        }
    }
    assert_eq!(desk.alerts.iter().filter(|kind| **kind == "engine_version").count(), 3);
}

#[test]
fn a_version_that_is_not_served_takes_no_part_until_it_is_another() {
    let mut desk = three();
    stop(&mut desk, "n1");
    start(&mut desk, "n1", "1.49.3");
    assert_eq!(status(&desk, "n1").phase, "down");
    let trouble = status(&desk, "n1").trouble.unwrap();
    assert_eq!(trouble, "it runs Meilisearch 1.49.3, and 1.50 and later versions of 1 are served");
    assert_eq!(desk.alerts.iter().filter(|kind| **kind == "engine_refused").count(), 1);
    assert_eq!(desk.granted(write("t1", &[1])).parts.len(), 1, "it is not written to");
    start(&mut desk, "n1", "1.50.0");
    assert_eq!(status(&desk, "n1").phase, "ready");
    assert_eq!(last_resorts(&desk), [""; 0]);
}

#[test]
fn an_engine_that_was_replaced_between_two_looks_is_noticed_by_its_task() {
    let mut desk = three();
    start(&mut desk, "n2", "1.50.1");
    assert_eq!(status(&desk, "n2").phase, "ready");
    assert_eq!(last_resorts(&desk), ["n2"]);
    assert!(in_sync(&desk));
}

#[test]
fn the_next_leader_knows_the_versions_of_nodes_that_are_away() {
    let mut desk = three();
    stop(&mut desk, "n0");
    start(&mut desk, "n0", "1.51.0");
    for id in ["n0", "n1", "n2"] {
        desk.nodes.get_mut(id).unwrap().silent = Some(NodeFault::NotSent);
    }
    desk.restart();
    assert_eq!(last_resorts(&desk), ["n0"]);
}
