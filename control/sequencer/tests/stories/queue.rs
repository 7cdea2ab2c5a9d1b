//! Jobs behind each other, and what their copies that leave wait for.

use miroir_sequencer::*;

use crate::desk::*;
use crate::fake_node::FakeNode;
use crate::jobs::*;

/// Until a job is over, or no story's patience is left.
fn see_through(desk: &mut Desk, id: JobId) -> JobView {
    for _ in 0..20_000 {
        if job(desk, id).state.is_over() {
            break;
        }
        desk.wait(100);
    }
    job(desk, id)
}

#[test]
fn a_job_does_what_its_dry_run_said_whatever_waits_behind_it() {
    let plan = |desk: &mut Desk, of: &AdminCommand| {
        planned(desk.command(AdminCommand::Plan { of: Box::new(of.clone()) })).moves.len() as u64
    };
    let copies = AdminCommand::SetReplicationFactor { replication_factor: 2 };
    for first in [copies, AdminCommand::NodeAdd(new_node("n4")), AdminCommand::RebalanceStart] {
        let mut desk = cluster(4, 8, 1);
        // A job that does not get on comes first, so that it has to be planned when others wait behind it.
        desk.nodes.insert("n5".into(), FakeNode { silent: Some(NodeFault::NotSent), ..FakeNode::default() });
        let blocks = started(desk.command(AdminCommand::NodeAdd(new_node("n5")))).id;
        let said = plan(&mut desk, &first);
        let ahead = started(desk.command(first)).id;
        let drain = started(desk.command(AdminCommand::NodeDrain { node: "n1".into() })).id;
        let more = AdminCommand::SetReplicationFactor { replication_factor: 3 };
        let behind = match desk.command(more) {
            AdminAnswer::Job(more) => vec![drain, more.id],
            _ => vec![drain],
        };
        let late = started(desk.command(AdminCommand::NodeAdd(new_node("n6")))).id;
        started(desk.command(AdminCommand::JobCancel { job: blocks }));
        desk.restart();
        wake(&mut desk, "n5");
        let done = see_through(&mut desk, ahead);
        assert_eq!((done.state, done.moves, done.moves_skipped), (JobState::Done, said, 0), "{done:?}");
        desk.wait(4 * LONG);
        assert!(behind.iter().chain([&late]).all(|id| job(&desk, *id).state == JobState::Done));
        assert_eq!(held(&desk, "n1"), 0);
        let copies = usize::from(desk.sequencer.replication_factor());
        assert!(owners(&desk).values().all(|owners| owners.len() == copies), "{:?}", owners(&desk));
    }
}

#[test]
fn a_filter_that_falls_silent_is_named_and_keeps_no_job_from_its_turn() {
    let mut desk = cluster(4, 8, 2);
    let before = desk.sequencer.epoch();
    desk.heartbeat("killed", Some("edge-1"), before);
    let heard = desk.now;
    let drain = started(desk.command(AdminCommand::NodeDrain { node: "n0".into() })).id;
    let join = started(desk.command(AdminCommand::NodeAdd(new_node("n4")))).id;
    desk.wait(LONG);
    // Well after the time after which nothing is said of a silent filter otherwise.
    desk.wait(3_600_000);
    let view = job(&desk, drain);
    assert_eq!((view.state, view.moves_done, view.running.len()), (JobState::Running, 0, 4));
    let wait = view.deletions.expect("what it waits for");
    let filter = WaitedFilter {
        vm: "killed".into(),
        envoy: Some("edge-1".into()),
        epoch: Some(before),
        heard_ms: heard,
        silent: true,
    };
    assert_eq!((wait.copies, &wait.filters[..], wait.is_stuck()), (4, &[filter][..], true));
    assert!(wait.since_ms >= heard && wait.since_ms < heard + LONG, "{wait:?}");
    assert_eq!(wait.until_ms, Some(heard + desk.config.timing.vm_grace + desk.config.timing.vm_silent));
    let sentence = "4 copies that leave wait for 1 filter worker that fell silent (Envoy edge-1)";
    assert_eq!((wait.sentence().as_str(), view.waiting.as_deref()), (sentence, Some(sentence)));
    // The job behind it has made its copies, of other shards and of those whose older copies are not in their way.
    assert_eq!((member(&desk, "n0"), held(&desk, "n4") > 0), (Some(MemberState::Draining), true));
    assert!(owners(&desk).values().all(|owners| owners.len() == 2 && !owners.contains("n0")), "{:?}", owners(&desk));
    let all = desk.sequencer.deletion_wait().expect("what copies wait for");
    assert!(all.copies > 4 && all.until_ms == wait.until_ms, "{all:?}");
    // Another leader knows the filter, and not by what it read.
    desk.restart();
    desk.wait(20_000);
    let wait = job(&desk, drain).deletions.expect("what it waits for");
    assert_eq!((wait.filters[0].envoy.as_deref(), wait.filters[0].epoch), (Some("edge-1"), None));
    assert!(matches!(desk.command(AdminCommand::ForceDeletion), AdminAnswer::Done { .. }));
    desk.wait(LONG);
    assert_eq!((job(&desk, drain).state, job(&desk, join).state), (JobState::Done, JobState::Done));
    assert_eq!((held(&desk, "n0"), desk.sequencer.deletion_wait()), (0, None));
}

#[test]
fn a_filter_in_contact_is_waited_for_without_an_end_in_sight() {
    let mut desk = cluster(3, 3, 1);
    let before = desk.sequencer.epoch();
    let drain = started(desk.command(AdminCommand::NodeDrain { node: "n0".into() })).id;
    for _ in 0..60 {
        desk.heartbeat("behind", None, before);
        desk.wait(1_000);
    }
    let wait = job(&desk, drain).deletions.expect("what it waits for");
    assert_eq!((wait.until_ms, wait.is_stuck(), wait.filters[0].silent), (None, false, false));
    let now = desk.sequencer.epoch();
    desk.heartbeat("behind", None, now);
    assert_eq!(job(&desk, drain).deletions, None);
}

#[test]
fn a_cancelled_change_of_the_number_of_copies_says_what_is_left_and_can_be_made_good() {
    let copies = |replication_factor| AdminCommand::SetReplicationFactor { replication_factor };
    let mut desk = cluster(3, 3, 3);
    // Copies of which the others are not all there cannot go.
    silence(&mut desk, "n2");
    let id = started(desk.command(copies(2))).id;
    desk.wait(100);
    let left = started(desk.command(AdminCommand::JobCancel { job: id })).left;
    let left = left.expect("what is left");
    assert!(left.ends_with("shards have fewer copies than the 3 in force: `miroirctl rf 3` makes what is lacking"));
    assert_eq!(job(&desk, id).left, Some(left));
    desk.restart();
    wake(&mut desk, "n2");
    desk.wait(LONG);
    assert!(owners(&desk).values().any(|owners| owners.len() < 3), "nothing is made unasked");
    let mend = started(desk.command(copies(3)));
    assert_eq!(mend.kind, JobKind::ReplicationFactor { from: 3, to: 3 });
    desk.wait(LONG);
    assert_eq!(job(&desk, mend.id).state, JobState::Done);
    assert!(owners(&desk).values().all(|owners| owners.len() == 3));
    assert_eq!((job(&desk, id).left, refused(desk.command(copies(3))).code), (None, "bad_value"));
}

#[test]
fn a_number_of_copies_that_every_shard_has_stays_though_the_old_ones_are_not_yet_deleted() {
    let copies = |replication_factor| AdminCommand::SetReplicationFactor { replication_factor };
    let mut desk = cluster(4, 8, 3);
    let id = started(desk.command(copies(2))).id;
    desk.wait(100);
    assert_eq!(job(&desk, id).waiting.as_deref(), Some("copies that leave are being deleted"));
    let cancelled = started(desk.command(AdminCommand::JobCancel { job: id }));
    assert_eq!((cancelled.state, desk.sequencer.replication_factor()), (JobState::Cancelled, 2));
    let left = cancelled.left.expect("what is in force");
    assert_eq!(left, "every shard has its 2 copies already, and keeps to that: `miroirctl rf 3` goes back");
    desk.wait(LONG);
    assert!(owners(&desk).values().all(|owners| owners.len() == 2));
}

#[test]
fn an_estimate_goes_by_what_the_last_jobs_took() {
    let mut desk = Desk::new(config(4, vec![vec![0, 1]]), true);
    desk.repairs = true;
    for id in ["n0", "n1"] {
        desk.nodes.get_mut(id).unwrap().documents = (0..1_000).map(|at| (format!("{at:04}"), at)).collect();
    }
    let holds = |documents| vec![("a".to_owned(), Amount { documents, bytes: documents * 100 })];
    desk.sizes = ["n0", "n1"].map(|id| (id.to_owned(), holds(1_000))).to_vec();
    let more = |copies| AdminCommand::SetReplicationFactor { replication_factor: copies };
    let plan = |desk: &mut Desk, of| planned(desk.command(AdminCommand::Plan { of: Box::new(of) })).time;
    assert_eq!(plan(&mut desk, more(3)), Some(PlanTime { seconds: 4 + 1, pace: Pace::Assumed }));
    // It waits for a node at first: that says nothing of the pace.
    for id in ["n2", "n3"] {
        silence(&mut desk, id);
    }
    let id = started(desk.command(more(3))).id;
    desk.wait(LONG);
    // These nodes do everything at once: so they are held back.
    let slow = |documents_per_second| AdminCommand::Throttle(Throttle { documents_per_second, ..Throttle::default() });
    desk.command(slow(Some(500)));
    for id in ["n2", "n3"] {
        wake(&mut desk, id);
    }
    assert_eq!((see_through(&mut desk, id).state, job(&desk, id).copied.documents), (JobState::Done, 1_000));
    desk.command(slow(None));
    let PlanTime { seconds, pace } = plan(&mut desk, more(4)).expect("a time");
    assert!(pace == Pace::Measured && (1..=4).contains(&seconds), "{seconds}");
    desk.sizes = ["n0", "n1"].map(|id| (id.to_owned(), holds(1_000_000))).to_vec();
    let PlanTime { seconds, pace } = plan(&mut desk, more(4)).expect("a time");
    assert!(pace == Pace::Measured && (200..1_000).contains(&seconds), "{seconds}");
}
