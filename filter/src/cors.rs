//! Cross-origin rules as the engine's: everything is allowed from everywhere (measured on Meilisearch 1.50).

use miroir_core::call::{Headers, Reply, header};

/// `vary` of every answer.
pub const VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

const METHODS: &str = "TRACE, GET, PATCH, CONNECT, HEAD, POST, DELETE, OPTIONS, PUT";

/// The answer to a preflight request; none where the request is none: a preflight is an `OPTIONS` with a well-formed
/// `access-control-request-method`.
#[must_use]
pub fn preflight(method: &str, headers: &Headers) -> Option<Reply> {
    let asked = header(headers, "access-control-request-method").filter(|_| method == "OPTIONS")?;
    if !is_token(asked) {
        return None;
    }
    if !METHODS.split(", ").any(|known| known == asked) {
        return Some(Reply { status: 400, headers: Vec::new(), body: b"Requested method is not allowed".to_vec() });
    }
    let mut answer = vec![
        ("vary".to_owned(), VARY.to_owned()),
        ("access-control-allow-origin".to_owned(), "*".to_owned()),
        ("access-control-allow-methods".to_owned(), METHODS.to_owned()),
        ("access-control-max-age".to_owned(), "86400".to_owned()),
    ];
    if let Some(wanted) = header(headers, "access-control-request-headers") {
        answer.push(("access-control-allow-headers".to_owned(), wanted.to_owned()));
    }
    Some(Reply { status: 200, headers: answer, body: Vec::new() })
}

/// Characters of a method name (RFC 9110, token).
fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}

/// Adds what every answer has; `cross_origin`: the request had an `origin`.
pub fn decorate(headers: &mut Headers, cross_origin: bool) {
    let mut add = |name: &str, value: &str| {
        if header(headers, name).is_none() {
            headers.push((name.to_owned(), value.to_owned()));
        }
    };
    add("vary", VARY);
    if cross_origin {
        add("access-control-allow-origin", "*");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_preflight_is_answered_as_the_engine_does() {
        let headers = asks(&[
            ("origin", "http://a.b"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-foo"),
        ]);
        let reply = preflight("OPTIONS", &headers).unwrap();
        assert_eq!(reply.status, 200);
        assert!(reply.body.is_empty());
        assert_eq!(header(&reply.headers, "access-control-allow-headers"), Some("content-type,x-foo"));
        assert_eq!(header(&reply.headers, "access-control-allow-origin"), Some("*"));
        assert_eq!(header(&reply.headers, "access-control-max-age"), Some("86400"));
    }

    #[test]
    fn what_is_no_preflight_goes_on() {
        assert_eq!(preflight("OPTIONS", &asks(&[("origin", "http://a.b")])), None);
        assert_eq!(preflight("GET", &asks(&[("access-control-request-method", "POST")])), None);
        assert_eq!(preflight("OPTIONS", &asks(&[("access-control-request-method", "F@O")])), None);
        let refused = preflight("OPTIONS", &asks(&[("access-control-request-method", "FOO")])).unwrap();
        assert_eq!((refused.status, refused.body.as_slice()), (400, b"Requested method is not allowed".as_slice()));
    }

    #[test]
    fn answers_are_decorated_once() {
        let mut headers = asks(&[("vary", "x")]);
        decorate(&mut headers, true);
        decorate(&mut headers, true);
        assert_eq!(headers, asks(&[("vary", "x"), ("access-control-allow-origin", "*")]));
    }
}
