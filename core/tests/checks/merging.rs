//! Answers of nodes that hold parts of some documents, merged into the page that Meilisearch 1.50 gives where it holds
//! all of them (`vectors/record_merging.py`).

use miroir_core::search::{Gather, IndexFacts, Plan, ReadCall, plan_documents, plan_facet_search, plan_search};
use miroir_core::shardmap::SearchView;
use miroir_core::tag::quoted_clause;
use serde_json::Value;

const RECORDED: &str = include_str!("../vectors/merging.jsonl");
/// Shards of each node, as the script has them.
const PARTS: [&[u32]; 3] = [&[0, 7], &[3], &[1, 12, 15]];
/// Parts in the order in which they answer here.
const ARRIVALS: [usize; 3] = [2, 0, 1];
/// What the script writes for the time of the page.
const TOOK_MS: u64 = 7;

fn gather(case: &Value) -> Box<dyn Gather> {
    let view = SearchView::default();
    let index = IndexFacts { uid: "films", primary_key: Some("id"), view: &view };
    let (body, route) = (case["client"].to_string(), case["route"].as_str().unwrap());
    let path = format!("/indexes/films/{route}");
    let call = ReadCall { method: "POST", path: &path, query: None, body: body.as_bytes(), include_metadata: false };
    let plan = match route {
        "search" => plan_search(&call, &index),
        "facet-search" => plan_facet_search(&call, &index),
        "documents/fetch" => plan_documents(&call, &index),
        other => panic!("{other}"),
    };
    match plan {
        Plan::Gather(gather) => gather,
        Plan::Relay { .. } => panic!("relayed: {body}"),
    }
}

/// What a node must be asked: the body of the script and the clause of its shards.
fn asked(case: &Value, clause: &str) -> Value {
    let mut asked = case["asked"].clone();
    let mut filter = asked["filter"].as_array().cloned().unwrap_or_default();
    filter.push(serde_json::from_str(clause).unwrap());
    asked["filter"] = filter.into();
    asked
}

pub fn pages_are_the_engines() {
    let mut cases = 0;
    for line in RECORDED.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let about = &case["about"];
        let mut gather = gather(&case);
        for part in ARRIVALS {
            let clause = quoted_clause(PARTS[part], 16);
            let request = gather.request(&clause, part);
            let body: Value = serde_json::from_slice(&request.body.unwrap()).unwrap();
            assert_eq!(body, asked(&case, &clause), "{about}");
            gather.accept(part, case["nodes"][part].as_str().unwrap().as_bytes().to_vec()).unwrap();
        }
        assert_eq!(gather.again(), [0_usize; 0], "{about}");
        assert_eq!(gather.settle(), Ok(()), "{about}");
        let page = String::from_utf8(gather.finish(TOOK_MS)).unwrap();
        assert_eq!(page, case["page"].as_str().unwrap(), "{about}");
        cases += 1;
    }
    assert!(cases > 10);
}
