//! Late, lost, refused and hostile answers, and clients that leave.

use super::*;

fn unknown() -> PartOutcome {
    PartOutcome::Unknown
}

fn forbidden() -> CallResult {
    ok(403, r#"{"message":"","code":"invalid_api_key","type":"auth","link":""}"#)
}

#[test]
fn no_grant_means_503_and_an_abort() {
    for result in [
        CallResult::Unknown(Unknown::Timeout),
        CallResult::NotSent(NotSent::NoHealthyHost),
        ok(200, "{"),
        ok(200, r#"{"answer":"something new"}"#),
        ok(500, ""),
    ] {
        let mut run = Run::replace();
        run.end(BEGIN_PATH, result);
        assert_eq!(run.status(), 503);
        assert!(run.reply.as_ref().unwrap().headers.contains(&("retry-after".into(), "1".into())));
        assert_eq!(run.notices.len(), 1);
        let abort: Abort = serde_json::from_slice(&run.notices[0].body).unwrap();
        assert_eq!((run.notices[0].path.as_str(), abort.attempt), (ABORT_PATH, "a".repeat(32)));
    }
}

#[test]
fn a_begin_whose_end_is_lost_is_given_up() {
    let mut run = Run::replace();
    run.sleep(10_500);
    assert!(!run.done);
    run.sleep(500);
    assert_eq!(run.status(), 503);
    assert_eq!(run.notices[0].path, ABORT_PATH);
}

#[test]
fn a_late_grant_is_aborted_and_not_sent() {
    let mut run = Run::replace();
    run.now += 15_000;
    run.answer(BEGIN_PATH, &BeginAnswer::Grant(run.grant()));
    assert_eq!(run.status(), 503);
    assert_eq!(run.notices[0].path, ABORT_PATH);
    assert!(run.open.is_empty());
}

#[test]
fn a_grant_in_time_is_sent() {
    let mut run = Run::replace();
    run.now += 9_999;
    run.answer(BEGIN_PATH, &BeginAnswer::Grant(run.grant()));
    assert_eq!(run.open.len(), 3);
}

#[test]
fn refusals_and_doubts_are_reported_as_they_are() {
    let mut run = Run::dispatched();
    run.end("n0-w", ok(507, "full"));
    run.end("n1-w", CallResult::NotSent(NotSent::ConnectFailed));
    run.end("n2-w", CallResult::Unknown(Unknown::Broken));
    let outcomes: Vec<_> = run.report().into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, [PartOutcome::Refused { status: 507, error: None }, PartOutcome::NotSent, unknown()]);
    run.answer(COMMIT_PATH, &CommitAnswer::Reply(reply(503)));
    assert_eq!(run.status(), 503);
}

#[test]
fn a_403_asks_for_fresh_keys_once() {
    let mut run = Run::dispatched();
    run.accept("n0-w", 1);
    run.end("n1-w", forbidden());
    assert!(!run.open.iter().any(|call| call.path == RENEW_PATH), "the third has not answered yet");
    run.accept("n2-w", 3);
    let renew: Renew = run.message(RENEW_PATH);
    assert_eq!((renew.ticket, renew.nodes), (70, vec!["n1".to_owned()]));
    run.answer(RENEW_PATH, &RenewAnswer::Grant(run.again("n1")));
    assert!(run.call("n1-w").headers.contains(&("authorization".into(), "Bearer fresh".into())));
    assert_eq!(run.open.len(), 1);
    run.end("n1-w", forbidden());
    assert!(matches!(run.report()[1].1, PartOutcome::Refused { status: 403, .. }), "no second renewal");
    run.answer(COMMIT_PATH, &committed());
    assert_eq!(run.status(), 202);
}

#[test]
fn a_renewal_that_fails_leaves_the_refusal() {
    for result in [CallResult::Unknown(Unknown::Timeout), ok(200, "nonsense")] {
        let mut run = Run::dispatched();
        for node in ["n0-w", "n1-w", "n2-w"] {
            run.end(node, forbidden());
        }
        run.end(RENEW_PATH, result);
        assert_eq!(run.report().len(), 3);
    }
    let mut run = Run::dispatched();
    for node in ["n0-w", "n1-w", "n2-w"] {
        run.end(node, forbidden());
    }
    run.answer(RENEW_PATH, &RenewAnswer::Reply(reply(503)));
    assert_eq!(run.status(), 503);
}

#[test]
fn a_late_renewal_is_not_sent() {
    let mut run = Run::dispatched();
    run.accept("n0-w", 1);
    run.accept("n2-w", 1);
    run.end("n1-w", forbidden());
    run.now += 10_000;
    run.answer(RENEW_PATH, &RenewAnswer::Grant(run.again("n1")));
    assert_eq!(run.report()[1].1, PartOutcome::NotSent);
}

#[test]
fn a_hung_node_does_not_hold_the_write_beyond_the_soft_limit() {
    let mut run = Run::dispatched();
    run.accept("n0-w", 1);
    run.sleep(1_999);
    assert!(!run.open.iter().any(|call| call.path == COMMIT_PATH));
    run.sleep(1);
    assert_eq!(run.report()[1].1, unknown());
    run.answer(COMMIT_PATH, &committed());
    assert_eq!(run.status(), 202);
}

#[test]
fn beyond_the_soft_limit_the_first_acceptance_that_counts_is_enough() {
    let mut run = Run::dispatched();
    run.accept("n2-w", 1);
    run.sleep(2_000);
    assert!(!run.open.iter().any(|call| call.path == COMMIT_PATH), "a copy that is being filled does not count");
    run.now += 700;
    run.accept("n1-w", 1);
    assert_eq!(run.report()[0].1, unknown());
}

#[test]
fn beyond_the_soft_limit_fresh_keys_are_not_waited_for_in_vain() {
    let mut run = Run::dispatched();
    run.end("n1-w", forbidden());
    run.sleep(2_000);
    let renew: Renew = run.message(RENEW_PATH);
    assert_eq!(renew.nodes, ["n1"]);
}

#[test]
fn nodes_that_never_answer_are_unknown_at_the_deadline() {
    let mut run = Run::dispatched();
    run.sleep(20_999);
    assert!(!run.open.iter().any(|call| call.path == COMMIT_PATH));
    run.sleep(1);
    assert!(run.report().iter().all(|(_, outcome)| *outcome == unknown()));
}

#[test]
fn a_commit_may_ask_for_a_resend() {
    let mut run = Run::dispatched();
    run.accept("n0-w", 1);
    run.accept("n2-w", 1);
    run.end("n1-w", CallResult::Unknown(Unknown::Broken));
    run.answer(COMMIT_PATH, &CommitAnswer::Resend(run.again("n1")));
    assert_eq!(run.open.len(), 1);
    run.accept("n1-w", 5);
    assert_eq!(run.report()[1].1, PartOutcome::Accepted { uid: 5 });
    run.answer(COMMIT_PATH, &committed());
    assert_eq!(run.status(), 202);
}

#[test]
fn resends_without_end_come_to_an_end() {
    let mut run = Run::dispatched();
    for node in ["n0-w", "n1-w", "n2-w"] {
        run.accept(node, 1);
    }
    for _ in 0..200 {
        if run.done {
            break;
        }
        if run.open.iter().any(|call| call.path == COMMIT_PATH) {
            run.answer(COMMIT_PATH, &CommitAnswer::Resend(run.again("n1")));
        } else if run.open.iter().any(|call| call.cluster == "n1-w") {
            run.accept("n1-w", 2);
        } else {
            run.sleep(1_000);
        }
    }
    assert_eq!(run.status(), 503);
}

#[test]
fn commit_is_tried_until_ten_seconds_after_the_deadline() {
    let mut run = Run::dispatched();
    for node in ["n0-w", "n1-w", "n2-w"] {
        run.accept(node, 1);
    }
    let mut tries = 0;
    while !run.done {
        run.end(COMMIT_PATH, CallResult::NotSent(NotSent::ConnectFailed));
        tries += 1;
        let next = run.wakes.last().copied().unwrap();
        if !run.done {
            run.sleep(next - run.now);
        }
    }
    assert!((30..40).contains(&tries), "{tries}");
    assert!((30_000..=31_000).contains(&run.now), "{}", run.now);
    assert_eq!(run.status(), 503);
    let body = String::from_utf8(run.reply.unwrap().body).unwrap();
    assert!(body.contains("outcome of this write is unknown") && body.contains("Task 70"), "{body}");
}

#[test]
fn a_commit_that_another_leader_takes_is_a_commit() {
    let mut run = Run::dispatched();
    for node in ["n0-w", "n1-w", "n2-w"] {
        run.accept(node, 1);
    }
    run.end(COMMIT_PATH, ok(503, "not the leader"));
    run.sleep(50);
    run.answer(COMMIT_PATH, &committed());
    assert_eq!(run.status(), 202);
}

/// The driver loses the end of every call; the clock alone ends the machine.
#[test]
fn lost_ends_of_calls_hold_nothing_for_ever() {
    for answered in 0..3 {
        let mut run = Run::replace();
        if answered > 0 {
            run.answer(BEGIN_PATH, &BeginAnswer::Grant(run.grant()));
        }
        if answered > 1 {
            for node in ["n0-w", "n1-w", "n2-w"] {
                run.accept(node, 1);
            }
        }
        while !run.done {
            let next = run.wakes.iter().copied().filter(|at| *at > run.now).min();
            let next = next.expect("a machine that waits has a wake-up ahead");
            run.sleep(next - run.now);
            assert!(run.now < 60_000);
        }
        assert_eq!(run.status(), 503);
    }
}

#[test]
fn a_client_that_leaves_changes_nothing_but_the_reply() {
    for step in 0..4 {
        let mut run = Run::replace();
        let leave_at = |at, run: &mut Run| {
            if at == step {
                run.leave();
            }
        };
        leave_at(0, &mut run);
        run.answer(BEGIN_PATH, &BeginAnswer::Grant(run.grant()));
        leave_at(1, &mut run);
        run.accept("n0-w", 1);
        leave_at(2, &mut run);
        run.accept("n1-w", 1);
        run.accept("n2-w", 1);
        leave_at(3, &mut run);
        run.answer(COMMIT_PATH, &committed());
        assert!(run.done && run.reply.is_none(), "{step}");
        assert!(run.notices.is_empty());
    }
}

#[test]
fn a_worker_that_vanishes_says_what_it_knows() {
    assert_eq!(Run::replace().machine.give_up().unwrap().path, ABORT_PATH);
    let mut run = Run::dispatched();
    run.accept("n1-w", 4);
    let call = run.machine.give_up().unwrap();
    assert_eq!(call.path, ABANDON_PATH);
    let abandon: Abandon = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(abandon.parts[1].outcome, PartOutcome::Accepted { uid: 4 });
    assert_eq!(abandon.parts[0].outcome, unknown());
    assert!(run.machine.give_up().is_none());
    let actions = run.machine.on_wake(100_000);
    assert!(actions.is_empty());
}

#[test]
fn what_belongs_to_nothing_is_ignored() {
    let mut run = Run::dispatched();
    let stray = run.machine.on_result(crate::call::CallId(999), ok(202, r#"{"taskUid":1}"#), run.now);
    assert!(stray.is_empty());
    assert!(run.machine.start(run.now).is_empty());
    run.accept("n0-w", 1);
    run.sleep(2_000);
    run.answer(COMMIT_PATH, &committed());
    let late = run.open.iter().find(|call| call.cluster == "n1-w").unwrap().id;
    assert!(run.machine.on_result(late, ok(202, r#"{"taskUid":1}"#), run.now).is_empty());
}
