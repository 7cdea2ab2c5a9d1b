//! One Meilisearch under two ids would count as two nodes, and lose two copies when it dies. It is told by its address,
//! before anything is changed, and at first contact by the write keys on it, which name the node that they were made for.

use crate::Sequencer;
use crate::api::*;
use crate::state::N;

/// Host and port of a base URL: who listens there is one server, whatever the scheme.
fn listener(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.trim_end_matches('/').to_ascii_lowercase();
    // The colons of an IPv6 address stand in brackets.
    let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
    match scheme {
        "http" if !has_port => format!("{host}:80"),
        "https" if !has_port => format!("{host}:443"),
        _ => host,
    }
}

impl Sequencer {
    /// Refuses an address that is another member's.
    pub(crate) fn check_address(&self, id: &str, url: &str) -> Result<(), Refusal> {
        let wanted = listener(url);
        let same = |n: &N| {
            let row = &self.nodes[*n].row;
            row.id != id && self.is_member(*n) && listener(&row.place.url) == wanted
        };
        match (0..self.nodes.len()).find(same) {
            Some(other) => {
                let message = format!("{url} is the address of {}: a node needs its own", self.nodes[other].row.id);
                Err(Refusal { code: "node_exists", message, shards: Vec::new() })
            }
            None => Ok(()),
        }
    }

    /// The member whose Meilisearch a newcomer is, by the write keys on it: nobody else is given a key of the generation
    /// by which that member is written to. Older ones it may have left on a disk that it has no longer.
    pub(crate) fn double_of(&self, newcomer: N, keys: &[(NodeId, u64)]) -> Option<N> {
        let current = |other: N, generation: u64| {
            let node = &self.nodes[other];
            // Which one a member has is not known while it is away, or being given a new one. Of two newcomers the
            // first to get its keys keeps the other off.
            let is_settled = node.live == node.row.generation || self.is_newcomer(other);
            generation > 0 && (generation == node.live || !is_settled)
        };
        keys.iter().find_map(|(id, generation)| {
            self.node_at(id)
                .filter(|other| *other != newcomer && self.is_member(*other))
                .filter(|other| current(*other, *generation))
        })
    }

    /// A newcomer is another member's Meilisearch: it takes no part, and nobody waits for it.
    pub(crate) fn turn_away(&mut self, n: N, other: N) {
        let text = format!(
            "it is the Meilisearch of {}, under another address: remove it, or add it anew at its own",
            self.nodes[other].row.id
        );
        if self.nodes[n].double.replace(other) != Some(other) {
            self.alert("node_doubled", Some(n), text.clone());
        }
        let id = self.nodes[n].row.id.clone();
        if let Some(job) = self.job_of(&id).map(|row| row.id) {
            // Nothing has been moved to it, and nothing ever could be.
            self.cancel_job(job, &format!("the Meilisearch of {id} is another member's"));
        }
        self.lose(n, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::listener;

    #[test]
    fn an_address_is_its_host_and_port() {
        for (url, same) in [
            ("http://a:7700/", "http://a:7700"),
            ("http://A:7700", "http://a:7700/"),
            ("https://a:7700", "http://a:7700"),
            ("http://a:80/", "http://a/"),
            ("https://a:443", "https://a"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(listener(url), listener(same), "{url} {same}");
        }
        for (url, other) in [
            ("http://a:7700", "http://a:7701"),
            ("http://a", "https://a"),
            ("http://a:7700", "http://b:7700"),
            ("http://[::1]", "http://[::1]:7700"),
        ] {
            assert_ne!(listener(url), listener(other), "{url} {other}");
        }
    }
}
