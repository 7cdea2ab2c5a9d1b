//! Settings through their routes, against what one engine answers.

use std::sync::Arc;

use axum::Router;
use serde_json::{Value, json};

use crate::cluster::{IndexOperation, NodeStep, Planner, Runtime};

use super::testing::{Fake, call, call_as};
use super::{Settings, SettingsPlanner, router, template};

fn cluster() -> (Arc<Fake>, Router) {
    let fake = Arc::new(Fake::new(Some("masterkeymasterkey")));
    let router = router(fake.clone());
    (fake, router)
}

/// Details, node bodies, and the fault of the last operation.
fn last(fake: &Fake) -> (Value, Vec<Value>, Option<String>) {
    let (operation, plan) = fake.operations().pop().unwrap();
    let IndexOperation::Settings { details, .. } = operation else { unreachable!() };
    match plan {
        Ok(plan) => {
            let body = |step: NodeStep| serde_json::from_str(&step.body.unwrap()).unwrap();
            (details, plan.steps.into_iter().map(body).collect(), None)
        }
        Err(fault) => (details, vec![], Some(fault.message)),
    }
}

async fn ok(router: &Router, method: &str, path: &str, body: &str) {
    let (status, answer) = call(router, method, path, body).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!((&answer["indexUid"], &answer["type"]), (&json!("m"), &json!("settingsUpdate")));
}

const S: &str = "/indexes/m/settings";
const RULE: &str = r#"{"attributePatterns":["_miroir_shard"],"features":{"facetSearch":false,"filter":{"equality":true,"comparison":false}}}"#;

fn text(value: &Value) -> String {
    value.to_string()
}

#[tokio::test]
async fn a_new_index_has_the_engines_defaults() {
    let (fake, router) = cluster();
    ok(&router, "PATCH", S, "{}").await;
    let (_, view) = call(&router, "GET", S, "").await;
    assert_eq!(
        text(&view),
        r#"{"displayedAttributes":["*"],"searchableAttributes":["*"],"filterableAttributes":[],"sortableAttributes":[],"rankingRules":["words","typo","proximity","attributeRank","sort","wordPosition","exactness"],"stopWords":[],"nonSeparatorTokens":[],"separatorTokens":[],"dictionary":[],"synonyms":{},"distinctAttribute":null,"proximityPrecision":"byWord","typoTolerance":{"enabled":true,"minWordSizeForTypos":{"oneTypo":5,"twoTypos":9},"disableOnWords":[],"disableOnAttributes":[],"disableOnNumbers":false},"faceting":{"maxValuesPerFacet":100,"sortFacetValuesBy":{"*":"alpha"}},"pagination":{"maxTotalHits":1000},"embedders":{},"searchCutoffMs":null,"localizedAttributes":null,"facetSearch":true,"prefixSearch":"indexingTime"}"#
    );
    // The index came into being, with the tag's rule, on every node.
    let (details, bodies, _) = last(&fake);
    assert_eq!(text(&bodies[0]), r#"{"uid":"m","primaryKey":null}"#);
    assert_eq!(text(&bodies[1]), format!(r#"{{"filterableAttributes":[{RULE}]}}"#));
    assert_eq!((details, &bodies[2..]), (json!({}), [json!({})].as_slice()));
}

#[tokio::test]
async fn views_and_details_are_normalised_as_by_the_engine() {
    let (fake, router) = cluster();
    ok(&router, "PATCH", S, r#"{"displayedAttributes":null,"searchableAttributes":["b","a","*"],"filterableAttributes":["x",{"attributePatterns":["y*"]},{"attributePatterns":["z"],"features":{"facetSearch":true}}],"sortableAttributes":["z","a","z"],"synonyms":{"B":["y","x"],"a":["q","q"]},"stopWords":["b","a","a"],"distinctAttribute":null}"#).await;
    assert_eq!(
        text(&last(&fake).0),
        r#"{"displayedAttributes":["*"],"searchableAttributes":["b","a","*"],"filterableAttributes":["x",{"attributePatterns":["y*"],"features":{"facetSearch":false,"filter":{"equality":true,"comparison":false}}},{"attributePatterns":["z"],"features":{"facetSearch":true,"filter":{"equality":true,"comparison":false}}}],"sortableAttributes":["a","z"],"stopWords":["a","b"],"synonyms":{"B":["y","x"],"a":["q","q"]},"distinctAttribute":null}"#
    );
    ok(&router, "PATCH", S, r#"{"rankingRules":["a:asc","words","words"],"searchableAttributes":["a","a","b.c"],"displayedAttributes":["b","a","b"]}"#).await;
    ok(
        &router,
        "PATCH",
        S,
        r#"{"typoTolerance":{"enabled":false,"minWordSizeForTypos":{"oneTypo":4},"disableOnWords":["b","a","A"]}}"#,
    )
    .await;
    ok(&router, "PATCH", S, r#"{"faceting":{"sortFacetValuesBy":{"g":"count"},"maxValuesPerFacet":10},"localizedAttributes":[{"locales":["en","fra"],"attributePatterns":["a"]}]}"#).await;
    ok(&router, "PATCH", S, r#"{"faceting":{"sortFacetValuesBy":{"h":"count"}}}"#).await;
    let (_, view) = call(&router, "GET", S, "").await;
    for (key, shown) in [
        ("searchableAttributes", r#"["a","b.c"]"#),
        ("displayedAttributes", r#"["b","a"]"#),
        ("rankingRules", r#"["a:asc","words","words"]"#),
        (
            "typoTolerance",
            r#"{"enabled":false,"minWordSizeForTypos":{"oneTypo":4,"twoTypos":9},"disableOnWords":["a","b"],"disableOnAttributes":[],"disableOnNumbers":false}"#,
        ),
        ("faceting", r#"{"maxValuesPerFacet":10,"sortFacetValuesBy":{"*":"alpha","h":"count"}}"#),
        ("localizedAttributes", r#"[{"attributePatterns":["a"],"locales":["eng","fra"]}]"#),
    ] {
        assert_eq!(text(&view[key]), shown);
    }
    ok(&router, "PATCH", S, r#"{"typoTolerance":{"minWordSizeForTypos":null},"faceting":{"maxValuesPerFacet":null,"sortFacetValuesBy":null}}"#).await;
    let (_, view) = call(&router, "GET", "/indexes/m/settings/typo-tolerance", "").await;
    assert_eq!(text(&view["minWordSizeForTypos"]), r#"{"oneTypo":5,"twoTypos":9}"#);
    let (_, view) = call(&router, "GET", "/indexes/m/settings/faceting", "").await;
    assert_eq!(text(&view), r#"{"maxValuesPerFacet":100,"sortFacetValuesBy":{"*":"alpha"}}"#);
}

#[tokio::test]
async fn resets_bring_the_defaults_back() {
    let (fake, router) = cluster();
    ok(&router, "PUT", "/indexes/m/settings/sortable-attributes", r#"["a"]"#).await;
    ok(&router, "PUT", "/indexes/m/settings/distinct-attribute", r#""d""#).await;
    ok(&router, "PUT", "/indexes/m/settings/search-cutoff-ms", "0").await;
    assert_eq!(call(&router, "GET", "/indexes/m/settings/search-cutoff-ms", "").await, (200, json!(0)));
    ok(&router, "DELETE", "/indexes/m/settings/distinct-attribute", "").await;
    ok(&router, "PUT", "/indexes/m/settings/search-cutoff-ms", "null").await;
    assert_eq!(call(&router, "GET", "/indexes/m/settings/distinct-attribute", "").await, (200, Value::Null));
    assert_eq!(last(&fake).0, json!({"searchCutoffMs":null}));
    ok(&router, "DELETE", S, "").await;
    assert_eq!(
        text(&last(&fake).0),
        r#"{"displayedAttributes":["*"],"searchableAttributes":["*"],"filterableAttributes":null,"sortableAttributes":null,"foreignKeys":null,"rankingRules":null,"stopWords":null,"nonSeparatorTokens":null,"separatorTokens":null,"dictionary":null,"synonyms":null,"distinctAttribute":null,"proximityPrecision":null,"typoTolerance":null,"faceting":null,"pagination":null,"embedders":null,"searchCutoffMs":null,"localizedAttributes":null,"facetSearch":null,"prefixSearch":null,"chat":null}"#
    );
    let body = last(&fake).1.remove(0);
    assert_eq!(text(&body["filterableAttributes"]), format!("[{RULE}]"));
    assert!(body.get("chat").is_none() && body.get("displayedAttributes").is_none());
    assert_eq!(call(&router, "GET", "/indexes/m/settings/sortable-attributes", "").await, (200, json!([])));
}

#[tokio::test]
async fn nodes_get_what_exactness_needs() {
    let (fake, router) = cluster();
    ok(&router, "PATCH", S, "{}").await;
    ok(&router, "PATCH", S, r#"{"displayedAttributes":["a"]}"#).await;
    assert_eq!(last(&fake).1, [json!({})]);
    ok(
        &router,
        "PATCH",
        S,
        r#"{"filterableAttributes":["a",{"attributePatterns":["*"]}],"faceting":{"sortFacetValuesBy":{"a":"count"}}}"#,
    )
    .await;
    let body = last(&fake).1.remove(0);
    assert_eq!(body["filterableAttributes"][0], serde_json::from_str::<Value>(RULE).unwrap());
    assert_eq!(body["filterableAttributes"][1], "a");
    assert_eq!(body["faceting"]["maxValuesPerFacet"], super::NODE_VALUES_BY_COUNT);
    let view = &fake.index("m").unwrap().view;
    assert_eq!(view.displayed, Some(vec!["a".to_owned()]));
    assert_eq!((view.max_values_per_facet, view.facet_order.len()), (100, 1));
    // In alphabetical order the client's own limit is exact.
    ok(&router, "PATCH", S, r#"{"faceting":{"sortFacetValuesBy":null,"maxValuesPerFacet":5}}"#).await;
    assert_eq!(last(&fake).1[0]["faceting"]["maxValuesPerFacet"], 5);
    let all = Settings::from_stored(&fake.index("m").unwrap().settings).node_settings();
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), ["filterableAttributes", "faceting"]);
}

#[tokio::test]
async fn faults_are_the_engines_and_change_nothing() {
    let (fake, router) = cluster();
    for (method, path, body, status, code, message) in [
        ("PATCH", S, "[]", 400, "bad_request", "Invalid value type: expected an object, but found an array: `[]`"),
        (
            "PATCH",
            S,
            r#"{"filterableAttributes":[1]}"#,
            400,
            "invalid_settings_filterable_attributes",
            "Invalid value type at `.filterableAttributes[0]`: expected a string, but found a positive integer: `1`",
        ),
        (
            "PATCH",
            S,
            r#"{"filterableAttributes":[{"attributePatterns":["a"],"features":{"filter":{"equality":1}}}]}"#,
            400,
            "invalid_settings_filterable_attributes",
            "Invalid value type at `.filterableAttributes[0].features.filter.equality`: expected a boolean, but found a positive integer: `1`",
        ),
        (
            "PATCH",
            S,
            r#"{"rankingRules":["attribute","attributeRank"]}"#,
            400,
            "invalid_settings_ranking_rules",
            "Mixed usage of the attribute, attributeRank, and wordPosition ranking rules. You must either use the attribute ranking rule alone or the attributeRank and wordPosition ranking rules.",
        ),
        (
            "PATCH",
            S,
            r#"{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":9,"twoTypos":5}}}"#,
            400,
            "invalid_settings_typo_tolerance",
            "Invalid value at `.typoTolerance.minWordSizeForTypos`: `minWordSizeForTypos` setting is invalid. `oneTypo` and `twoTypos` fields should be between `0` and `255`, and `twoTypos` should be greater or equals to `oneTypo` but found `oneTypo: 9` and twoTypos: 5`.",
        ),
        (
            "PATCH",
            S,
            r#"{"embedders":{"a":{"distribution":{"mean":2,"sigma":0.1}}}}"#,
            400,
            "invalid_settings_embedders",
            "Invalid value at `.embedders.a.distribution`: the distribution mean must be in the range [0, 1], got 2",
        ),
        (
            "PATCH",
            S,
            r#"{"embedders":{"a":{"source":"composite"}}}"#,
            400,
            "feature_not_enabled",
            "using `\"composite\"` as source requires enabling the `composite embedders` experimental feature. See https://github.com/orgs/meilisearch/discussions/816",
        ),
        (
            "PATCH",
            S,
            r#"{"chat":{}}"#,
            400,
            "feature_not_enabled",
            "setting `chat` in the index settings requires enabling the `chat completions` experimental feature. See https://github.com/orgs/meilisearch/discussions/835",
        ),
        (
            "PATCH",
            S,
            r#"{"displayedAttribute":["a"]}"#,
            400,
            "bad_request",
            "Unknown field `displayedAttribute`: did you mean `displayedAttributes`? expected one of `displayedAttributes`, `searchableAttributes`, `filterableAttributes`, `sortableAttributes`, `foreignKeys`, `rankingRules`, `stopWords`, `nonSeparatorTokens`, `separatorTokens`, `dictionary`, `synonyms`, `distinctAttribute`, `proximityPrecision`, `typoTolerance`, `faceting`, `pagination`, `embedders`, `searchCutoffMs`, `localizedAttributes`, `facetSearch`, `prefixSearch`, `chat`",
        ),
        (
            "PUT",
            "/indexes/m/settings/sortable-attributes",
            r#""a""#,
            400,
            "invalid_settings_sortable_attributes",
            "Invalid value type: expected an array, but found a string: `\"a\"`",
        ),
        (
            "PUT",
            "/indexes/m/settings/ranking-rules",
            r#"["foo"]"#,
            400,
            "invalid_settings_ranking_rules",
            "Invalid value at `[0]`: `foo` ranking rule is invalid. Valid ranking rules are words, typo, sort, proximity, attribute, exactness and custom ranking rules.",
        ),
        (
            "PATCH",
            S,
            "{",
            400,
            "malformed_payload",
            "The json payload provided is malformed. `EOF while parsing an object at line 1 column 1`.",
        ),
        (
            "PATCH",
            S,
            r#"{"nonSeparatorTokens":["\u2E03"]}"#,
            400,
            "invalid_settings_non_separator_tokens",
            "Invalid value at `.nonSeparatorTokens`: `\u{2E03}` contains a character from U+2E00 to U+2E0F, which Miroir reserves.",
        ),
        (
            "PATCH",
            S,
            r#"{"dictionary":["a\u2E0Fb"]}"#,
            400,
            "invalid_settings_dictionary",
            "Invalid value at `.dictionary`: `a\u{2E0F}b` contains a character from U+2E00 to U+2E0F, which Miroir reserves.",
        ),
        (
            "PATCH",
            S,
            r#"{"sortableAttributes":["_miroir_shard"]}"#,
            400,
            "invalid_settings_sortable_attributes",
            "`_miroir_shard` is reserved: names that begin with `_miroir_` are Miroir's own.",
        ),
        (
            "PATCH",
            "/indexes/z%20z/settings",
            r#"{"foo":1,"chat":{}}"#,
            400,
            "bad_request",
            "Unknown field `foo`: expected one of `displayedAttributes`, `searchableAttributes`, `filterableAttributes`, `sortableAttributes`, `foreignKeys`, `rankingRules`, `stopWords`, `nonSeparatorTokens`, `separatorTokens`, `dictionary`, `synonyms`, `distinctAttribute`, `proximityPrecision`, `typoTolerance`, `faceting`, `pagination`, `embedders`, `searchCutoffMs`, `localizedAttributes`, `facetSearch`, `prefixSearch`, `chat`",
        ),
        (
            "PATCH",
            "/indexes/z%20z/settings",
            r#"{"chat":{}}"#,
            400,
            "invalid_index_uid",
            "`z z` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes.",
        ),
        ("GET", "/indexes/zz/settings", "", 404, "index_not_found", "Index `zz` not found."),
        (
            "GET",
            "/indexes/z%20z/settings",
            "",
            400,
            "invalid_index_uid",
            "`z z` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes.",
        ),
    ] {
        let (found, answer) = call(&router, method, path, body).await;
        assert_eq!((found, answer["code"].as_str(), answer["message"].as_str()), (status, Some(code), Some(message)));
    }
    assert_eq!(call(&router, "POST", S, "{}").await.0, 405);
    assert_eq!(call(&router, "PATCH", "/indexes/m/settings/stop-words", "[]").await.0, 405);
    assert_eq!(call_as(&router, None, "PATCH", S, "{").await.1["code"], "missing_authorization_header");
    assert_eq!(fake.operations(), []);
}

#[tokio::test]
async fn what_only_the_change_itself_shows_is_a_failed_task() {
    let (fake, router) = cluster();
    ok(&router, "PATCH", S, r#"{"typoTolerance":{"minWordSizeForTypos":{"twoTypos":3}}}"#).await;
    let fault = last(&fake).2.unwrap();
    assert!(fault.starts_with("Index `m`: `minWordSizeForTypos` setting is invalid."));
    assert!(fault.ends_with("but found `oneTypo: 5` and twoTypos: 3`."));
}

#[tokio::test]
async fn embedders_are_judged_by_a_node_that_changes_nothing() {
    let fake = Fake::new(Some("masterkeymasterkey")).answering(|_, request| {
        let embedders = request.body.as_ref().unwrap()["embedders"].as_object().unwrap();
        let (name, last) = embedders.iter().max_by_key(|(name, _)| name.as_str()).unwrap();
        assert_eq!(last["dimensions"], 0);
        let bad = embedders["a"]["documentTemplate"] == "{{";
        let place = if bad { "a.documentTemplate" } else { &format!("{name}.dimensions") };
        let error =
            miroir_core::error::ErrorBody::new("invalid_settings_embedders", format!("`.embedders.{place}`: …"));
        (400, serde_json::to_value(error).unwrap())
    });
    let fake = Arc::new(fake);
    let router = router(fake.clone());
    let (status, answer) = call(&router, "PATCH", S, r#"{"embedders":{"a":{"documentTemplate":"{{"}}}"#).await;
    assert_eq!((status, answer["message"].as_str()), (400, Some("`.embedders.a.documentTemplate`: …")));
    ok(&router, "PATCH", S, r#"{"embedders":{"a":{"apiKey":"sk-xxxxxxxx"}}}"#).await;
    let (details, bodies, _) = last(&fake);
    assert_eq!(details["embedders"]["a"]["apiKey"], "skXXXX...");
    let node = &bodies.last().unwrap()["embedders"]["a"];
    assert_eq!(node["apiKey"], "sk-xxxxxxxx");
    assert_eq!(node["documentTemplate"], template::without_tag(template::DEFAULT));
    let (_, view) = call(&router, "GET", "/indexes/m/settings/embedders", "").await;
    assert_eq!(view["a"]["documentTemplate"], template::DEFAULT);
    assert_eq!(view["a"]["apiKey"], "skXXXX...");
}

#[tokio::test]
async fn a_node_is_told_from_one_that_missed_a_change() {
    let (fake, router) = cluster();
    ok(&router, "PATCH", S, r#"{"filterableAttributes":["g"],"displayedAttributes":["a"],"stopWords":["É"],"embedders":{"u":{"source":"userProvided","dimensions":3}}}"#).await;
    let row = fake.index("m").unwrap();
    let mut node = Settings::from_stored(&row.settings).view();
    assert!(!SettingsPlanner.agrees(&row, &node));
    node["displayedAttributes"] = json!(["*"]);
    node["filterableAttributes"] = json!(["g", serde_json::from_str::<Value>(RULE).unwrap()]);
    assert!(SettingsPlanner.agrees(&row, &node));
    for (key, other) in [
        ("filterableAttributes", json!(["g"])),
        ("synonyms", json!({"a":["b"]})),
        ("embedders", json!({})),
        ("rankingRules", json!(["words"])),
    ] {
        let mut changed = node.clone();
        changed[key] = other;
        assert!(!SettingsPlanner.agrees(&row, &changed), "{key}");
    }
}

#[tokio::test]
async fn a_key_without_the_right_to_create_does_not_create() {
    let (fake, _) = cluster();
    let operation =
        IndexOperation::Settings { uid: "m".into(), change: json!({}), details: json!({}), may_create: false };
    let fault = SettingsPlanner.plan(&operation, None, &fake.indexes()).unwrap_err();
    assert_eq!(fault.message, "Index `m` not found.");
}

#[tokio::test]
async fn bodies_may_be_as_large_as_documents() {
    let (_, router) = cluster();
    let words = (0..300_000).map(|at| format!("word-{at}")).collect::<Vec<_>>();
    ok(&router, "PUT", "/indexes/m/settings/stop-words", &json!(words).to_string()).await;
    let fake = Fake::new(Some("masterkeymasterkey")).with_body_limit(1024);
    let (status, error) = call(&super::router(Arc::new(fake)), "PATCH", S, &" ".repeat(1025)).await;
    assert_eq!((status, error["code"].as_str()), (413, Some("payload_too_large")));
    assert_eq!(
        error["message"],
        "The provided payload reached the size limit. The maximum accepted payload size is 1 KiB."
    );
}

/// Recorded from Meilisearch 1.50: of these, only the first two make it look into `_geo`.
#[test]
fn geo_counts_by_name_only() {
    for (settings, geo) in [
        (json!({"filterableAttributes": ["a", "_geo"]}), true),
        (json!({"sortableAttributes": ["_geo"]}), true),
        (json!({"filterableAttributes": ["*"], "sortableAttributes": ["*"]}), false),
        (json!({"filterableAttributes": [{"attributePatterns": ["_geo"]}]}), false),
        (json!({"filterableAttributes": ["_geo.lat"], "sortableAttributes": ["_geo*"]}), false),
        (json!({}), false),
    ] {
        assert_eq!(Settings::from_stored(&settings).search_view().geo, geo, "{settings}");
    }
}
