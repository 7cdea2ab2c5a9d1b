//! Every setting of an index as data: names, routes, verbs, codes, shapes and defaults (Meilisearch 1.50).

use super::checks::{distribution, minimum_word_sizes, ranking_rule, ratio, score_threshold};
use super::shape::Absent::Fine;
use super::shape::{Field, Shape};

/// A setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Its member in `PATCH /settings`.
    pub key: &'static str,
    /// The last segment of its own route.
    pub route: &'static str,
    /// The method that changes it by its own route; the other of the two is 405.
    pub verb: Verb,
    /// Its value but for null, which resets it.
    pub shape: &'static Shape,
    /// Code of a bad value.
    pub code: &'static str,
    /// JSON text of its value in a new index.
    pub default: &'static str,
}

/// The method that changes a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// The value replaces the old one.
    Put,
    /// The members given replace the old ones.
    Patch,
}

const WORDS: Shape = Shape::Set(&Shape::Text);
const NAMES: Shape = Shape::List(&Shape::Text);

const FILTERABLE: Shape = Shape::List(&Shape::TextOr(&Shape::Object(&[
    Field::required("attributePatterns", NAMES),
    Field::defaulted(
        "features",
        Shape::Object(&[
            Field::defaulted("facetSearch", Shape::Bool, "false"),
            Field::defaulted(
                "filter",
                Shape::Object(&[
                    Field::defaulted("equality", Shape::Bool, "true"),
                    Field::defaulted("comparison", Shape::Bool, "false"),
                ]),
                r#"{"equality":true,"comparison":false}"#,
            ),
        ]),
        r#"{"facetSearch":false,"filter":{"equality":true,"comparison":false}}"#,
    ),
])));

const TYPO: Shape = Shape::Object(&[
    Field::setting("enabled", &Shape::Bool),
    Field::setting("minWordSizeForTypos", &Shape::Checked(&MINIMUM_SIZES, minimum_word_sizes)),
    Field::setting("disableOnWords", &WORDS),
    Field::setting("disableOnAttributes", &WORDS),
    Field::setting("disableOnNumbers", &Shape::Bool),
]);
const MINIMUM_SIZES: Shape = Shape::Object(&[
    Field::setting("oneTypo", &Shape::Count(u8::MAX as u64)),
    Field::setting("twoTypos", &Shape::Count(u8::MAX as u64)),
]);

const FACETING: Shape = Shape::Object(&[
    Field::setting("maxValuesPerFacet", &Shape::Count(u64::MAX)),
    Field::setting("sortFacetValuesBy", &Shape::Table(&Shape::Choice(&["alpha", "count"]))),
]);

const LOCALIZED: Shape = Shape::List(&Shape::Object(&[
    Field::required("attributePatterns", NAMES),
    Field::required("locales", Shape::List(&Shape::Choice(super::locales::NAMES))),
]));

const FRAGMENTS: Shape = Shape::Table(&Shape::Nullable(&Shape::Open(&[Field::required("value", Shape::Any)])));
const HEADERS: Shape = Shape::Table(&Shape::Text);
const SOURCES: Shape = Shape::Choice(super::embedders::SOURCES);
const POOLING: Shape = Shape::Choice(&["useModel", "forceCls", "forceMean"]);
const DISTRIBUTION: Shape = Shape::Checked(
    &Shape::Object(&[Field::required("mean", Shape::Number), Field::required("sigma", Shape::Number)]),
    distribution,
);

/// One embedder.
pub(crate) const EMBEDDER: Shape = Shape::Object(&[
    Field::setting("source", &SOURCES),
    Field::setting("model", &Shape::Text),
    Field::setting("revision", &Shape::Text),
    Field::setting("pooling", &POOLING),
    Field::setting("apiKey", &Shape::Text),
    Field::setting("dimensions", &Shape::Count(u64::MAX)),
    Field::setting("binaryQuantized", &Shape::Bool),
    Field::setting("documentTemplate", &Shape::Text),
    Field::setting("documentTemplateMaxBytes", &Shape::Count(u64::MAX)),
    Field::setting("url", &Shape::Text),
    Field::setting("indexingFragments", &FRAGMENTS),
    Field::setting("searchFragments", &FRAGMENTS),
    Field::setting("request", &Shape::Any),
    Field::setting("response", &Shape::Any),
    Field::setting("headers", &HEADERS),
    Field::setting("searchEmbedder", &SUB_EMBEDDER),
    Field::setting("indexingEmbedder", &SUB_EMBEDDER),
    Field::setting("distribution", &DISTRIBUTION),
]);

const SUB_EMBEDDER: Shape = Shape::Object(&[
    Field::setting("source", &SOURCES),
    Field::setting("model", &Shape::Text),
    Field::setting("revision", &Shape::Text),
    Field::setting("pooling", &POOLING),
    Field::setting("apiKey", &Shape::Text),
    Field::setting("dimensions", &Shape::Count(u64::MAX)),
    Field::setting("documentTemplate", &Shape::Text),
    Field::setting("documentTemplateMaxBytes", &Shape::Count(u64::MAX)),
    Field::setting("url", &Shape::Text),
    Field::setting("indexingFragments", &FRAGMENTS),
    Field::setting("searchFragments", &FRAGMENTS),
    Field::setting("request", &Shape::Any),
    Field::setting("response", &Shape::Any),
    Field::setting("headers", &HEADERS),
    Field::setting("distribution", &DISTRIBUTION),
    Field::setting("binaryQuantized", &Shape::Bool),
    Field::setting("searchEmbedder", &Shape::Any),
    Field::setting("indexingEmbedder", &Shape::Any),
]);

const CHAT: Shape = Shape::Object(&[
    Field::setting("description", &Shape::Text),
    Field::setting("documentTemplate", &Shape::Text),
    Field::setting("documentTemplateMaxBytes", &Shape::Count(u64::MAX)),
    Field::setting(
        "searchParameters",
        &Shape::Object(&[
            Field::setting(
                "hybrid",
                &Shape::Object(&[
                    Field::defaulted("semanticRatio", Shape::Checked(&Shape::Number, ratio), "0.5"),
                    Field::required("embedder", Shape::Text),
                ]),
            ),
            Field::setting("limit", &Shape::Count(u64::MAX)),
            Field::setting("sort", &NAMES),
            Field::setting("distinct", &Shape::Text),
            Field::setting("matchingStrategy", &Shape::Choice(&["last", "all", "frequency"])),
            Field::setting("attributesToSearchOn", &NAMES),
            Field::setting("rankingScoreThreshold", &Shape::Checked(&Shape::Number, score_threshold)),
        ]),
    ),
]);

macro_rules! settings {
    ($($key:literal $route:literal $verb:ident $code:literal $default:literal $shape:expr;)*) => {
        /// All settings, in the order in which the engine shows them.
        pub(crate) const SETTINGS: &[Setting] = &[$(
            Setting { key: $key, route: $route, verb: Verb::$verb, shape: &$shape, code: $code, default: $default },
        )*];

        /// The body of `PATCH /indexes/{uid}/settings`.
        pub(crate) const ALL: Shape = Shape::Object(&[$(
            Field { name: $key, shape: Shape::Nullable(&$shape), absent: Fine, code: Some($code) },
        )*]);
    };
}

settings! {
    "displayedAttributes" "displayed-attributes" Put "invalid_settings_displayed_attributes" r#"["*"]"# NAMES;
    "searchableAttributes" "searchable-attributes" Put "invalid_settings_searchable_attributes" r#"["*"]"# NAMES;
    "filterableAttributes" "filterable-attributes" Put "invalid_settings_filterable_attributes" "[]" FILTERABLE;
    "sortableAttributes" "sortable-attributes" Put "invalid_settings_sortable_attributes" "[]" WORDS;
    "foreignKeys" "foreign-keys" Put "invalid_settings_foreign_keys" "[]" Shape::List(&Shape::Object(&[
        Field::required("foreignIndexUid", Shape::Text),
        Field::required("fieldName", Shape::Text),
    ]));
    "rankingRules" "ranking-rules" Put "invalid_settings_ranking_rules"
        r#"["words","typo","proximity","attributeRank","sort","wordPosition","exactness"]"#
        Shape::List(&Shape::Checked(&Shape::Text, ranking_rule));
    "stopWords" "stop-words" Put "invalid_settings_stop_words" "[]" WORDS;
    "nonSeparatorTokens" "non-separator-tokens" Put "invalid_settings_non_separator_tokens" "[]" WORDS;
    "separatorTokens" "separator-tokens" Put "invalid_settings_separator_tokens" "[]" WORDS;
    "dictionary" "dictionary" Put "invalid_settings_dictionary" "[]" WORDS;
    "synonyms" "synonyms" Put "invalid_settings_synonyms" "{}" Shape::Table(&NAMES);
    "distinctAttribute" "distinct-attribute" Put "invalid_settings_distinct_attribute" "null" Shape::Text;
    "proximityPrecision" "proximity-precision" Put "invalid_settings_proximity_precision" r#""byWord""#
        Shape::Choice(&["byWord", "byAttribute"]);
    "typoTolerance" "typo-tolerance" Patch "invalid_settings_typo_tolerance"
        r#"{"enabled":true,"minWordSizeForTypos":{"oneTypo":5,"twoTypos":9},"disableOnWords":[],"disableOnAttributes":[],"disableOnNumbers":false}"#
        TYPO;
    "faceting" "faceting" Patch "invalid_settings_faceting"
        r#"{"maxValuesPerFacet":100,"sortFacetValuesBy":{"*":"alpha"}}"# FACETING;
    "pagination" "pagination" Patch "invalid_settings_pagination" r#"{"maxTotalHits":1000}"#
        Shape::Object(&[Field::setting("maxTotalHits", &Shape::Positive)]);
    "embedders" "embedders" Patch "invalid_settings_embedders" "{}" Shape::Table(&Shape::Nullable(&EMBEDDER));
    "searchCutoffMs" "search-cutoff-ms" Put "invalid_settings_search_cutoff_ms" "null" Shape::Count(u64::MAX);
    "localizedAttributes" "localized-attributes" Put "invalid_settings_localized_attributes" "null" LOCALIZED;
    "facetSearch" "facet-search" Put "invalid_settings_facet_search" "true" Shape::Bool;
    "prefixSearch" "prefix-search" Put "invalid_settings_prefix_search" r#""indexingTime""#
        Shape::Choice(&["indexingTime", "disabled"]);
    "chat" "chat" Patch "invalid_settings_index_chat"
        r#"{"description":"","documentTemplate":"{% for field in fields %}{% if field.is_searchable and field.value != nil %}{{ field.name }}: {{ field.value }}\n{% endif %}{% endfor %}","documentTemplateMaxBytes":400,"searchParameters":{}}"#
        CHAT;
}

/// The setting of a key.
pub(crate) fn by_key(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

impl Setting {
    /// The value in a new index.
    pub(crate) fn default_value(&self) -> serde_json::Value {
        serde_json::from_str(self.default).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_json_and_fits_its_shape() {
        for setting in SETTINGS {
            let value: serde_json::Value = serde_json::from_str(setting.default).unwrap();
            if !value.is_null() {
                assert_eq!(super::super::shape::read(setting.shape, value.clone(), setting.code), Ok(value));
            }
        }
    }

    #[test]
    fn routes_and_keys_say_the_same() {
        for setting in SETTINGS {
            let mut key = String::new();
            for (at, part) in setting.route.split('-').enumerate() {
                let first = part.chars().next().unwrap();
                if at == 0 {
                    key.push(first)
                } else {
                    key.push(first.to_ascii_uppercase())
                }
                key.push_str(&part[1..]);
            }
            assert_eq!(key, setting.key);
        }
    }
}
