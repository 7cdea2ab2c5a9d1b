//! Declarative scenarios: requests with the answers that a real Meilisearch gave to them.
//!
//! A scenario is a JSON file in `tests/scenarios`. Its answers come from the real engine only: `cargo run --package
//! miroir-e2e --bin scenarios -- record` asks one and writes them down, masked. The same requests are then sent to the
//! real engine (where there is one), to the stand-in, and to clusters, and the answers must be those of the file.

mod compare;
mod mask;
mod run;

pub(crate) use compare::difference;
pub use run::{Against, MASTER_KEY, check, record};

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A request with its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers beside those that the body needs. A `null` authorization sends none.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub headers: Map<String, Value>,
    /// JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Body by name of a file in `tests/scenarios/data`; the content type follows from its ending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Body as text; the content type has to be among the headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The order of the hits is the engine's own affair (documents that rank alike).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_order: bool,
    /// Further fields to mask, wherever they stand in the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mask: Vec<String>,
    /// Against what this step is not held to the file (`standin`, `cluster`), and why.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub not_for: Map<String, Value>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expected>,
}

/// An answer, masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// HTTP status.
    pub status: u16,
    /// JSON body; null for an empty one.
    pub body: Value,
    /// The task that the request made, once it had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Value>,
}

/// A scenario: it starts on a server without indexes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// File name without its ending.
    #[serde(skip)]
    pub name: String,
    /// What it is about.
    pub about: String,
    /// Its steps, in order. A step that makes a task waits for its end.
    pub steps: Vec<Step>,
}

/// Where the scenarios are.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// Reads all scenarios, by name.
///
/// # Errors
/// When one cannot be read; the message names it.
pub fn load() -> anyhow::Result<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    for entry in std::fs::read_dir(directory()).context("no scenarios")? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let text = std::fs::read_to_string(&path)?;
            let mut scenario: Scenario = serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
            scenario.name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            scenarios.push(scenario);
        }
    }
    scenarios.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(scenarios)
}

impl Scenario {
    /// Writes the scenario to its file: a line for each request, a line for each answer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> anyhow::Result<()> {
        let mut text = format!("{{\n\"about\": {},\n\"steps\": [\n", serde_json::to_string(&self.about)?);
        for (at, step) in self.steps.iter().enumerate() {
            let request = serde_json::to_string(&Step { expect: None, ..step.clone() })?;
            let request = request.strip_suffix('}').unwrap_or(&request);
            let expected = serde_json::to_string(&step.expect)?;
            let comma = if at + 1 < self.steps.len() { "," } else { "" };
            text.push_str(&format!("{request},\n \"expect\": {expected}}}{comma}\n"));
        }
        text.push_str("]\n}\n");
        let path = directory().join(format!("{}.json", self.name));
        std::fs::write(&path, text).with_context(|| format!("{}", path.display()))
    }
}
