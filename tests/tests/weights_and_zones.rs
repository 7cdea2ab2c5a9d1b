//! A node of twice the weight joins in a zone of its own while clients read and write; what makes no sense is refused.

use std::collections::BTreeMap;

use miroir_e2e::harness::engine::Engine;
use miroir_e2e::harness::{load, scene};
use miroir_e2e::{Cluster, Options, turn};

const SHARDS: u32 = 24;
const DOCUMENTS: u64 = 240;

async fn cluster() -> Cluster {
    let zones = ["a", "b", "a", "b"].map(str::to_owned).to_vec();
    let options = Options {
        nodes: 4,
        zones,
        shards: SHARDS,
        engine: Some(Engine::standin().unwrap()),
        control_settings: scene::QUICK.to_owned(),
        ..Options::default()
    };
    Cluster::start(options).await.unwrap()
}

/// Zone of each node, by position.
const ZONES: [&str; 5] = ["a", "b", "a", "b", "c"];

/// Copies of each node; the copies of each shard lie in two zones.
async fn loads(cluster: &Cluster) -> [usize; 5] {
    let mut loads = [0; 5];
    let mut zones: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for copy in cluster.copies().await.unwrap() {
        assert_eq!(copy.state, "inSync", "{copy:?}");
        loads[copy.node] += 1;
        zones.entry(copy.shard).or_default().push(ZONES[copy.node]);
    }
    assert_eq!(zones.len(), SHARDS as usize);
    assert!(zones.values().all(|zones| zones.len() == 2 && zones[0] != zones[1]), "{zones:?}");
    loads
}

#[tokio::test]
async fn a_node_of_weight_two_in_a_third_zone_joins_under_load() {
    let _turn = turn().await;
    let mut cluster = cluster().await;
    let client = cluster.client(0);
    scene::fill(&client, DOCUMENTS).await.unwrap();
    assert_eq!(loads(&cluster).await, [12, 12, 12, 12, 0]);
    let new = cluster.another_node().await.unwrap();
    let url = cluster.nodes[new].part.url.clone();
    let add = ["node", "add", "node-4", &url, "--weight", "2", "--zone", "c"];

    let planned = cluster.tool(&[&add[..], &["--dry-run"]].concat()).await.unwrap();
    assert_eq!(planned.code, 0, "{planned:?}");
    assert!(planned.out.contains("16 moves, 16 copies made (at least 16 in any plan)"), "{}", planned.out);
    let told = "s (at 4 s for the moves under way at once, 1,000 documents and 5 MB a second: no job has shown this cluster's pace yet)";
    assert!(
        planned.out.lines().any(|line| line.starts_with("about 160 documents, ") && line.ends_with(told)),
        "{}",
        planned.out
    );

    let reader = load::reader(cluster.client(0), "docs", DOCUMENTS);
    let writer = load::writer(cluster.client(0), "docs", DOCUMENTS);
    let job = cluster.job(&add).await.unwrap();
    let job = cluster.job_done(job).await.unwrap();
    assert_eq!(job["movesDone"], 16, "{job}");
    let written = writer.finish().await.unwrap();
    assert!(reader.finish().await.unwrap() > 0);
    assert_eq!(written.refused, [], "a move is no reason to refuse");

    assert_eq!(loads(&cluster).await, [8, 8, 8, 8, 16], "twice the weight, twice the shards");
    let held = cluster.agreed(&[0, 1, 2, 3, 4], "docs").await.unwrap();
    assert_eq!(held.len(), DOCUMENTS as usize + written.acknowledged.len());
    assert!(written.acknowledged.iter().all(|(id, _)| held.contains_key(&id.to_string())));
    assert_eq!(scene::count(&client).await.unwrap(), held.len() as u64);

    let again = cluster.tool(&["rebalance", "plan"]).await.unwrap();
    assert_eq!((again.code, again.out.trim()), (0, "nothing would move"), "{again:?}");
    let drain = cluster.tool(&["node", "drain", "node-4", "--dry-run", "--output", "json"]).await.unwrap().json();
    assert_eq!(drain["plan"]["pace"], "measured", "{drain}");
    assert!(drain["plan"]["seconds"].as_u64().is_some_and(|seconds| seconds > 0), "{drain}");
}

#[tokio::test]
async fn weights_and_zones_that_make_no_sense_are_refused() {
    let _turn = turn().await;
    let cluster = cluster().await;
    let run = async |arguments: &[&str]| cluster.tool(arguments).await.unwrap();
    let add = ["node", "add", "node-4", "http://127.0.0.1:1", "--yes"];
    for weight in ["0", "-1", "nan", "inf", "two"] {
        let ran = run(&[&add[..], &["--weight", weight]].concat()).await;
        assert!(ran.code == 64 && ran.err.contains(&format!("`{weight}` is not a number above 0")), "{ran:?}");
    }
    for zone in ["", " "] {
        let ran = run(&[&add[..], &["--zone", zone]].concat()).await;
        assert!(ran.code != 0 && ran.err.contains("zone") && ran.err.contains("needs a name"), "{ran:?}");
    }
    let replace =
        |zone| ["node", "replace", "node-1", "--with", "node-4", "--to", "http://127.0.0.1:1", "--zone", zone];
    let ran = run(&[&replace("a")[..], &["--yes"]].concat()).await;
    assert!(ran.code == 64 && ran.err.contains("zone a holds other copies of shards of node-1. Shards: "), "{ran:?}");
    assert_eq!(run(&[&replace("b")[..], &["--dry-run"]].concat()).await.code, 0);
    assert_eq!(run(&["node", "list", "-o", "json"]).await.json()["nodes"].as_array().unwrap().len(), 4);
    assert!(run(&["rebalance", "status"]).await.out.starts_with("no jobs"));
}
