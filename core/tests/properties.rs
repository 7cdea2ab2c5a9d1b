//! What holds for any payload: parts join to the whole, every document goes to its shard's part and to no other, the
//! tag is the last field and can be taken off again, and no bytes make the splitter panic.
#![cfg(not(target_arch = "wasm32"))]

use miroir_core::hash::shard_of;
use miroir_core::key::canonical;
use miroir_core::split::{Format, SplitPlan, delete_batch, payload, plan};
use miroir_core::tag::{TAG_FIELD, encode};
use miroir_core::wire::KeySource;
use proptest::prelude::*;

const SHARDS: u32 = 8;
const CSV: Format = Format::Csv { delimiter: b',' };
/// A name and its colon, and what may be wrong with them.
const NAMES: &[&[u8]] = &[b"\"a\":", b"\"a\": ", b"\"a\" ", b"\"a:", b"a\":", b"\"a\"::", b"\"\xff\":", b"\"a\x01\":"];

/// A document as it stands in a payload: the id's raw JSON, and all of its text.
#[derive(Clone, Debug)]
struct Doc {
    id: String,
    text: String,
}

fn space() -> impl Strategy<Value = String> {
    "[ \n\t\r]{0,2}"
}

fn json_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
        "\"([a-zé\u{2E00}\u{1F600} ]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-7][0-9a-f]|\\\\ud83d\\\\ude00){0,12}\"",
        // Longer than the blocks that the scanner reads, with escapes and runs of backslashes at any place in them.
        "\"([a-z ]{0,70}é?(\\\\\\\\){0,40}(\\\\\"|\\\\u00e9|\\\\ud83d\\\\ude00)?){1,3}\"",
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            (space(), prop::collection::vec(inner.clone(), 0..4))
                .prop_map(|(space, items)| format!("[{space}{}]", items.join(&format!("{space},")))),
            prop::collection::vec(("[a-z_]{0,3}", inner), 0..4).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                format!("{{{}}}", members.join(" ,"))
            }),
        ]
    })
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]|[1-9][0-9]{1,17}",
        "-[1-9][0-9]{0,17}",
        "\"[A-Za-z0-9_-]{1,12}\"",
        Just("\"\\u0061\"".to_owned())
    ]
}

fn doc() -> impl Strategy<Value = Doc> {
    let fields = || prop::collection::vec(("[b-h_]{1,4}", json_value()), 0..5);
    (id(), fields(), fields(), space()).prop_map(|(id, before, after, space)| {
        let field = |(name, value): &(String, String)| format!("\"{name}\"{space}:{value}");
        let mut members: Vec<String> = before.iter().map(field).collect();
        members.push(format!("\"id\":{space}{id}"));
        members.extend(after.iter().map(field));
        Doc { id, text: format!("{{{space}{}{space}}}", members.join(&format!("{space},"))) }
    })
}

/// The document with its shard's tag, as a node must get it.
fn tagged(doc: &Doc) -> String {
    let shard = shard_of(canonical(&doc.id).unwrap().as_bytes(), SHARDS);
    let body = doc.text.strip_suffix('}').unwrap();
    format!("{body},\"{TAG_FIELD}\":\"{}\"}}", encode(shard, SHARDS))
}

fn shard(doc: &Doc) -> u32 {
    shard_of(canonical(&doc.id).unwrap().as_bytes(), SHARDS)
}

fn part(body: &str, plan: &SplitPlan, wanted: &dyn Fn(u32) -> bool) -> String {
    let part = payload(body.as_bytes(), plan, wanted);
    assert_eq!(part.len(), part.capacity());
    String::from_utf8(part).unwrap()
}

fn known() -> Option<(&'static str, KeySource)> {
    Some(("id", KeySource::Map))
}

proptest! {
    #[test]
    fn parts_of_an_array_are_its_documents_by_shard(docs in prop::collection::vec(doc(), 0..12), owned: u8, space in space()) {
        let texts: Vec<&str> = docs.iter().map(|doc| doc.text.as_str()).collect();
        let body = format!("{space}[{space}{}{space}] tail", texts.join(&format!("{space},{space}")));
        let plan = plan(body.as_bytes(), Format::Json, known(), SHARDS).unwrap();
        prop_assert_eq!(plan.received, docs.len() as u64);
        for mask in [owned, !owned, 0xff] {
            let mine = |shard: u32| mask >> shard & 1 == 1;
            let expected: Vec<String> = docs.iter().filter(|doc| mine(shard(doc))).map(tagged).collect();
            prop_assert_eq!(part(&body, &plan, &mine), format!("[{}]", expected.join(",")));
        }
        let touched: std::collections::BTreeSet<u32> = docs.iter().map(shard).collect();
        prop_assert_eq!(plan.shards.iter().map(|shard| shard.shard).collect::<Vec<_>>(), touched.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn parts_of_lines_are_their_documents_by_shard(docs in prop::collection::vec(doc(), 0..12), owned: u8, space in space()) {
        let texts: Vec<&str> = docs.iter().map(|doc| doc.text.as_str()).collect();
        let body = format!("{} ", texts.join(&space));
        let plan = plan(body.as_bytes(), Format::Ndjson, known(), SHARDS).unwrap();
        for mask in [owned, !owned] {
            let mine = |shard: u32| mask >> shard & 1 == 1;
            let expected: String = docs.iter().filter(|doc| mine(shard(doc))).map(|doc| tagged(doc) + "\n").collect();
            prop_assert_eq!(part(&body, &plan, &mine), expected);
        }
    }

    #[test]
    fn a_single_object_stays_one(doc in doc()) {
        let plan = plan(doc.text.as_bytes(), Format::Json, known(), SHARDS).unwrap();
        prop_assert_eq!(part(&doc.text, &plan, &|_| true), tagged(&doc));
        prop_assert_eq!(part(&doc.text, &plan, &|wanted| wanted != shard(&doc)), "");
    }

    #[test]
    fn the_tag_comes_last_and_comes_off(docs in prop::collection::vec(doc(), 1..6)) {
        let texts: Vec<&str> = docs.iter().map(|doc| doc.text.as_str()).collect();
        let body = texts.join("\n");
        let plan = plan(body.as_bytes(), Format::Ndjson, known(), SHARDS).unwrap();
        let joined = part(&body, &plan, &|_| true);
        let mut stripped = joined.clone();
        for number in 0..SHARDS {
            stripped = stripped.replace(&format!(",\"{TAG_FIELD}\":\"{}\"}}\n", encode(number, SHARDS)), "}\n");
        }
        prop_assert_eq!(stripped, body + "\n");
        for document in serde_json::Deserializer::from_str(&joined).into_iter::<serde_json::Map<_, serde_json::Value>>() {
            let document = document.unwrap();
            prop_assert_eq!(document.keys().next_back().map(String::as_str), Some(TAG_FIELD));
        }
    }

    #[test]
    fn parts_of_a_table_are_its_records_by_shard(rows in prop::collection::vec(("[a-z0-9]{1,3}", "([a-z ]{0,3}|\"([a-z,\n]|\"\"){0,4}\")"), 0..10), owned: u8) {
        let body: String = std::iter::once("id,a\r\n".to_owned()).chain(rows.iter().map(|(id, a)| format!("{id},{a}\r\n"))).collect();
        let plan = plan(body.as_bytes(), CSV, None, SHARDS).unwrap();
        for mask in [owned, !owned] {
            let mine = |shard: u32| mask >> shard & 1 == 1;
            let mut expected = format!("id,a,{TAG_FIELD}\n");
            for (id, a) in &rows {
                let shard = shard_of(id.as_bytes(), SHARDS);
                if mine(shard) {
                    expected += &format!("{id},{a},{}\n", encode(shard, SHARDS));
                }
            }
            prop_assert_eq!(part(&body, &plan, &mine), expected);
        }
    }

    #[test]
    fn ids_to_delete_go_to_their_shards(ids in prop::collection::vec(id(), 0..12), owned: u8) {
        let body = format!("[{}]", ids.join(" , "));
        let plan = delete_batch(body.as_bytes(), SHARDS).unwrap();
        let mine = |id: &&String| owned >> shard_of(canonical(id).unwrap().as_bytes(), SHARDS) & 1 == 1;
        let expected: Vec<String> = ids.iter().filter(mine).cloned().collect();
        prop_assert_eq!(part(&body, &plan, &|shard| owned >> shard & 1 == 1), format!("[{}]", expected.join(",")));
    }

    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>, delimiter in 0u8..128) {
        for format in [Format::Json, Format::Ndjson, CSV, Format::Csv { delimiter }] {
            for key in [None, known(), Some(("a.b", KeySource::Map))] {
                if let Ok(plan) = plan(&body, format, key, SHARDS) {
                    prop_assert!(payload(&body, &plan, &|_| false).len() <= body.len() + 64);
                }
            }
        }
        let _ = delete_batch(&body, 0);
    }

    /// Documents of one shape, where the scanner compares names with those of the document before, and some that differ
    /// from it in one place: in a name, its length, in space, or by a missing or a further member.
    #[test]
    fn documents_of_one_shape_come_through_like_any(
        names in prop::collection::vec("[b-h_é]{1,18}", 1..5),
        docs in prop::collection::vec((1..100u32, json_value(), 0..9usize, 0..6usize), 1..10),
    ) {
        let docs: Vec<Doc> = docs.into_iter().map(|(id, value, change, place)| {
            let mut members: Vec<String> = names.iter().map(|name| format!("\"{name}\":{value}")).collect();
            let last = members.len() - 1;
            let changed = &mut members[place.min(last)];
            match change {
                0 => changed.insert(1, 'x'),
                1 => *changed = changed.replacen(':', " :", 1),
                2 => *changed = changed.replacen(':', ": ", 1),
                3 => changed.insert(0, '\n'),
                4 => changed.push_str(",\"k\":[ ]"),
                5 => drop(members.remove(place.min(last))),
                6 => changed.insert_str(1, "\\u0062"),
                _ => {}
            }
            let id = id.to_string();
            members.insert(place.min(members.len()), format!("\"id\":{id}"));
            Doc { text: format!("{{{}}}", members.join(",")), id }
        }).collect();
        let texts: Vec<&str> = docs.iter().map(|doc| doc.text.as_str()).collect();
        let body = format!("[{}]", texts.join(","));
        let plan = plan(body.as_bytes(), Format::Json, known(), SHARDS).unwrap();
        let expected: Vec<String> = docs.iter().map(tagged).collect();
        prop_assert_eq!(part(&body, &plan, &|_| true), format!("[{}]", expected.join(",")));
        let keys: Vec<String> = plan.keys(body.as_bytes()).map(|(key, _)| key.into_owned()).collect();
        prop_assert_eq!(keys, docs.into_iter().map(|doc| doc.id).collect::<Vec<_>>());
    }

    /// A fault is found wherever it stands in a block, and behind documents of the same shape; so is text that is no
    /// UTF-8, which `serde_json` is given as bytes here.
    #[test]
    fn faults_are_found_behind_what_repeats(
        before in 0..3usize,
        pad in 0..140usize,
        name in prop::sample::select(NAMES),
        text in prop::collection::vec(prop::sample::select(&b"aaaaaa \\\\\\\"u00d8\x1f\xc3\xa9\xe2\xb8\x80\xf0"[..]), 0..20),
    ) {
        let mut body = b"[".to_vec();
        for _ in 0..before {
            body.extend_from_slice(br#"{"id":1,"p":"","a":"x"},"#);
        }
        body.extend_from_slice(format!("{{\"id\":1,\"p\":\"{}\",", "p".repeat(pad)).as_bytes());
        body.extend_from_slice(name);
        body.push(b'"');
        body.extend_from_slice(&text);
        body.extend_from_slice(b"\"}]");
        let theirs = serde_json::from_slice::<Vec<serde_json::Map<String, serde_json::Value>>>(&body);
        prop_assert_eq!(plan(&body, Format::Json, known(), SHARDS).is_ok(), theirs.is_ok(), "{}", String::from_utf8_lossy(&body));
    }

    /// Bytes from JSON's own alphabet get further than any others; whatever `serde_json` takes, the scanner takes.
    #[test]
    fn the_scanner_takes_what_serde_json_takes(inner in "[\\[\\]{}:,\"\\\\0-9eE+.u\\-tfnrualse \n\u{1}é]{0,16}", value in json_value(), cut in 0usize..40) {
        let mut broken = value.clone();
        if broken.is_char_boundary(cut) {
            broken.truncate(cut);
        }
        for field in [&inner, &value, &broken] {
            let body = format!("[{{\"id\":1,\"a\":{field}}}]");
            let ours = plan(body.as_bytes(), Format::Json, known(), SHARDS).is_ok();
            let theirs = serde_json::from_str::<Vec<serde_json::Map<String, serde_json::Value>>>(&body);
            // A field that closes the document early may bring a second key, or trailing bytes.
            if theirs.as_ref().is_ok_and(|documents| documents.len() == 1 && !documents[0].contains_key("_miroir_")) {
                prop_assert!(ours, "{}", body);
            } else if theirs.is_err_and(|error| !error.to_string().contains("trailing characters")) {
                prop_assert!(!ours, "{}", body);
            }
        }
    }
}
