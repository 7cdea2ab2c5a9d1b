//! A write that goes to a node behind control's back is noticed and undone.

use std::time::Duration;

use miroir_e2e::harness::scene;
use miroir_e2e::{turn, until};

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
