//! A client's query as members with their raw values. What Miroir does not know stays as it was sent.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::{RawValue, to_raw_value};

/// Members that page.
const PAGING: [&str; 4] = ["offset", "limit", "page", "hitsPerPage"];

/// Members that say what is shown of the documents, and what beside them.
const SHOWN: [&str; 14] = [
    "attributesToRetrieve",
    "attributesToCrop",
    "cropLength",
    "cropMarker",
    "attributesToHighlight",
    "highlightPreTag",
    "highlightPostTag",
    "showMatchesPosition",
    "showRankingScore",
    "showRankingScoreDetails",
    "showPerformanceDetails",
    "facets",
    "fields",
    "retrieveVectors",
];

/// Members in the order in which they were sent; of repeated ones the last counts, as for the engine.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, Box<RawValue>)>);

/// The query has a form that the engine refuses, or that this build does not understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUnderstood;

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Query;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Query, A::Error> {
                let mut query = Query::default();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    query.set_raw(&name, value);
                }
                Ok(query)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl Query {
    /// Reads a JSON object.
    pub fn parse(body: &[u8]) -> Result<Self, NotUnderstood> {
        serde_json::from_slice(body).map_err(|_| NotUnderstood)
    }

    fn set_raw(&mut self, name: &str, value: Box<RawValue>) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value));
    }

    /// Sets a member.
    pub fn set(&mut self, name: &str, value: &(impl serde::Serialize + ?Sized)) {
        if let Ok(value) = to_raw_value(value) {
            self.set_raw(name, value);
        }
    }

    /// Removes a member.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// A member's raw JSON; none where it is missing or null.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.get()).filter(|raw| *raw != "null")
    }

    /// The query without what only concerns how documents are shown.
    pub fn bare(&self) -> Self {
        Self(self.0.iter().filter(|(name, _)| !SHOWN.contains(&name.as_str())).cloned().collect())
    }

    /// Names of all members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// True for a member that was sent as null.
    pub fn is_null(&self, name: &str) -> bool {
        self.0.iter().any(|(known, value)| known == name && value.get() == "null")
    }

    /// A member that is of type `T` or missing.
    pub fn get<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<Option<T>, NotUnderstood> {
        self.raw(name).map(|raw| serde_json::from_str(raw).map_err(|_| NotUnderstood)).transpose()
    }

    /// As [`Self::get`], for members that the engine does not take as null.
    pub fn strict<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<Option<T>, NotUnderstood> {
        if self.is_null(name) { Err(NotUnderstood) } else { self.get(name) }
    }

    /// A whole number, missing or null.
    pub fn whole(&self, name: &str) -> Result<Option<u64>, NotUnderstood> {
        self.get(name)
    }

    /// The query as a JSON object without its closing brace.
    pub fn open_json(&self) -> Vec<u8> {
        let mut out = vec![b'{'];
        for (position, (name, value)) in self.0.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            out.extend_from_slice(serde_json::Value::from(name.as_str()).to_string().as_bytes());
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        out
    }

    /// The query as a JSON object.
    pub fn json(&self) -> Vec<u8> {
        let mut out = self.open_json();
        out.push(b'}');
        out
    }

    /// Hash of the members that say which documents come in which order, whatever their own order: not of those that
    /// page, nor of those that say what is shown of each document.
    pub fn hash(&self, index: &str) -> u64 {
        let mut members: Vec<(&str, &str)> = self.0.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
        members.retain(|(name, _)| !PAGING.contains(name) && !SHOWN.contains(name));
        members.sort_unstable();
        let mut text = index.to_owned();
        for (name, value) in members {
            text.extend(["\0", name, "\0", value]);
        }
        twox_hash::XxHash3_64::oneshot(text.as_bytes())
    }
}

/// The client's filter as elements of an array whose elements are ANDed. An element is parsed on its own by the engine,
/// so a shard clause beside it needs no parentheses, and a syntax error keeps its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter(String);

impl Filter {
    /// Takes the filter of a query.
    pub fn of(query: &Query) -> Result<Self, NotUnderstood> {
        let Some(raw) = query.raw("filter") else { return Ok(Self::default()) };
        match raw.as_bytes().first() {
            Some(b'"') => {
                let text: String = serde_json::from_str(raw).map_err(|_| NotUnderstood)?;
                Ok(Self(if text.trim().is_empty() { String::new() } else { raw.to_owned() }))
            }
            Some(b'[') => {
                let inner = raw.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(NotUnderstood)?;
                Ok(Self(inner.trim().to_owned()))
            }
            _ => Err(NotUnderstood),
        }
    }

    /// Bytes of the client's part.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes the filter for a node that answers for the shards of `clause`, a JSON string, or for all that it holds,
    /// where that is empty.
    pub fn write(&self, clause: &str, out: &mut Vec<u8>) {
        if self.0.is_empty() && clause.is_empty() {
            return out.extend_from_slice(b"null");
        }
        out.push(b'[');
        out.extend_from_slice(self.0.as_bytes());
        if !self.0.is_empty() && !clause.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(clause.as_bytes());
        out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_members_stay_byte_for_byte() {
        let query =
            Query::parse(br#"{"q":"a","x":{"b":1.50,"a":[1e3]},"q":"b", "y" : 12345678901234567890123}"#).unwrap();
        assert_eq!(query.json(), br#"{"x":{"b":1.50,"a":[1e3]},"q":"b","y":12345678901234567890123}"#);
    }

    #[test]
    fn what_is_no_object_is_not_understood() {
        for body in ["", "[]", "1", "{\"a\":}", "{} x", "{\"a\":1"] {
            assert!(Query::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    fn within(clause: &str, filter: &str) -> Result<String, NotUnderstood> {
        let query = Query::parse(format!("{{\"filter\":{filter}}}").as_bytes()).unwrap();
        let mut out = Vec::new();
        Filter::of(&query)?.write(clause, &mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    fn with(filter: &str) -> Result<String, NotUnderstood> {
        within(r#""s IN [\"x\"]""#, filter)
    }

    #[test]
    fn without_a_clause_the_clients_filter_stands_alone() {
        for (filter, written) in [
            ("null", "null"),
            ("\"  \"", "null"),
            ("[]", "null"),
            ("\"a = 1 OR b = 2\"", "[\"a = 1 OR b = 2\"]"),
            ("[[\"a = 1\",\"b = 2\"]]", "[[\"a = 1\",\"b = 2\"]]"),
        ] {
            assert_eq!(within("", filter).unwrap(), written);
        }
    }

    #[test]
    fn the_clause_is_added_to_each_form_of_filter() {
        let clause = r#""s IN [\"x\"]""#;
        assert_eq!(with("null").unwrap(), format!("[{clause}]"));
        assert_eq!(with("\"  \"").unwrap(), format!("[{clause}]"));
        assert_eq!(with("[]").unwrap(), format!("[{clause}]"));
        assert_eq!(with("\"a = 1 OR b = 2\"").unwrap(), format!("[\"a = 1 OR b = 2\",{clause}]"));
        assert_eq!(
            with("[[\"a = 1\",\"b = 2\"], \"c = 3\"]").unwrap(),
            format!("[[\"a = 1\",\"b = 2\"], \"c = 3\",{clause}]")
        );
        assert_eq!(with("3"), Err(NotUnderstood));
    }

    #[test]
    fn pages_of_one_query_have_one_hash() {
        let hash = |body: &str, index: &str| Query::parse(body.as_bytes()).unwrap().hash(index);
        assert_eq!(hash(r#"{"q":"a","offset":20}"#, "films"), hash(r#"{"limit":5,"q":"a"}"#, "films"));
        assert_eq!(hash(r#"{"fields":["title"],"offset":1}"#, "films"), hash("{}", "films"));
        assert_eq!(hash(r#"{"q":"a","attributesToHighlight":["*"]}"#, "films"), hash(r#"{"q":"a"}"#, "films"));
        assert_ne!(hash(r#"{"q":"a"}"#, "films"), hash(r#"{"q":"b"}"#, "films"));
        assert_ne!(hash(r#"{"q":"a","sort":["x:asc"]}"#, "films"), hash(r#"{"q":"a"}"#, "films"));
        assert_ne!(hash(r#"{"q":"a"}"#, "films"), hash(r#"{"q":"a"}"#, "books"));
    }

    #[cfg(not(target_arch = "wasm32"))]
    mod properties {
        use std::collections::BTreeMap;

        use super::*;
        use crate::search::{IndexFacts, Plan, ReadCall, plan_documents, plan_facet_search, plan_search};
        use crate::shardmap::SearchView;
        use proptest::prelude::*;

        /// JSON as clients write it: with any space, and numbers and escapes that no type of ours would give back.
        fn json() -> impl Strategy<Value = String> {
            let leaf = prop_oneof![
                Just("null".to_owned()),
                "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
                "\"([a-zé\u{1F600} ]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-7][0-9a-f]|\\\\ud83d\\\\ude00){0,9}\"",
            ];
            leaf.prop_recursive(3, 12, 4, |inner| {
                let space = || "[ \n\t\r]{0,2}";
                prop_oneof![
                    (space(), prop::collection::vec(inner.clone(), 0..4))
                        .prop_map(|(space, items)| format!("[{space}{}]", items.join(&format!("{space},")))),
                    (space(), prop::collection::vec(("[a-b]{1,2}", inner), 0..4)).prop_map(|(space, members)| {
                        let members: Vec<_> =
                            members.iter().map(|(name, value)| format!("\"{name}\"{space}:{space}{value}")).collect();
                        format!("{{{}{space}}}", members.join(" ,"))
                    }),
                ]
            })
        }

        proptest! {
            #[test]
            fn members_that_nobody_knows_get_to_the_nodes_as_they_came(
                unknown in prop::collection::btree_map("x-[a-z\"\\\\é]{0,4}", json(), 0..6),
                space in "[ \n]{0,2}",
                before in 0usize..6,
            ) {
                let mut members: Vec<String> = unknown
                    .iter()
                    .map(|(name, value)| format!("{}{space}:{space}{value}{space}", serde_json::Value::from(name.as_str())))
                    .collect();
                let known = r#""q":"a","facetName":"b","filter":"c = 1","limit":3,"offset":2"#;
                members.insert(before.min(members.len()), known.to_owned());
                let body = format!("{{{}}}", members.join(","));
                let call =
                    ReadCall { method: "POST", path: "/x", query: None, body: body.as_bytes(), include_metadata: false };
                let view = SearchView::default();
                let index = IndexFacts { uid: "films", primary_key: None, view: &view };
                for plan in [plan_search, plan_facet_search, plan_documents] {
                    let Plan::Gather(gather) = plan(&call, &index) else { panic!("relayed: {body}") };
                    let sent = gather.request(r#""clause""#, 0).body.unwrap();
                    let sent: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&sent).unwrap();
                    for (name, value) in &unknown {
                        prop_assert_eq!(sent.get(name).map(|raw| raw.get()), Some(value.as_str()));
                    }
                }
            }
        }
    }
}
