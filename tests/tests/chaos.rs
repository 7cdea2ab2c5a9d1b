//! A short run of `cargo xtask chaos`, and the proof that such a run finds what is planted in it.

use clap::Parser;
use miroir_e2e::chaos::{self, Arguments, Fault};
use miroir_e2e::turn;

#[tokio::test]
async fn nothing_is_lost() {
    let _turn = turn().await;
    let arguments = Arguments::parse_from(["chaos", "--seconds", "20", "--round", "10"]);
    // The plan of this seed kills and stops each kind of part.
    let tally = chaos::chaos(&arguments, 852).await.unwrap();
    assert!(tally.faults.is_empty(), "{:?}\n{}", tally.faults, tally.findings.join("\n"));
    for harm in
        ["killed: node", "stopped: node", "killed: envoy", "stopped: envoy", "killed: control", "stopped: control"]
    {
        assert!(tally.harms.keys().any(|done| done.starts_with(harm)), "{harm}: {:?}", tally.harms);
    }
    for job in ["join done", "drain done"] {
        assert!(tally.jobs.contains_key(job), "{job}: {:?}", tally.jobs);
    }
    assert!(tally.passing.contains_key("deleted"), "{:?}", tally.passing);
    assert!(tally.succeeded > 0 && tally.judged > 0 && tally.compared > 0, "{tally:?}");
}

#[tokio::test]
async fn a_document_deleted_behind_its_back_is_found() {
    let _turn = turn().await;
    let arguments = Arguments::parse_from(["chaos", "--seconds", "2", "--tamper"]);
    let tally = chaos::chaos(&arguments, 3).await.unwrap();
    assert!(tally.count(Fault::Lost) > 0, "{:?}", tally.faults);
    let words = &tally.findings[0];
    assert!(words.contains("is None, and may be") && words.contains(" sent at "), "{words}");
    assert!(words.contains("node-0 has"), "{words}");
}
