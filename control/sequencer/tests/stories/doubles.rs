//! One Meilisearch under two ids: refused by its address, found out at first contact by the keys on it.

use miroir_sequencer::*;

use crate::desk::*;
use crate::fake_node::FakeNode;

/// Longer than a join of nodes without documents takes.
const LONG: u64 = 200_000;

fn cluster() -> Desk {
    let owners = (0..12).map(|shard| vec![shard % 3, (shard + 1) % 3]).collect();
    let mut config = config(3, owners);
    config.nodes.iter_mut().for_each(|node| node.place.url = format!("http://{}:7700/", node.id));
    let mut desk = Desk::new(config, true);
    desk.repairs = true;
    desk
}

fn at(id: &str, url: &str) -> NewNode {
    NewNode { id: id.into(), url: url.into(), weight: 1.0, zone: None, tls_ca: None }
}

fn started(answer: AdminAnswer) -> JobId {
    let AdminAnswer::Job(job) = answer else { panic!("{answer:?}") };
    job.id
}

fn refused(answer: AdminAnswer) -> Refusal {
    let AdminAnswer::Refused(refusal) = answer else { panic!("{answer:?}") };
    refusal
}

fn job(desk: &Desk, id: JobId) -> JobView {
    desk.sequencer.jobs().into_iter().find(|job| job.id == id).unwrap()
}

fn status(desk: &Desk, id: &str) -> Option<NodeStatus> {
    desk.sequencer.nodes().into_iter().find(|node| node.id == id)
}

fn trouble(desk: &Desk, id: &str) -> String {
    status(desk, id).and_then(|node| node.trouble).unwrap_or_default()
}

fn held(desk: &Desk, node: &str) -> usize {
    desk.sequencer.copies().iter().filter(|copy| copy.node == node).count()
}

fn removed(desk: &mut Desk, node: &str) {
    let answer = desk.command(AdminCommand::NodeRemove { node: node.into(), force: false });
    assert!(matches!(answer, AdminAnswer::Done { .. }), "{answer:?}");
    assert!(status(desk, node).is_none());
}

#[test]
fn the_address_of_a_member_is_refused_before_anything_is_changed() {
    let mut desk = cluster();
    let epoch = desk.sequencer.map().epoch;
    for url in ["http://n1:7700/", "https://N1:7700"] {
        let commands = [
            AdminCommand::NodeAdd(at("n3", url)),
            AdminCommand::Plan { of: Box::new(AdminCommand::NodeAdd(at("n3", url))) },
            AdminCommand::NodeReplace { node: "n0".into(), with: Replacement::Node(at("n3", url)) },
            AdminCommand::NodeReplace { node: "n1".into(), with: Replacement::Node(at("n3", url)) },
        ];
        for command in commands {
            let refusal = refused(desk.command(command));
            assert_eq!(refusal.code, "node_exists");
            assert!(refusal.message.contains("is the address of n1"), "{}", refusal.message);
        }
    }
    desk.nodes.get_mut("n0").unwrap().silent = Some(NodeFault::NotSent);
    desk.wait(5_000);
    let disk = |url: &str| Replacement::Disk { url: Some(url.into()) };
    let taken = AdminCommand::NodeReplace { node: "n0".into(), with: disk("http://n1:7700/") };
    assert_eq!(refused(desk.command(taken)).code, "node_exists");
    assert!(desk.sequencer.jobs().is_empty() && status(&desk, "n3").is_none());
    assert!(desk.sequencer.map().nodes.len() == 3 && desk.sequencer.map().epoch <= epoch + 1, "n0 went away, no more");
    // Its own address is free for it, and that of a node that is removed is free again.
    started(desk.command(AdminCommand::NodeReplace { node: "n0".into(), with: disk("http://n0:7700/") }));
}

#[test]
fn a_newcomer_that_is_a_members_meilisearch_is_turned_away() {
    let mut desk = cluster();
    desk.nodes.insert("n3".into(), FakeNode { is_really: Some("n1".into()), ..FakeNode::default() });
    let id = started(desk.command(AdminCommand::NodeAdd(at("n3", "http://other-name:7700"))));
    desk.wait(LONG);
    let after = job(&desk, id);
    assert_eq!((after.state, after.moves, after.moves_skipped), (JobState::Cancelled, 6, 6), "nobody waits for it");
    assert_eq!((after.skips.len(), after.skips[0].moves), (1, 6));
    assert!(trouble(&desk, "n3").starts_with("it is the Meilisearch of n1"), "{}", trouble(&desk, "n3"));
    assert_eq!(desk.alerts.iter().filter(|alert| **alert == "node_doubled").count(), 1);
    let told = |desk: &Desk| (desk.nodes["n3"].fences.len(), desk.nodes["n3"].told.len());
    assert_eq!((told(&desk), held(&desk, "n3")), ((0, 0), 0), "nothing was done to it");
    assert!(refused(desk.command(AdminCommand::NodeAdd(at("n3", "http://other-name:7700")))).code == "node_exists");
    started(desk.command(AdminCommand::RebalanceStart));
    desk.wait(LONG);
    assert!(desk.sequencer.jobs().iter().all(|job| job.state.is_over()), "no job waits for it");
    desk.restart();
    desk.wait(20_000);
    assert_eq!((told(&desk), held(&desk, "n3")), ((0, 0), 0));
    removed(&mut desk, "n3");
    // The same id at a machine of its own.
    desk.nodes.insert("n3".into(), FakeNode::default());
    started(desk.command(AdminCommand::NodeAdd(at("n3", "http://n3:7700"))));
    desk.wait(LONG);
    assert_eq!((held(&desk, "n3"), trouble(&desk, "n3").as_str()), (6, ""));
}

#[test]
fn keys_that_a_member_has_no_longer_do_not_keep_a_machine_out() {
    let mut desk = cluster();
    let old = status(&desk, "n1").unwrap().generation;
    // The member has been given newer ones since, on another disk: this is what it left.
    desk.nodes.get_mut("n1").unwrap().silent = Some(NodeFault::NotSent);
    desk.wait(5_000);
    *desk.nodes.get_mut("n1").unwrap() = FakeNode::default();
    desk.wait(20_000);
    assert!(status(&desk, "n1").unwrap().generation > old);
    desk.nodes.insert("n3".into(), FakeNode { keys: vec![("n1".to_owned(), old)], ..FakeNode::default() });
    started(desk.command(AdminCommand::NodeAdd(at("n3", "http://n3:7700"))));
    desk.wait(LONG);
    assert_eq!(held(&desk, "n3"), 6);
}

#[test]
fn a_newcomer_that_is_never_reached_can_be_removed() {
    let mut desk = cluster();
    desk.nodes.insert("n3".into(), FakeNode { silent: Some(NodeFault::NotSent), ..FakeNode::default() });
    let id = started(desk.command(AdminCommand::NodeAdd(at("n3", "http://n3:7700"))));
    desk.wait(LONG);
    assert_eq!(job(&desk, id).waiting.as_deref(), Some("n3 is out of reach: no contact"));
    assert_eq!((status(&desk, "n3").unwrap().phase, trouble(&desk, "n3").as_str()), ("down", "no contact"));
    let refusal = refused(desk.command(AdminCommand::NodeRemove { node: "n3".into(), force: false }));
    assert!(refusal.code == "job_exists" && refusal.message.contains("cancel it first"), "{}", refusal.message);
    let answer = desk.command(AdminCommand::JobCancel { job: id });
    assert!(matches!(answer, AdminAnswer::Job(_)), "{answer:?}");
    // A job that is not about it alone is not cancelled: it goes on without it, and says so.
    let id = started(desk.command(AdminCommand::RebalanceStart));
    desk.wait(LONG);
    assert!(!job(&desk, id).state.is_over());
    removed(&mut desk, "n3");
    desk.wait(5_000);
    let after = job(&desk, id);
    assert_eq!((after.state, after.moves_skipped), (JobState::Done, after.moves));
    assert_eq!((after.skips.len(), after.skips[0].why.as_str()), (1, "n3 is no member any more"));
    let (kept, mut desk) = (after.skips, desk);
    desk.restart();
    assert_eq!(job(&desk, id).skips, kept, "a restart forgets no reason");
    assert!(desk.sequencer.copies().iter().all(|copy| copy.state == CopyState::InSync), "no orphans");
}
