//! The compatibility table in Markdown, printed from the routing table so that the two cannot differ.

use super::{PATHS, Refusal, Serve};

const HEAD: &str = "\
# Compatibility

Every route of the Meilisearch 1.50 HTTP API and what Miroir does with it. This file is printed from the routing table
in `core/src/route`; do not edit it.

- **shards**: the filter inside Envoy asks or writes the nodes that hold the shards concerned. Reads need no control
  service.
- **control**: Envoy passes the request on to the control service.
- **filter**: the filter answers by itself.
- **refused**: not served; the status of the answer stands beside it.

An unknown path is answered with 404 and a wrong method with 405 and `Allow`, as the engine does.

| Route | Served by | What to know |
|---|---|---|
";

/// Prints `docs/compatibility.md`.
#[must_use]
pub fn compatibility() -> String {
    let mut page = HEAD.to_owned();
    for path in PATHS {
        for rule in path.methods {
            let served = match rule.serve {
                Serve::Read(super::ReadOp::Health) | Serve::Filter => "filter",
                Serve::Read(_) | Serve::Write(_) => "shards",
                Serve::Control => "control",
                Serve::Refuse(Refusal::Experimental(_)) => "refused (400)",
                Serve::Refuse(Refusal::Enterprise) => "refused (451)",
                Serve::Refuse(Refusal::Unsupported) => "refused (501)",
            };
            page.push_str(&format!("| `{} {}` | {served} | {} |\n", rule.method, path.pattern, rule.note));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_its_line() {
        let page = compatibility();
        let rows: usize = PATHS.iter().map(|path| path.methods.len()).sum();
        assert_eq!(page.lines().filter(|line| line.starts_with("| `")).count(), rows);
        assert!(page.contains(
            "| `POST /indexes/{index_uid}/documents/delete-batch` | shards | Split by id; every replica of each shard is written. |\n"
        ));
        assert!(page.contains("| `POST /network/control` | refused (451) | As in the Community Edition. |\n"));
    }

    #[test]
    fn no_cell_breaks_the_table() {
        assert!(
            compatibility().lines().filter(|line| line.starts_with("| `")).all(|line| line.matches('|').count() == 4)
        );
    }
}
