//! Running scenarios: to record the real engine's answers, and to hold others to them.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::Value;

use super::{Expected, Scenario, Step, compare, directory, mask};
use crate::harness::client::{Answer, Client};
use crate::harness::engine::Engine;
use crate::until;

/// What is held to the recorded answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The real engine.
    Engine,
    /// The stand-in.
    Standin,
    /// A cluster.
    Cluster,
    /// A cluster whose nodes are stand-ins.
    StandinCluster,
}

impl Against {
    /// A cluster of these nodes.
    #[must_use]
    pub fn cluster(engine: &Engine) -> Self {
        if engine.standin { Self::StandinCluster } else { Self::Cluster }
    }

    /// By which names a step can say that it is not for this.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Engine => &["engine"],
            Self::Standin => &["standin"],
            Self::Cluster => &["cluster"],
            Self::StandinCluster => &["cluster", "standin"],
        }
    }
}

/// Records the answers of the server behind `client` into the scenario and its file.
///
/// # Errors
/// When a request gets no answer, or the file cannot be written.
pub async fn record(scenario: &mut Scenario, client: &Client) -> anyhow::Result<()> {
    for step in &mut scenario.steps {
        step.expect = Some(ask(step, client, true).await?);
    }
    clean(client).await?;
    scenario.save()
}

/// Runs a scenario; every difference from the recorded answers, one text each. A request without an answer ends it.
pub async fn check(scenario: &Scenario, client: &Client, against: Against) -> Vec<String> {
    let mut differences = Vec::new();
    if let Err(error) = compare_all(scenario, client, against, &mut differences).await {
        differences.push(format!("{}: {error:#}", scenario.name));
    }
    differences
}

async fn compare_all(
    scenario: &Scenario,
    client: &Client,
    against: Against,
    differences: &mut Vec<String>,
) -> anyhow::Result<()> {
    for (at, step) in scenario.steps.iter().enumerate() {
        let named = || format!("{} step {}: {} {}", scenario.name, at + 1, step.method, step.path);
        let mut expected = step.expect.clone().with_context(|| format!("{}: nothing recorded", named()))?;
        let held = !against.names().iter().any(|name| step.not_for.contains_key(*name));
        let mut found = ask(step, client, held).await.with_context(named)?;
        if !held {
            continue;
        }
        if step.any_order {
            compare::any_order(&mut expected.body);
            compare::any_order(&mut found.body);
        }
        let difference = compare::difference(&serde_json::to_value(&expected)?, &serde_json::to_value(&found)?);
        differences.extend(difference.map(|difference| format!("{}\n    {difference}", named())));
    }
    clean(client).await
}

/// `patient`: heeds `retry-after`, as for an answer that counts.
async fn ask(step: &Step, client: &Client, patient: bool) -> anyhow::Result<Expected> {
    let unauthorised = step.headers.get("authorization").is_some_and(Value::is_null);
    let own = step.headers.get("authorization").and_then(Value::as_str).and_then(|value| value.strip_prefix("Bearer "));
    let client = match (unauthorised, own) {
        (true, _) => client.with_key(None),
        (false, Some(key)) => client.with_key(Some(key)),
        (false, None) => client.clone(),
    };
    let mut request = client.request(Method::from_bytes(step.method.as_bytes())?, &step.path);
    for (name, value) in step.headers.iter().filter(|(name, _)| *name != "authorization") {
        request = request.header(name, value.as_str().unwrap_or_default());
    }
    if let Some(body) = &step.body {
        request = request.header("content-type", "application/json").body(body.to_string());
    } else if let Some(text) = &step.text {
        request = request.body(text.clone());
    } else if let Some(file) = &step.file {
        let mime = match file.rsplit_once('.') {
            Some((_, "json")) => "application/json",
            Some((_, "ndjson")) => "application/x-ndjson",
            Some((_, "csv")) => "text/csv",
            _ => bail!("no content type for {file}"),
        };
        let path = directory().join("data").join(file);
        let bytes = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
        request = request.header("content-type", mime).body(bytes);
    }
    let answer = if patient { send(&client, request).await? } else { client.send(request).await? };
    let mut body = Value::Null;
    if !answer.text.is_empty() {
        body = serde_json::from_str(&answer.text).with_context(|| format!("not JSON: {}", answer.text))?;
    }
    let mut task = None;
    if body["taskUid"].is_u64() {
        let mut ended = client.with_key(Some(MASTER_KEY)).ended(&answer).await?;
        mask::mask(&mut ended, &step.mask);
        task = Some(ended);
    }
    mask::mask(&mut body, &step.mask);
    Ok(Expected { status: answer.status, body, task })
}

/// Sends a request as a client does that heeds `retry-after`: a cluster says so (503) while a new index is not known
/// everywhere yet, which a single engine never has to.
async fn send(client: &Client, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let again = || async {
        let answer = client.send(request.try_clone()?).await;
        let later = answer.as_ref().is_ok_and(|answer| answer.status == 503 && answer.header("retry-after").is_some());
        (!later).then_some(answer)
    };
    until("an answer other than 503", Duration::from_secs(5), again).await?
}

/// The master key of every server that scenarios run against: derived keys stand in the files.
pub const MASTER_KEY: &str = "a-master-key-for-scenarios";

/// Deletes all indexes.
async fn clean(client: &Client) -> anyhow::Result<()> {
    let all = client.get("/indexes?limit=1000").await?.json();
    for index in all["results"].as_array().into_iter().flatten() {
        let uid = index["uid"].as_str().unwrap_or_default();
        client.ended(&client.delete(&format!("/indexes/{uid}")).await?).await?;
    }
    Ok(())
}
