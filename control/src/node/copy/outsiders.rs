//! Documents that belong to none of a node's copies: somebody wrote them to the node itself.

use std::collections::BTreeSet;
use std::time::Duration;

use miroir_core::tag::{TAG_FIELD, filter_others};
use miroir_sequencer::{MOST_OUTSIDERS, NodeAnswer as Answer, NodeFault as Fault};
use serde_json::json;
use serde_json::value::RawValue;

use super::stream::{Listed, Unreadable};
use super::{READ_AT_ONCE, id, stored};
use crate::node::Client;

impl Client {
    /// Keys of documents without the tag of a shard held, and of those of `keys` under another tag than their key's.
    pub(super) async fn outsiders(
        &self,
        node: &str,
        index: &str,
        primary_key: &str,
        held: &[u32],
        keys: &[String],
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let strange = json!({
            "filter": filter_others(held, self.shards),
            "fields": [primary_key],
            "limit": MOST_OUTSIDERS,
        });
        let by_key = |keys: &[String]| json!({ "ids": keys, "fields": [primary_key, TAG_FIELD], "limit": keys.len() });
        let known = keys.chunks(READ_AT_ONCE).map(|keys| (by_key(keys), true));
        let mut found = BTreeSet::new();
        for (body, by_tag) in std::iter::once((strange, false)).chain(known) {
            let (primary_key, shards) = (primary_key.to_owned(), self.shards);
            let keep = move |found: &mut BTreeSet<String>, document: Box<RawValue>| -> Result<(), Unreadable> {
                let document = stored(&document)?;
                let key = id(&document, &primary_key)?;
                if !by_tag || !document.belongs(&key, shards) {
                    found.insert(key);
                }
                Ok(())
            };
            match self.list(node, index, &body, timeout, found, keep).await? {
                Listed::Read(more, _) => found = more,
                Listed::Refused(answer) => return Ok(answer),
            }
        }
        Ok(Answer::Keys(found.into_iter().collect()))
    }
}
