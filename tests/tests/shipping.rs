//! What is shipped as text: the compose file, the Dockerfile, Envoy's bootstrap and the example configuration. Checked
//! as far as that goes without Docker.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use miroir_e2e::harness::parts;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn control(arguments: &[&str]) -> Output {
    Command::new(parts::control().unwrap()).env_clear().args(arguments).output().unwrap()
}

fn said(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Stages of the Dockerfile: name, image and body.
fn stages() -> Vec<(String, String, String)> {
    let dockerfile = text("Dockerfile").replace("\\\n", " ");
    let mut stages: Vec<(String, String, String)> = Vec::new();
    for line in dockerfile.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), stages.last_mut()) {
            (["FROM", image, "AS", name], _) => {
                stages.push(((*name).to_owned(), (*image).to_owned(), String::new()));
            }
            (_, Some((_, _, body))) => body.push_str(&format!("{line}\n")),
            (_, None) => {}
        }
    }
    stages
}

fn compose() -> Value {
    yaml(&text("docker-compose.yml"))
}

fn services(compose: &Value) -> Vec<(&str, &Value)> {
    compose["services"].as_object().unwrap().iter().map(|(name, service)| (name.as_str(), service)).collect()
}

fn environment<'a>(compose: &'a Value, service: &str) -> Vec<(&'a str, &'a str)> {
    let variables = compose["services"][service]["environment"].as_object().unwrap();
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())).collect()
}

#[test]
fn every_service_has_a_pinned_image_or_a_target_and_says_when_it_is_well() {
    let compose = compose();
    let targets: Vec<String> = stages().into_iter().map(|(name, _, _)| name).collect();
    let volumes = compose["volumes"].as_object().unwrap();
    for (name, service) in services(&compose) {
        match service["image"].as_str() {
            Some(image) => {
                let tag = image.rsplit_once(':').map(|(_, tag)| tag);
                assert!(tag.is_some_and(|tag| tag != "latest"), "{name}: {image}");
            }
            None => {
                let target = service["build"]["target"].as_str().unwrap();
                assert!(targets.iter().any(|known| known == target), "{name}: no stage {target}");
            }
        }
        let once = service["restart"] == "no";
        assert_eq!(service["healthcheck"]["test"].is_array(), !once, "{name}");
        for (needed, condition) in service["depends_on"].as_object().into_iter().flatten() {
            assert_eq!(condition["condition"], "service_healthy", "{name} needs {needed}");
            assert!(compose["services"][needed]["healthcheck"].is_object(), "{name} needs {needed}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().unwrap().split(':').next().unwrap();
            assert!(volumes.contains_key(volume), "{name}: no volume {volume}");
        }
    }
}

#[test]
fn control_understands_what_compose_sets() {
    let compose = compose();
    let help = said(control(&["serve", "--help"]));
    let known: BTreeSet<&str> = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next()).collect();
    let set = environment(&compose, "control");
    for (name, _) in &set {
        assert!(known.contains(name), "{name} is none of {known:?}");
    }

    let mut command = Command::new(parts::control().unwrap());
    command.env_clear().arg("check-config").envs(set.iter().copied());
    let checked = command.env("MIROIR_MASTER_KEY", "miroir-demo-master-key").output().unwrap();
    let summary = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{summary}");
    assert!(summary.contains("3 nodes") && summary.contains("replication factor 2"), "{summary}");

    let value = |wanted: &str| set.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value).unwrap();
    // It listens everywhere in its container, and Envoy must be told the container's name.
    for listener in ["MIROIR_LISTEN_API", "MIROIR_LISTEN_INTERNAL", "MIROIR_LISTEN_XDS"] {
        assert!(value(listener).starts_with("0.0.0.0:"), "{listener}");
    }
    assert_eq!(value("MIROIR_ADVERTISE"), "control");
    for node in value("MIROIR_NODES").split(' ') {
        let (id, url) = node.split_once('=').unwrap();
        assert!(compose["services"][id]["image"].is_string(), "no service {id}");
        assert_eq!(url, format!("http://{id}:7700"));
    }
    let keys: BTreeSet<&str> =
        [("node-0", "MEILI_MASTER_KEY"), ("control", "MIROIR_MASTER_KEY"), ("seed", "MIROIR_MASTER_KEY")]
            .iter()
            .map(|(service, name)| compose["services"][service]["environment"][name].as_str().unwrap())
            .collect();
    assert_eq!(keys.len(), 1, "one master key for all: {keys:?}");
}

#[test]
fn the_dockerfile_names_what_there_is() {
    let stages = stages();
    let manifests = ["control", "control/ctl", "filter"].map(|member| text(&format!("{member}/Cargo.toml")));
    for (at, (name, image, body)) in stages.iter().enumerate() {
        let earlier = || stages[..at].iter().any(|(known, _, _)| known == image);
        assert!(image == "scratch" || image.contains(':') || earlier(), "{name}: {image} is not pinned");
        let words: Vec<&str> = body.split_whitespace().collect();
        for pair in words.windows(2) {
            match pair {
                ["--package", package] => {
                    let line = format!("name = \"{package}\"");
                    assert!(manifests.iter().any(|manifest| manifest.contains(&line)), "no package {package}");
                }
                ["--bin", binary] => {
                    let main = match *binary {
                        "miroir-control" => "control/src/main.rs",
                        "miroirctl" => "control/ctl/src/main.rs",
                        other => panic!("no binary {other}"),
                    };
                    assert!(root().join(main).is_file(), "{main}");
                }
                ["--profile", profile] => assert!(text("Cargo.toml").contains(&format!("[profile.{profile}]"))),
                ["COPY", source] if !source.starts_with("--") => {
                    assert!(root().join(source).exists(), "{name} copies {source}");
                }
                [from, _] if from.starts_with("--from=") => {
                    let from = from.trim_start_matches("--from=");
                    assert!(stages[..at].iter().any(|(known, _, _)| known == from), "{name} copies from {from}");
                }
                _ => {}
            }
        }
    }
}

/// The arguments with which the image's bootstrap is made.
fn bootstrap_arguments() -> Vec<String> {
    let (_, _, build) = stages().into_iter().find(|(name, _, _)| name == "build").unwrap();
    let line = build.lines().find(|line| line.contains("envoy-bootstrap")).unwrap().to_owned();
    let (_, arguments) = line.split_once("miroir-control ").unwrap();
    arguments.split('>').next().unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_images_bootstrap_fits_compose_and_envoy() {
    let arguments = bootstrap_arguments();
    let rendered = said(control(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    let bootstrap = yaml(&rendered);
    let compose = compose();
    let address = |value: &Value| {
        let socket = &value["socket_address"];
        format!("{}:{}", socket["address"].as_str().unwrap(), socket["port_value"])
    };
    let listener = address(&bootstrap["static_resources"]["listeners"][0]["address"]);
    let admin = address(&bootstrap["admin"]["address"]);
    let mut published: Vec<&str> = Vec::new();
    for port in compose["services"]["envoy"]["ports"].as_array().unwrap() {
        published.push(port.as_str().unwrap().rsplit(':').next().unwrap());
    }
    let served = [&listener, &admin].map(|address| address.rsplit(':').next().unwrap());
    assert_eq!(published, served);

    let endpoints = &bootstrap["static_resources"]["clusters"][0]["load_assignment"]["endpoints"];
    let xds = address(&endpoints[0]["lb_endpoints"][0]["endpoint"]["address"]);
    let environment = environment(&compose, "control");
    let listens = environment.iter().find(|(name, _)| *name == "MIROIR_LISTEN_XDS").unwrap().1;
    assert_eq!(xds, format!("control:{}", listens.rsplit(':').next().unwrap()));
    let module = bootstrap["node"]["metadata"]["miroir"]["module"].as_str().unwrap().to_owned();
    let (_, _, image) = stages().into_iter().find(|(name, _, _)| name == "envoy").unwrap();
    assert!(image.contains(&format!(" {module}\n")), "the image has no {module}");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("envoy.yaml");
    std::fs::write(&file, rendered).unwrap();
    let mut envoy = Command::new(parts::envoy().unwrap());
    let checked = envoy.args(["--mode", "validate", "--config-path"]).arg(file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_example_configuration_is_valid_as_it_is_and_with_every_default_written_out() {
    let example = text("control/miroir.example.toml");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("miroir.toml");
    // A key by value and by file is given twice.
    let defaults = example.lines().map(|line| match line.strip_prefix("#= ") {
        Some(key) if key.starts_with("master_key_file") || key.starts_with("key_file") => line,
        Some(setting) => setting,
        None => line,
    });
    for text in [example.clone(), defaults.collect::<Vec<_>>().join("\n")] {
        std::fs::write(&file, &text).unwrap();
        let checked = control(&["check-config", "--config", file.to_str().unwrap()]);
        assert!(checked.status.success(), "{}\n{text}", String::from_utf8_lossy(&checked.stderr));
    }
}

/// Pages by their place in the repository, and the places to which their links lead.
fn pages() -> Vec<(String, Vec<String>)> {
    let mut names = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned(), "charts/miroir/README.md".to_owned()];
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    let links = |name: &String| {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let text = text(name);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let relative = targets.filter(|target| !target.is_empty() && !target.contains("://"));
        relative.map(|target| plain(&format!("{folder}/{target}"))).collect()
    };
    names.iter().map(|name| (name.clone(), links(name))).collect()
}

fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => parts.truncate(parts.len().saturating_sub(1)),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn links_of_pages_lead_somewhere_and_the_readme_to_all_pages() {
    let pages = pages();
    for (page, links) in &pages {
        for link in links {
            assert!(root().join(link).exists(), "{page} names {link}");
        }
    }
    let readme = &pages[0].1;
    for (page, _) in pages.iter().filter(|(page, _)| page.starts_with("docs/")) {
        assert!(readme.contains(page), "README does not name {page}");
    }
}
