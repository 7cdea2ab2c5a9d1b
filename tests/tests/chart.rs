//! The Helm chart: which values its schema takes, and what a real Helm makes of those.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use miroir_e2e::harness::parts;
use serde_json::Value;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/miroir")
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// The cases: name, text.
fn cases(prefix: &str) -> Vec<(String, String)> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(chart().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("valid-") || name.starts_with("invalid-"), "{name} does not say what it is");
        if name.starts_with(prefix) {
            cases.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(cases.len() > 3, "too few {prefix} cases");
    cases
}

/// `over` laid over `under`, as Helm lays values.
fn merged(under: &Value, over: &Value) -> Value {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            let mut all = under.clone();
            for (key, value) in over {
                let below = under.get(key).unwrap_or(&Value::Null);
                all.insert(key.clone(), merged(below, value));
            }
            Value::Object(all)
        }
        _ => over.clone(),
    }
}

fn faults(case: &str) -> Vec<String> {
    let text = |file: &str| std::fs::read_to_string(chart().join(file)).unwrap();
    let schema: Value = serde_json::from_str(&text("values.schema.json")).unwrap();
    let values = merged(&yaml(&text("values.yaml")), &yaml(case));
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.iter_errors(&values).map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
}

/// What Helm makes of a case, resource by resource.
fn rendered(name: &str) -> Result<Vec<Value>, String> {
    let file = chart().join("tests").join(format!("{name}.yaml"));
    let mut helm = Command::new(parts::helm().unwrap());
    let output = helm.args(["template", "release"]).arg(chart()).arg("--values").arg(file).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = text.split("\n---").map(|document| document.trim_start_matches("---"));
    let is_empty = |text: &str| text.lines().all(|line| line.trim().is_empty() || line.starts_with('#'));
    Ok(documents.filter(|document| !is_empty(document)).map(yaml).collect())
}

fn of_kind<'a>(resources: &'a [Value], kind: &str) -> Vec<&'a Value> {
    resources.iter().filter(|resource| resource["kind"] == kind).collect()
}

/// Everything that runs: the resource's name, its pod's specification, and the resource.
fn pods(resources: &[Value]) -> Vec<(&str, &Value, &Value)> {
    let mut pods = Vec::new();
    for resource in resources {
        let pod = match resource["kind"].as_str().unwrap() {
            "Deployment" | "StatefulSet" => &resource["spec"]["template"]["spec"],
            "Pod" => &resource["spec"],
            _ => continue,
        };
        pods.push((resource["metadata"]["name"].as_str().unwrap(), pod, resource));
    }
    pods
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|list| pod[list].as_array().into_iter().flatten())
}

#[test]
fn the_schema_takes_what_is_valid() {
    for (name, case) in cases("valid-") {
        assert_eq!(faults(&case), Vec::<String>::new(), "{name}");
        rendered(&name).unwrap();
    }
}

#[test]
fn the_schema_refuses_what_is_not_and_says_what_to_do() {
    for (name, case) in cases("invalid-") {
        let expected = case.lines().find_map(|line| line.strip_prefix("# expect: ")).expect("a case that says why");
        let found = faults(&case);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{name}: {found:?}");
        let refusal = rendered(&name).unwrap_err();
        assert!(refusal.contains(expected), "{name}: {refusal}");
    }
}

#[test]
fn every_value_is_described_by_the_schema_and_used() {
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(chart().join("values.schema.json")).unwrap()).unwrap();
    let values = yaml(&std::fs::read_to_string(chart().join("values.yaml")).unwrap());
    let mut templates = String::new();
    for entry in std::fs::read_dir(chart().join("templates")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            templates.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    for (section, value) in values.as_object().unwrap() {
        assert!(schema["properties"][section].is_object(), "{section}");
        assert!(templates.contains(section.as_str()), "{section} is not used");
        for key in value.as_object().into_iter().flat_map(|section| section.keys()) {
            assert!(schema["properties"][section]["properties"][key].is_object(), "{section}.{key}");
            assert!(templates.contains(&format!(".{key}")), "{section}.{key} is not used");
        }
    }
}

#[test]
fn every_pod_is_confined_probed_and_complete() {
    for (name, _) in cases("valid-") {
        let resources = rendered(&name).unwrap();
        for (owner, pod, workload) in pods(&resources) {
            let at = format!("{name}: {owner}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{at}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{at}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{at}");
            let mut volumes: BTreeSet<&str> = BTreeSet::new();
            for volume in pod["volumes"].as_array().into_iter().flatten() {
                volumes.insert(volume["name"].as_str().unwrap());
            }
            for claim in workload["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
                volumes.insert(claim["metadata"]["name"].as_str().unwrap());
            }
            for container in containers(pod) {
                assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{at}");
                assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{at}");
                let image = container["image"].as_str().unwrap();
                assert!(image.rsplit_once(':').is_some_and(|(_, tag)| tag != "latest"), "{at}: {image}");
                for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                    assert!(volumes.contains(mount["name"].as_str().unwrap()), "{at}: {mount}");
                }
            }
            for container in pod["containers"].as_array().unwrap().iter().filter(|_| workload["kind"] != "Pod") {
                let mut ports: BTreeSet<&str> = BTreeSet::new();
                for port in container["ports"].as_array().unwrap() {
                    ports.insert(port["name"].as_str().unwrap());
                }
                for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                    let port = container[probe]["httpGet"]["port"].as_str().unwrap();
                    assert!(ports.contains(port), "{at}: {probe} asks {port}");
                }
            }
        }
    }
}

#[test]
fn services_budgets_and_policies_select_pods_that_there_are() {
    for (name, _) in cases("valid-") {
        let resources = rendered(&name).unwrap();
        let labels: Vec<&Value> =
            resources.iter().map(|resource| &resource["spec"]["template"]["metadata"]["labels"]).collect();
        let selects = |selector: &Value| {
            let wanted = selector.as_object().unwrap();
            labels.iter().any(|labels| wanted.iter().all(|(key, value)| labels[key] == *value))
        };
        for service in of_kind(&resources, "Service") {
            let mut selector = service["spec"]["selector"].clone();
            if let Some(pod) = selector.as_object_mut().unwrap().remove("statefulset.kubernetes.io/pod-name") {
                let (owner, at) = pod.as_str().unwrap().rsplit_once('-').unwrap();
                let sets = of_kind(&resources, "StatefulSet");
                let set = sets.iter().find(|set| set["metadata"]["name"] == owner).unwrap();
                assert!(at.parse::<u64>().unwrap() < set["spec"]["replicas"].as_u64().unwrap(), "{name}: {service}");
            }
            assert!(selects(&selector), "{name}: {service}");
        }
        for budget in of_kind(&resources, "PodDisruptionBudget") {
            assert!(selects(&budget["spec"]["selector"]["matchLabels"]), "{name}: {budget}");
        }
        for policy in of_kind(&resources, "NetworkPolicy") {
            assert!(selects(&policy["spec"]["podSelector"]["matchLabels"]), "{name}: {policy}");
        }
    }
    let all = rendered("valid-everything").unwrap();
    for kind in ["ServiceMonitor", "PodMonitor", "PrometheusRule", "NetworkPolicy", "Secret"] {
        assert!(!of_kind(&all, kind).is_empty(), "no {kind}");
    }
}

fn environment(container: &Value) -> Vec<(&str, &Value)> {
    container["env"].as_array().unwrap().iter().map(|entry| (entry["name"].as_str().unwrap(), entry)).collect()
}

#[test]
fn control_understands_what_the_chart_sets() {
    for (name, _) in cases("valid-") {
        let resources = rendered(&name).unwrap();
        let (_, pod, _) = pods(&resources).into_iter().find(|(owner, _, _)| owner.ends_with("-control")).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        let mut command = Command::new(parts::control().unwrap());
        command.env_clear().arg("check-config");
        for (at, (variable, entry)) in environment(&pod["containers"][0]).into_iter().enumerate() {
            let Some(value) = entry["value"].as_str() else { continue };
            if variable.ends_with("_FILE") {
                let mount = value.rsplit_once('/').unwrap().0;
                let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
                assert!(mounts.iter().any(|known| known["mountPath"] == mount), "{name}: nothing at {mount}");
                let file = secret.with_extension(at.to_string());
                std::fs::write(&file, format!("a-secret-of-at-least-16-bytes-{at}")).unwrap();
                command.env(variable, file);
            } else {
                command.env(variable, value);
            }
        }
        let checked = command.output().unwrap();
        let summary = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{name}: {summary}");
        let several = name == "valid-everything";
        assert!(
            summary.contains(if several { "5 nodes, 256 shards, replication factor 3" } else { "nodes" }),
            "{summary}"
        );
    }
}

#[test]
fn the_pods_bootstrap_is_one_that_envoy_takes() {
    let resources = rendered("valid-single-replica-sqlite").unwrap();
    let (_, pod, _) = pods(&resources).into_iter().find(|(owner, _, _)| owner.ends_with("-envoy")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("envoy.yaml");
    let arguments = pod["initContainers"][0]["args"].as_array().unwrap().iter().map(|argument| {
        let argument = argument.as_str().unwrap().replace("$(POD_NAME)", "release-miroir-envoy-0");
        argument.replace("/bootstrap/envoy.yaml", file.to_str().unwrap())
    });
    let made = Command::new(parts::control().unwrap()).args(arguments).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut envoy = Command::new(parts::envoy().unwrap());
    let checked = envoy.args(["--mode", "validate", "--config-path"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    // Where it looks for control is a service of the chart's.
    let bootstrap = yaml(&std::fs::read_to_string(&file).unwrap());
    let endpoints = &bootstrap["static_resources"]["clusters"][0]["load_assignment"]["endpoints"];
    let socket = &endpoints[0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"];
    let service = of_kind(&resources, "Service").into_iter().find(|it| it["metadata"]["name"] == socket["address"]);
    let ports = service.unwrap()["spec"]["ports"].as_array().unwrap();
    assert!(ports.iter().any(|port| port["port"] == socket["port_value"]));
}
