//! How fast the answers of three nodes are read and merged: the same program native and on wasm32-wasip1 (under node).
//! Prints one JSON line: microseconds for a search over three answers of 20 and of 1,000 hits of a kilobyte.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use miroir_core::search::{self, IndexFacts, Plan, ReadCall};
use miroir_core::shardmap::SearchView;
use serde_json::json;

const NODES: usize = 3;
const ROUNDS: usize = 7;

fn answer(hits: usize) -> Vec<u8> {
    let hit = |at: usize| {
        json!({
            "id": at,
            "title": format!("The title of document {at}"),
            "overview": "A page of text that stands for what documents hold. ".repeat(9),
            "genres": ["Drama", "Comedy"],
            "release": 1_900_000_000 + at,
            "rating": 7.25,
            "_miroir_shard": "\u{2E00}\u{2E01}",
            "_rankingScoreDetails": {
                "words": {"order": 0, "matchingWords": 1, "maxMatchingWords": 1, "score": 1.0},
                "typo": {"order": 1, "typoCount": at / 8, "maxTypoCount": 2, "score": 1.0 - at as f64 / 1e4},
                "proximity": {"order": 2, "score": 1.0},
                "attributeRank": {"order": 3, "score": 1.0},
                "wordPosition": {"order": 4, "score": 1.0},
                "exactness": {"order": 5, "matchType": "noExactMatch", "matchingWords": 0, "maxMatchingWords": 1,
                              "score": 0.3333}
            }
        })
    };
    let hits: Vec<_> = (0..hits).map(hit).collect();
    json!({"hits": hits, "query": "title", "processingTimeMs": 1, "limit": hits.len(), "offset": 0,
           "estimatedTotalHits": hits.len(), "requestUid": "0198f5a2-0000-7000-8000-000000000000"})
    .to_string()
    .into_bytes()
}

/// Best time of one search over `NODES` answers: planning, reading, merging; the answers' copies are not counted.
fn search(hits: usize, repeats: u32) -> [Duration; 3] {
    let body = json!({"q": "title", "limit": hits}).to_string();
    let call = ReadCall {
        method: "POST",
        path: "/indexes/films/search",
        query: None,
        body: body.as_bytes(),
        include_metadata: false,
    };
    let view = SearchView::default();
    let facts = IndexFacts { uid: "films", primary_key: Some("id"), view: &view };
    let answer = answer(hits);
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        let mut spent = [Duration::ZERO; 3];
        for _ in 0..repeats {
            let answers: Vec<Vec<u8>> = (0..NODES).map(|_| answer.clone()).collect();
            let began = Instant::now();
            let Plan::Gather(mut gather) = search::plan_search(&call, &facts) else { panic!("relayed") };
            for part in 0..NODES {
                std::hint::black_box(gather.request("_miroir_shard IN [\"a\"]", part));
            }
            let planned = Instant::now();
            for (part, answer) in answers.into_iter().enumerate() {
                gather.accept(part, answer).expect("an answer");
            }
            let read = Instant::now();
            gather.settle().expect("a page");
            std::hint::black_box(gather.finish(1));
            spent[0] += planned - began;
            spent[1] += read - planned;
            spent[2] += read.elapsed();
        }
        if spent.iter().sum::<Duration>() < best.iter().fold(Duration::ZERO, |sum, it| sum.saturating_add(*it)) {
            best = spent;
        }
    }
    best.map(|time| time / repeats)
}

fn main() {
    let micros = |time: &[Duration; 3]| time.map(|time| time.as_nanos() as f64 / 1e3);
    println!(
        "{}",
        json!({"plan, read, finish; us": {"20": micros(&search(20, 300)), "1000": micros(&search(1000, 12))}})
    );
}
