//! How Envoy's clusters of nodes are named: by us where control defines them, by somebody else where a mesh does.

/// Two templates. `{id}`, `{host}` and `{port}` are the node's; host and port are those of its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNames {
    /// Of the cluster for reads.
    pub read: String,
    /// Of the cluster for writes: without outlier detection, so that an overload of reads cannot make replicas stale
    /// (F19).
    pub write: String,
}

impl Default for ClusterNames {
    fn default() -> Self {
        Self { read: "miroir-node-{id}".to_owned(), write: "miroir-node-{id}-write".to_owned() }
    }
}

impl ClusterNames {
    /// Envoy's cluster for reads of a node.
    #[must_use]
    pub fn read(&self, id: &str, url: &str) -> String {
        expand(&self.read, id, url)
    }

    /// Envoy's cluster for writes to a node.
    #[must_use]
    pub fn write(&self, id: &str, url: &str) -> String {
        expand(&self.write, id, url)
    }
}

fn expand(template: &str, id: &str, url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split('/').next().unwrap_or_default();
    let usual = if scheme == "https" { "443" } else { "80" };
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, usual),
    };
    template.replace("{host}", host.trim_matches(['[', ']'])).replace("{port}", port).replace("{id}", id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_names_need_the_id_only() {
        let names = ClusterNames::default();
        assert_eq!(names.read("a", "http://a:7700/"), "miroir-node-a");
        assert_eq!(names.write("a", ""), "miroir-node-a-write");
    }

    #[test]
    fn a_mesh_names_by_host_and_port() {
        let read = "outbound|{port}||{host}".to_owned();
        let names = ClusterNames { write: "outbound|{port}|write|{host}".to_owned(), read };
        let url = "http://meili-0.meili.svc.cluster.local:7700/";
        assert_eq!(names.read("meili-0", url), "outbound|7700||meili-0.meili.svc.cluster.local");
        assert_eq!(names.write("meili-0", url), "outbound|7700|write|meili-0.meili.svc.cluster.local");
        for (url, name) in [
            ("http://a", "outbound|80||a"),
            ("https://a/", "outbound|443||a"),
            ("http://[::1]:7700/", "outbound|7700||::1"),
            ("http://[::1]/", "outbound|80||::1"),
        ] {
            assert_eq!(names.read("x", url), name);
        }
    }
}
