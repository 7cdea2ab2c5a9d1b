//! Drift that tests plant: what lies on the disk changes, and no task tells of it. Set by `POST /_standin/drift`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::index::key;
use crate::index::words::Analysis;
use crate::node::State;

/// What changes in an index.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Drift {
    /// Its uid.
    pub(crate) index: String,
    /// Whole documents, as they are stored.
    pub(crate) put: Vec<Map<String, Value>>,
    /// Ids of documents that go.
    pub(crate) delete: Vec<String>,
    /// Settings, as they are stored.
    pub(crate) settings: Map<String, Value>,
}

/// Changes the index; nothing happens without one.
pub(crate) fn apply(state: &mut State, drift: &Drift) {
    let Some(index) = state.indexes.get_mut(&drift.index) else { return };
    let Some(primary_key) = index.primary_key.clone() else { return };
    let analysis = Analysis::new(&index.settings);
    for document in &drift.put {
        if let Ok(id) = key::of(document, &primary_key) {
            index.put(&id, document, &analysis);
        }
    }
    for id in &drift.delete {
        index.remove(id);
    }
    if !drift.settings.is_empty() {
        index.settings.apply(&drift.settings);
        index.reindex();
    }
}
