//! The head of a client's request, as the filter reads it.

use miroir_core::call::{Headers, header};

/// The head of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub method: String,
    /// With query string, as sent.
    pub path: String,
    /// Without pseudo headers and without what a client must not say.
    pub headers: Headers,
    /// Names of what a client must not say, to be removed from the request that goes on.
    pub forbidden: Vec<String>,
}

impl Head {
    pub fn read(all: Headers) -> Self {
        let mut head = Self::default();
        for (name, value) in all {
            match name.as_str() {
                ":method" => head.method = value,
                ":path" => head.path = value,
                _ if name.starts_with(':') => {}
                _ if is_internal(&name) => head.forbidden.push(name),
                _ => head.headers.push((name, value)),
            }
        }
        head
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub fn owned(&self, name: &str) -> Option<String> {
        self.header(name).map(str::to_owned)
    }

    /// The query string, without `?`.
    pub fn query(&self) -> Option<&str> {
        self.path.split_once('?').map(|(_, query)| query)
    }

    /// Length of the body, where the client says it.
    pub fn content_length(&self) -> Option<u64> {
        self.header("content-length").and_then(|length| length.trim().parse().ok())
    }

    /// An encoding of the body that is still to be undone.
    pub fn encoding(&self) -> Option<&str> {
        self.header("content-encoding").filter(|encoding| !encoding.eq_ignore_ascii_case("identity"))
    }

    /// Headers by which a request is followed through the system.
    pub fn trace(&self) -> Headers {
        ["x-request-id", "traceparent", "tracestate"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), self.owned(name)?)))
            .collect()
    }
}

/// Headers by which Miroir, nodes and Envoy steer each other. From a client they would choose clusters, let a node
/// answer as a peer, or make Envoy repeat a write.
fn is_internal(name: &str) -> bool {
    const ENVOYS_OWN: [&str; 3] = ["x-envoy-internal", "x-envoy-external-address", "x-envoy-expected-rq-timeout-ms"];
    match name {
        "x-miroir-partial" => false,
        _ if name.starts_with("x-miroir-") || name.starts_with("meili-proxy-") => true,
        _ => name.starts_with("x-envoy-") && !ENVOYS_OWN.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_must_not_say_is_left_out() {
        let pairs = [
            (":method", "POST"),
            (":path", "/indexes/m/search?q=a"),
            (":authority", "x"),
            ("x-miroir-cluster", "node-1"),
            ("x-miroir-partial", "allow"),
            ("meili-proxy-search", "true"),
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-internal", "true"),
            ("traceparent", "00-1"),
        ];
        let head = Head::read(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
        assert_eq!(head.forbidden, ["x-miroir-cluster", "meili-proxy-search", "x-envoy-retry-on"]);
        assert_eq!(head.query(), Some("q=a"));
        assert_eq!(head.header("x-miroir-partial"), Some("allow"));
        assert_eq!(head.trace(), [("traceparent".to_owned(), "00-1".to_owned())]);
    }
}
