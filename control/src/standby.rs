//! What listens before this control leads: probes are answered, everything else is refused. The listeners are bound
//! from the start, so that a wrong address is found at once and not at the next change of leaders.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::Response;
use miroir_core::error::ErrorBody;
use serde_json::json;
use tower::ServiceExt;

use crate::api::reply;

/// The router that serves once there is one.
#[derive(Clone, Debug, Default)]
pub struct Switch {
    leading: Arc<OnceLock<Router>>,
    waiting: Arc<OnceLock<Router>>,
}

impl Switch {
    /// Serves with `router` from now on.
    pub fn lead(&self, router: Router) {
        // A process leads once; a second call would come from nowhere.
        let _ = self.leading.set(router);
    }

    /// Serves with `router` until it leads: it could lead, but may not begin yet.
    pub fn wait_with(&self, router: Router) {
        let _ = self.waiting.set(router);
    }

    /// What a listener serves with.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }
}

async fn answer(State(switch): State<Switch>, request: Request) -> Response {
    if let Some(router) = switch.leading.get().or(switch.waiting.get()) {
        return match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    match request.uri().path() {
        "/_miroir/health" => reply::json(200, &json!({ "status": "standby" })),
        "/_miroir/ready" => reply::json(503, &json!({ "status": "standby", "reasons": ["another control leads"] })),
        _ => {
            let message = "This control stands by: another one leads, or is about to.";
            let error = ErrorBody::new("remote_could_not_send_request", message);
            let mut response = reply::core(error.reply_with_status(503));
            response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;

    use super::*;

    async fn status(router: Router, path: &str) -> u16 {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        router.oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn it_is_alive_but_not_ready_until_it_leads() {
        let switch = Switch::default();
        let router = switch.router();
        assert_eq!(status(router.clone(), "/_miroir/health").await, 200);
        assert_eq!(status(router.clone(), "/_miroir/ready").await, 503);
        assert_eq!(status(router.clone(), "/indexes").await, 503);
        switch.wait_with(Router::new().route("/_miroir/ready", get(|| async { "waits" })));
        assert_eq!(status(router.clone(), "/_miroir/ready").await, 200);
        assert_eq!(status(router.clone(), "/indexes").await, 404);
        switch.lead(Router::new().route("/indexes", get(|| async { "here" })));
        assert_eq!(status(router.clone(), "/indexes").await, 200);
        assert_eq!(status(router, "/_miroir/ready").await, 404);
    }
}
