//! What documents are worth on their way to another node.

use std::time::Duration;

use miroir_sequencer::NodeFault as Fault;
use serde_json::json;

use super::stream::Listed;
use crate::node::Client;

impl Client {
    /// Number and bytes of some documents of an index, read as they are when they are copied.
    ///
    /// # Errors
    /// The node has no such index, or does not answer.
    pub(crate) async fn size_of(
        &self,
        node: &str,
        index: &str,
        offset: u64,
        limit: u64,
        timeout: Duration,
    ) -> Result<(u64, u64), Fault> {
        let body = json!({ "offset": offset, "limit": limit, "retrieveVectors": true });
        let count = |(documents, bytes): &mut (u64, u64), document: Box<serde_json::value::RawValue>| {
            *documents += 1;
            *bytes += document.get().len() as u64;
            Ok(())
        };
        match self.list(node, index, &body, timeout, (0, 0), count).await? {
            Listed::Read(counted, _) => Ok(counted),
            Listed::Refused(_) => Err(Fault::Unknown),
        }
    }
}
