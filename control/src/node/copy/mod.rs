//! What copying and comparing shards asks of nodes (`docs/protocol.md`, 1.2). Reads go with the master key; whatever
//! changes a node goes with the key that the sequencer gives, so that a fenced leader can do nothing.

mod pages;
mod stored;
mod stream;

use std::time::Duration;

use miroir_core::tag::filter_clause;
use miroir_sequencer::{NodeAnswer as Answer, NodeFault as Fault};
use serde_json::value::RawValue;
use serde_json::{Value, json};

pub(crate) use pages::Pages;
use stored::Stored;
use stream::{Listed, Unreadable};

use super::{Client, Right, enqueued, receive};

/// Documents asked for in one request when whole shards are read: bounds what a node holds in memory for an answer.
const READ_AT_ONCE: usize = 500;

/// More documents than any node has.
const ALL: u32 = u32::MAX;

/// An index, as far as copying needs to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Index uid.
    pub(crate) index: &'a str,
    /// Its primary key.
    pub(crate) primary_key: &'a str,
    /// Number of shards of the cluster.
    pub(crate) shards: u32,
}

/// Documents kept in the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// Number of the page.
    pub(crate) page: u64,
    /// Keys of the documents found; those asked for and not among them do not exist.
    pub(crate) keys: Vec<String>,
    /// Bytes of the documents.
    pub(crate) bytes: u64,
}

/// What a read came to, other than a fault.
#[derive(Debug)]
pub(crate) enum Outcome<T> {
    /// The answer.
    Done(T),
    /// The node's own 4xx or 5xx.
    Refused(Answer),
}

impl<T> From<Listed<T>> for Outcome<T> {
    fn from(listed: Listed<T>) -> Self {
        match listed {
            Listed::Read(value, _) => Self::Done(value),
            Listed::Refused(answer) => Self::Refused(answer),
        }
    }
}

fn stored(document: &RawValue) -> Result<Stored<'_>, Unreadable> {
    Stored::read(document).map_err(|error| Unreadable(error.to_string()))
}

fn id(document: &RawValue, primary_key: &str) -> Result<String, Unreadable> {
    stored(document)?.id(primary_key).ok_or_else(|| Unreadable(format!("a document without `{primary_key}`")))
}

impl Client {
    /// The keys of a shard, from one request and so from one state of the index.
    pub(crate) async fn list_shard(
        &self,
        node: &str,
        place: Place<'_>,
        shard: u32,
        timeout: Duration,
    ) -> Result<Outcome<Vec<String>>, Fault> {
        let filter = filter_clause(&[shard], place.shards);
        let body = json!({ "filter": filter, "fields": [place.primary_key], "limit": ALL });
        let key = place.primary_key.to_owned();
        let keep = move |keys: &mut Vec<String>, document: Box<RawValue>| {
            keys.push(id(&document, &key)?);
            Ok(())
        };
        Ok(self.list(node, place.index, &body, timeout, Vec::new(), keep).await?.into())
    }

    /// Key and digest of these documents, or of all of the shard. Documents are read in several requests: what a write
    /// touches meanwhile may be seen before or after it.
    pub(crate) async fn digests(
        &self,
        node: &str,
        place: Place<'_>,
        shard: u32,
        keys: Option<Vec<String>>,
        timeout: Duration,
    ) -> Result<Outcome<Vec<(String, u128)>>, Fault> {
        let keys = match keys {
            Some(keys) => keys,
            None => match self.list_shard(node, place, shard, timeout).await? {
                Outcome::Done(keys) => keys,
                Outcome::Refused(answer) => return Ok(Outcome::Refused(answer)),
            },
        };
        let filter = filter_clause(&[shard], place.shards);
        let mut digests = Vec::with_capacity(keys.len());
        for keys in keys.chunks(READ_AT_ONCE) {
            let body = json!({ "ids": keys, "filter": filter, "retrieveVectors": true, "limit": keys.len() });
            let key = place.primary_key.to_owned();
            let keep = move |digests: &mut Vec<(String, u128)>, document: Box<RawValue>| {
                digests.push((id(&document, &key)?, stored(&document)?.digest()));
                Ok(())
            };
            match self.list(node, place.index, &body, timeout, digests, keep).await? {
                Listed::Read(more, _) => digests = more,
                Listed::Refused(answer) => return Ok(Outcome::Refused(answer)),
            }
        }
        Ok(Outcome::Done(digests))
    }

    /// Fetches documents with their vectors and keeps them. The engine states the vectors of every embedder of the
    /// index, also that there are none: written to another node as they are, they leave nothing of what was there.
    pub(crate) async fn fetch_page(
        &self,
        node: &str,
        place: Place<'_>,
        keys: &[String],
        pages: &Pages,
        timeout: Duration,
    ) -> Result<Outcome<Fetched>, Fault> {
        let body = json!({ "ids": keys, "retrieveVectors": true, "limit": keys.len() });
        let key = place.primary_key.to_owned();
        let keep = move |found: &mut Vec<(String, Box<RawValue>)>, document: Box<RawValue>| {
            // Without a tag nobody can find it, and it is none of ours.
            if stored(&document)?.is_tagged() {
                found.push((id(&document, &key)?, document));
            }
            Ok(())
        };
        let found = match self.list(node, place.index, &body, timeout, Vec::new(), keep).await? {
            Listed::Read(found, _) => found,
            Listed::Refused(answer) => return Ok(Outcome::Refused(answer)),
        };
        let keys: Vec<String> = found.iter().map(|(key, _)| key.clone()).collect();
        let bytes = found.iter().map(|(_, document)| document.get().len() as u64).sum();
        let page = pages.keep(found).await.ok_or(Fault::NotSent)?;
        Ok(Outcome::Done(Fetched { page, keys, bytes }))
    }

    /// Sends kept documents, but for those with these keys. Second: documents and bytes sent.
    pub(crate) async fn put_page(
        &self,
        node: &str,
        key: Option<&str>,
        place: Place<'_>,
        (pages, page, without): (&Pages, u64, &[String]),
        metadata: &str,
        timeout: Duration,
    ) -> Result<(Answer, (u64, u64)), Fault> {
        let page = pages.get(page).ok_or(Fault::NotSent)?;
        let (body, documents) = page.body(without);
        let bytes = body.len() as u64;
        let path = format!("/indexes/{}/documents", place.index);
        let query = [("primaryKey", place.primary_key), ("customMetadata", metadata)];
        let request = self.request(node, "POST", &path, Right::Key(key))?.query(&query).timeout(timeout);
        let request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
        Ok((enqueued(&receive(request).await?)?, (documents, bytes)))
    }

    /// Deletes documents by their keys.
    pub(crate) async fn delete_keys(
        &self,
        node: &str,
        key: Option<&str>,
        index: &str,
        keys: &[String],
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let path = format!("/indexes/{index}/documents/delete-batch");
        self.delete(node, key, &path, &json!(keys), metadata, timeout).await
    }

    /// Deletes all documents of a shard.
    pub(crate) async fn delete_shard(
        &self,
        node: &str,
        key: Option<&str>,
        place: Place<'_>,
        shard: u32,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let path = format!("/indexes/{}/documents/delete", place.index);
        let body = json!({ "filter": filter_clause(&[shard], place.shards) });
        self.delete(node, key, &path, &body, metadata, timeout).await
    }

    async fn delete(
        &self,
        node: &str,
        key: Option<&str>,
        path: &str,
        body: &Value,
        metadata: &str,
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let request = self.request(node, "POST", path, Right::Key(key))?.query(&[("customMetadata", metadata)]);
        enqueued(&receive(request.json(body).timeout(timeout)).await?)
    }

    /// How many documents a node has of a shard.
    pub(crate) async fn count_shard(
        &self,
        node: &str,
        place: Place<'_>,
        shard: u32,
        timeout: Duration,
    ) -> Result<Outcome<u64>, Fault> {
        let body = json!({ "filter": filter_clause(&[shard], place.shards), "limit": 0 });
        let listed = self.list(node, place.index, &body, timeout, (), |(), _| Ok(())).await?;
        Ok(match listed {
            Listed::Read((), total) => Outcome::Done(total),
            Listed::Refused(answer) => Outcome::Refused(answer),
        })
    }
}
