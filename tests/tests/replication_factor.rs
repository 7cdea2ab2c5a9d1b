//! The number of copies of each shard changes while clients read and write: nothing is lost, refused or incomplete.

use std::collections::BTreeMap;

use miroir_e2e::chaos::Play;
use miroir_e2e::harness::scene;
use miroir_e2e::{Cluster, turn};

async fn copies_of_each_shard(cluster: &Cluster) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for copy in cluster.copies().await.unwrap() {
        assert_eq!(copy.state, "inSync", "{copy:?}");
        *counts.entry(copy.shard).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn it_goes_up_and_down_under_load() {
    let _turn = turn().await;
    let mut cluster = scene::moving(3, 2).await.unwrap();
    let mut play = Play::prepare(&cluster, 11).await.unwrap();
    for factor in ["3", "1", "2"] {
        play.begin(&cluster);
        let job = cluster.job(&["rf", factor]).await.unwrap();
        cluster.job_done(job).await.unwrap();
        play.end(&mut cluster).await.unwrap();
        let expected: usize = factor.parse().unwrap();
        let counts = copies_of_each_shard(&cluster).await;
        assert!(counts.len() == 16 && counts.values().all(|count| *count == expected), "RF {factor}: {counts:?}");
    }
    let tally = play.tally();
    assert!(tally.faults.is_empty(), "{:?}\n{}", tally.faults, tally.findings.join("\n"));
    assert!(tally.errors.is_empty(), "a move is no reason to refuse: {:?}", tally.errors);
    // While copies are still to be made, answers say that there are fewer than there should be.
    assert!(tally.writes.keys().all(|answer| answer.starts_with("acknowledged")), "{:?}", tally.writes);
    assert!(tally.judged > 0 && tally.compared > 0 && tally.rounds == 3, "{tally:?}");
}
