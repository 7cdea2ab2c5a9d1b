//! Edits by function, with the limits of the engine.

use miroir_core::error::ErrorBody;
use rhai::{Dynamic, Engine, OptimizationLevel, Scope};
use serde_json::{Map, Value, json};

use super::{Outcome, details, found};
use crate::filter;
use crate::index::Index;
use crate::index::key;
use crate::index::words::Analysis;

fn engine() -> Engine {
    let mut engine = Engine::new();
    engine.set_optimization_level(OptimizationLevel::Full);
    engine.set_max_call_levels(1_000);
    engine.set_max_operations(1_000_000);
    engine.set_max_variables(1_000);
    engine.set_max_functions(30);
    engine.set_max_expr_depths(100, 1_000);
    engine.set_max_array_size(10_000);
    engine.set_max_map_size(10_000);
    engine
}

/// Runs the function on all documents that the filter finds, and changes them only if it fails on none.
pub(super) fn edit(
    index: &mut Index,
    filter: Option<&Value>,
    context: Option<&Value>,
    function: &str,
    contains: bool,
) -> Outcome {
    let fault = |code: &str, message: String| ErrorBody::new(code, format!("Index `{}`: {message}", index.uid));
    let parsed = filter.map(filter::from_json).transpose();
    let parsed = parsed.map_err(|error| fault("invalid_document_filter", error.message))?.flatten();
    let ids: Vec<String> = match (&parsed, filter) {
        (Some(parsed), Some(text)) => found(index, parsed, text, contains)?,
        _ => index.documents.keys().filter_map(|internal| index.id_of(*internal)).collect(),
    };
    let primary_key = index.primary_key.clone().unwrap_or_default();
    let internal = |error: String| ErrorBody::new("internal", error);
    let engine = engine();
    let compiled = engine.compile(function);
    let compiled = compiled.map_err(|error| {
        let text = "Document edition runtime error encountered while compiling the function";
        fault("edit_documents_by_function_error", format!("{text}: {error}"))
    })?;
    let context: Option<Dynamic> =
        context.map(rhai::serde::to_dynamic).transpose().map_err(|error| internal(error.to_string()))?;
    let mut edited: Vec<(&String, Option<Map<String, Value>>)> = Vec::new();
    for id in &ids {
        let Some(document) = index.get(id) else { continue };
        let mut scope = Scope::new();
        if let Some(context) = &context {
            scope.push_constant_dynamic("context", context.clone());
        }
        scope.push_dynamic("doc", rhai::serde::to_dynamic(document).map_err(|error| internal(error.to_string()))?);
        let _ = engine.eval_ast_with_scope::<Dynamic>(&mut scope, &compiled).map_err(|error| {
            let text = "Document edition runtime error encountered while running the function";
            fault("edit_documents_by_function_error", format!("{text}: {error}"))
        })?;
        let after: Dynamic = scope.remove("doc").unwrap_or_default();
        if after.is_unit() {
            edited.push((id, None));
            continue;
        }
        let Ok(Value::Object(after)) = serde_json::to_value(&after) else {
            let text = "Document editions must keep documents as objects";
            return Err(fault("edit_documents_by_function_error", text.to_owned()));
        };
        if key::of(&after, &primary_key)? != *id {
            let text = "Document editions cannot modify a document's primary key";
            return Err(fault("edit_documents_by_function_error", text.to_owned()));
        }
        edited.push((id, Some(after)));
    }
    let analysis = Analysis::new(&index.settings);
    for (id, after) in edited {
        match after {
            Some(document) => index.put(id, &document, &analysis),
            None => drop(index.remove(id)),
        }
    }
    Ok(details(json!({"editedDocuments": ids.len(), "deletedDocuments": ids.len()})))
}
