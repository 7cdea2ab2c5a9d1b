//! The official Rust SDK, unmodified, as a client of the cluster.

use meilisearch_sdk::client::Client;
use meilisearch_sdk::search::Selectors;
use miroir_e2e::{Cluster, Options, turn};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Film {
    id: u64,
    title: String,
    genre: String,
}

fn films() -> Vec<Film> {
    let film = |id: u64| Film {
        id,
        title: format!("Film number {id} of the river"),
        genre: (if id.is_multiple_of(2) { "Drama" } else { "Comedy" }).to_owned(),
    };
    (0..200).map(film).collect()
}

#[tokio::test]
async fn the_official_sdk_sees_one_server() {
    let _turn = turn().await;
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let client = Client::new(cluster.envoys[0].part.url.as_str(), Some("a-master-key-for-tests")).unwrap();
    assert!(client.is_healthy().await);
    let index = client.index("films");
    let settings = index.set_filterable_attributes(["genre"]).await.unwrap();
    assert!(settings.wait_for_completion(&client, None, None).await.unwrap().is_success());
    let task = index.add_documents(&films(), Some("id")).await.unwrap();
    assert!(task.wait_for_completion(&client, None, None).await.unwrap().is_success());
    assert_eq!(index.get_stats().await.unwrap().number_of_documents, 200);
    assert_eq!(index.get_document::<Film>("17").await.unwrap(), films()[17]);

    let mut search = index.search();
    search.with_query("river").with_filter("genre = Drama").with_facets(Selectors::Some(&["genre"])).with_limit(300);
    let found = search.execute::<Film>().await.unwrap();
    assert_eq!(found.hits.len(), 100);
    assert!(found.hits.iter().all(|hit| hit.result.genre == "Drama"));
    assert_eq!(found.facet_distribution.unwrap()["genre"]["Drama"], 100);

    let deleted = index.delete_documents(&[1, 2, 3]).await.unwrap();
    assert!(deleted.wait_for_completion(&client, None, None).await.unwrap().is_success());
    assert_eq!(index.get_stats().await.unwrap().number_of_documents, 197);
    assert!(index.get_document::<Film>("2").await.is_err());
    assert!(client.get_tasks().await.unwrap().results.len() >= 3);
    let dropped = index.delete().await.unwrap();
    assert!(dropped.wait_for_completion(&client, None, None).await.unwrap().is_success());
    assert!(client.get_index("films").await.is_err());
}
