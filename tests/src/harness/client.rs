//! A plain HTTP client with the answers as tests want them.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap};
use serde_json::Value;

use super::wait::until;

/// Longest wait for a task.
const TASK_LIMIT: Duration = Duration::from_secs(60);

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A client of one server, node or cluster.
#[derive(Clone, Debug)]
pub struct Client {
    /// Base URL without a slash at the end.
    pub base: String,
    key: Option<String>,
    host: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// A client with this bearer key.
    #[must_use]
    pub fn new(base: &str, key: Option<&str>) -> Self {
        // The engine closes what is idle for 5 s, and a request may just then be on its way.
        let http =
            reqwest::Client::builder().timeout(Duration::from_secs(60)).pool_idle_timeout(Duration::from_secs(2));
        let http = http.build().unwrap_or_default();
        Self { base: base.trim_end_matches('/').to_owned(), key: key.map(str::to_owned), host: None, http }
    }

    /// The same server with another key, or none.
    #[must_use]
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), ..self.clone() }
    }

    /// The same client at another server, one of several hosts behind it.
    #[must_use]
    pub fn at(&self, base: &str, host: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), host: Some(host.to_owned()), ..self.clone() }
    }

    /// A request to build on.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        request
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// GET.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(self.request(Method::GET, path)).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Any method with a JSON body.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let request = self.request(method, path).header(CONTENT_TYPE, "application/json").body(body.to_string());
        self.send(request).await
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.json(Method::POST, path, body).await
    }

    /// Waits until a task has ended; the task.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn task(&self, uid: u64) -> anyhow::Result<Value> {
        let path = format!("/tasks/{uid}");
        until(&format!("task {uid}"), TASK_LIMIT, || async {
            let task = self.get(&path).await.ok()?.json();
            let ended = matches!(task["status"].as_str(), Some("succeeded" | "failed" | "canceled"));
            ended.then_some(task)
        })
        .await
    }

    /// Takes the answer that made a task, and waits until that task has ended.
    ///
    /// # Errors
    /// When the answer made none, or the task does not end in time.
    pub async fn ended(&self, answer: &Answer) -> anyhow::Result<Value> {
        let uid = answer.json()["taskUid"].as_u64();
        self.task(uid.with_context(|| format!("no task in {} {}", answer.status, answer.text))?).await
    }

    /// Like [`Client::ended`], and the task must have succeeded.
    ///
    /// # Errors
    /// When it has not.
    pub async fn succeeded(&self, answer: &Answer) -> anyhow::Result<Value> {
        let task = self.ended(answer).await?;
        ensure!(task["status"] == "succeeded", "task has not succeeded: {task}");
        Ok(task)
    }
}
