//! The behaviour suite: the recorded scenarios against the real engine, the stand-in, and clusters.

use miroir_e2e::scenario::{self, Against, MASTER_KEY};
use miroir_e2e::{Client, Cluster, Engine, Options, Single, turn};

async fn holds(client: &Client, against: Against) {
    let mut differences = Vec::new();
    for scenario in scenario::load().unwrap() {
        differences.extend(scenario::check(&scenario, client, against).await);
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

async fn cluster_holds(replication_factor: u8) {
    let _turn = turn().await;
    let master_key = Some(MASTER_KEY.to_owned());
    let cluster = Cluster::start(Options { replication_factor, master_key, ..Options::default() }).await.unwrap();
    holds(&cluster.client(0), Against::cluster(&Engine::find().unwrap())).await;
}

/// Keeps the files true to the engine. Without a real engine there is nothing to compare: the stand-in has its own test.
#[tokio::test]
async fn the_engine_answers_as_recorded() {
    let engine = Engine::find().unwrap();
    if engine.standin {
        return;
    }
    let server = Single::start(&engine, Some(MASTER_KEY)).await.unwrap();
    holds(&server.client(), Against::Engine).await;
}

#[tokio::test]
async fn the_standin_answers_as_recorded() {
    let server = Single::start(&Engine::standin().unwrap(), Some(MASTER_KEY)).await.unwrap();
    holds(&server.client(), Against::Standin).await;
}

#[tokio::test]
async fn a_cluster_answers_as_one_engine() {
    cluster_holds(1).await;
}

#[tokio::test]
async fn a_replicated_cluster_answers_as_one_engine() {
    cluster_holds(2).await;
}
