//! Document routes.

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, header};
use serde_json::{Map, Value, json};

use super::{body, check_uid, enqueue, may_create};
use crate::answer::{Answer, Refusal, no_index, ok, refuse};
use crate::auth::check;
use crate::filter::{self, Scope};
use crate::index::{Index, key, paths, vectors};
use crate::node::{Node, Shared};
use crate::payload;
use crate::query::sort::{self, By, Criterion};
use crate::shape::{self, Field, Is};
use crate::task::Work;

const WRITE: &[Field] = &[
    ("primaryKey", Is::Text, "invalid_index_primary_key"),
    ("csvDelimiter", Is::Text, "invalid_document_csv_delimiter"),
    ("customMetadata", Is::Text, "invalid_index_custom_metadata"),
    ("skipCreation", Is::Text, "invalid_skip_creation"),
];

const METADATA: &[Field] = &[("customMetadata", Is::Text, "invalid_index_custom_metadata")];

const FUNCTION: &str = "invalid_document_edition_function_filter";

const EDIT: &[Field] = &[
    ("filter", Is::Any, "invalid_document_filter"),
    ("context", Is::Any, "invalid_document_edition_context"),
    ("function", Is::Text, FUNCTION),
];

const LIST: &[Field] = &[
    ("offset", Is::Count, "invalid_document_offset"),
    ("limit", Is::Count, "invalid_document_limit"),
    ("fields", Is::Texts, "invalid_document_fields"),
    ("retrieveVectors", Is::Flag, "invalid_document_retrieve_vectors"),
    ("ids", Is::Any, "invalid_document_ids"),
    ("filter", Is::Any, "invalid_document_filter"),
    ("sort", Is::Texts, "invalid_document_sort"),
    ("useNetwork", Is::Flag, "invalid_document_use_network"),
];

const ONE: &[Field] = &[
    ("fields", Is::Texts, "invalid_document_fields"),
    ("retrieveVectors", Is::Flag, "invalid_document_retrieve_vectors"),
    ("useNetwork", Is::Flag, "invalid_document_use_network"),
];

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// `POST /indexes/{index}/documents`
pub(super) async fn replace(
    State(node): State<Shared>,
    Path(index): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    add(&node, &index, query.as_deref(), &headers, &bytes, false)
}

/// `PUT /indexes/{index}/documents`
pub(super) async fn update(
    State(node): State<Shared>,
    Path(index): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    add(&node, &index, query.as_deref(), &headers, &bytes, true)
}

fn add(node: &Node, index: &str, query: Option<&str>, headers: &HeaderMap, bytes: &[u8], merge: bool) -> Answer {
    let right = check(node, headers, "documents.add", Some(index))?;
    check_uid(index)?;
    let fields = shape::query(query, WRITE)?;
    let skip_creation = match text(&fields, "skipCreation").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            return Err(refuse(
                "invalid_skip_creation",
                format!("skipCreation must be either `true` or `false`. Found: `{other}`"),
            ));
        }
    };
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let format = payload::format(content_type, text(&fields, "csvDelimiter").as_deref())?;
    let work = Work::Add {
        merge,
        documents: payload::read(bytes, format)?,
        primary_key: text(&fields, "primaryKey"),
        skip_creation,
        create_index: may_create(&right, index),
    };
    enqueue(node, 202, Some(index), work, text(&fields, "customMetadata"))
}

/// `DELETE /indexes/{index}/documents`
pub(super) async fn clear(
    State(node): State<Shared>,
    Path(index): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    delete_with(&node, &index, query.as_deref(), &headers, || Ok(Work::Clear))
}

/// `DELETE /indexes/{index}/documents/{id}`
pub(super) async fn delete(
    State(node): State<Shared>,
    Path((index, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    delete_with(&node, &index, query.as_deref(), &headers, || Ok(Work::Delete { ids: vec![id] }))
}

/// `POST /indexes/{index}/documents/delete-batch`
pub(super) async fn delete_batch(
    State(node): State<Shared>,
    Path(index): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    delete_with(&node, &index, query.as_deref(), &headers, || {
        let request = body(&headers, &bytes)?;
        let Some(items) = request.as_array() else {
            return Err(refuse(
                "bad_request",
                "Json deserialize error: invalid type: map, expected a sequence at line 1 column 0",
            ));
        };
        let ids = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
        Ok(Work::Delete { ids })
    })
}

/// `POST /indexes/{index}/documents/delete`
pub(super) async fn delete_by_filter(
    State(node): State<Shared>,
    Path(index): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    delete_with(&node, &index, query.as_deref(), &headers, || {
        let request = body(&headers, &bytes)?;
        let fields = shape::object(&request)?;
        shape::check(fields, &[("filter", Is::Any, "invalid_document_filter")], "")?;
        let Some(filter) = fields.get("filter").filter(|filter| !filter.is_null()) else {
            return Err(refuse("missing_document_filter", "Missing field `filter`"));
        };
        let parsed = filter::from_json(filter).map_err(|fault| refuse("invalid_document_filter", fault.message))?;
        if parsed.is_none() {
            return Err(refuse("invalid_document_filter", "Sending an empty filter is forbidden."));
        }
        Ok(Work::DeleteByFilter { filter: filter.clone() })
    })
}

/// `POST /indexes/{index}/documents/edit`
pub(super) async fn edit(
    State(node): State<Shared>,
    Path(index): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    check(&node, &headers, "documents.*", Some(&index))?;
    let parameters = shape::query(query.as_deref(), METADATA)?;
    let request = body(&headers, &bytes)?;
    let fields = shape::object(&request)?;
    shape::check(fields, EDIT, "")?;
    let function = match fields.get("function") {
        Some(Value::String(function)) => function.clone(),
        Some(other) => return Err(shape::wrong_type(FUNCTION, ".function", "a string", other)),
        None => return Err(refuse("missing_document_edition_function", "Missing field `function`")),
    };
    if !node.state().feature("editDocumentsByFunction") {
        return Err(refuse(
            "feature_not_enabled",
            "Using the documents edit route requires enabling the `edit documents by function` experimental feature. \
             See https://github.com/orgs/meilisearch/discussions/762",
        ));
    }
    check_uid(&index)?;
    if let Err(error) = rhai::Engine::new().compile(&function) {
        return Err(refuse("bad_request", error.to_string()));
    }
    let given = |name: &str| fields.get(name).filter(|value| !value.is_null()).cloned();
    let filter = given("filter");
    if let Some(filter) = &filter {
        let parsed = filter::from_json(filter).map_err(|fault| {
            // Of what stands within an array, only the types are told with the name of the index.
            let named = !filter.is_array() || fault.message.starts_with("Invalid syntax");
            let place = if named { format!("Index `{index}`: ") } else { String::new() };
            refuse("invalid_document_filter", format!("{place}{}", fault.message))
        })?;
        if parsed.is_none() {
            return Err(refuse("invalid_document_filter", "Sending an empty filter is forbidden."));
        }
    }
    let context = given("context");
    if context.as_ref().is_some_and(|context| !context.is_object()) {
        return Err(refuse("invalid_document_edition_context", "The context must be an object"));
    }
    let work = Work::Edit { filter, context, function };
    enqueue(&node, 202, Some(&index), work, text(&parameters, "customMetadata"))
}

fn delete_with(
    node: &Node,
    index: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    work: impl FnOnce() -> Result<Work, Refusal>,
) -> Answer {
    check(node, headers, "documents.delete", Some(index))?;
    check_uid(index)?;
    let fields = shape::query(query, METADATA)?;
    enqueue(node, 202, Some(index), work()?, text(&fields, "customMetadata"))
}

/// `GET /indexes/{index}/documents/{id}`
pub(super) async fn one(
    State(node): State<Shared>,
    Path((index, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    check(&node, &headers, "documents.get", Some(&index))?;
    check_uid(&index)?;
    let fields = shape::query(query.as_deref(), ONE)?;
    let state = node.state();
    let found = state.indexes.get(&index).ok_or_else(|| no_index(&index))?;
    let internal = found.internal(&id);
    let internal = internal.ok_or_else(|| refuse("document_not_found", format!("Document `{id}` not found.")))?;
    ok(Value::Object(shown(found, internal, &fields)))
}

fn shown(index: &Index, internal: u32, fields: &Map<String, Value>) -> Map<String, Value> {
    let Some(document) = index.documents.get(&internal) else { return Map::new() };
    let mut shown = match fields.get("fields").and_then(Value::as_array) {
        Some(names) => {
            let names: Vec<String> = names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
            paths::select(document, &names)
        }
        None => document.clone(),
    };
    shown.shift_remove(vectors::FIELD);
    if fields.get("retrieveVectors") == Some(&Value::Bool(true)) {
        let vectors = vectors::shown(document, index.settings.get("embedders"), index.vectors(internal));
        shown.insert(vectors::FIELD.to_owned(), vectors);
    }
    shown
}

/// `GET /indexes/{index}/documents`
pub(super) async fn list(
    State(node): State<Shared>,
    Path(index): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    check(&node, &headers, "documents.get", Some(&index))?;
    check_uid(&index)?;
    let mut fields = shape::query(query.as_deref(), LIST)?;
    if let Some(Value::String(ids)) = fields.get("ids") {
        let ids: Value = ids.split(',').map(|id| json!(id.trim())).collect();
        fields.insert("ids".into(), ids);
    }
    if let Some(Value::String(text)) = fields.get("filter")
        && let Ok(list @ Value::Array(_)) = serde_json::from_str::<Value>(text)
    {
        fields.insert("filter".into(), list);
    }
    answer(&node, &index, &fields, false)
}

/// `POST /indexes/{index}/documents/fetch`
pub(super) async fn fetch(
    State(node): State<Shared>,
    Path(index): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    check(&node, &headers, "documents.get", Some(&index))?;
    check_uid(&index)?;
    let request = body(&headers, &bytes)?;
    let fields = shape::object(&request)?;
    shape::check(fields, LIST, "")?;
    let proxied = headers.get("meili-proxy-search").is_some_and(|value| value == "true");
    answer(&node, &index, fields, proxied)
}

/// Lists documents; `proxied` asks for the values by which they were sorted.
fn answer(node: &Node, index: &str, fields: &Map<String, Value>, proxied: bool) -> Answer {
    let state = node.state();
    let found = state.indexes.get(index).ok_or_else(|| no_index(index))?;
    let filter = fields.get("filter").cloned().unwrap_or_default();
    let fault = |fault: filter::FilterFault| refuse(fault.code.unwrap_or("invalid_document_filter"), fault.message);
    let parsed = filter::from_json(&filter).map_err(fault)?;
    if let Some(parsed) = &parsed {
        let contains = state.feature("containsFilter");
        filter::validate(parsed, &found.settings, contains, Scope::Documents, &filter).map_err(fault)?;
    }
    let ids = ids(fields)?;
    let criteria = criteria(found, fields)?;
    let mut documents: Vec<(u32, &Map<String, Value>)> = found
        .documents
        .iter()
        .filter(|(internal, _)| {
            ids.as_ref().is_none_or(|ids| ids.iter().any(|id| found.internal(id) == Some(**internal)))
        })
        .map(|(internal, document)| (*internal, document))
        .filter(|(_, document)| parsed.as_ref().is_none_or(|parsed| filter::matches(parsed, document)))
        .collect();
    documents.sort_by(|(_, left), (_, right)| {
        let orders = criteria.iter().map(|by| sort::compare(by, &sort::key(by, left), &sort::key(by, right)));
        orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    let number = |name: &str, otherwise: u64| fields.get(name).and_then(Value::as_u64).unwrap_or(otherwise);
    let (offset, limit) = (number("offset", 0), number("limit", 20));
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let take = usize::try_from(limit).unwrap_or(usize::MAX);
    let total = documents.len();
    // The engine loses documents whose sort value is an explicit null, and counts them still.
    documents.retain(|(_, document)| criteria.iter().all(|by| !sort::null(by, document)));
    let page = documents.iter().skip(skip).take(take);
    let results: Vec<_> = page
        .map(|(internal, document)| {
            let mut shown = shown(found, *internal, fields);
            if proxied {
                let values: Vec<Value> = criteria.iter().map(|by| sort::weighted(by, document)).collect();
                shown.insert("_federation".into(), json!({"weightedScoreValues": values}));
            }
            shown
        })
        .collect();
    ok(json!({"results": results, "offset": offset, "limit": limit, "total": total}))
}

fn ids(fields: &Map<String, Value>) -> Result<Option<Vec<String>>, Refusal> {
    let Some(value) = fields.get("ids").filter(|ids| !ids.is_null()) else { return Ok(None) };
    let items = value.as_array().ok_or_else(|| shape::wrong_type("invalid_document_ids", ".ids", "an array", value))?;
    let mut ids = Vec::new();
    for (position, item) in items.iter().enumerate() {
        let shown = || key::invalid_text(&item.to_string());
        let id =
            key::id(item).map_err(|_| refuse("invalid_document_ids", format!("In `.ids[{position}]`: {}", shown())))?;
        ids.push(id);
    }
    Ok(Some(ids))
}

fn criteria(index: &Index, fields: &Map<String, Value>) -> Result<Vec<Criterion>, Refusal> {
    let mut criteria = Vec::new();
    for text in fields.get("sort").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        let criterion = Criterion::parse(text).ok_or_else(|| {
            refuse(
                "invalid_document_sort",
                format!("Invalid syntax for the sort parameter: expected expression ending by `:asc` or `:desc`, found `{text}`."),
            )
        })?;
        if let By::Field(name) = &criterion.by
            && !index.settings.sortable(name)
        {
            let known = index.settings.texts("sortableAttributes");
            let known = if known.is_empty() {
                "This index does not have configured sortable attributes.".to_owned()
            } else {
                format!("Available sortable attributes are: `{}`.", known.join(", "))
            };
            return Err(refuse("invalid_document_sort", format!("Attribute `{name}` is not sortable. {known}")));
        }
        criteria.push(criterion);
    }
    Ok(criteria)
}
