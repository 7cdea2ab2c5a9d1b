//! The admin API's client.

use std::time::Duration;

use reqwest::{Certificate, Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::Connection;
use crate::exit::{Exit, Failure};

/// Longest wait for an answer, unless `--timeout` says otherwise.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest time for all of an answer that may be long.
const STREAM: Duration = Duration::from_secs(86_400);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Asks control.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<String>,
}

/// An answer: as it came, for `--output json`, and read.
#[derive(Debug)]
pub struct Answer<T> {
    /// As it came.
    pub json: Value,
    /// Read.
    pub read: T,
}

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
    code: String,
}

impl Client {
    /// A client for the connection of the command line.
    pub fn new(connection: &Connection) -> Result<Self, Failure> {
        let usage = |message: String| Failure::new(Exit::Usage, message);
        let base = Url::parse(&connection.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| usage(format!("`{}` is not http(s)://host:port", connection.url)))?;
        let read = |path: &std::path::Path| {
            std::fs::read(path).map_err(|error| usage(format!("cannot read {}: {error}", path.display())))
        };
        let key = match &connection.admin_key_file {
            Some(path) => Some(String::from_utf8_lossy(&read(path)?).trim_end_matches(['\r', '\n']).to_owned()),
            None => std::env::var("MIROIR_ADMIN_KEY").ok(),
        };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT)
            .read_timeout(connection.timeout.unwrap_or(ANSWER))
            .timeout(connection.timeout.unwrap_or(ANSWER));
        if let Some(path) = &connection.ca {
            let bundle = Certificate::from_pem_bundle(&read(path)?).map_err(|error| usage(error.to_string()))?;
            builder = bundle.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        let http = builder.build().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        Ok(Self { http, base, key: key.filter(|key| !key.is_empty()) })
    }

    /// `GET`.
    pub async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Answer<T>, Failure> {
        self.ask(Method::GET, path, &[], None::<&()>).await
    }

    /// `POST` with a JSON body.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, bool)],
        body: &impl Serialize,
    ) -> Result<Answer<T>, Failure> {
        self.ask(Method::POST, path, query, Some(body)).await
    }

    /// Asks; `path` are the segments below `/_miroir`.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, bool)],
        body: Option<&impl Serialize>,
    ) -> Result<Answer<T>, Failure> {
        let mut request = self.request(method, path);
        request = request.query(&query.iter().filter(|(_, on)| *on).collect::<Vec<_>>());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if !status.is_success() {
            return Err(self.refused(status, &bytes));
        }
        let odd = |error: serde_json::Error| {
            let text = format!("{} did not answer as control's admin API does: {error}", self.base);
            Failure::new(Exit::Failed, text)
        };
        let json: Value = serde_json::from_slice(&bytes).map_err(odd)?;
        let read = T::deserialize(&json).map_err(odd)?;
        Ok(Answer { json, read })
    }

    /// `GET` of something that may be long: the answer as it comes. `--timeout` bounds each pause in it.
    pub async fn stream(&self, path: &[&str]) -> Result<reqwest::Response, Failure> {
        let request = self.request(Method::GET, path).timeout(STREAM);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Err(self.refused(status, &bytes))
    }

    fn request(&self, method: Method, path: &[&str]) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("_miroir").extend(path);
        }
        let request = self.http.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut text =
            format!("cannot reach {}: {}", self.base, if error.is_timeout() { "no answer in time" } else { "" });
        if !error.is_timeout() {
            let mut source: Option<&dyn std::error::Error> = std::error::Error::source(error);
            while let Some(cause) = source {
                if cause.source().is_none() {
                    text.push_str(&cause.to_string());
                }
                source = cause.source();
            }
        }
        Failure::new(Exit::Unreachable, text)
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        let Ok(error) = serde_json::from_slice::<ErrorBody>(body) else {
            let hint = "is this control's internal listener?";
            return Failure::new(Exit::Failed, format!("{} answered {status}: {hint}", self.base));
        };
        let exit = match (status, error.code.as_str()) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Exit::Denied,
            (StatusCode::NOT_FOUND, _) => Exit::NotFound,
            (StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED, _) => Exit::Refused,
            (StatusCode::BAD_REQUEST, _) => Exit::Usage,
            (StatusCode::SERVICE_UNAVAILABLE, _) => Exit::Unreachable,
            _ => Exit::Failed,
        };
        let hint = match (exit, &self.key) {
            (Exit::Denied, None) => " (give the admin key by --admin-key-file or MIROIR_ADMIN_KEY)",
            _ => "",
        };
        Failure::new(exit, format!("{}{hint}", error.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        let connection = Connection {
            url: "http://127.0.0.1:1".to_owned(),
            admin_key_file: None,
            ca: None,
            timeout: Some(Duration::from_secs(1)),
        };
        Client::new(&connection).unwrap()
    }

    #[test]
    fn refusals_end_with_their_own_code() {
        let body = br#"{"message":"No.","code":"some_code","type":"invalid_request","link":""}"#;
        for (status, exit) in [
            (401, Exit::Denied),
            (403, Exit::Denied),
            (404, Exit::NotFound),
            (409, Exit::Refused),
            (400, Exit::Usage),
            (500, Exit::Failed),
            (503, Exit::Unreachable),
        ] {
            let failure = client().refused(StatusCode::from_u16(status).unwrap(), body);
            assert_eq!(failure.exit, exit, "{status}");
            assert!(failure.message.starts_with("No."));
        }
        assert!(client().refused(StatusCode::NOT_FOUND, b"").message.contains("internal listener"));
    }

    #[tokio::test]
    async fn nobody_there_is_told_from_a_refusal() {
        let failure = client().get::<Value>(&["status"]).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.message.contains("127.0.0.1:1") && failure.message.contains("refused"), "{}", failure.message);
    }
}
