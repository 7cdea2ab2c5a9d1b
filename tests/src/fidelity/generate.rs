//! Queries, made of the data's own words and values.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::data::Set;
use super::sample::{any, misspelt, number, phrase, prefix, text, value};
use super::words::{Vocabulary, split, vector};

/// What queries are about. Each search has the shape that its name tells, besides words of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Feature {
    Placeholder,
    Word,
    Words,
    Beginning,
    Typo,
    Phrase,
    Without,
    MatchAll,
    MatchFrequency,
    Filter,
    Facets,
    Sort,
    SortByPlace,
    FilterByPlace,
    Pages,
    Format,
    Scores,
    Threshold,
    Distinct,
    SearchOn,
    Vector,
    Hybrid,
    Similar,
    FacetSearch,
    Multi,
    Federated,
    Documents,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) feature: Feature,
    pub(super) index: &'static str,
    pub(super) path: String,
    pub(super) body: Value,
}

/// A question about this feature; none where the data have nothing for it.
pub(super) fn question(feature: Feature, set: &Set, words: &Vocabulary, random: &mut StdRng) -> Option<Question> {
    let index = set.data.index;
    let own = |route: &str| format!("/indexes/{index}/{route}");
    let (path, body) = match feature {
        Feature::Similar => (own("similar"), similar(set, random)?),
        Feature::FacetSearch => (own("facet-search"), facet_search(set, random)?),
        Feature::Documents => (own("documents/fetch"), documents(set, random)),
        Feature::Multi | Feature::Federated => ("/multi-search".to_owned(), multi(feature, set, words, random)),
        _ => (own("search"), search(feature, set, words, random)?),
    };
    Some(Question { feature, index, path, body })
}

fn search(feature: Feature, set: &Set, words: &Vocabulary, random: &mut StdRng) -> Option<Value> {
    let mut body = json!({"limit": ([5, 20, 20, 50][random.random_range(0..4)])});
    if random.random_bool(0.2) {
        body["offset"] = json!(random.random_range(1..40));
    }
    // Half of what follows is asked with words, half with none.
    let some = |random: &mut StdRng| if random.random_bool(0.5) { json!(text(set, random, 1)) } else { Value::Null };
    match feature {
        Feature::Placeholder => {}
        Feature::Word => body["q"] = json!(words.word(random)),
        Feature::Words => {
            let count = random.random_range(2..5);
            body["q"] = json!(text(set, random, count));
        }
        Feature::Beginning => body["q"] = json!(prefix(&text(set, random, 2), random)),
        Feature::Typo => body["q"] = json!(misspelt(&text(set, random, 2), random)),
        Feature::Phrase => body["q"] = json!(format!("{} \"{}\"", text(set, random, 1), phrase(set, random))),
        Feature::Without => body["q"] = json!(format!("{} -{}", text(set, random, 1), text(set, random, 1))),
        Feature::MatchAll | Feature::MatchFrequency => {
            body["q"] = json!(text(set, random, 3));
            body["matchingStrategy"] = json!(if feature == Feature::MatchAll { "all" } else { "frequency" });
        }
        Feature::Filter => {
            (body["q"], body["filter"]) = (some(random), filter(set, random)?);
        }
        Feature::Facets => {
            (body["q"], body["facets"]) = (some(random), json!(set.facets));
            if !set.numbers.is_empty() && random.random_bool(0.3) {
                body["facets"] = json!(set.numbers);
            }
        }
        Feature::Sort => {
            let fields: Vec<&str> = set.numbers.iter().chain(set.texts.first()).copied().collect();
            let direction = |random: &mut StdRng| if random.random_bool(0.5) { "asc" } else { "desc" };
            let rules =
                (0..random.random_range(1..3)).map(|_| format!("{}:{}", any(&fields, random), direction(random)));
            let rules: Vec<String> = rules.collect();
            (body["q"], body["sort"]) = (some(random), json!(rules));
        }
        Feature::SortByPlace => {
            let (lat, lng) = place(set, random)?;
            (body["q"], body["sort"]) = (some(random), json!([format!("_geoPoint({lat}, {lng}):asc")]));
        }
        Feature::FilterByPlace => {
            let (lat, lng) = place(set, random)?;
            let (north, east) = (lat + random.random_range(0.1..8.0), lng + random.random_range(0.1..8.0));
            let box_of = format!("_geoBoundingBox([{north}, {east}], [{lat}, {lng}])");
            let circle = format!("_geoRadius({lat}, {lng}, {})", random.random_range(1_000..900_000));
            let polygon = format!("_geoPolygon([{lat}, {lng}], [{north}, {lng}], [{lat}, {east}])");
            (body["q"], body["filter"]) = (some(random), json!(any(&[box_of, circle, polygon], random)));
        }
        Feature::Pages => {
            body = in_pages(7, random);
            body["q"] = some(random);
        }
        Feature::Format => {
            body["q"] = json!(text(set, random, 2));
            body["attributesToHighlight"] = json!(["*"]);
            body["attributesToCrop"] = json!(set.texts);
            body["cropLength"] = json!(random.random_range(1..8));
            body["showMatchesPosition"] = json!(true);
            body["attributesToRetrieve"] = json!(["id", set.texts.first()]);
        }
        Feature::Scores => {
            body["q"] = json!(text(set, random, 2));
            body["showRankingScore"] = json!(true);
            body["showRankingScoreDetails"] = json!(true);
        }
        Feature::Threshold => {
            if random.random_bool(0.5) {
                body = in_pages(4, random);
            }
            body["q"] = json!(text(set, random, 3));
            body["rankingScoreThreshold"] = json!(f64::from(random.random_range(1..10u8)) / 10.0);
        }
        Feature::Distinct => {
            if random.random_bool(0.5) {
                body = in_pages(4, random);
            }
            (body["q"], body["distinct"]) = (some(random), json!(any(set.facets, random)));
        }
        Feature::SearchOn => {
            body["q"] = json!(text(set, random, 2));
            body["attributesToSearchOn"] = json!([any(set.texts, random)]);
        }
        Feature::Vector | Feature::Hybrid => {
            if !set.vectors {
                return None;
            }
            let query = text(set, random, 2);
            body["vector"] = json!(vector(&split(&query)));
            body["showRankingScore"] = json!(true);
            let ratio = if feature == Feature::Vector { 1.0 } else { f64::from(random.random_range(1..10u8)) / 10.0 };
            body["hybrid"] = json!({"embedder": "words", "semanticRatio": ratio});
            if feature == Feature::Hybrid {
                body["q"] = json!(query);
            }
        }
        _ => return None,
    }
    Some(body)
}

/// One of the first pages, before this one.
fn in_pages(before: u32, random: &mut StdRng) -> Value {
    json!({"page": (random.random_range(1..before)), "hitsPerPage": (random.random_range(1..30))})
}

fn filter(set: &Set, random: &mut StdRng) -> Option<Value> {
    let mut conditions: Vec<String> = (0..random.random_range(1..4)).filter_map(|_| condition(set, random)).collect();
    if conditions.len() > 1 && random.random_bool(0.3) {
        return Some(json!([conditions.pop()?, conditions]));
    }
    let joint = if random.random_bool(0.5) { " AND " } else { " OR " };
    (!conditions.is_empty()).then(|| json!(conditions.join(joint)))
}

fn condition(set: &Set, random: &mut StdRng) -> Option<String> {
    let field = any(set.facets, random);
    let quoted =
        |random: &mut StdRng| value(set, field, random).map(|value| serde_json::Value::from(value).to_string());
    if !set.numbers.is_empty() && random.random_bool(0.5) {
        let field = any(set.numbers, random);
        let (left, right) = (number(set, field, random)?, number(set, field, random)?);
        let (low, high) = if left < right { (left, right) } else { (right, left) };
        let forms = [
            format!("\"{field}\" > {low}"),
            format!("\"{field}\" {low} TO {high}"),
            format!("NOT \"{field}\" <= {high}"),
            format!("\"{field}\" != {low}"),
            format!("\"{field}\" IS NULL"),
        ];
        return Some(any(&forms, random).clone());
    }
    let forms = [
        format!("\"{field}\" = {}", quoted(random)?),
        format!("\"{field}\" != {}", quoted(random)?),
        format!("\"{field}\" IN [{}, {}]", quoted(random)?, quoted(random)?),
        format!("\"{field}\" NOT IN [{}, {}]", quoted(random)?, quoted(random)?),
        format!("\"{field}\" EXISTS"),
        format!("NOT (\"{field}\" = {})", quoted(random)?),
        format!("\"{field}\" >= {}", quoted(random)?),
    ];
    Some(any(&forms, random).clone())
}

fn place(set: &Set, random: &mut StdRng) -> Option<(f64, f64)> {
    if !set.places {
        return None;
    }
    let at = &any(&set.data.documents, random)["_geo"];
    Some((at["lat"].as_f64()?, at["lng"].as_f64()?))
}

fn similar(set: &Set, random: &mut StdRng) -> Option<Value> {
    set.vectors.then(|| {
        let (id, limit) = (&any(&set.data.documents, random)["id"], random.random_range(1..30));
        json!({"id": id, "embedder": "words", "limit": limit, "showRankingScore": true})
    })
}

fn facet_search(set: &Set, random: &mut StdRng) -> Option<Value> {
    let field = any(set.facets, random);
    let value = value(set, field, random)?;
    let mut body = json!({"facetName": field});
    if random.random_bool(0.8) {
        body["facetQuery"] = json!(prefix(&value, random));
    }
    if random.random_bool(0.5) {
        body["q"] = json!(text(set, random, 1));
    }
    Some(body)
}

fn documents(set: &Set, random: &mut StdRng) -> Value {
    let mut body = json!({"limit": (random.random_range(1..30))});
    if random.random_bool(0.6) {
        body["filter"] = filter(set, random).unwrap_or_default();
    }
    // By the id at last, so that there is one order.
    let first = any(&set.numbers.iter().chain(set.texts.first()).copied().collect::<Vec<_>>(), random).to_owned();
    body["sort"] = json!([format!("{first}:desc"), "id:asc"]);
    body["offset"] = json!(random.random_range(0..200));
    body
}

fn multi(feature: Feature, set: &Set, words: &Vocabulary, random: &mut StdRng) -> Value {
    const KINDS: [Feature; 6] =
        [Feature::Word, Feature::Words, Feature::Typo, Feature::Filter, Feature::Sort, Feature::Facets];
    let mut queries = Vec::new();
    for _ in 0..random.random_range(1..4) {
        let kind = if feature == Feature::Federated { any(&KINDS[..4], random) } else { any(&KINDS, random) };
        let Some(mut query) = search(*kind, set, words, random) else { continue };
        query["indexUid"] = json!(set.data.index);
        if let (Feature::Federated, Some(query)) = (feature, query.as_object_mut()) {
            query.retain(|name, _| !["limit", "offset"].contains(&name.as_str()));
            query.insert("showRankingScoreDetails".to_owned(), json!(true));
            query.insert(
                "federationOptions".to_owned(),
                json!({"weight": (f64::from(random.random_range(1..5u8)) / 2.0)}),
            );
        }
        queries.push(query);
    }
    if feature == Feature::Multi {
        return json!({"queries": queries});
    }
    let facets = json!({(set.data.index): (set.facets.get(..1))});
    json!({"queries": queries, "federation": {"limit": (random.random_range(1..40)), "facetsByIndex": facets}})
}
