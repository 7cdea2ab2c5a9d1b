//! Documents that were on a node before the cluster get their shard's tag there.

use std::time::Duration;

use miroir_core::error::ErrorBody;
use miroir_core::hash::shard_of;
use miroir_core::tag::{TAG_FIELD, encode, filter_others};
use miroir_sequencer::{NodeAnswer as Answer, NodeFault as Fault};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::stream::{Listed, Unreadable};
use super::{id, stored};
use crate::node::{Client, Right, enqueued, read, receive};

/// How often it is looked whether a page is done.
const LOOK: Duration = Duration::from_millis(50);

/// A page of updates, as it is written into the request.
#[derive(Debug, Default)]
struct Page {
    body: String,
    documents: u64,
}

impl Page {
    /// Takes a document up: its key as it is written, since another form of it would change the document.
    fn add(&mut self, document: &RawValue, primary_key: &str, shards: u32) -> Result<(), Unreadable> {
        let document = stored(document)?;
        let key = document.field(primary_key);
        let key = key.ok_or_else(|| Unreadable(format!("a document without `{primary_key}` at its top")))?;
        let tag = encode(shard_of(id(&document, primary_key)?.as_bytes(), shards), shards);
        let name = json!(primary_key);
        self.body.push(if self.documents == 0 { '[' } else { ',' });
        self.body.push_str(&format!("{{{name}:{},\"{TAG_FIELD}\":\"{tag}\"}}", key.get()));
        self.documents += 1;
        Ok(())
    }
}

impl Client {
    /// Gives some documents without a valid tag theirs, and waits until that is done.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn tag_page(
        &self,
        node: &str,
        key: Option<String>,
        index: &str,
        primary_key: &str,
        limit: u32,
        metadata: String,
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let body = json!({ "filter": untagged(self.shards), "fields": [primary_key], "limit": limit });
        let (name, shards) = (primary_key.to_owned(), self.shards);
        let add = move |page: &mut Page, document: Box<RawValue>| page.add(&document, &name, shards);
        let (mut page, left) = match self.list(node, index, &body, timeout, Page::default(), add).await? {
            Listed::Read(page, left) => (page, left),
            Listed::Refused(answer) => return Ok(answer),
        };
        if page.documents == 0 {
            return Ok(Answer::Tagged { documents: 0, left });
        }
        page.body.push(']');
        let request = self.request(node, "PUT", &format!("/indexes/{index}/documents"), Right::Key(key.as_deref()))?;
        // A document that was deleted since it was listed stays deleted.
        let query = [("primaryKey", primary_key), ("skipCreation", "true"), ("customMetadata", &metadata)];
        let request = request.query(&query).header(http::header::CONTENT_TYPE, "application/json").body(page.body);
        let uid = match enqueued(&receive(request.timeout(timeout)).await?)? {
            Answer::Enqueued { uid, .. } => uid,
            answer => return Ok(answer),
        };
        match self.task_ended(node, uid, timeout).await? {
            None => Ok(Answer::Tagged { documents: page.documents, left: left.saturating_sub(page.documents) }),
            Some(error) => Ok(Answer::Refused { status: 400, error: Some(error) }),
        }
    }

    /// Waits for the end of a task; the error with which it failed, if it did.
    async fn task_ended(&self, node: &str, uid: u32, timeout: Duration) -> Result<Option<ErrorBody>, Fault> {
        #[derive(Deserialize)]
        struct Task {
            status: String,
            error: Option<ErrorBody>,
        }
        loop {
            let task: Task = read(&self.get(node, format!("/tasks/{uid}"), timeout).await?)?;
            match task.status.as_str() {
                "succeeded" => return Ok(None),
                "failed" => {
                    let unknown = || ErrorBody::new("internal", "The task failed.");
                    return Ok(Some(task.error.unwrap_or_else(unknown)));
                }
                "canceled" => return Err(Fault::Unknown),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

/// What has no tag, or none that is one.
pub(crate) fn untagged(shards: u32) -> String {
    let all: Vec<u32> = (0..shards).collect();
    filter_others(&all, shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sent_as_they_are_written() {
        let mut page = Page::default();
        for document in [r#"{"a \" b":7}"#, r#"{"a \" b":"7"}"#, r#"{"a \" b":"x\u002dy"}"#] {
            let document = RawValue::from_string(document.to_owned()).unwrap();
            page.add(&document, "a \" b", 16).unwrap();
        }
        let sent = format!("{}]", page.body);
        let tag = |key: &str| encode(shard_of(key.as_bytes(), 16), 16);
        let expected = [("7", "7"), ("\"7\"", "7"), (r#""x\u002dy""#, "x-y")]
            .map(|(raw, key)| format!(r#"{{"a \" b":{raw},"_miroir_shard":"{}"}}"#, tag(key)));
        assert_eq!(sent, format!("[{}]", expected.join(",")));
        assert_eq!(page.documents, 3);
    }

    #[test]
    fn a_key_within_an_object_is_not_written_over() {
        let document = RawValue::from_string(r#"{"a":{"id":7,"more":true}}"#.to_owned()).unwrap();
        assert!(Page::default().add(&document, "a.id", 16).is_err());
    }
}
