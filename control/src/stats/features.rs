//! `/experimental-features`: the client's view. Nodes keep what the cluster needs them to have.

use miroir_core::error::ErrorBody;
use serde_json::{Map, Value};

use crate::settings::shape::{Field, Shape, read};

/// Under which name control stores what the client set.
pub(crate) const STORED: &str = "experimental-features";

macro_rules! features {
    ($($name:literal)*) => {
        const BODY: Shape = Shape::Object(&[$(Field::setting($name, &Shape::Bool)),*]);
        const NAMES: &[&str] = &[$($name),*];
    };
}

features! {
    "metrics" "logsRoute" "editDocumentsByFunction" "containsFilter" "dynamicSearchRules" "network"
    "getTaskDocumentsRoute" "taskQueueCompactionRoute" "compositeEmbedders" "chatCompletions" "multimodal"
    "foreignKeys" "disableDocumentsFetchQueue" "legacySearch" "renderRoute"
}

/// All features, of which none is on unless stored.
pub(crate) fn view(stored: Option<&Value>) -> Value {
    let on = |name: &str| stored.is_some_and(|stored| stored[name] == true);
    Value::Object(NAMES.iter().map(|name| ((*name).to_owned(), on(name).into())).collect::<Map<_, _>>())
}

/// Features that nodes serve by themselves, search by search and edit by edit. The others need something of the cluster as a whole
/// that its nodes cannot give alone.
const SERVED: &[&str] = &["editDocumentsByFunction", "containsFilter", "multimodal", "renderRoute"];

/// Features that control serves; nodes keep them off.
const OWN: &[&str] = &["network"];

/// What a node must have switched on or off for the stored features: the body of its `PATCH /experimental-features`.
pub(crate) fn on_nodes(stored: Option<&Value>) -> Value {
    let all = view(stored);
    Value::Object(SERVED.iter().map(|name| ((*name).to_owned(), all[*name].clone())).collect())
}

/// What must have been stored for nodes to show these: of the features that they do not serve, what was stored before.
pub(crate) fn from_nodes(stored: Option<&Value>, shown: &Value) -> Option<Value> {
    let mut after = view(stored);
    for name in SERVED {
        after[*name] = (shown[*name] == true).into();
    }
    let any = after.as_object().is_some_and(|after| after.values().any(|on| *on == true));
    (any || stored.is_some()).then_some(after)
}

/// What is stored after a change.
pub(super) fn change(stored: Option<&Value>, body: Value) -> Result<Value, ErrorBody> {
    let body = read(&BODY, body, "bad_request")?;
    let mut after = view(stored);
    for (name, value) in body.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        if value == true && !SERVED.contains(&name.as_str()) && !OWN.contains(&name.as_str()) {
            let message = format!("Miroir does not serve the experimental feature `{name}`.");
            return Err(ErrorBody::new("feature_not_enabled", message));
        }
        after[name.as_str()] = value.clone();
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_nodes_serve_alone_can_be_switched_on() {
        let off = view(None);
        assert_eq!(off.as_object().unwrap().len(), 15);
        assert_eq!(change(None, json!({})), Ok(off.clone()));
        assert_eq!(change(None, json!({"metrics":null,"network":false})), Ok(off));
        assert_eq!(change(None, json!({"foreignKeys":true})).unwrap_err().code, "feature_not_enabled");
        let on = change(None, json!({"containsFilter":true,"network":true})).unwrap();
        let nodes = |contains: bool| json!({"editDocumentsByFunction":false,"containsFilter":contains,"multimodal":false,"renderRoute":false});
        assert_eq!(on_nodes(Some(&on)), nodes(true));
        assert_eq!((&view(Some(&on))["containsFilter"], &view(Some(&on))["network"]), (&json!(true), &json!(true)));
        assert_eq!(on_nodes(None), nodes(false));
        assert_eq!(
            change(None, json!({"metrics":1})).unwrap_err().message,
            "Invalid value type at `.metrics`: expected a boolean, but found a positive integer: `1`"
        );
    }
}
