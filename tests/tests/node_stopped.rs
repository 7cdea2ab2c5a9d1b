//! A node that is stopped with a write in its socket, and goes on after the next write.

use miroir_e2e::harness::copies::Copy;
use miroir_e2e::harness::scene;
use miroir_e2e::turn;
use serde_json::json;

#[tokio::test]
async fn a_write_in_its_socket_undoes_nothing() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    let all = |text: &str| json!((0..40).map(|id| json!({"id": id, "text": text})).collect::<Vec<_>>());
    cluster.nodes[1].stop().unwrap();
    for text in ["older", "newer"] {
        let answer = client.post("/indexes/docs/documents", &all(text)).await.unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text);
        client.succeeded(&answer).await.unwrap();
    }
    assert_eq!(scene::count(&client).await.unwrap(), 40);
    let stale = |copies: &[Copy]| copies.iter().any(|copy| copy.node == 1 && copy.state == "stale");
    assert!(stale(&cluster.copies().await.unwrap()), "a missed write left no mark");
    cluster.nodes[1].resume().unwrap();
    cluster.node_up(1).await.unwrap();
    cluster.adopted().await.unwrap();
    let held = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(held.len(), 40);
    for _ in 0..50 {
        let found = client.post("/indexes/docs/search", &json!({"limit": 100})).await.unwrap().json();
        let hits = found["hits"].as_array().unwrap();
        assert!(hits.len() == 40 && hits.iter().all(|hit| hit["text"] == "newer"), "{found}");
    }
}
