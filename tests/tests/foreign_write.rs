//! A write that goes to a node behind control's back is noticed and undone.

use std::time::Duration;

use miroir_e2e::harness::scene;
use miroir_e2e::{turn, until};
use serde_json::json;

#[tokio::test]
async fn it_is_noticed_and_never_shown() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    cluster.drained(&[0, 1, 2]).await.unwrap();
    let node = cluster.node_client(2);
    let id = cluster.documents_on(2, "docs").await.unwrap().into_values().find_map(|copy| copy.into_keys().next());
    let id = id.unwrap();
    node.succeeded(&node.delete(&format!("/indexes/docs/documents/{id}")).await.unwrap()).await.unwrap();
    // What was deleted there comes back from the other replica: the copy was found to be stale, and repaired.
    until("the foreign write to be repaired", Duration::from_secs(60), || async {
        let answer = node.get(&format!("/indexes/docs/documents/{id}")).await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await
    .unwrap();
    cluster.whole(Duration::from_secs(60)).await.unwrap();
    cluster.adopted().await.unwrap();
    for _ in 0..20 {
        assert_eq!(scene::count(&client).await.unwrap(), 40);
    }
    assert!(cluster.agreed(&[0, 1, 2], "docs").await.unwrap().contains_key(&id));
}

#[tokio::test]
async fn settings_are_put_back_however_long_the_node_takes_for_them() {
    let _turn = turn().await;
    let mut cluster = scene::faulty(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    cluster.drained(&[0, 1, 2]).await.unwrap();
    let node = cluster.node_client(2);
    cluster.plant(2, json!({"holdQueue": true})).await.unwrap();
    let synonyms = json!({"synonyms": {"zzyzx": ["first"]}});
    let changed = node.json(reqwest::Method::PATCH, "/indexes/docs/settings", &synonyms).await.unwrap();
    assert_eq!(changed.status, 202, "{}", changed.text);
    let newest = changed.json()["taskUid"].clone();
    let told = until("the node to be told anything ahead of the change", Duration::from_secs(5), || async {
        (node.get("/tasks?limit=1").await.ok()?.json()["results"][0]["uid"] != newest).then_some(())
    });
    assert!(told.await.is_err(), "it was looked at too early");
    assert!(cluster.copies().await.unwrap().iter().any(|copy| copy.node == 2 && copy.state != "inSync"));
    cluster.plant(2, json!({})).await.unwrap();
    node.succeeded(&changed).await.unwrap();
    cluster.whole(Duration::from_secs(60)).await.unwrap();
    cluster.adopted().await.unwrap();
    let settings = node.get("/indexes/docs/settings").await.unwrap().json();
    assert_eq!(settings["synonyms"], json!({}), "read again with settings that nobody gave: {settings}");
    assert_eq!(cluster.agreed(&[0, 1, 2], "docs").await.unwrap().len(), 40);
}
