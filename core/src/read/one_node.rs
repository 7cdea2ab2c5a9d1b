//! What one node answers alone: a document by its id, or the client's own request as it came.

use serde::Deserialize;
use serde_json::Value;

use crate::error::ErrorBody;
use crate::search::{self, BadAnswer, Gather, NodeRequest};
use crate::tag::TAG_FIELD;

pub(super) struct OneNode {
    uid: String,
    request: NodeRequest,
    query_hash: u64,
    document: Option<Document>,
    body: Vec<u8>,
}

/// A document that is asked for by its id.
struct Document {
    id: String,
    /// The tag that it has if it belongs where it lies; none where that is not looked at.
    tag: Option<String>,
}

impl OneNode {
    /// The client's own request, whose answer is relayed.
    pub(super) fn relay(uid: &str, request: NodeRequest, query_hash: u64) -> Self {
        Self { uid: uid.to_owned(), request, query_hash, document: None, body: Vec::new() }
    }

    /// A document by its id. The tag is asked for with the fields that the client names.
    pub(super) fn document(
        uid: &str,
        id: &str,
        mut request: NodeRequest,
        query_hash: u64,
        tag: Option<String>,
    ) -> Self {
        let tag = tag.filter(|_| with_tag(&mut request.path));
        let document = Some(Document { id: id.to_owned(), tag });
        Self { document, ..Self::relay(uid, request, query_hash) }
    }
}

/// Has the node show the tag as well. False where it may be left out all the same.
fn with_tag(path: &mut String) -> bool {
    let Some((before, query)) = path.split_once('?') else { return true };
    let (mut shown, mut pairs) = (true, Vec::new());
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("fields", names)) if !names.is_empty() => pairs.push(format!("{pair},{TAG_FIELD}")),
            // No field at all, or a name that is written in some other way.
            _ => {
                let name = pair.split('=').next().unwrap_or_default();
                shown &= matches!(name, "" | "retrieveVectors");
                pairs.push(pair.to_owned());
            }
        }
    }
    *path = format!("{before}?{}", pairs.join("&"));
    shown
}

impl Gather for OneNode {
    fn index(&self) -> &str {
        &self.uid
    }

    fn query_hash(&self) -> u64 {
        self.query_hash
    }

    fn request(&self, _clause: &str, _part: usize) -> NodeRequest {
        self.request.clone()
    }

    fn belied(&self, body: &[u8]) -> Option<ErrorBody> {
        #[derive(Deserialize)]
        struct Tagged {
            #[serde(rename = "_miroir_shard", default)]
            tag: Value,
        }
        let Document { id, tag } = self.document.as_ref()?;
        let tag = tag.as_ref()?;
        let shown: Tagged = serde_json::from_slice(body).ok()?;
        let differs = shown.tag.as_str() != Some(tag.as_str());
        differs.then(|| ErrorBody::new("document_not_found", format!("Document `{id}` not found.")))
    }

    fn accept(&mut self, _part: usize, body: Vec<u8>) -> Result<(), BadAnswer> {
        self.body = if self.document.is_some() { search::strip_document(&body)? } else { body };
        Ok(())
    }

    fn replay(&self) -> Option<NodeRequest> {
        None
    }

    fn finish(self: Box<Self>, _took_ms: u64) -> Vec<u8> {
        self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_shown_whatever_fields_are_asked_for() {
        for (sent, path, shown) in [
            ("/d/1", "/d/1", true),
            ("/d/1?fields=a,b", "/d/1?fields=a,b,_miroir_shard", true),
            ("/d/1?retrieveVectors=true&fields=*", "/d/1?retrieveVectors=true&fields=*,_miroir_shard", true),
            ("/d/1?fields=", "/d/1?fields=", false),
            ("/d/1?f%69elds=a", "/d/1?f%69elds=a", false),
        ] {
            let mut made = sent.to_owned();
            assert_eq!((with_tag(&mut made), made.as_str()), (shown, path));
        }
    }
}
