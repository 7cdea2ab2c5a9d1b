//! Istio: `envoy/istio`, checked against the schemas of Istio's resources, against what the chart makes, and in a real
//! Envoy that is configured as Istio configures a gateway, with clusters under Istio's names and mutual TLS.

mod agent;
mod mesh;
mod patches;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mesh::Mesh;
use miroir_e2e::harness::existing::{Bootstrap, Existing};
use miroir_e2e::harness::{parts, scene};
use miroir_e2e::{Client, Cluster, Engine, Options, turn, until};
use miroir_sequencer::ClusterNames;
use serde_json::{Value, json};

/// Where the gateway finds control's xDS.
const XDS: &str = "miroir-mesh.miroir.svc.cluster.local:7703";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn documents(text: &str) -> Vec<Value> {
    let documents = text.split("\n---").map(|document| document.trim_start_matches("---"));
    let is_empty = |text: &str| text.lines().all(|line| line.trim().is_empty() || line.starts_with('#'));
    documents.filter(|text| !is_empty(text)).map(|text| serde_saphyr::from_str(text).unwrap()).collect()
}

fn resources() -> Vec<Value> {
    documents(&std::fs::read_to_string(root().join("envoy/istio/miroir.yaml")).unwrap())
}

fn of_kind<'a>(resources: &'a [Value], kind: &str) -> Vec<&'a Value> {
    resources.iter().filter(|resource| resource["kind"] == kind).collect()
}

fn named<'a>(resources: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = of_kind(resources, kind).into_iter().find(|resource| resource["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn validate(resources: &Value) -> Result<(), String> {
    let mut node = Command::new("node");
    node.args(["--input-type=module", "--eval", include_str!("validate.mjs")]);
    node.current_dir(parts::istio_schemas().unwrap()).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = node.spawn().unwrap();
    child.stdin.take().unwrap().write_all(resources.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

#[test]
fn resources_fit_the_schemas_of_istio() {
    let mut ours = resources();
    ours.retain(|resource| resource["apiVersion"].as_str().unwrap().contains(".istio.io/"));
    let kinds: BTreeSet<&str> = ours.iter().map(|resource| resource["kind"].as_str().unwrap()).collect();
    let expected = ["DestinationRule", "EnvoyFilter", "Gateway", "PeerAuthentication", "VirtualService"];
    assert_eq!(kinds, BTreeSet::from(expected));
    validate(&json!(ours)).unwrap();
    // The check can fail.
    let filter = ours.iter_mut().find(|resource| resource["kind"] == "EnvoyFilter").unwrap();
    filter["spec"]["configPatches"][0]["applyTo"] = json!("HTTP_FILTERS");
    let refusal = validate(&json!(ours)).unwrap_err();
    assert!(refusal.contains("EnvoyFilter miroir") && refusal.contains("applyTo"), "{refusal}");
}

/// The chart with the values for Istio.
fn chart() -> Vec<Value> {
    let mut helm = Command::new(parts::helm().unwrap());
    helm.args(["template", "miroir", "charts/miroir", "--namespace", "miroir", "--values", "envoy/istio/values.yaml"]);
    let output = helm.args(["--set", "masterKey.existingSecret=key"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    documents(&String::from_utf8(output.stdout).unwrap())
}

fn environment(pod: &Value) -> BTreeMap<&str, &str> {
    let entries = pod["containers"][0]["env"].as_array().unwrap().iter();
    entries.filter_map(|entry| Some((entry["name"].as_str()?, entry["value"].as_str()?))).collect()
}

/// The clusters that Istio makes for Services and DestinationRules of the namespace.
fn clusters(resources: &[Value]) -> BTreeSet<String> {
    let mut clusters = BTreeSet::new();
    for service in of_kind(resources, "Service").into_iter().filter(|it| it["spec"]["clusterIP"] != "None") {
        let host = format!("{}.miroir.svc.cluster.local", service["metadata"]["name"].as_str().unwrap());
        let rules = of_kind(resources, "DestinationRule").into_iter().filter(|rule| rule["spec"]["host"] == *host);
        let mut subsets = vec![""];
        subsets.extend(
            rules
                .flat_map(|rule| rule["spec"]["subsets"].as_array().unwrap())
                .map(|subset| subset["name"].as_str().unwrap()),
        );
        for port in service["spec"]["ports"].as_array().unwrap() {
            clusters.extend(subsets.iter().map(|subset| format!("outbound|{}|{subset}|{host}", port["port"])));
        }
    }
    clusters
}

#[test]
fn control_names_the_clusters_that_istio_makes() {
    let (ours, chart) = (resources(), chart());
    let all: Vec<Value> = ours.iter().chain(&chart).cloned().collect();
    let clusters = clusters(&all);
    let pod = &named(&chart, "StatefulSet", "miroir-control")["spec"]["template"]["spec"];
    let environment = environment(pod);
    let names = ClusterNames {
        read: environment["MIROIR_NODE_CLUSTER"].to_owned(),
        write: environment["MIROIR_NODE_WRITE_CLUSTER"].to_owned(),
    };
    for node in environment["MIROIR_NODES"].split(' ') {
        let (id, url) = node.split_once('=').unwrap();
        for name in [names.read(id, url), names.write(id, url)] {
            assert!(clusters.contains(&name), "{name} is none of {clusters:#?}");
        }
        // Neither control's sidecar nor the gateway tries a write again.
        let service = url.trim_start_matches("http://").split('.').next().unwrap();
        let http = &named(&ours, "VirtualService", service)["spec"]["http"][0];
        assert_eq!(http["retries"]["attempts"], 0, "{service}");
    }
    for variable in ["MIROIR_CONTROL_CLUSTER", "MIROIR_CONTROL_INTERNAL_CLUSTER"] {
        assert!(clusters.contains(environment[variable]), "{variable}");
    }
    let (host, port) = XDS.split_once(':').unwrap();
    assert!(clusters.contains(&format!("outbound|{port}||{host}")));

    let mut checked = Command::new(parts::control().unwrap());
    checked.env_clear().arg("check-config").envs(environment.iter().filter(|(name, _)| !name.ends_with("_FILE")));
    let checked = checked.output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    // The module is where control says that it is.
    let gateway = &named(&ours, "Deployment", "miroir-gateway")["spec"]["template"];
    let mounted = gateway["spec"]["containers"][0]["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let copied = gateway["spec"]["initContainers"][0]["command"][2].as_str().unwrap();
    let file = copied.rsplit_once('/').unwrap().1;
    assert_eq!(environment["MIROIR_FILTER_MODULE"], format!("{mounted}/{file}"));
    // Everything that is for the gateway selects it.
    let labels = &gateway["metadata"]["labels"];
    let selectors = [
        &named(&ours, "EnvoyFilter", "miroir")["spec"]["workloadSelector"]["labels"],
        &named(&ours, "Gateway", "miroir")["spec"]["selector"],
        &named(&ours, "Service", "miroir-gateway")["spec"]["selector"],
    ];
    for selector in selectors {
        assert!(selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value), "{selector}");
    }
    let port = &named(&ours, "Service", "miroir-gateway")["spec"]["ports"][0]["targetPort"];
    assert_eq!(named(&ours, "Gateway", "miroir")["spec"]["servers"][0]["port"]["number"], *port);
    assert_eq!(named(&ours, "VirtualService", "miroir")["spec"]["http"][0]["retries"]["attempts"], 0);
}

/// A node's Service, with the subsets that the DestinationRules make.
async fn add_node(mesh: &mut Mesh, cluster: &Cluster, at: usize, names: &ClusterNames) {
    let (id, url) = (format!("node-{at}"), &cluster.nodes[at].part.url);
    let sidecar = mesh.sidecar(url).await;
    mesh.cluster(names.read(&id, url), &sidecar, false);
    mesh.cluster(names.write(&id, url), &sidecar, false);
}

#[tokio::test]
async fn a_gateway_as_istio_makes_it_serves() {
    let _turn = turn().await;
    let chart = chart();
    let pod = &named(&chart, "StatefulSet", "miroir-control")["spec"]["template"]["spec"];
    let environment = environment(pod);
    let names = ClusterNames {
        read: environment["MIROIR_NODE_CLUSTER"].to_owned(),
        write: environment["MIROIR_NODE_WRITE_CLUSTER"].to_owned(),
    };
    let (api, internal) = (environment["MIROIR_CONTROL_CLUSTER"], environment["MIROIR_CONTROL_INTERNAL_CLUSTER"]);
    let keys = [
        ("node_cluster", names.read.as_str()),
        ("node_write_cluster", &names.write),
        ("control_cluster", api),
        ("control_internal_cluster", internal),
        ("filter_module", parts::filter().unwrap().to_str().unwrap()),
    ]
    .map(|(key, value)| format!("{key} = {value:?}\n"));
    let control_settings = format!("{}vm_silent_ms = 4000\n[envoy]\n{}", scene::QUICK, keys.concat());
    let engine = Some(Engine::standin().unwrap());
    let options = Options { envoys: 0, engine, control_settings, ..Options::default() };
    let mut cluster = Cluster::start(options).await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    let mut mesh = Mesh::new(dir.path());
    for at in 0..3 {
        add_node(&mut mesh, &cluster, at, &names).await;
    }
    for (name, target) in [(api, cluster.control.part.url.clone()), (internal, cluster.internal.clone())] {
        let sidecar = mesh.sidecar(&target).await;
        mesh.cluster(name.to_owned(), &sidecar, name == internal);
    }
    let xds = mesh.sidecar(&cluster.xds).await;
    mesh.push();

    let bootstrap = Bootstrap::read(include_str!("gateway.yaml")).unwrap().place("/istiod", &mesh.istiod());
    let mut bootstrap = bootstrap.address("agent:15012", &agent::start(dir.path()).await).address(XDS, &xds);
    patches::apply(named(&resources(), "EnvoyFilter", "miroir"), &mut bootstrap.config);
    let envoy = Existing::start(dir.path(), "gateway", bootstrap, "0.0.0.0:8080").await.unwrap();
    let client = envoy.mapped(&cluster, "search.example.com").await.unwrap();
    scene::fill(&client, 60).await.unwrap();
    assert_eq!(scene::count(&client).await.unwrap(), 60);
    assert_eq!(client.get("/indexes/docs/documents/7").await.unwrap().json()["id"], 7);

    // A node joins: istiod has its clusters first, then control is told.
    let fourth = cluster.another_node().await.unwrap();
    add_node(&mut mesh, &cluster, fourth, &names).await;
    mesh.push();
    let url = cluster.nodes[fourth].part.url.clone();
    let read = names.read("node-3", &url);
    let join = cluster.job(&["node", "add", "node-3", &url]).await.unwrap();
    cluster.job_done(join).await.unwrap();
    until("the new node to be asked", Duration::from_secs(30), || async {
        assert_eq!(scene::count(&client).await.unwrap(), 60);
        (envoy.sent_to(&read).await.unwrap() > 0).then_some(())
    })
    .await
    .unwrap();
    let more: Vec<_> = (60..100).map(|id| json!({"id": id, "text": "after the join"})).collect();
    scene::write(&client, &json!(more)).await.unwrap();
    assert!(envoy.sent_to(&names.write("node-3", &url)).await.unwrap() > 0);

    cluster.nodes[0].kill();
    for _ in 0..20 {
        assert_eq!(scene::count(&client).await.unwrap(), 100);
    }
    // Istio shows the metrics that it is told to, and so those of the filter, with their labels.
    let metrics = envoy.admin.get("/stats/prometheus").await.unwrap().text;
    let calls =
        metrics.lines().find(|line| line.starts_with("miroir_calls_total{") && line.contains(r#"node="node-3""#));
    assert!(calls.is_some_and(|line| line.contains("outcome=")), "{metrics}");
}

#[tokio::test]
async fn a_sidecar_lets_in_nobody_without_a_certificate() {
    let _turn = turn().await;
    let dir = tempfile::tempdir().unwrap();
    let mut mesh = Mesh::new(dir.path());
    let target = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sidecar = mesh.sidecar(&target.local_addr().unwrap().to_string()).await;
    assert!(Client::new(&format!("http://{sidecar}"), None).get("/health").await.is_err());
}
