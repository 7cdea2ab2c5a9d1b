//! Writers of the same documents through two Envoys: replicas end identical.

use miroir_e2e::harness::scene;
use miroir_e2e::turn;
use reqwest::Method;
use serde_json::json;

const WRITERS: u64 = 8;
const ROUNDS: u64 = 12;
const DOCUMENTS: u64 = 20;

#[tokio::test]
async fn replicas_end_identical() {
    let _turn = turn().await;
    let cluster = scene::sound(2).await.unwrap();
    scene::fill(&cluster.client(0), DOCUMENTS).await.unwrap();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let client = cluster.client(usize::from(writer % 2 == 1));
        writers.push(tokio::spawn(async move {
            let mut tasks = Vec::new();
            for round in 0..ROUNDS {
                let ids = (0..DOCUMENTS).filter(|id| (id + round) % (writer + 1) == 0);
                let value = format!("{writer}-{round}");
                let documents: Vec<_> = ids.map(|id| json!({"id": id, (format!("by{}", writer % 3)): value})).collect();
                let method = if round % 3 == 0 { Method::POST } else { Method::PUT };
                let answer = client.json(method, "/indexes/docs/documents", &json!(documents)).await.unwrap();
                assert_eq!(answer.status, 202, "{}", answer.text);
                tasks.push(answer);
            }
            for answer in &tasks {
                client.succeeded(answer).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let documents = cluster.agreed(&[0, 1, 2], "docs").await.unwrap();
    assert_eq!(documents.len(), usize::try_from(DOCUMENTS).unwrap());
    assert!(cluster.copies().await.unwrap().iter().all(|copy| copy.state == "inSync"));
}
