//! `POST /indexes/{uid}/fields`: the fields of all nodes put together, in the order of their names.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::query::{NotUnderstood, Query};
use super::{BadAnswer, Gather, IndexFacts, NodeRequest};
use crate::tag::TAG_FIELD;

/// More fields than an index can have.
const ALL: usize = 1 << 20;
/// Fields of a page where the client does not say (the engine's default).
const DEFAULT_FIELDS: usize = 20;

/// The fields of an index.
pub(super) struct Fields {
    index: String,
    hash: u64,
    body: Vec<u8>,
    offset: usize,
    limit: usize,
    /// `displayedAttributes`, where it is a list: nodes display everything.
    displayed: Option<Vec<String>>,
    /// Only fields that are displayed, or only others.
    wanted: Option<bool>,
    replay: NodeRequest,
    fields: BTreeMap<String, Map<String, Value>>,
}

impl Fields {
    /// Plans a listing. `replay` is the client's own request.
    ///
    /// # Errors
    /// Where the query has a form that cannot be rewritten.
    pub fn plan(mut query: Query, index: &IndexFacts<'_>, replay: NodeRequest) -> Result<Self, NotUnderstood> {
        if query.names().any(|name| !matches!(name, "offset" | "limit" | "filter")) {
            return Err(NotUnderstood);
        }
        let hash = query.hash(index.uid);
        let offset: usize = query.strict("offset")?.unwrap_or(0);
        let limit: usize = query.strict("limit")?.unwrap_or(DEFAULT_FIELDS);
        let mut wanted = None;
        if let Some(mut filter) = query.get::<Query>("filter")? {
            wanted = filter.get::<bool>("displayed")?;
            filter.remove("displayed");
            let filter: Value = serde_json::from_slice(&filter.json()).map_err(|_| NotUnderstood)?;
            query.set("filter", &filter);
        }
        query.set("offset", &0);
        query.set("limit", &ALL);
        Ok(Self {
            index: index.uid.to_owned(),
            hash,
            body: query.json(),
            offset,
            limit,
            displayed: index.view.displayed.clone(),
            wanted,
            replay,
            fields: BTreeMap::new(),
        })
    }

    fn shows(&self, field: &str) -> bool {
        self.displayed.as_ref().is_none_or(|names| names.iter().any(|name| is_within(field, name)))
    }
}

/// Whether a field is this attribute, or a member of it.
fn is_within(field: &str, attribute: &str) -> bool {
    field.strip_prefix(attribute).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Gather for Fields {
    fn index(&self) -> &str {
        &self.index
    }

    fn query_hash(&self) -> u64 {
        self.hash
    }

    fn request(&self, _clause: &str, _part: usize) -> NodeRequest {
        let path = format!("/indexes/{}/fields", self.index);
        NodeRequest { method: "POST", path, headers: &[], body: Some(self.body.clone()) }
    }

    fn accept(&mut self, _part: usize, body: Vec<u8>) -> Result<(), BadAnswer> {
        let bad = || BadAnswer("no list of fields".to_owned());
        let mut answer: Value = serde_json::from_slice(&body).map_err(|_| bad())?;
        let listed = answer.get_mut("results").and_then(Value::as_array_mut).map(std::mem::take).ok_or_else(bad)?;
        let mut fields = Vec::with_capacity(listed.len());
        for field in listed {
            let Value::Object(field) = field else { return Err(bad()) };
            let name = field.get("name").and_then(Value::as_str).ok_or_else(bad)?.to_owned();
            fields.push((name, field));
        }
        for (name, mut field) in fields {
            if is_within(&name, TAG_FIELD) {
                continue;
            }
            let shown = self.shows(&name);
            if self.displayed.is_some() {
                field.insert("displayed".to_owned(), json!({ "enabled": shown }));
            }
            if self.wanted.is_none_or(|wanted| wanted == shown) {
                self.fields.entry(name).or_insert(field);
            }
        }
        Ok(())
    }

    fn replay(&self) -> Option<NodeRequest> {
        Some(self.replay.clone())
    }

    fn finish(self: Box<Self>, _took_ms: u64) -> Vec<u8> {
        let (offset, limit, total) = (self.offset, self.limit, self.fields.len());
        let page: Vec<_> = self.fields.into_values().skip(offset).take(limit).collect();
        json!({ "results": page, "offset": offset, "limit": limit, "total": total }).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shardmap::SearchView;

    fn planned(body: &str, displayed: Option<&[&str]>) -> Result<Box<Fields>, NotUnderstood> {
        let displayed = displayed.map(|names| names.iter().map(ToString::to_string).collect());
        let view = SearchView { displayed, ..SearchView::default() };
        let replay = NodeRequest { method: "POST", path: "/x".into(), headers: &[], body: None };
        let index = IndexFacts { uid: "a", primary_key: None, view: &view };
        Fields::plan(Query::parse(body.as_bytes()).unwrap(), &index, replay).map(Box::new)
    }

    fn listed(mut fields: Box<Fields>) -> Value {
        let answer = |names: &[&str]| {
            let field = |name: &&str| json!({ "name": name, "displayed": { "enabled": true } });
            json!({ "results": names.iter().map(field).collect::<Vec<_>>() }).to_string().into_bytes()
        };
        fields.accept(0, answer(&["_miroir_shard", "b", "b.c", "id"])).unwrap();
        fields.accept(1, answer(&["a", "b", "id"])).unwrap();
        serde_json::from_slice(&fields.finish(0)).unwrap()
    }

    fn names(page: &Value) -> Vec<&str> {
        page["results"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn fields_are_put_together_without_the_reserved_one() {
        let page = listed(planned("{}", None).unwrap());
        assert_eq!((names(&page), &page["total"]), (vec!["a", "b", "b.c", "id"], &4.into()));
        let page = listed(planned(r#"{"offset":1,"limit":2}"#, None).unwrap());
        assert_eq!((names(&page), &page["total"]), (vec!["b", "b.c"], &4.into()));
    }

    #[test]
    fn what_is_displayed_is_the_clients() {
        let page = listed(planned("{}", Some(&["b"])).unwrap());
        let shown = |at: usize| page["results"][at]["displayed"]["enabled"].as_bool().unwrap();
        assert_eq!([shown(0), shown(1), shown(2), shown(3)], [false, true, true, false]);
        let fields = planned(r#"{"filter":{"displayed":false,"sortable":false}}"#, Some(&["b"])).unwrap();
        let body: Value = serde_json::from_slice(&fields.request("s", 0).body.unwrap()).unwrap();
        assert_eq!(body["filter"], json!({ "sortable": false }));
        assert_eq!(names(&listed(fields)), ["a", "id"]);
    }

    #[test]
    fn other_forms_are_the_nodes_to_refuse() {
        for body in [r#"{"x":1}"#, r#"{"limit":null}"#, r#"{"filter":{"displayed":1}}"#, r#"{"filter":3}"#] {
            assert!(planned(body, None).is_err(), "{body}");
        }
        let mut fields = planned("{}", None).unwrap();
        for body in ["", "{}", r#"{"results":[1]}"#, r#"{"results":[{}]}"#] {
            assert!(fields.accept(0, body.as_bytes().to_vec()).is_err(), "{body}");
        }
    }
}
