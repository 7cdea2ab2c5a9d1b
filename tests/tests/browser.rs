//! A page that searches by InstantSearch, in a real browser, against a cluster with the demo's films: `tests/browser`
//! holds the page and what uses it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use miroir_e2e::demo::{dataset, load};
use miroir_e2e::harness::parts;
use miroir_e2e::{Cluster, Options, turn};

/// Longest that the browser may take for all of it.
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn instantsearch_in_a_browser_shows_what_the_cluster_answers() {
    let _turn = turn().await;
    // How quickly nodes answer is no matter here.
    let control_settings = "[limits]\nread_timeout_ms = 30000\n".to_owned();
    let cluster = Cluster::start(Options { control_settings, ..Options::default() }).await.unwrap();
    let client = cluster.client(0);
    assert!(load::into_cluster(&client, &dataset::films().await.unwrap()).await.unwrap());

    let keys = client.get("/keys").await.unwrap().json();
    let mut keys = keys["results"].as_array().unwrap().iter();
    let key = keys.find(|key| key["name"] == "Default Search API Key").unwrap()["key"].as_str().unwrap();

    let mut driver = tokio::process::Command::new("node");
    driver.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/drive.mjs"));
    driver.env("MIROIR_URL", &cluster.envoys[0].part.url).env("MIROIR_SEARCH_KEY", key);
    driver.env("MIROIR_CHROMIUM", parts::chromium().unwrap());
    driver.env("MIROIR_BROWSER_MODULES", parts::browser_modules().unwrap());
    let driven = driver.stdin(Stdio::null()).kill_on_drop(true).output();
    let driven = tokio::time::timeout(LIMIT, driven).await.expect("the browser takes too long").unwrap();
    let (said, faults) = (String::from_utf8_lossy(&driven.stdout), String::from_utf8_lossy(&driven.stderr));
    eprint!("{said}");
    assert!(driven.status.success(), "{said}{faults}");
    assert_eq!(said.lines().count(), 5, "{said}");
}
