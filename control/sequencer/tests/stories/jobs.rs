//! Operators' commands, from the answer to the last copy.

use std::collections::{BTreeMap, BTreeSet};

use miroir_core::wire::PartOutcome;
use miroir_sequencer::*;

use crate::desk::*;
use crate::fake_node::FakeNode;

/// Nodes with their shares of the shards.
pub fn cluster(nodes: usize, shards: usize, replicas: usize) -> Desk {
    let owners = (0..shards).map(|shard| (0..replicas).map(|at| ((shard + at) % nodes) as u16).collect()).collect();
    let mut desk = Desk::new(config(nodes, owners), true);
    desk.repairs = true;
    desk
}

pub fn new_node(id: &str) -> NewNode {
    NewNode { id: id.into(), url: format!("http://{id}"), weight: 1.0, zone: None, tls_ca: None }
}

pub fn started(answer: AdminAnswer) -> JobView {
    match answer {
        AdminAnswer::Job(job) => job,
        other => panic!("expected a job, got {other:?}"),
    }
}

pub fn refused(answer: AdminAnswer) -> Refusal {
    match answer {
        AdminAnswer::Refused(refusal) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub fn planned(answer: AdminAnswer) -> PlanView {
    match answer {
        AdminAnswer::Plan(plan) => plan,
        other => panic!("expected a plan, got {other:?}"),
    }
}

/// Owners by shard, without copies on their way out.
pub fn owners(desk: &Desk) -> BTreeMap<u32, BTreeSet<String>> {
    let mut owners: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for copy in desk.sequencer.copies().into_iter().filter(|copy| copy.state != CopyState::Retiring) {
        owners.entry(copy.shard).or_default().insert(copy.node);
    }
    owners
}

pub fn held(desk: &Desk, node: &str) -> usize {
    desk.sequencer.copies().iter().filter(|copy| copy.node == node).count()
}

pub fn job(desk: &Desk, id: JobId) -> JobView {
    desk.sequencer.jobs().into_iter().find(|job| job.id == id).expect("the job")
}

pub fn member(desk: &Desk, id: &str) -> Option<MemberState> {
    desk.sequencer.members().into_iter().find(|member| member.id == id).map(|member| member.state)
}

pub fn silence(desk: &mut Desk, node: &str) {
    desk.nodes.entry(node.to_owned()).or_default().silent = Some(NodeFault::NotSent);
    desk.wait(5_000);
}

pub fn wake(desk: &mut Desk, node: &str) {
    desk.nodes.get_mut(node).unwrap().silent = None;
    desk.wait(10_000);
}

/// Longer than any job on nodes without documents takes, deletions included.
pub const LONG: u64 = 200_000;

#[test]
fn a_join_moves_the_newcomers_share_and_nothing_else() {
    let mut desk = cluster(3, 12, 2);
    let before = owners(&desk);
    let id = started(desk.command(AdminCommand::NodeAdd(new_node("n3")))).id;
    assert_eq!(member(&desk, "n3"), Some(MemberState::Joining));
    desk.wait(LONG);
    let after = job(&desk, id);
    assert_eq!((after.state, after.moves, after.moves_done), (JobState::Done, 6, 6));
    assert_eq!((held(&desk, "n3"), member(&desk, "n3")), (6, Some(MemberState::Active)));
    for (shard, now) in owners(&desk) {
        assert_eq!(now.len(), 2);
        assert!(now == before[&shard] || now.contains("n3"), "shard {shard} moved between others");
    }
    let copies = desk.sequencer.copies();
    assert!(copies.iter().all(|copy| copy.state == CopyState::InSync), "what left is deleted");
    assert_eq!(desk.sequencer.map().nodes.len(), 4);
}

#[test]
fn a_plan_is_what_the_job_does() {
    let mut desk = cluster(3, 12, 2);
    let of = Box::new(AdminCommand::NodeAdd(new_node("n3")));
    let plan = planned(desk.command(AdminCommand::Plan { of: of.clone() }));
    assert_eq!((plan.copies_made, plan.copies_least), (6, 6));
    assert_eq!(member(&desk, "n3"), None, "nothing is changed");
    assert!(desk.sequencer.jobs().is_empty());
    let before = owners(&desk);
    started(desk.command(*of));
    desk.wait(LONG);
    let mut moved = BTreeSet::new();
    for (shard, now) in owners(&desk) {
        let to = now.difference(&before[&shard]).next().cloned();
        let leaving = before[&shard].difference(&now).next().cloned();
        moved.extend(to.is_some().then_some((shard, to, leaving)));
    }
    let told = plan.moves.into_iter().map(|step| (step.shard.shard, step.to, step.leaving)).collect();
    assert_eq!(moved, told);
}

#[test]
fn a_plan_always_says_how_long_it_takes_and_by_what() {
    let mut desk = cluster(3, 12, 2);
    let whole = Amount { documents: 80_000, bytes: 8_000_000 };
    desk.sizes = (0..3).map(|at| (format!("n{at}"), vec![("a".to_owned(), whole)])).collect();
    let of = Box::new(AdminCommand::NodeAdd(new_node("n3")));
    let plan = |desk: &mut Desk| planned(desk.command(AdminCommand::Plan { of: of.clone() }));
    let first = plan(&mut desk);
    // 8 copies a node: 10,000 documents each.
    assert_eq!(first.estimate, Some(Amount { documents: 60_000, bytes: 6_000_000 }));
    // All six at once, and what leaves is kept for a while.
    assert_eq!(first.time, Some(PlanTime { seconds: 4 + 60 + 10, pace: Pace::Assumed }));
    let slow = Throttle { documents_per_second: Some(100), ..Throttle::default() };
    desk.command(AdminCommand::Throttle(slow));
    assert_eq!(plan(&mut desk).time, Some(PlanTime { seconds: 600 + 10, pace: Pace::Throttled }));
    desk.sizes.clear();
    assert_eq!((plan(&mut desk).estimate, plan(&mut desk).time), (None, None), "nobody said anything");
}

#[test]
fn a_node_is_drained_and_then_removed() {
    let mut desk = cluster(4, 8, 2);
    let refusal = refused(desk.command(AdminCommand::NodeRemove { node: "n1".into(), force: true }));
    assert_eq!((refusal.code, refusal.shards.len()), ("node_holds_shards", 4));
    let id = started(desk.command(AdminCommand::NodeDrain { node: "n1".into() })).id;
    desk.wait(LONG);
    assert_eq!((job(&desk, id).state, held(&desk, "n1")), (JobState::Done, 0));
    assert_eq!(member(&desk, "n1"), Some(MemberState::Draining));
    let answer = desk.command(AdminCommand::NodeRemove { node: "n1".into(), force: false });
    assert!(matches!(answer, AdminAnswer::Done { .. }), "{answer:?}");
    assert_eq!(member(&desk, "n1"), None);
    assert!(desk.sequencer.map().nodes.iter().all(|node| node.id != "n1"));
    desk.restart();
    desk.wait(5_000);
    assert_eq!(member(&desk, "n1"), None, "though the configuration lists it");
    // Its id can be used again.
    started(desk.command(AdminCommand::NodeAdd(new_node("n1"))));
    desk.wait(LONG);
    assert_eq!((held(&desk, "n1"), member(&desk, "n1")), (4, Some(MemberState::Active)));
}

#[test]
fn a_job_goes_on_after_a_restart() {
    let mut desk = cluster(3, 12, 2);
    let id = started(desk.command(AdminCommand::NodeAdd(new_node("n3")))).id;
    for _ in 0..40 {
        desk.restart();
        desk.wait(4_000);
    }
    desk.wait(LONG);
    let after = job(&desk, id);
    assert_eq!((after.state, after.moves_done, held(&desk, "n3")), (JobState::Done, 6, 6));
}

#[test]
fn a_cancelled_join_leaves_what_has_moved_and_moves_no_more() {
    let mut desk = cluster(3, 12, 1);
    // What only this node has cannot be copied while it is away.
    silence(&mut desk, "n2");
    let id = started(desk.command(AdminCommand::NodeAdd(new_node("n3")))).id;
    desk.wait(100_000);
    assert_eq!(job(&desk, id).running.len(), 1);
    assert_eq!(started(desk.command(AdminCommand::JobCancel { job: id })).state, JobState::Cancelled);
    wake(&mut desk, "n2");
    desk.wait(LONG);
    let after = job(&desk, id);
    assert_eq!((after.moves, after.moves_done, after.moves_skipped), (3, 2, 1));
    let [skip] = &after.skips[..] else { panic!("{:?}", after.skips) };
    assert_eq!((skip.why.as_str(), skip.moves, skip.shards.len()), ("the job was cancelled", 1, 1));
    assert!(desk.sequencer.copies().iter().all(|copy| copy.state == CopyState::InSync), "no orphans");
    assert_eq!((held(&desk, "n3"), held(&desk, "n2")), (2, 4));
    assert!(owners(&desk).values().all(|owners| owners.len() == 1));
    assert_eq!(refused(desk.command(AdminCommand::JobCancel { job: id })).code, "job_over");
}

#[test]
fn a_paused_job_starts_nothing_until_it_is_resumed() {
    let mut desk = cluster(3, 12, 2);
    silence(&mut desk, "n2");
    let id = started(desk.command(AdminCommand::RebalanceStart)).id;
    desk.wait(LONG);
    assert_eq!(job(&desk, id).state, JobState::Done, "nothing is to be moved");
    wake(&mut desk, "n2");
    desk.command(AdminCommand::Throttle(Throttle { moves: Some(2), ..Throttle::default() }));
    desk.nodes.insert("n3".into(), FakeNode { silent: Some(NodeFault::NotSent), ..FakeNode::default() });
    let id = started(desk.command(AdminCommand::NodeAdd(new_node("n3")))).id;
    assert_eq!(started(desk.command(AdminCommand::JobPause { job: id })).state, JobState::Paused);
    let under_way = job(&desk, id).running.len();
    desk.restart();
    wake(&mut desk, "n3");
    desk.wait(LONG);
    assert_eq!(held(&desk, "n3"), under_way, "what was under way has ended");
    assert_eq!(job(&desk, id).state, JobState::Paused);
    started(desk.command(AdminCommand::JobResume { job: id }));
    assert_eq!(refused(desk.command(AdminCommand::JobResume { job: id })).code, "job_state");
    desk.wait(LONG);
    assert_eq!((job(&desk, id).state, held(&desk, "n3")), (JobState::Done, 6));
}

#[test]
fn no_more_moves_are_under_way_than_the_limit() {
    let mut desk = cluster(3, 24, 2);
    desk.command(AdminCommand::Throttle(Throttle { moves: Some(2), ..Throttle::default() }));
    desk.nodes.insert("n3".into(), FakeNode { silent: Some(NodeFault::NotSent), ..FakeNode::default() });
    let id = started(desk.command(AdminCommand::NodeAdd(new_node("n3")))).id;
    desk.wait(20_000);
    assert_eq!(job(&desk, id).running.len(), 2);
    assert_eq!(desk.sequencer.syncs().len(), 2);
    desk.restart();
    desk.wait(20_000);
    assert_eq!(desk.sequencer.syncs().len(), 2);
}

#[test]
fn copies_are_added_and_dropped_online() {
    let mut desk = cluster(4, 8, 1);
    let id = started(desk.command(AdminCommand::SetReplicationFactor { replication_factor: 3 })).id;
    desk.wait(LONG);
    assert_eq!((job(&desk, id).state, job(&desk, id).moves_done), (JobState::Done, 16));
    assert!(owners(&desk).values().all(|owners| owners.len() == 3));
    assert_eq!(desk.sequencer.map().replication_factor, 3);
    desk.restart();
    desk.wait(3_000);
    assert_eq!(desk.sequencer.replication_factor(), 3, "whatever the configuration says");
    let id = started(desk.command(AdminCommand::SetReplicationFactor { replication_factor: 2 })).id;
    desk.wait(LONG);
    assert_eq!((job(&desk, id).state, job(&desk, id).moves_done), (JobState::Done, 8));
    assert!(owners(&desk).values().all(|owners| owners.len() == 2));
    assert_eq!(desk.sequencer.copies().len(), 16);
    let code = |answer| refused(answer).code;
    assert_eq!(code(desk.command(AdminCommand::SetReplicationFactor { replication_factor: 5 })), "too_few_nodes");
    assert_eq!(code(desk.command(AdminCommand::SetReplicationFactor { replication_factor: 2 })), "bad_value");
}

#[test]
fn a_copy_does_not_go_while_the_others_are_away() {
    let mut desk = cluster(3, 3, 3);
    silence(&mut desk, "n2");
    let id = started(desk.command(AdminCommand::SetReplicationFactor { replication_factor: 2 })).id;
    desk.wait(LONG);
    let in_contact = |desk: &Desk| {
        let copies = desk.sequencer.copies();
        (0..3).all(|shard| {
            copies
                .iter()
                .filter(|copy| copy.shard == shard && copy.state == CopyState::InSync && copy.node != "n2")
                .count()
                == 2
        })
    };
    assert!(in_contact(&desk), "no shard has fewer than two copies in contact");
    assert!(!job(&desk, id).state.is_over() || held(&desk, "n2") == 0);
    wake(&mut desk, "n2");
    desk.wait(LONG);
    assert_eq!(job(&desk, id).state, JobState::Done);
    assert!(owners(&desk).values().all(|owners| owners.len() == 2));
}

#[test]
fn a_dead_node_is_removed_once_its_copies_are_made_elsewhere() {
    let mut desk = cluster(4, 8, 2);
    silence(&mut desk, "n1");
    let id = started(desk.command(AdminCommand::NodeRemove { node: "n1".into(), force: false })).id;
    desk.wait(LONG);
    assert_eq!((job(&desk, id).state, member(&desk, "n1")), (JobState::Done, None));
    assert_eq!(held(&desk, "n1"), 0);
    assert!(owners(&desk).values().all(|owners| owners.len() == 2));
    desk.restart();
    desk.wait(10_000);
    assert_eq!(held(&desk, "n1"), 0);
}

#[test]
fn last_copies_go_by_force_alone_and_what_is_lost_is_named() {
    let mut desk = cluster(3, 6, 1);
    silence(&mut desk, "n1");
    let refusal = refused(desk.command(AdminCommand::NodeRemove { node: "n1".into(), force: false }));
    let shards: Vec<u32> = refusal.shards.iter().map(|name| name.shard).collect();
    assert_eq!((refusal.code, shards.clone()), ("last_copies", vec![1, 4]));
    let answer = desk.command(AdminCommand::NodeRemove { node: "n1".into(), force: true });
    let AdminAnswer::Removed { loss, job: view } = answer else { panic!("{answer:?}") };
    assert_eq!(loss.emptied.iter().map(|name| name.shard).collect::<Vec<_>>(), shards);
    desk.wait(LONG);
    assert_eq!((job(&desk, view.id).state, member(&desk, "n1")), (JobState::Done, None));
    assert!(owners(&desk).values().all(|owners| owners.len() == 1 && !owners.contains("n1")));
    desk.granted(write("t1", &[1]));
}

#[test]
fn a_successor_gets_exactly_the_shards_of_its_predecessor() {
    let mut desk = cluster(4, 8, 2);
    let before = owners(&desk);
    let with = Replacement::Node(new_node("n9"));
    let id = started(desk.command(AdminCommand::NodeReplace { node: "n1".into(), with })).id;
    desk.wait(LONG);
    assert_eq!((job(&desk, id).state, job(&desk, id).moves_done), (JobState::Done, 4));
    assert_eq!((member(&desk, "n1"), member(&desk, "n9")), (None, Some(MemberState::Active)));
    let renamed = |owners: &BTreeSet<String>| -> BTreeSet<String> {
        owners.iter().map(|id| if id == "n1" { "n9".to_owned() } else { id.clone() }).collect()
    };
    assert_eq!(owners(&desk), before.iter().map(|(shard, owners)| (*shard, renamed(owners))).collect());
}

#[test]
fn a_dead_nodes_disk_is_replaced_and_filled_again() {
    let mut desk = cluster(3, 6, 2);
    let with = || Replacement::Disk { url: Some("http://elsewhere".into()) };
    let replace = || AdminCommand::NodeReplace { node: "n1".into(), with: with() };
    assert_eq!(refused(desk.command(replace())).code, "node_alive");
    silence(&mut desk, "n1");
    let id = started(desk.command(replace())).id;
    let url = desk.sequencer.members().into_iter().find(|member| member.id == "n1").unwrap().url;
    assert_eq!(url, "http://elsewhere");
    *desk.nodes.get_mut("n1").unwrap() = FakeNode::default();
    desk.wait(LONG);
    assert_eq!((job(&desk, id).state, job(&desk, id).moves_done), (JobState::Done, 4));
    assert!(desk.sequencer.copies().iter().all(|copy| copy.state == CopyState::InSync));
}

#[test]
fn a_job_whose_sources_are_behind_says_so() {
    let mut desk = cluster(2, 4, 2);
    let grant = desk.granted(write("t1", &[0, 1, 2, 3]));
    let mut task = |node| {
        let metadata = Some(grant.metadata.as_str());
        desk.add_task(node, metadata, "documentAdditionOrUpdate", Some("a"), TaskStatus::Enqueued, None)
    };
    let tasks = ["n0", "n1"].map(|node| (node, task(node)));
    desk.commit(&grant, "t1", &tasks.map(|(node, uid)| (node, PartOutcome::Accepted { uid })));
    desk.nodes.insert("n2".into(), FakeNode::default());
    let id = started(desk.command(AdminCommand::NodeAdd(new_node("n2")))).id;
    desk.wait(20_000);
    let waiting = job(&desk, id).waiting;
    assert_eq!(waiting.as_deref(), Some("the nodes that are copied from have 1 write to do that came before"));
    for (node, uid) in tasks {
        desk.end_task(node, uid, TaskStatus::Succeeded, Some(4));
    }
    desk.wait(LONG);
    assert_eq!((job(&desk, id).state, job(&desk, id).waiting), (JobState::Done, None));
}

#[test]
fn jobs_take_turns() {
    let mut desk = cluster(4, 8, 2);
    desk.nodes.insert("n4".into(), FakeNode { silent: Some(NodeFault::NotSent), ..FakeNode::default() });
    let join = started(desk.command(AdminCommand::NodeAdd(new_node("n4")))).id;
    let drain = started(desk.command(AdminCommand::NodeDrain { node: "n0".into() })).id;
    desk.wait(20_000);
    assert_eq!(job(&desk, drain).waiting, Some(format!("job {} comes first", join.0)));
    assert_eq!(refused(desk.command(AdminCommand::NodeDrain { node: "n0".into() })).code, "job_exists");
    wake(&mut desk, "n4");
    desk.wait(2 * LONG);
    assert_eq!((job(&desk, join).state, job(&desk, drain).state), (JobState::Done, JobState::Done));
    assert_eq!(held(&desk, "n0"), 0);
    assert!(owners(&desk).values().all(|owners| owners.len() == 2));
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let mut desk = cluster(2, 4, 2);
    let mut code = |command| refused(desk.command(command)).code;
    assert_eq!(code(AdminCommand::NodeDrain { node: "n0".into() }), "too_few_nodes");
    assert_eq!(code(AdminCommand::NodeDrain { node: "n7".into() }), "node_unknown");
    assert_eq!(code(AdminCommand::NodeAdd(new_node("n0"))), "node_exists");
    assert_eq!(code(AdminCommand::NodeAdd(NewNode { weight: 0.0, ..new_node("n5") })), "bad_value");
    assert_eq!(code(AdminCommand::NodeAdd(new_node("N 5"))), "bad_value");
    assert_eq!(code(AdminCommand::JobCancel { job: JobId(7) }), "job_unknown");
    let of = Box::new(AdminCommand::NodeDrain { node: "n0".into() });
    assert_eq!(code(AdminCommand::Plan { of }), "too_few_nodes");
}

#[test]
fn a_node_that_the_configuration_lists_later_waits_for_shards() {
    let mut desk = cluster(3, 12, 2);
    desk.config.nodes.push(ConfigNode { id: "n3".into(), place: NodePlace::default() });
    desk.restart();
    desk.wait(10_000);
    assert_eq!((member(&desk, "n3"), held(&desk, "n3")), (Some(MemberState::Joining), 0));
    assert!(desk.alerts.contains(&"node_waits"));
    started(desk.command(AdminCommand::RebalanceStart));
    desk.wait(LONG);
    assert_eq!((member(&desk, "n3"), held(&desk, "n3")), (Some(MemberState::Active), 6));
}
