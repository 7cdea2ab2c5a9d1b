//! The verbs of `miroirctl` that give something up, even out, repair, or need no cluster: what they do, and how they end.

use std::time::{Duration, Instant};

use miroir_e2e::harness::cluster::Cluster;
use miroir_e2e::harness::engine::Engine;
use miroir_e2e::harness::scene;
use miroir_e2e::harness::tool::{self, Ran};
use miroir_e2e::{Options, turn, until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

async fn cluster(nodes: usize, replication_factor: u8) -> Cluster {
    let engine = Some(Engine::standin().unwrap());
    let control_settings = scene::QUICK.to_owned();
    Cluster::start(Options { nodes, replication_factor, engine, control_settings, ..Options::default() }).await.unwrap()
}

/// Runs a command until it ends with this code.
async fn ends(cluster: &Cluster, code: i32, arguments: &[&str]) -> Ran {
    until(&format!("{arguments:?} to end with {code}"), LIMIT, || async {
        let ran = cluster.tool(arguments).await.ok()?;
        (ran.code == code).then_some(ran)
    })
    .await
    .unwrap()
}

async fn stale(cluster: &Cluster, node: usize) -> usize {
    cluster.copies().await.unwrap().iter().filter(|copy| copy.node == node && copy.state == "stale").count()
}

async fn held(cluster: &Cluster, node: usize) -> usize {
    cluster.copies().await.unwrap().iter().filter(|copy| copy.node == node).count()
}

#[tokio::test]
async fn repair_names_what_is_stale_and_brings_it_back() {
    let _turn = turn().await;
    let mut cluster = cluster(3, 2).await;
    let client = cluster.client(0);
    scene::fill(&client, 60).await.unwrap();
    let none = ends(&cluster, 0, &["repair"]).await;
    assert_eq!(none.out.trim(), "0 shards have copies to be repaired");
    assert_eq!(cluster.tool(&["repair", "--node", "node-9"]).await.unwrap().code, 4);

    cluster.nodes[1].kill();
    let all: Vec<Value> = (0..60).map(|id| json!({"id": id, "text": "second"})).collect();
    scene::write(&client, &Value::from(all)).await.unwrap();
    let missed = stale(&cluster, 1).await;
    assert!(missed > 0, "a missed write left no mark");
    let named = format!("{missed} shards have copies to be repaired");
    assert_eq!(ends(&cluster, 0, &["repair", "--node", "node-1"]).await.out.trim(), named);
    let other = ends(&cluster, 0, &["repair", "--node", "node-0", "-o", "json"]).await.json();
    assert_eq!(other, json!({ "message": "0 shards have copies to be repaired" }));

    cluster.nodes[1].restart().unwrap();
    cluster.node_up(1).await.unwrap();
    until("the copies to be repaired", LIMIT, || async {
        let ran = cluster.tool(&["repair"]).await.ok()?;
        assert_eq!(ran.code, 0, "{ran:?}");
        (stale(&cluster, 1).await == 0).then_some(())
    })
    .await
    .unwrap();
    let documents = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert!(documents.len() == 60 && documents.values().all(|document| document["text"] == "second"), "{documents:?}");
}

#[tokio::test]
async fn rebalance_evens_out_what_a_cancelled_join_left() {
    let _turn = turn().await;
    let mut cluster = cluster(3, 2).await;
    let client = cluster.client(0);
    scene::fill(&client, 320).await.unwrap();
    let even = ends(&cluster, 0, &["rebalance", "plan"]).await;
    assert_eq!(even.out.trim(), "nothing would move");

    ends(&cluster, 0, &["rebalance", "throttle", "--documents-per-second", "1"]).await;
    let new = cluster.another_node().await.unwrap();
    let url = cluster.nodes[new].part.url.clone();
    let join = cluster.job(&["node", "add", "node-3", &url]).await.unwrap().to_string();
    let timed = cluster.tool(&["rebalance", "wait", &join, "--timeout", "1s"]).await.unwrap();
    assert!(timed.code == 7 && timed.err.contains("The time is over; the job goes on."), "{timed:?}");
    assert!(timed.err.contains(&format!("job {join} (join of node-3)")), "no progress was said: {timed:?}");
    ends(&cluster, 0, &["rebalance", "cancel", &join]).await;
    let cancelled = cluster.tool(&["rebalance", "wait", &join]).await.unwrap();
    assert!(cancelled.code == 3 && cancelled.err.contains("was cancelled"), "{cancelled:?}");
    ends(&cluster, 0, &["rebalance", "throttle"]).await;

    let held_before = held(&cluster, new).await;
    let plan = ends(&cluster, 0, &["rebalance", "plan", "--output", "json"]).await.json();
    let moves = plan["plan"]["moves"].as_array().unwrap().len();
    assert_eq!((held_before + moves, &plan["job"]), (8, &Value::Null), "{plan}");
    assert!(moves > 0, "the join was over before it was cancelled");
    assert!(plan["plan"]["estimate"]["documents"].as_u64() > Some(0) && plan["plan"]["seconds"].as_u64() > Some(0));

    assert_eq!(cluster.tool(&["rebalance", "start"]).await.unwrap().code, 5, "it is to be confirmed");
    assert_eq!(held(&cluster, new).await, held_before, "neither a plan nor a refusal moves anything");
    let job = cluster.job(&["rebalance", "start"]).await.unwrap();
    let waited = cluster.tool(&["rebalance", "wait", &job.to_string()]).await.unwrap();
    assert!(waited.code == 0 && waited.out.contains("rebalance") && waited.out.contains("done"), "{waited:?}");
    assert_eq!(cluster.job_state(job).await.unwrap()["movesDone"], moves);
    assert_eq!(cluster.tool(&["rebalance", "wait"]).await.unwrap().code, 0, "nothing is under way");
    assert_eq!(cluster.tool(&["rebalance", "wait", "99"]).await.unwrap().code, 4);
    for node in 0..4 {
        assert_eq!(held(&cluster, node).await, 8, "node {node}");
    }
    assert_eq!(cluster.agreed(&[0, 1, 2, 3], "docs").await.unwrap().len(), 320);
}

#[tokio::test]
async fn a_forced_removal_gives_up_what_only_that_node_has() {
    let _turn = turn().await;
    let mut cluster = cluster(3, 1).await;
    let client = cluster.client(0);
    scene::fill(&client, 120).await.unwrap();
    let gone: usize = cluster.documents_on(2, "docs").await.unwrap().values().map(|copy| copy.len()).sum();
    let shards = held(&cluster, 2).await;
    assert!(gone > 0);
    cluster.nodes[2].kill();
    ends(&cluster, 2, &["status"]).await;

    let refused = cluster.tool(&["node", "remove", "node-2", "--yes"]).await.unwrap();
    let reason = format!("only good copies of {shards} shards");
    assert!(refused.code == 5 && refused.err.contains(&reason), "{refused:?}");
    assert_eq!(cluster.tool(&["node", "remove", "node-2", "--force"]).await.unwrap().code, 5, "it is to be confirmed");
    let forced = cluster.tool(&["node", "remove", "node-2", "--force", "--yes", "--wait"]).await.unwrap();
    assert!(forced.code == 0 && forced.out.contains("shards that are empty from now on: "), "{forced:?}");

    ends(&cluster, 0, &["status"]).await;
    let nodes = ends(&cluster, 0, &["node", "list", "-o", "json"]).await.json();
    assert!(nodes["nodes"].as_array().unwrap().iter().all(|node| node["id"] != "node-2"), "{nodes}");
    cluster.adopted().await.unwrap();
    assert_eq!(scene::count(&client).await.unwrap(), 120 - gone as u64);
    let again: Vec<Value> = (0..120).map(|id| json!({"id": id, "text": "again"})).collect();
    scene::write(&client, &Value::from(again)).await.unwrap();
    assert_eq!(scene::count(&client).await.unwrap(), 120, "shards that were emptied take writes");
}

#[tokio::test]
async fn an_older_copy_serves_once_the_loss_is_accepted() {
    let _turn = turn().await;
    let mut cluster = cluster(2, 2).await;
    let client = cluster.client(0);
    scene::fill(&client, 20).await.unwrap();
    cluster.nodes[1].kill();
    scene::write(&client, &json!([{"id": 7, "text": "newer"}])).await.unwrap();
    let copies = cluster.copies().await.unwrap();
    let shard = copies.iter().find(|copy| copy.node == 1 && copy.state == "stale").unwrap().shard.to_string();
    let accept = ["shard", "accept-loss", "--node", "node-1", shard.as_str()];
    let served = cluster.tool(&[&accept[..], &["--yes"]].concat()).await.unwrap();
    assert!(served.code == 5 && served.err.contains("node-0 is in contact and has a good copy"), "{served:?}");
    cluster.nodes[0].kill();
    cluster.nodes[1].restart().unwrap();
    cluster.node_up(1).await.unwrap();
    let down = until("only the shard that was written to be down", LIMIT, || async {
        let ran = cluster.tool(&["shards"]).await.ok()?;
        ran.out.contains(&format!("\ndown: {shard}\n")).then_some(ran)
    });
    down.await.unwrap();
    assert_eq!(cluster.tool(&["status"]).await.unwrap().code, 2);

    let unconfirmed = cluster.tool(&accept).await.unwrap();
    assert!(unconfirmed.code == 5 && unconfirmed.err.contains("--yes"), "{unconfirmed:?}");
    assert_eq!(cluster.tool(&["status"]).await.unwrap().code, 2, "nothing was accepted");
    let accepted = cluster.tool(&[&accept[..], &["--yes"]].concat()).await.unwrap();
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert!(accepted.out.contains(&format!("shards that go on from an older copy: {shard}")), "{}", accepted.out);
    assert!(accepted.out.contains("tasks whose writes are lost, or may be: "), "{}", accepted.out);

    ends(&cluster, 1, &["status"]).await;
    cluster.adopted().await.unwrap();
    let old = until("the older version to be served", LIMIT, || async {
        let answer = client.get("/indexes/docs/documents/7").await.ok()?;
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(old.await.unwrap()["text"], "first 7");
    assert_eq!(scene::count(&client).await.unwrap(), 20);
    let again = cluster.tool(&[&accept[..], &["--yes"]].concat()).await.unwrap();
    assert!(again.code == 5 && again.err.contains("nothing of theirs need be given up"), "{again:?}");
}

#[tokio::test]
async fn verify_says_how_far_it_is_where_there_is_no_terminal() {
    let _turn = turn().await;
    let cluster = cluster(3, 2).await;
    scene::fill(&cluster.client(0), 40).await.unwrap();
    let lines = |ran: &Ran| -> Vec<String> {
        assert!(!ran.err.contains('\u{1b}') && !ran.err.contains('{'), "{ran:?}");
        ran.err
            .lines()
            .filter(|line| line.ends_with(" of 16 shards compared, 0 differences so far"))
            .map(str::to_owned)
            .collect()
    };
    // A node that takes requests and does not answer: the comparison lasts until its time is over.
    for form in ["text", "json"] {
        cluster.nodes[1].stop().unwrap();
        let ran = cluster.tool(&["verify", "--output", form]).await.unwrap();
        cluster.nodes[1].resume().unwrap();
        assert!([0, 1].contains(&ran.code), "nothing differs: {ran:?}");
        assert!(!lines(&ran).is_empty(), "nothing was said on the way: {ran:?}");
        match form {
            "json" => assert_eq!((&ran.json()["running"], &ran.json()["shards"]), (&json!(false), &json!(16))),
            _ => assert!(ran.out.starts_with("16 of 16 shards compared in ") && !ran.out.contains("so far"), "{ran:?}"),
        }
        ends(&cluster, 0, &["status"]).await;
    }
}

#[tokio::test]
async fn completions_are_scripts_that_know_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = tool::run("http://127.0.0.1:1", "", &["completions", shell]).await.unwrap();
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{shell}");
        for verb in ["status", "rebalance", "accept-loss", "simulate", "completions"] {
            assert!(ran.out.contains(verb), "{shell}: {verb} is missing");
        }
        if shell == "bash" {
            let read = tokio::process::Command::new("bash").args(["-n", "-c", &ran.out]).output().await.unwrap();
            assert!(read.status.success(), "{read:?}");
        }
    }
    assert_eq!(tool::run("", "", &["completions", "no-such-shell"]).await.unwrap().code, 64);
}

/// A release build takes well under a second; tests run unoptimised ones, on machines that do other things too.
#[tokio::test]
async fn a_thousand_nodes_are_simulated_while_one_waits() {
    let began = Instant::now();
    let fleet = ["simulate", "--nodes", "1000", "--shards", "8192", "--from-rf", "3", "--add", "1", "-o", "json"];
    let ran = tool::run("", "", &[&fleet[..], &["--documents", "8192000"]].concat()).await.unwrap();
    let took = began.elapsed();
    eprintln!("1,000 nodes and 8,192 shards simulated in {took:?}");
    assert_eq!(ran.code, 0, "{ran:?}");
    let outcome = ran.json();
    let (made, least) = (outcome["copiesMade"].as_u64().unwrap(), outcome["copiesLeast"].as_u64().unwrap());
    assert_eq!(least, 24, "3 × 8,192 copies over 1,001 nodes");
    assert!(made * 5 <= least * 6, "{made} copies, {least} must be made");
    assert_eq!((&outcome["documentsMoved"], outcome["nodes"].as_array().unwrap().len()), (&json!(made * 1_000), 1_001));
    assert!(took < Duration::from_secs(30), "{took:?}");
}
