//! How much nodes hold of each index, as it would be sent to another node: documents as JSON, with their fields' names,
//! their vectors and their tag. What the engine states as the average size is what it stores, which is less; so some
//! documents of each index are read.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use miroir_sequencer::{Amount, NodeId};
use serde::Deserialize;

use super::NodeRequest;
use crate::node::Client;

/// Longest wait for a node's numbers.
const ASK: Duration = Duration::from_secs(5);
/// Indexes of which documents are read: the largest. The others are taken to grow by as much as these on their way.
const READ: usize = 64;
/// Places in an index at which documents are read: neighbours tend to be alike.
const PLACES: u64 = 5;
/// Stored bytes that are read of an index, about, and the least and most documents.
const READ_BYTES: u64 = 512 * 1024;
const READ_DOCUMENTS: (u64, u64) = (4 * PLACES, 100 * PLACES);

/// What a node states of an index.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stated {
    number_of_documents: u64,
    avg_document_size: u64,
}

impl Stated {
    fn bytes(self) -> u64 {
        self.number_of_documents.saturating_mul(self.avg_document_size)
    }
}

type Indexes = BTreeMap<String, Stated>;

/// What each of these nodes holds of each index; without those that do not say.
pub(super) async fn of_nodes(client: &Client, nodes: &[NodeId]) -> Vec<(NodeId, Vec<(String, Amount)>)> {
    let stated = join_all(nodes.iter().map(|node| stated(client, node))).await;
    let stated: Vec<(&NodeId, Indexes)> =
        nodes.iter().zip(stated).filter_map(|(node, stated)| Some((node, stated?))).collect();
    let read =
        join_all(to_read(&stated).into_iter().map(|(index, (node, stated))| async move {
            Some((index, stated, mean(client, node, index, stated).await?))
        }));
    let read: Vec<(&str, Stated, f64)> = read.await.into_iter().flatten().collect();
    let sizes = Sizes::of(&read);
    let amount = |(uid, stated): (&String, &Stated)| (uid.clone(), sizes.amount(uid, *stated));
    stated.iter().map(|(node, indexes)| ((*node).clone(), indexes.iter().map(amount).collect())).collect()
}

async fn stated(client: &Client, node: &str) -> Option<Indexes> {
    #[derive(Deserialize)]
    struct Stats {
        indexes: Indexes,
    }
    let request = NodeRequest { method: "GET".to_owned(), path: "/stats".to_owned(), body: None };
    let answer = client.call(node, &request, ASK).await.ok().filter(|answer| answer.status == 200)?;
    serde_json::from_slice::<Stats>(&answer.body).ok().map(|stats| stats.indexes)
}

/// The largest indexes, each with the node that has the most of it.
fn to_read<'a>(nodes: &'a [(&'a NodeId, Indexes)]) -> Vec<(&'a str, (&'a NodeId, Stated))> {
    let mut largest: BTreeMap<&str, (&NodeId, Stated)> = BTreeMap::new();
    for (node, indexes) in nodes {
        for (uid, stated) in indexes.iter().filter(|(_, stated)| stated.number_of_documents > 0) {
            let known = largest.entry(uid).or_insert((node, *stated));
            if stated.number_of_documents > known.1.number_of_documents {
                *known = (node, *stated);
            }
        }
    }
    let mut largest: Vec<_> = largest.into_iter().collect();
    largest.sort_by_key(|(_, (_, stated))| Reverse(stated.bytes()));
    largest.truncate(READ);
    largest
}

/// Mean size of a document of an index, from documents at several places in it.
async fn mean(client: &Client, node: &str, index: &str, stated: Stated) -> Option<f64> {
    let (least, most) = READ_DOCUMENTS;
    let wanted = (READ_BYTES / stated.avg_document_size.max(1)).clamp(least, most).min(stated.number_of_documents);
    let limit = wanted.div_ceil(PLACES);
    let places = (0..PLACES).map(|place| place * stated.number_of_documents / PLACES);
    let read = join_all(places.map(|offset| client.size_of(node, index, offset, limit, ASK))).await;
    let (documents, bytes) =
        read.into_iter().flatten().fold((0, 0), |(documents, bytes), (more, size)| (documents + more, bytes + size));
    (documents > 0).then(|| bytes as f64 / documents as f64)
}

/// Sizes of documents by index, and how much larger than what is stored they are elsewhere.
struct Sizes<'a> {
    means: BTreeMap<&'a str, f64>,
    growth: f64,
}

impl<'a> Sizes<'a> {
    fn of(read: &[(&'a str, Stated, f64)]) -> Self {
        let stored: f64 = read.iter().map(|(_, stated, _)| stated.bytes() as f64).sum();
        let sent: f64 = read.iter().map(|(_, stated, mean)| stated.number_of_documents as f64 * mean).sum();
        let growth = if stored > 0.0 { sent / stored } else { 1.0 };
        Self { means: read.iter().map(|(index, _, mean)| (*index, *mean)).collect(), growth }
    }

    fn amount(&self, index: &str, stated: Stated) -> Amount {
        let documents = stated.number_of_documents;
        let bytes = match self.means.get(index) {
            Some(mean) => documents as f64 * mean,
            None => stated.bytes() as f64 * self.growth,
        };
        Amount { documents, bytes: bytes.round() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(number_of_documents: u64, avg_document_size: u64) -> Stated {
        Stated { number_of_documents, avg_document_size }
    }

    #[test]
    fn documents_are_read_where_there_are_most_and_of_the_largest_indexes() {
        let ids = ["n0".to_owned(), "n1".to_owned()];
        let small = |at: usize| (format!("small-{at}"), stated(1, 10));
        let mut first: Indexes = (0..READ).map(small).collect();
        first.extend([("large".to_owned(), stated(10, 100)), ("empty".to_owned(), stated(0, 0))]);
        let second: Indexes = [("large".to_owned(), stated(20, 90))].into();
        let nodes = [(&ids[0], first), (&ids[1], second)];
        let chosen = to_read(&nodes);
        assert_eq!(chosen.len(), READ);
        assert_eq!((chosen[0].0, chosen[0].1.0.as_str()), ("large", "n1"));
        assert!(chosen.iter().all(|(index, _)| *index != "empty"));
    }

    #[test]
    fn an_index_that_was_not_read_grows_like_the_others() {
        let sizes = Sizes::of(&[("a", stated(10, 100), 150.0), ("b", stated(10, 300), 350.0)]);
        assert_eq!(sizes.amount("a", stated(4, 90)), Amount { documents: 4, bytes: 600 });
        assert_eq!(sizes.amount("c", stated(2, 100)), Amount { documents: 2, bytes: 250 });
        assert_eq!(Sizes::of(&[]).amount("c", stated(2, 100)), Amount { documents: 2, bytes: 200 });
    }
}
