//! `explain`.

use miroir_admin::Explanation;

use crate::output::{count, ranges, size, table};

/// Who was asked for what, and how long it took.
pub fn explain(explanation: &Explanation, filters: bool) -> String {
    let answer = &explanation.answer;
    let mut text = format!(
        "index {}, placement {}, {} shards, epoch {}; asked by control in the filter's place\n\n",
        explanation.index, explanation.placement, explanation.shard_count, explanation.epoch
    );
    let rows = explanation.calls.iter().map(|call| {
        vec![
            call.node.clone(),
            call.shards.len().to_string(),
            format!("{:.1}", call.sent_ms),
            call.took_ms.map(|took| format!("{took:.1}")).unwrap_or_default(),
            call.node_ms.map(|own| own.to_string()).unwrap_or_default(),
            call.outcome.clone(),
            call.hits.map(|hits| hits.to_string()).unwrap_or_default(),
            size(u64::try_from(call.bytes).unwrap_or(u64::MAX)),
            ranges(&call.shards),
        ]
    });
    let head = ["node", "shards", "sent ms", "took ms", "own ms", "outcome", "hits", "bytes", "which"];
    text.push_str(&table(&head, &["shards", "sent ms", "took ms", "own ms", "hits", "bytes"], rows));
    let mut parts = vec![format!("{} in {:.1} ms", answer.status, answer.took_ms)];
    parts.extend(answer.shards.as_ref().map(|shards| format!("shards {shards}")));
    parts.extend(answer.degraded.as_ref().map(|degraded| format!("degraded: {degraded}")));
    parts.extend(answer.hits.map(|hits| format!("{hits} hits")));
    parts.extend(answer.total.map(|total| format!("about {} in all", count(total))));
    parts.extend(answer.error.clone());
    text.push_str(&format!("\n\nanswer: {}\n", parts.join(", ")));
    if filters {
        for call in &explanation.calls {
            let filter = call.filter.as_deref().unwrap_or("none");
            text.push_str(&format!("\n{} {}\n  filter {filter}\n", call.node, call.request));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use miroir_admin::{ExplainedAnswer, ExplainedCall};

    #[test]
    fn calls_and_answer_in_text() {
        let call = |node: &str, shards: Vec<u32>, outcome: &str, took| ExplainedCall {
            node: node.into(),
            shards,
            request: "POST /indexes/films/search".into(),
            filter: Some("_miroir_shard IN [\"…\"]".into()),
            body: serde_json::Value::Null,
            sent_ms: 0.1,
            took_ms: took,
            node_ms: took.map(|_| 1),
            outcome: outcome.into(),
            hits: took.map(|_| 20),
            bytes: 1500,
        };
        let explanation = Explanation {
            index: "films".into(),
            epoch: 4,
            placement: 0,
            shard_count: 8,
            calls: vec![
                call("node-0", vec![0, 1, 2, 5], "200", Some(2.34)),
                call("node-1", vec![3, 4, 6, 7], "cannot connect", None),
            ],
            answer: ExplainedAnswer {
                status: 200,
                took_ms: 5.04,
                shards: Some("8/8".into()),
                degraded: None,
                hits: Some(20),
                total: Some(1234),
                error: None,
            },
        };
        assert_eq!(
            explain(&explanation, false),
            "\
index films, placement 0, 8 shards, epoch 4; asked by control in the filter's place

NODE    SHARDS  SENT MS  TOOK MS  OWN MS  OUTCOME         HITS   BYTES  WHICH
node-0       4      0.1      2.3       1  200               20  1.5 KB  0-2, 5
node-1       4      0.1                   cannot connect        1.5 KB  3-4, 6-7

answer: 200 in 5.0 ms, shards 8/8, 20 hits, about 1,234 in all
"
        );
        assert!(explain(&explanation, true).contains("node-1 POST /indexes/films/search\n  filter _miroir_shard IN"));
    }
}
