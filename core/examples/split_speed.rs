//! How fast documents are split, tagged and hashed: the same program native and on wasm32-wasip1 (under node), so that
//! `cargo xtask bench` can compare the two. Prints one JSON line.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use miroir_core::split::{self, Format};
use miroir_core::wire::KeySource;

const SHARDS: u32 = 128;
const NODES: u32 = 3;
const ROUNDS: usize = 7;

fn payload() -> Vec<u8> {
    let mut body = vec![b'['];
    for id in 0..20_000 {
        if id > 0 {
            body.push(b',');
        }
        let text = "Words that stand for what documents hold, with \\\"quotes\\\" and numbers. ".repeat(5);
        body.extend(
            format!(
                r#"{{"id":{id},"title":"Document {id}","text":"{text}","price":{id}.50,"tags":["a","b"],"nested":{{"x":1}}}}"#
            )
            .bytes(),
        );
    }
    body.push(b']');
    body
}

fn best(mut work: impl FnMut()) -> Duration {
    let time = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    (0..ROUNDS).map(|_| time(&mut work)).min().unwrap_or_default()
}

fn main() {
    let body = payload();
    let split = best(|| {
        let plan =
            split::plan(&body, Format::Json, Some(("id", KeySource::Map)), SHARDS).map_err(|_| "refused").unwrap();
        for node in 0..NODES {
            std::hint::black_box(split::payload(&body, &plan, &|shard| shard % NODES == node));
        }
    });
    let raw = best(|| {
        let values: Vec<&serde_json::value::RawValue> = serde_json::from_slice(&body).expect("JSON");
        std::hint::black_box(values);
    });
    let megabytes = |time: Duration| body.len() as f64 / 1e6 / time.as_secs_f64();
    println!(r#"{{"split_mb_s":{:.0},"raw_values_mb_s":{:.0}}}"#, megabytes(split), megabytes(raw));
}
