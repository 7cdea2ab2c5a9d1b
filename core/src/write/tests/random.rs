//! Any order of events: at most one reply, never a call after the end, and an end in bounded time.

use super::*;
use proptest::prelude::*;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    /// The open call at this position (modulo their number) ends like this.
    End(usize, Ending),
    /// Time passes.
    Sleep(u64),
    /// The client leaves.
    Leave,
}

#[derive(Clone, Debug)]
enum Ending {
    Good,
    Refused(u16),
    NotSent,
    Unknown,
    Garbage,
    Reply,
    Again,
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        4 => Just(Ending::Good),
        2 => prop_oneof![Just(403u16), Just(400), Just(500)].prop_map(Ending::Refused),
        1 => Just(Ending::NotSent),
        1 => Just(Ending::Unknown),
        1 => Just(Ending::Garbage),
        1 => Just(Ending::Reply),
        1 => Just(Ending::Again),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (any::<usize>(), ending()).prop_map(|(at, ending)| Event::End(at, ending)),
        3 => (0u64..8_000).prop_map(Event::Sleep),
        1 => Just(Event::Leave),
    ]
}

fn result(run: &Run, path: &str, ending: &Ending) -> CallResult {
    let json = |answer: String| ok(200, &answer);
    let text = |answer: &dyn erased::Json| json(answer.text());
    match (ending, path) {
        (Ending::Refused(status), _) => ok(*status, ""),
        (Ending::NotSent, _) => CallResult::NotSent(NotSent::ConnectFailed),
        (Ending::Unknown, _) => CallResult::Unknown(Unknown::Broken),
        (Ending::Garbage, _) => ok(200, "[1"),
        (Ending::Good, BEGIN_PATH) => text(&BeginAnswer::Grant(run.grant())),
        (Ending::Reply, BEGIN_PATH) => text(&BeginAnswer::Reply(reply(400))),
        (Ending::Again, BEGIN_PATH) => text(&BeginAnswer::Resplit { primary_key: "id".into(), incarnation: 2 }),
        (Ending::Good | Ending::Again, RENEW_PATH) => text(&RenewAnswer::Grant(run.again("n1"))),
        (Ending::Reply, RENEW_PATH) => text(&RenewAnswer::Reply(reply(503))),
        (Ending::Good | Ending::Reply, COMMIT_PATH) => text(&committed()),
        (Ending::Again, COMMIT_PATH) => text(&CommitAnswer::Resend(run.again("n0"))),
        _ => ok(202, r#"{"taskUid":4}"#),
    }
}

/// Answers of control as text, whatever their type.
mod erased {
    pub(super) trait Json {
        fn text(&self) -> String;
    }
    impl<T: serde::Serialize> Json for T {
        fn text(&self) -> String {
            serde_json::to_string(self).unwrap()
        }
    }
}

proptest! {
    #[test]
    fn every_write_ends_once(events in prop::collection::vec(event(), 0..60)) {
        let mut run = Run::replace();
        let mut left = false;
        for event in events {
            if run.done {
                break;
            }
            match event {
                Event::End(at, ending) if !run.open.is_empty() => {
                    let call = run.open.remove(at % run.open.len());
                    let result = result(&run, &call.path, &ending);
                    let actions = run.machine.on_result(call.id, result, run.now);
                    run.take(actions);
                }
                Event::End(..) => {}
                Event::Sleep(ms) => run.sleep(ms),
                Event::Leave => {
                    run.leave();
                    left = left || run.reply.is_none();
                }
            }
        }
        let since = run.now;
        while !run.done {
            let next = run.wakes.iter().copied().filter(|at| *at > run.now).min();
            let next = next.expect("a machine that waits has a wake-up ahead");
            run.sleep(next - run.now);
            prop_assert!(run.now - since < 45_000, "still waiting after {} ms", run.now - since);
        }
        prop_assert!(run.reply.is_some() != left);
    }
}
