//! Wrong methods, as the engine refuses them: `HEAD` is one like any other, and `Allow` names what a path has.

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

/// A method that no path has.
const UNKNOWN: Method = Method::CONNECT;

pub(super) async fn refuse(mut request: Request, next: Next) -> Response {
    if request.method() == Method::HEAD {
        *request.method_mut() = UNKNOWN;
    }
    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some(allowed) = response.headers().get(header::ALLOW).and_then(|allowed| allowed.to_str().ok())
    {
        let allowed: Vec<&str> = allowed.split(',').map(str::trim).filter(|method| *method != "HEAD").collect();
        if let Ok(allowed) = HeaderValue::try_from(allowed.join(", ")) {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use axum::{Router, middleware};

    use super::*;

    #[tokio::test]
    async fn head_is_a_method_like_any_other() {
        let inner = Router::new().route("/indexes", get(async || "").post(async || ""));
        let router = Router::new().fallback_service(inner).layer(middleware::from_fn(refuse));
        for (method, path, status, allow) in [
            ("GET", "/indexes", 200, None),
            ("HEAD", "/indexes", 405, Some("GET, POST")),
            ("FOO", "/indexes", 405, Some("GET, POST")),
            ("FOO", "/nowhere", 404, None),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let response = tower::ServiceExt::oneshot(router.clone(), request).await.unwrap();
            let allowed = response.headers().get("allow").map(|allowed| allowed.to_str().unwrap());
            assert_eq!((response.status().as_u16(), allowed), (status, allow), "{method} {path}");
        }
    }
}
