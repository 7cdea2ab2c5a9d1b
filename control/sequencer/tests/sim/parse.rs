//! What a model node makes of requests.

use std::collections::BTreeSet;

use miroir_core::invariants::Document;
use miroir_core::tag;
use miroir_sequencer::NodeStep;
use serde_json::Value;

use crate::engine::{Engine, UNTAGGED, Work};

impl Engine {
    /// A document write as the filter sends it: what it means, and its task's type, index and metadata.
    pub fn parse_write(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Option<(Work, &'static str, String, Option<String>)> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let metadata = query.split('&').find_map(|pair| pair.strip_prefix("customMetadata=")).map(str::to_owned);
        let mut segments = path.trim_start_matches('/').split('/');
        let (_, index, _) = (segments.next()?, segments.next()?.to_owned(), segments.next()?);
        let adds = "documentAdditionOrUpdate";
        let work = match (method, segments.next()) {
            ("POST" | "PUT", None) => {
                let key = query.split('&').find_map(|pair| pair.strip_prefix("primaryKey="))?;
                let skips = query.split('&').any(|pair| pair == "skipCreation=true");
                let work = Work::Add {
                    index: index.clone(),
                    replace: method == "POST",
                    skips,
                    documents: self.documents(body, key)?,
                };
                return Some((work, adds, index, metadata));
            }
            ("POST", Some("delete-batch")) => {
                let ids: Vec<Value> = serde_json::from_slice(body).ok()?;
                Work::Remove { index: index.clone(), ids: ids.iter().map(text).collect() }
            }
            ("POST", Some("delete")) => {
                let filter: Value = serde_json::from_slice(body).ok()?;
                let filter = filter["filter"].to_string();
                let having = filter.split_once(" EXISTS").map(|(before, _)| before);
                let having = having.and_then(|before| before.rsplit(['"', ' ']).next()).map(str::to_owned);
                let shards = self.shards_in(&filter);
                Work::RemoveShards { index: index.clone(), shards, having: Some(having?) }
            }
            ("POST", Some("edit")) => {
                let request: Value = serde_json::from_slice(body).ok()?;
                let function = request["function"].as_str()?;
                let between = |before: &str| Some(function.split_once(before)?.1.split_once('"')?.0.to_owned());
                let work = Work::Edit {
                    index: index.clone(),
                    shards: self.shards_in(&request["filter"].to_string()),
                    text: between("doc.e += \"")?,
                    fatal: between("doc.id == \""),
                };
                return Some((work, "documentEdition", index, metadata));
            }
            ("DELETE", Some(id)) => Work::Remove { index: index.clone(), ids: vec![id.to_owned()] },
            ("DELETE", None) => Work::Clear { index: index.clone() },
            _ => return None,
        };
        Some((work, "documentDeletion", index, metadata))
    }

    /// Shards that a filter names; all, where it does not speak of them.
    pub fn shards_in(&self, filter: &str) -> BTreeSet<u32> {
        let named = filter.contains(tag::TAG_FIELD);
        (0..self.shards).filter(|shard| !named || filter.contains(&tag::encode(*shard, self.shards))).collect()
    }

    fn documents(&self, body: &[u8], key: &str) -> Option<Vec<(String, u32, Document)>> {
        let array: Vec<serde_json::Map<String, Value>> = serde_json::from_slice(body).ok()?;
        let document = |mut fields: serde_json::Map<String, Value>| {
            let shard = tag::decode(fields.remove(tag::TAG_FIELD)?.as_str()?, self.shards)?;
            let id = text(fields.get(key)?);
            let fields = fields.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            Some((id, shard, fields))
        };
        array.into_iter().map(document).collect()
    }

    /// An index operation's request.
    pub fn parse_step(&self, step: &NodeStep) -> Work {
        let index = step.task_index.clone().unwrap_or_default();
        match step.task_type.as_str() {
            "indexCreation" => Work::Create { index },
            "indexDeletion" => Work::Drop { index },
            "settingsUpdate" => Work::Settings { index, value: step.body.clone().unwrap_or_default() },
            "documentDeletion" if step.path.ends_with("/delete-batch") => {
                let ids = step.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
                Work::Remove { index, ids: ids.unwrap_or_default() }
            }
            "documentDeletion" if step.body.as_ref().is_some_and(|body| body.contains("NOT ")) => {
                let named = self.shards_in(step.body.as_deref().unwrap_or_default());
                let others = (0..self.shards).filter(|shard| !named.contains(shard));
                Work::RemoveShards { index, shards: others.chain([UNTAGGED]).collect(), having: None }
            }
            "documentDeletion" => {
                let shards = self.shards_in(step.body.as_deref().unwrap_or_default());
                Work::RemoveShards { index, shards, having: None }
            }
            "indexSwap" => {
                let (left, right) = step.body.as_deref().and_then(|body| body.split_once(',')).unwrap_or_default();
                Work::Swap { left: left.to_owned(), right: right.to_owned() }
            }
            _ => Work::Nothing,
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
