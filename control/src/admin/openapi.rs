//! What every route may answer instead of what it is for: added to the document in one place, so that no route is left
//! out.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{ResponseBuilder, Responses};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr};

/// Status, when it comes, and in words.
type Refusal = (&'static str, fn(&Operation) -> bool, &'static str);

const REFUSALS: [Refusal; 4] = [
    ("400", takes_anything, "Something in the request cannot be read, or is no value for what it is for."),
    ("401", always, "There is no admin key in the request."),
    ("403", always, "The key is not the admin key, or control has none, and the admin API is closed."),
    ("503", always, "Control is being shut down, or does not lead: ask again."),
];

fn always(_: &Operation) -> bool {
    true
}

/// Whether there is something in a request that can be wrong.
fn takes_anything(operation: &Operation) -> bool {
    operation.request_body.is_some() || operation.parameters.as_ref().is_some_and(|list| !list.is_empty())
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

/// Completes a document: every refusal of every route, each with the shape of errors.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for (status, comes, words) in &REFUSALS {
            if !comes(operation) {
                continue;
            }
            let refusal = RefOr::T(ResponseBuilder::new().description(*words).build());
            operation.responses.responses.entry((*status).to_owned()).or_insert(refusal);
        }
        describe(&mut operation.responses);
    }
    document
}

fn describe(responses: &mut Responses) {
    for (status, response) in &mut responses.responses {
        let RefOr::T(response) = response else { continue };
        if status.starts_with('2') {
            if response.description.is_empty() {
                response.description = "Done.".to_owned();
            }
            continue;
        }
        let error = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
        response.content.insert("application/json".to_owned(), error.into());
    }
}
