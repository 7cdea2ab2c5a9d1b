//! The dashboard and the alerts name what control and Envoy really expose, and compose's profile what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use miroir_e2e::harness::scene;
use miroir_e2e::{turn, until};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&text(file)).unwrap()
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Metrics that an expression names, each with the labels by which it selects.
fn named(expression: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_word) {
        rest = &rest[start..];
        let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if !["miroir_", "envoy_"].iter().any(|prefix| word.starts_with(prefix)) {
            continue;
        }
        let selector = after.strip_prefix('{').and_then(|after| after.split_once('}')).map_or("", |(inner, _)| inner);
        let labels = selector.split(',').filter_map(|part| part.split(['=', '!']).next());
        found.push((word.to_owned(), labels.filter(|label| !label.is_empty()).map(str::to_owned).collect()));
    }
    found
}

/// What an exposition shows: labels by metric.
fn exposed(exposition: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(|character| !is_word(character)).unwrap_or(line.len());
        let labels = line[end..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inner, _)| inner);
        let labels = labels.split("\",").filter_map(|part| part.split('=').next()).filter(|label| !label.is_empty());
        found.entry(line[..end].to_owned()).or_default().extend(labels.map(str::to_owned));
    }
    found
}

/// Expressions of the dashboard, and of the chart's alerts.
fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text("observability/grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let mut expressions: Vec<String> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert!(expressions.len() > 20, "{expressions:?}");
    let templates = std::fs::read_dir(root().join("charts/miroir/templates")).unwrap();
    let templates = templates.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
    let before = expressions.len();
    for template in templates {
        let rules = template.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
        expressions.extend(rules.map(str::to_owned));
    }
    assert!(expressions.len() > before, "no rules in the chart");
    expressions
}

#[test]
fn an_expression_and_an_exposition_are_read() {
    let expression = r#"sum by (le) (rate(miroir_a_bucket{kind!="x",node="n"}[5m])) / miroir_b"#;
    let labels = vec!["kind".to_owned(), "node".to_owned()];
    assert_eq!(named(expression), [("miroir_a_bucket".to_owned(), labels), ("miroir_b".to_owned(), vec![])]);
    let shown = exposed("# TYPE miroir_a gauge\nmiroir_a{kind=\"x\",node=\"n\"} 1\nmiroir_b 2\n");
    assert_eq!(shown["miroir_a"], BTreeSet::from(["kind".to_owned(), "node".to_owned()]));
    assert!(shown["miroir_b"].is_empty());
}

#[tokio::test]
async fn every_metric_of_dashboard_and_alerts_is_exposed() {
    let _turn = turn().await;
    let cluster = scene::sound(2).await.unwrap();
    let client = cluster.client(0);
    scene::fill(&client, 40).await.unwrap();
    let places = [format!("{}/metrics", cluster.internal), format!("{}/stats/prometheus", cluster.envoy_admins[0])];
    let expressions = expressions();
    // Envoy shows some statistics only when it has sent them out once.
    until("all metrics", Duration::from_secs(60), || async {
        client.post("/indexes/docs/search", &json!({"q": "first"})).await.ok()?;
        let mut shown = BTreeMap::new();
        for place in &places {
            shown.extend(exposed(&reqwest::get(place).await.ok()?.text().await.ok()?));
        }
        let lacking: Vec<(String, Vec<String>)> = expressions
            .iter()
            .flat_map(|expression| named(expression))
            .filter(|(metric, labels)| {
                shown.get(metric).is_none_or(|shown| labels.iter().any(|label| !shown.contains(label)))
            })
            .collect();
        if !lacking.is_empty() {
            eprintln!("not exposed: {lacking:?}");
        }
        lacking.is_empty().then_some(())
    })
    .await
    .unwrap();
}

#[test]
fn the_profile_names_what_there_is() {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_object().unwrap();
    let configs = compose["configs"].as_object().unwrap();
    let mut used = BTreeSet::new();
    for (name, service) in services {
        for config in service["configs"].as_array().into_iter().flatten() {
            let source = config["source"].as_str().unwrap();
            assert!(configs.contains_key(source), "{name}: no config {source}");
            used.insert(source);
        }
    }
    assert_eq!(used.len(), configs.len(), "each is used");
    for config in configs.values() {
        text(config["file"].as_str().unwrap());
    }
    // Prometheus asks services by ports that they have, and Grafana asks Prometheus.
    let prometheus = yaml("observability/prometheus.yml");
    let listens = BTreeMap::from([("control", "7702"), ("envoy", "9901")]);
    for job in prometheus["scrape_configs"].as_array().unwrap() {
        let target = job["static_configs"][0]["targets"][0].as_str().unwrap();
        let (host, port) = target.split_once(':').unwrap();
        assert_eq!(listens.get(host), Some(&port), "{target}");
        assert!(text("docker-compose.yml").contains(port) && services.contains_key(host), "{target}");
    }
    let source = yaml("observability/grafana-datasources.yml")["datasources"][0].clone();
    assert_eq!(source["url"], "http://prometheus:9090");
    let dashboard: Value = serde_json::from_str(&text("observability/grafana-dashboard.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], source["uid"], "{}", panel["title"]);
    }
    let folder = yaml("observability/grafana-dashboards.yml")["providers"][0]["options"]["path"].clone();
    let targets = services["grafana"]["configs"].as_array().unwrap().iter();
    let mut targets = targets.map(|config| config["target"].as_str().unwrap().to_owned());
    let file = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].as_str().unwrap();
    assert!(file.starts_with(folder.as_str().unwrap()) && targets.any(|target| target == file), "{file}");
}
