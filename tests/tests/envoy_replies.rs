//! What Envoy says by itself, where neither the filter nor a service answers: in the engine's shape too.

use miroir_e2e::harness::scene;
use miroir_e2e::{Client, Options, turn};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn methods_that_nobody_knows_are_refused_as_the_engine_does() {
    let _turn = turn().await;
    let cluster = scene::sound(2).await.unwrap();
    for (path, status, allow) in [
        ("/health", 405, Some("GET")),
        ("/indexes", 405, Some("GET, POST")),
        ("/indexes/docs/search", 405, Some("GET, POST")),
        ("/nowhere", 404, None),
    ] {
        for method in ["FOO", "foo", "PROPFIND", "TRACE"] {
            let of_node = ask(&cluster.node_client(0), method, path).await;
            let found = ask(&cluster.client(0), method, path).await;
            assert_eq!(found, of_node, "{method} {path}: Envoy or the filter answers otherwise than a node");
            assert_eq!(found, (status, allow.map(str::to_owned), String::new()), "{method} {path}");
        }
    }
}

async fn ask(client: &Client, method: &str, path: &str) -> (u16, Option<String>, String) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let answer = client.send(client.request(method, path)).await.unwrap();
    (answer.status, answer.header("allow").map(str::to_owned), answer.text)
}

#[tokio::test]
async fn a_dead_control_is_told_in_the_engines_shape() {
    let _turn = turn().await;
    let mut cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 10).await.unwrap();
    cluster.control.kill();
    for (method, path) in
        [(Method::GET, "/indexes"), (Method::GET, "/tasks"), (Method::PATCH, "/indexes/docs/settings")]
    {
        let answer = client.json(method, path, &json!({})).await.unwrap();
        assert_eq!(answer.status, 503, "{path}: {}", answer.text);
        let error = answer.json();
        let told = error["message"].as_str().unwrap_or_default();
        assert!(
            told.starts_with("The service that answers this request cannot be reached: "),
            "{path}: {}",
            answer.text
        );
        assert_eq!(error["code"], "remote_could_not_send_request");
        assert_eq!(error["type"], "system");
        assert_eq!(error["link"], "https://docs.meilisearch.com/errors#remote_could_not_send_request");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // The filter's own answers stay as they are.
    let refused = client.post("/indexes/docs/documents", &json!([{"id": 1}])).await.unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.text.contains("Writes are not possible at the moment"), "{}", refused.text);
    assert_eq!(scene::count(&client).await.unwrap(), 10);
}

/// Headers recorded from Meilisearch 1.50.
#[tokio::test]
async fn other_origins_are_let_in_as_by_the_engine() {
    const VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    let _turn = turn().await;
    let cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 10).await.unwrap();
    // The first is answered by control, the others by the filter.
    for (method, path) in
        [(Method::GET, "/health"), (Method::GET, "/indexes/docs/documents/1"), (Method::POST, "/indexes/docs/search")]
    {
        let asked = client.request(method.clone(), path).header("origin", "http://shop.example.com");
        let answer = client.send(asked.header("content-type", "application/json").body("{}")).await.unwrap();
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
        let told = ["access-control-allow-origin", "vary"].map(|name| answer.header(name));
        assert_eq!(told, [Some("*"), Some(VARY)], "{method} {path}");
    }
    let asked = client
        .request(Method::OPTIONS, "/indexes/docs/search")
        .header("origin", "http://shop.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, content-type");
    let answer = client.send(asked).await.unwrap();
    let mut methods: Vec<&str> = answer.header("access-control-allow-methods").unwrap().split(", ").collect();
    methods.sort_unstable();
    assert_eq!(methods, ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]);
    let named = ["access-control-allow-origin", "access-control-allow-headers", "access-control-max-age", "vary"];
    let told = named.map(|name| answer.header(name));
    assert_eq!(told, [Some("*"), Some("authorization, content-type"), Some("86400"), Some(VARY)]);
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
}

#[tokio::test]
async fn what_the_filter_does_is_counted_in_envoys_stats() {
    let _turn = turn().await;
    let cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 10).await.unwrap();
    let admin = Client::new(&cluster.envoy_admins[0], None);
    let before = counted(&admin, "miroir_requests_total", r#"op="search""#).await;
    for _ in 0..5 {
        assert_eq!(scene::count(&client).await.unwrap(), 10);
    }
    miroir_e2e::until("the searches to be counted", std::time::Duration::from_secs(30), || async {
        let now = counted(&admin, "miroir_requests_total", r#"op="search""#).await;
        (now == before + 5).then_some(())
    })
    .await
    .unwrap();
    assert!(counted(&admin, "miroir_calls_total", r#"outcome="ok""#).await >= 5);
    miroir_e2e::until("their times to be there", std::time::Duration::from_secs(30), || async {
        (counted(&admin, "miroir_request_ms_count", r#"op="search""#).await >= 5).then_some(())
    })
    .await
    .unwrap();
    assert!(counted(&admin, "miroir_map_epoch", "").await > 0);
}

/// Sum of a metric over all label sets that contain this text.
async fn counted(admin: &Client, metric: &str, label: &str) -> u64 {
    let text = admin.get("/stats/prometheus").await.unwrap().text;
    let own = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(metric) && line.contains(label));
    own.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn older_clients_and_proxies_are_answered() {
    let _turn = turn().await;
    let cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 10).await.unwrap();
    let key = Options::default().master_key.unwrap_or_default();
    let search = r#"{"q":"","limit":3}"#;
    for (request, expected) in [
        ("GET /health HTTP/1.0\r\n\r\n".to_owned(), r#"{"status":"available"}"#),
        (
            format!(
                "POST /indexes/docs/search HTTP/1.0\r\nHost: search\r\nAuthorization: Bearer {key}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{search}",
                search.len()
            ),
            r#""estimatedTotalHits":10"#,
        ),
    ] {
        let answer = raw(&client.base, &request).await;
        assert!(answer.contains(" 200 OK\r\n") && answer.contains(expected), "{request}\n{answer}");
    }
}

/// All that comes until the connection is closed, as HTTP/1.0 has it.
async fn raw(url: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
