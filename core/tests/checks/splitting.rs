//! Payloads against what Meilisearch 1.50 answered to them (`vectors/record.py`): refused at once, accepted with a
//! task that fails, or indexed; with the same code, text, and numbers of documents.

use miroir_core::error::ErrorBody;
use miroir_core::hash::digest128;
use miroir_core::split::{Format, SplitError, SplitPlan, Target, delete_batch, payload, plan, plan_for};
use miroir_core::wire::KeySource;
use serde_json::Value;

const RECORDED: &str = include_str!("../vectors/engine.jsonl");
const SHARDS: u32 = 16;

fn body_of(case: &Value) -> Vec<u8> {
    if let Some(text) = case["body"].as_str() {
        return text.as_bytes().to_vec();
    }
    let digits = case["hex"].as_str().unwrap().as_bytes();
    let value = |digit: &u8| (*digit as char).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| value(&pair[0]) << 4 | value(&pair[1])).collect()
}

fn answer(case: &Value, body: &[u8]) -> Result<SplitPlan, SplitError> {
    let known = case["key"].as_str().map(|key| (key, KeySource::Parameter));
    let target = Target { index: "films", geo: case["geo"] == true };
    let format = match case["format"].as_str().unwrap() {
        "json" => Format::Json,
        "ndjson" => Format::Ndjson,
        "csv" => Format::Csv { delimiter: case["delimiter"].as_str().map_or(b',', |text| text.as_bytes()[0]) },
        "delete" => return delete_batch(body, SHARDS).map_err(SplitError::Http),
        other => panic!("{other}"),
    };
    plan_for(body, format, known, SHARDS, target)
}

/// Same code and text. Where invalid UTF-8 was found is left out: it differs between releases of `serde_json`.
fn same(error: &ErrorBody, case: &Value) -> bool {
    let place = |text: &str| match text.split_once("invalid unicode code point") {
        Some((before, _)) => before.to_owned(),
        None => text.to_owned(),
    };
    let expected = case["error"]["message"].as_str().unwrap_or_default();
    case["error"]["code"] == error.code.as_str() && place(expected) == place(&error.message)
}

pub fn as_the_engine_answers() {
    let mut wrong = Vec::new();
    for line in RECORDED.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let body = body_of(&case);
        let got = answer(&case, &body);
        let right = match &got {
            Err(SplitError::Http(error)) => case["status"] == error.status() && same(error, &case),
            Err(SplitError::Task { error, received }) => {
                case["status"] == 202 && same(error, &case) && case["received"] == *received
            }
            Ok(plan) => {
                let keys: u32 = plan.shards.iter().map(|shard| shard.keys).sum();
                let indexed = case.get("indexed").is_none_or(|indexed| *indexed == keys);
                let key = case["primaryKey"].as_str() == plan.primary_key.as_deref();
                case["status"] == 202 && case["error"].is_null() && case["received"] == plan.received && indexed && key
            }
        };
        if !right {
            wrong
                .push(format!("{line}\n    gave {:?}", got.map(|plan| (plan.received, plan.shards, plan.primary_key))));
        }
    }
    assert!(RECORDED.lines().count() > 200);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same documents in every format, with text of all widths; made without a random source, so that every machine
/// makes the same.
fn documents(format: Format) -> Vec<u8> {
    let mut body = String::new();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    if matches!(format, Format::Csv { .. }) {
        body.push_str("id,title,price\r\n");
    }
    for number in 0..500u32 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let title = "aé\u{2E00}\u{1F600} z".repeat((state >> 60) as usize);
        let price = state >> 30;
        match format {
            Format::Json => {
                let before = if number == 0 { "[ " } else { " ,\n" };
                body.push_str(&format!("{before}{{\"title\":\"{title}\",\"id\":{number},\"price\":{price}.50}}"));
            }
            Format::Ndjson => body.push_str(&format!("{{\"id\":\"{number}\",\"t\":[\"{title}\",{price}e-2]}}\n")),
            Format::Csv { .. } => body.push_str(&format!("{number},\"{title}\"\"\n\",{price}.50\r\n")),
        }
    }
    if format == Format::Json {
        body.push(']');
    }
    body.into_bytes()
}

/// Parts are the same bytes on every target: their digests are written down here.
pub fn parts_have_these_bytes() {
    let expected = [
        (Format::Json, "0771a7fef3250af241998816dccb2388"),
        (Format::Ndjson, "b9ba7b0bedbcf116b4720ef8a7a3963e"),
        (Format::Csv { delimiter: b',' }, "073e537d01ea1768e2076477969c3e17"),
    ];
    let digests = expected.map(|(format, _)| {
        let body = documents(format);
        let plan = plan(&body, format, None, SHARDS).unwrap();
        let parts = [0, 1, 2].map(|third| payload(&body, &plan, &|shard| shard % 3 == third));
        digest128(&parts.each_ref().map(Vec::as_slice))
    });
    assert_eq!(digests.each_ref().map(String::as_str), expected.map(|(_, digest)| digest));
}
