//! What copying and comparing shards asks of nodes (`docs/protocol.md`, 1.2). Reads go with the master key; whatever
//! changes a node goes with the key that the sequencer gives, so that a fenced leader can do nothing.

mod outsiders;
mod pages;
mod sample;
mod stored;
mod stream;
mod tags;

use std::time::Duration;

use miroir_core::tag::{filter_clause, nothing};
use miroir_sequencer::{NodeAction, NodeAnswer as Answer, NodeFault as Fault, OUTSIDER, PageId};
use prometheus_client::metrics::counter::Counter;
use serde_json::value::RawValue;
use serde_json::{Value, json};

pub(crate) use pages::Pages;
use stored::Stored;
use stream::{Listed, Unreadable};

use super::{Client, Right, enqueued, receive};

/// Documents asked for in one request where whole shards are read: bounds what a node holds in memory for an answer.
const READ_AT_ONCE: usize = 500;

/// More documents than any node has.
const ALL: u32 = u32::MAX;

/// What was copied in the life of this process.
#[derive(Clone, Debug, Default)]
pub struct Copied {
    /// Documents that nodes took.
    pub documents: Counter,
    /// Their bytes.
    pub bytes: Counter,
}

/// Documents with their keys.
type Documents = Vec<(String, Box<RawValue>)>;

fn stored(document: &RawValue) -> Result<Stored<'_>, Unreadable> {
    Stored::read(document).map_err(|error| Unreadable(error.to_string()))
}

fn id(document: &Stored<'_>, primary_key: &str) -> Result<String, Unreadable> {
    document.id(primary_key).ok_or_else(|| Unreadable(format!("a document without `{primary_key}`")))
}

impl Client {
    /// Carries out those of the sequencer's actions that are about a shard's documents.
    pub(super) async fn copy(&self, node: &str, action: NodeAction, timeout: Duration) -> Result<Answer, Fault> {
        match action {
            NodeAction::ListKeys { index, primary_key, shard } => {
                Ok(match self.list_keys_of(node, &index, &primary_key, shard, timeout).await? {
                    Listed::Read(keys, _) => Answer::Keys(keys),
                    Listed::Refused(answer) => answer,
                })
            }
            NodeAction::Digests { index, primary_key, shard, keys } => {
                self.digests(node, &index, &primary_key, shard, keys, timeout).await
            }
            NodeAction::ListOutsiders { index, primary_key, held, keys } => {
                self.outsiders(node, &index, &primary_key, &held, &keys, timeout).await
            }
            NodeAction::FetchPage { index, primary_key, keys } => {
                self.fetch_page(node, &index, &primary_key, &keys, timeout).await
            }
            NodeAction::PutPage { key, index, primary_key, page, without, metadata } => {
                let page = self.pages.get(page).ok_or(Fault::NotSent)?;
                let (body, documents) = page.body(&without);
                let bytes = body.len();
                let path = format!("/indexes/{index}/documents");
                let request = self.request(node, "POST", &path, Right::Key(key.as_deref()))?;
                let request = request.query(&[("primaryKey", primary_key), ("customMetadata", metadata)]);
                let request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
                let answer = enqueued(&receive(request.timeout(timeout)).await?)?;
                if matches!(answer, Answer::Enqueued { .. }) {
                    self.copied.documents.inc_by(documents);
                    self.copied.bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
                }
                Ok(answer)
            }
            NodeAction::DeleteKeys { key, index, keys, metadata } => {
                let path = format!("/indexes/{index}/documents/delete-batch");
                self.post(node, key, &path, &json!(keys), metadata, timeout).await
            }
            NodeAction::DeleteShard { key, index, shard, metadata } => {
                let path = format!("/indexes/{index}/documents/delete");
                self.post(node, key, &path, &json!({ "filter": self.of_shard(shard) }), metadata, timeout).await
            }
            NodeAction::DivideBatch { key, index, metadata } => {
                let path = format!("/indexes/{index}/documents/delete");
                self.post(node, key, &path, &json!({ "filter": nothing() }), metadata, timeout).await
            }
            NodeAction::TagPage { key, index, primary_key, limit, metadata } => {
                self.tag_page(node, key, &index, &primary_key, limit, metadata, timeout).await
            }
            NodeAction::CountShard { index, shard } => {
                let body = json!({ "filter": self.of_shard(shard), "limit": 0 });
                Ok(match self.list(node, &index, &body, timeout, (), |(), _| Ok(())).await? {
                    Listed::Read((), total) => Answer::Count(total),
                    Listed::Refused(answer) => answer,
                })
            }
            _ => Err(Fault::NotSent),
        }
    }

    fn of_shard(&self, shard: u32) -> String {
        filter_clause(&[shard], self.shards)
    }

    /// The keys of a shard, from one request and so from one state of the index.
    async fn list_keys_of(
        &self,
        node: &str,
        index: &str,
        primary_key: &str,
        shard: u32,
        timeout: Duration,
    ) -> Result<Listed<Vec<String>>, Fault> {
        let body = json!({ "filter": self.of_shard(shard), "fields": [primary_key], "limit": ALL });
        let primary_key = primary_key.to_owned();
        let keep = move |keys: &mut Vec<String>, document: Box<RawValue>| {
            keys.push(id(&stored(&document)?, &primary_key)?);
            Ok(())
        };
        self.list(node, index, &body, timeout, Vec::new(), keep).await
    }

    /// Key and digest of these documents, or of all of the shard. They are read in several requests: what a write
    /// touches meanwhile is seen before it, after it, or not at all.
    async fn digests(
        &self,
        node: &str,
        index: &str,
        primary_key: &str,
        shard: u32,
        keys: Option<Vec<String>>,
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let keys = match keys {
            Some(keys) => keys,
            None => match self.list_keys_of(node, index, primary_key, shard, timeout).await? {
                Listed::Read(keys, _) => keys,
                Listed::Refused(answer) => return Ok(answer),
            },
        };
        let mut digests = Vec::with_capacity(keys.len());
        for keys in keys.chunks(READ_AT_ONCE) {
            let body = json!({ "ids": keys, "retrieveVectors": true, "limit": keys.len() });
            let (primary_key, shards) = (primary_key.to_owned(), self.shards);
            let keep = move |digests: &mut Vec<(String, u128)>, document: Box<RawValue>| {
                let document = stored(&document)?;
                let key = id(&document, &primary_key)?;
                let digest = if document.belongs(&key, shards) { document.digest() } else { OUTSIDER };
                digests.push((key, digest));
                Ok(())
            };
            match self.list(node, index, &body, timeout, digests, keep).await? {
                Listed::Read(more, _) => digests = more,
                Listed::Refused(answer) => return Ok(answer),
            }
        }
        Ok(Answer::Digests(digests))
    }

    /// Reads documents with their vectors and keeps them. The engine states the vectors of every embedder of the index,
    /// also that there are none: written to another node as they are, they leave nothing of what was there.
    async fn fetch_page(
        &self,
        node: &str,
        index: &str,
        primary_key: &str,
        keys: &[String],
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let found = match self.list_documents(node, index, primary_key, keys, true, timeout).await? {
            Listed::Read(found, _) => found,
            Listed::Refused(answer) => return Ok(answer),
        };
        let keys = found.iter().map(|(key, _)| key.clone()).collect();
        let bytes: usize = found.iter().map(|(_, document)| document.get().len()).sum();
        let page = self.pages.keep(found).await.ok_or(Fault::NotSent)?;
        Ok(Answer::Page { page, keys, bytes: u64::try_from(bytes).unwrap_or(u64::MAX) })
    }

    /// Those of these documents that a node has, as they are, with their vectors. `own`: without those whose tag is not
    /// their key's.
    ///
    /// # Errors
    /// Why the node does not show them.
    pub(crate) async fn documents(
        &self,
        node: &str,
        index: &str,
        primary_key: &str,
        keys: &[String],
        own: bool,
        timeout: Duration,
    ) -> Result<Documents, String> {
        match self.list_documents(node, index, primary_key, keys, own, timeout).await {
            Ok(Listed::Read(found, _)) => Ok(found),
            Ok(Listed::Refused(Answer::Refused { status: 404, .. })) => Ok(Vec::new()),
            Ok(Listed::Refused(answer)) => Err(format!("{answer:?}")),
            Err(fault) => Err(format!("{fault:?}")),
        }
    }

    async fn list_documents(
        &self,
        node: &str,
        index: &str,
        primary_key: &str,
        keys: &[String],
        own: bool,
        timeout: Duration,
    ) -> Result<Listed<Documents>, Fault> {
        let body = json!({ "ids": keys, "retrieveVectors": true, "limit": keys.len() });
        let (primary_key, shards) = (primary_key.to_owned(), self.shards);
        let keep = move |found: &mut Documents, document: Box<RawValue>| {
            let read = stored(&document)?;
            let key = id(&read, &primary_key)?;
            if !own || read.belongs(&key, shards) {
                found.push((key, document));
            }
            Ok(())
        };
        self.list(node, index, &body, timeout, Vec::new(), keep).await
    }

    async fn post(
        &self,
        node: &str,
        key: Option<String>,
        path: &str,
        body: &Value,
        metadata: String,
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let request = self.request(node, "POST", path, Right::Key(key.as_deref()))?;
        let request = request.query(&[("customMetadata", metadata)]).json(body).timeout(timeout);
        enqueued(&receive(request).await?)
    }

    /// Forgets documents that were kept.
    pub fn drop_page(&self, page: PageId) {
        self.pages.drop_page(page);
    }
}
