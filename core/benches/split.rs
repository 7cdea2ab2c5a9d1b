//! Splitting a payload for three nodes (plan, then one part a node) beside what `serde_json` needs only to read the
//! same bytes into raw values.
//!
//! Run with `cargo bench -p miroir-core --bench split`.
//! Documents are made here, like film records: about 330 bytes, a dozen fields, some text beyond ASCII.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use miroir_core::split::{Format, payload, plan};
use miroir_core::wire::KeySource;
use serde_json::value::RawValue;
use std::hint::black_box;

const SHARDS: u32 = 128;
const NODES: u32 = 3;

fn film(number: u32) -> String {
    let state = number.wrapping_mul(2_654_435_761);
    let words = ["river", "night", "café", "the", "of", "return", "señor", "last", "house", "\\u00e9toile", "king"];
    let word = |shift: u32| words[(state >> shift) as usize % words.len()];
    let overview: Vec<&str> = (0..24).map(word).collect();
    format!(
        "{{\"id\":{number},\"title\":\"{} {}\",\"overview\":\"{}\",\"genres\":[\"{}\",\"{}\"],\"rating\":{}.{:02},\
         \"votes\":{},\"released\":{},\"poster\":\"https://example.org/p/{state:08x}.jpg\",\"adult\":false,\
         \"budget\":null}}",
        word(3),
        word(7),
        overview.join(" "),
        word(5),
        word(9),
        state % 10,
        state % 100,
        state % 100_000,
        state % 2_000_000_000,
    )
}

fn split(body: &[u8], format: Format) -> usize {
    let plan = plan(body, format, Some(("id", KeySource::Map)), SHARDS).unwrap();
    (0..NODES).map(|node| payload(body, &plan, &|shard| shard % NODES == node).len()).sum()
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("split");
    for count in [1u32, 100, 20_000] {
        let films: Vec<String> = (0..count).map(film).collect();
        let json = format!("[{}]", films.join(","));
        let ndjson = films.join("\n");
        group.throughput(Throughput::Bytes(json.len() as u64));
        group.bench_with_input(BenchmarkId::new("serde_json to raw values", count), &json, |bench, body| {
            bench.iter(|| serde_json::from_slice::<Vec<&RawValue>>(black_box(body.as_bytes())).unwrap().len());
        });
        group.bench_with_input(BenchmarkId::new("plan, array", count), &json, |bench, body| {
            bench
                .iter(|| plan(black_box(body.as_bytes()), Format::Json, Some(("id", KeySource::Map)), SHARDS).unwrap());
        });
        group.bench_with_input(BenchmarkId::new("plan and payloads, array", count), &json, |bench, body| {
            bench.iter(|| split(black_box(body.as_bytes()), Format::Json));
        });
        group.bench_with_input(BenchmarkId::new("plan and payloads, lines", count), &ndjson, |bench, body| {
            bench.iter(|| split(black_box(body.as_bytes()), Format::Ndjson));
        });
    }
    let rows: String = (0..20_000u32)
        .map(|number| format!("{number},\"{}\",{}\n", film(number).replace('"', ""), number % 7))
        .collect();
    let csv = format!("id,text,count:number\n{rows}");
    group.throughput(Throughput::Bytes(csv.len() as u64));
    group.bench_with_input(BenchmarkId::new("plan and payloads, records", 20_000), &csv, |bench, body| {
        bench.iter(|| split(black_box(body.as_bytes()), Format::Csv { delimiter: b',' }));
    });
    group.finish();
}

criterion_group! {
    name = all;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(500)).measurement_time(std::time::Duration::from_secs(2));
    targets = benches
}
criterion_main!(all);
