//! Hybrid searches over nodes of which each leaves out its semantic side where its own hits by words are good enough.

use super::*;

/// A document with its scores of both sides.
#[derive(Clone, Debug)]
struct Doc {
    id: usize,
    part: usize,
    words: Option<f64>,
    similarity: f64,
    sort: usize,
}

/// Whether hits are sorted before they are ranked.
type Sorted = bool;

/// The order of one side, greater first.
fn by(sorted: Sorted, score: impl Fn(&Doc) -> f64) -> impl Fn(&&Doc, &&Doc) -> std::cmp::Ordering {
    move |left, right| {
        let sort = if sorted { left.sort.cmp(&right.sort) } else { std::cmp::Ordering::Equal };
        sort.then(score(right).total_cmp(&score(left)))
    }
}

/// A hit: its document, and whether the semantic side has found it.
type Found<'a> = (&'a Doc, bool);

/// What the engine finds in `docs` up to `end`, its total, and the hits of the semantic side.
fn engine<'a>(docs: &[&'a Doc], end: usize, ratio: Option<f32>, sorted: Sorted) -> (Vec<Found<'a>>, usize) {
    let by_words = |doc: &Doc| doc.words.unwrap_or_default();
    let mut words: Vec<&Doc> = docs.iter().copied().filter(|doc| doc.words.is_some()).collect();
    let total = words.len();
    words.sort_by(by(sorted, by_words));
    words.truncate(end);
    let alone = words.iter().map(|doc| (*doc, false)).collect();
    let Some(ratio) = ratio else { return (alone, total) };
    let (of_words, of_vector) = (f64::from(1.0 - ratio), f64::from(ratio));
    if words.len() >= end && words.iter().all(|doc| by_words(doc) * of_words >= 0.45) {
        return (alone, total);
    }
    let mut near = docs.to_vec();
    near.sort_by(by(sorted, |doc| doc.similarity));
    near.truncate(end);
    let mut both: Vec<Found<'_>> = near.into_iter().map(|doc| (doc, true)).chain(alone).collect();
    let weighted =
        |(doc, semantic): &Found<'_>| if *semantic { doc.similarity * of_vector } else { by_words(doc) * of_words };
    both.sort_by(|left, right| {
        let sort = if sorted { left.0.sort.cmp(&right.0.sort) } else { std::cmp::Ordering::Equal };
        sort.then(weighted(right).total_cmp(&weighted(left)))
    });
    let mut seen = std::collections::HashSet::new();
    both.retain(|(doc, _)| seen.insert(doc.id));
    both.truncate(end);
    (both, docs.len())
}

/// What a node answers that holds `docs`.
fn node(docs: &[Doc], part: usize, request: &NodeRequest, sorted: Sorted) -> Vec<u8> {
    let asked: Value = serde_json::from_slice(request.body.as_deref().unwrap()).unwrap();
    let number = |name: &str| asked[name].as_u64().map(|number| number as usize);
    let end = number("hitsPerPage").or(number("limit")).unwrap();
    assert_eq!(asked.get("vector").is_some(), asked.get("hybrid").is_some());
    let ratio = asked.get("hybrid").map(|hybrid| hybrid["semanticRatio"].as_f64().unwrap() as f32);
    let mine: Vec<&Doc> = docs.iter().filter(|doc| doc.part == part).collect();
    let (found, total) = engine(&mine, end, ratio, sorted);
    let hits = found.iter().map(|(doc, semantic)| {
        let mut details = json!({});
        if sorted {
            details["sort:asc"] = json!({ "order": 0, "value": doc.sort });
        }
        let score = if *semantic { doc.similarity } else { doc.words.unwrap() };
        let order = u32::from(sorted);
        if *semantic {
            details["vectorSort"] = json!({ "order": order, "similarity": score });
        } else {
            details["proximity"] = json!({ "order": order, "score": score });
        }
        json!({ "id": doc.id, "_rankingScore": score, "_rankingScoreDetails": details })
    });
    let total_name = if asked.get("page").is_some() { "totalHits" } else { "estimatedTotalHits" };
    let mut answer = json!({
        "hits": hits.collect::<Vec<_>>(), "query": "", "processingTimeMs": 1, total_name: total,
        "facetDistribution": { "part": { part.to_string(): total } }, "facetStats": {},
    });
    if ratio.is_some() {
        answer["semanticHitCount"] = json!(found.iter().filter(|(_, semantic)| *semantic).count());
    }
    answer.to_string().into_bytes()
}

/// The client's answer, and how often each part was asked.
fn search(docs: &[Doc], body: &Value, sorted: Sorted) -> (Value, [usize; 4]) {
    let mut gather = plan(body);
    let mut times = [0; 4];
    let mut asked = vec![2, 0, 3, 1];
    while !asked.is_empty() {
        for part in asked {
            times[part] += 1;
            let answer = node(docs, part, &gather.request(r#""clause""#, part), sorted);
            gather.accept(part, answer).unwrap();
        }
        asked = gather.again();
    }
    gather.settle().unwrap();
    (serde_json::from_slice(&gather.finish(1)).unwrap(), times)
}

fn asked(ratio: f32, offset: usize, limit: usize) -> Value {
    json!({
        "q": "x", "vector": [1.0], "hybrid": { "embedder": "e", "semanticRatio": ratio },
        "offset": offset, "limit": limit, "facets": ["part"],
    })
}

/// `(part, score by words, similarity)` of documents, which are sorted in this order.
fn docs_of(made: &[(usize, Option<f64>, f64)]) -> Vec<Doc> {
    let doc = |(id, (part, words, similarity)): (usize, &(usize, Option<f64>, f64))| Doc {
        id,
        part: *part,
        words: *words,
        similarity: *similarity,
        sort: id,
    };
    made.iter().enumerate().map(doc).collect()
}

#[test]
fn words_alone_do_where_the_hits_of_all_nodes_are_good_enough() {
    // No node has two good hits, all together have.
    let docs = docs_of(&[(0, Some(0.99), 0.1), (1, Some(0.98), 0.2), (1, Some(0.5), 0.3), (2, None, 0.4)]);
    let (answer, times) = search(&docs, &asked(0.5, 0, 2), false);
    assert_eq!(ids(&answer), [0, 1]);
    assert_eq!((&answer["estimatedTotalHits"], &answer["semanticHitCount"]), (&json!(3), &json!(0)));
    assert_eq!(answer["facetDistribution"], json!({ "part": { "0": 1, "1": 2, "2": 0, "3": 0 } }));
    assert_eq!(times, [2; 4]);
}

#[test]
fn nodes_that_left_out_their_semantic_side_are_not_asked_again_for_it() {
    let docs = docs_of(&[(0, Some(0.99), 0.1), (0, Some(0.98), 0.2), (1, Some(0.5), 0.3), (2, None, 0.4)]);
    let (answer, times) = search(&docs, &asked(0.5, 0, 2), false);
    assert_eq!((ids(&answer), &answer["estimatedTotalHits"]), (vec![0, 1], &json!(3)));
    assert_eq!(times, [1, 2, 2, 2]);
}

#[test]
fn a_good_hit_that_the_semantic_side_hides_counts() {
    // Document 0 shows as one of the semantic side.
    let docs = docs_of(&[(0, Some(0.95), 0.99), (1, Some(0.98), 0.2), (2, None, 0.4)]);
    let (answer, _) = search(&docs, &asked(0.5, 0, 2), false);
    assert_eq!((ids(&answer), &answer["estimatedTotalHits"]), (vec![1, 0], &json!(2)));
}

#[test]
fn sorted_hits_of_a_node_may_be_good_where_those_of_all_are_not() {
    // The first two of part 0 are good; of all, the second is not.
    let docs = docs_of(&[(0, Some(0.99), 0.1), (1, Some(0.3), 0.2), (0, Some(0.98), 0.9), (1, None, 0.4)]);
    let (answer, times) = search(&docs, &asked(0.5, 0, 2), true);
    let whole: Vec<&Doc> = docs.iter().collect();
    let (expected, total) = engine(&whole, 2, Some(0.5), true);
    assert_eq!(ids(&answer), expected.iter().map(|(doc, _)| doc.id).collect::<Vec<_>>());
    assert_eq!((total, &answer["estimatedTotalHits"]), (4, &json!(4)));
    assert_eq!(times[0], 2, "part 0 is asked for its semantic side");
}

#[test]
fn nobody_is_asked_twice_where_no_hit_by_words_can_be_good_enough() {
    let docs = docs_of(&[(0, Some(1.0), 0.1), (1, Some(0.98), 0.2), (2, None, 0.4)]);
    for (ratio, limit) in [(0.6, 2), (0.5, 3)] {
        let (answer, times) = search(&docs, &asked(ratio, 0, limit), false);
        assert_eq!((&answer["estimatedTotalHits"], times), (&json!(3), [1; 4]), "{ratio} {limit}");
    }
}

#[test]
fn a_broken_answer_to_a_later_round_is_refused_and_changes_nothing() {
    let docs = docs_of(&[(0, Some(0.99), 0.1), (1, Some(0.98), 0.2), (1, Some(0.5), 0.3), (2, None, 0.4)]);
    let mut gather = plan(&asked(0.5, 0, 2));
    for part in 0..4 {
        gather.accept(part, node(&docs, part, &gather.request(r#""clause""#, part), false)).unwrap();
    }
    assert_eq!(gather.again(), [0, 1, 2, 3]);
    for part in 0..4 {
        let answer = node(&docs, part, &gather.request(r#""clause""#, part), false);
        assert!(gather.accept(part, answer[..answer.len() / 2].to_vec()).is_err());
        gather.accept(part, answer).unwrap();
    }
    assert!(gather.again().is_empty());
    gather.settle().unwrap();
    let answer: Value = serde_json::from_slice(&gather.finish(1)).unwrap();
    assert_eq!((ids(&answer), &answer["estimatedTotalHits"]), (vec![0, 1], &json!(3)));
}

proptest! {
    #[test]
    fn both_sides_of_any_split_are_those_of_the_whole(
        made in prop::collection::vec((0usize..4, prop::option::weighted(0.7, 70u32..100), 0u32..100), 0..24),
        order in any::<prop::sample::Index>(),
        (ratio, offset, limit) in (prop::sample::select(vec![0.1f32, 0.3, 0.45, 0.5, 0.54, 0.7]), 0usize..4, 0usize..6),
        (sorted, pages) in any::<(bool, bool)>(),
    ) {
        let count = made.len();
        let docs: Vec<Doc> = made.into_iter().enumerate().map(|(id, (part, words, similarity))| {
            // No two scores are equal.
            let own = id as f64 / 1e4;
            Doc {
                id,
                part,
                words: words.map(|words| f64::from(words) / 100.0 + own),
                similarity: f64::from(similarity) / 100.0 + own + 1e-6,
                sort: (id + order.index(count.max(1))) % count.max(1),
            }
        }).collect();
        let mut body = asked(ratio, offset, limit);
        let (mut skip, mut end, mut reached) = (offset, offset + limit, offset + limit);
        if pages {
            let members = body.as_object_mut().unwrap();
            members.insert("page".into(), json!(offset));
            members.insert("hitsPerPage".into(), json!(limit));
            (skip, end) = offset.checked_sub(1).map_or((0, 0), |before| (before * limit, offset * limit));
            reached = end;
        }
        if limit == 0 {
            end = skip;
        }
        let whole: Vec<&Doc> = docs.iter().collect();
        let (found, total) = engine(&whole, reached, Some(ratio), sorted);
        let page = found.get(skip.min(found.len())..end.min(found.len())).unwrap();
        let (answer, _) = search(&docs, &body, sorted);
        prop_assert_eq!(ids(&answer), page.iter().map(|(doc, _)| doc.id).collect::<Vec<_>>());
        let told = answer.get("totalHits").or(answer.get("estimatedTotalHits"));
        prop_assert_eq!(told, Some(&json!(total)));
        prop_assert_eq!(&answer["semanticHitCount"], &json!(page.iter().filter(|(_, semantic)| *semantic).count()));
        let counted: u64 = answer["facetDistribution"]["part"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        prop_assert_eq!(counted, total as u64);
    }
}
