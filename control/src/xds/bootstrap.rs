//! Fills in `envoy/bootstrap.yaml`.

/// The template, as it lies in the repository.
const TEMPLATE: &str = include_str!("../../../envoy/bootstrap.yaml");

/// The values that differ from Envoy to Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Node id, unique among Envoys.
    pub node_id: String,
    /// Path of the filter's module as this Envoy sees it.
    pub module: String,
    /// The xDS listeners of all controls, `host:port`. Envoy stays with the one that takes it: the leader.
    pub controls: Vec<String>,
    /// Where clients connect, `host:port`.
    pub listen: String,
    /// Envoy's admin interface, `host:port`.
    pub admin: String,
}

/// Why a bootstrap cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} `{value}` is not HOST:PORT")]
pub struct BadAddress {
    name: &'static str,
    value: String,
}

impl Bootstrap {
    /// Writes the bootstrap, in YAML.
    ///
    /// # Errors
    /// [`BadAddress`] for an address that is not `host:port`.
    pub fn render(&self) -> Result<String, BadAddress> {
        let mut text = TEMPLATE.to_owned();
        for (name, value) in [("listen", &self.listen), ("admin", &self.admin)] {
            let (host, port) = address(name, value)?;
            text = text.replace(&format!("${{{name}_host}}"), &host);
            text = text.replace(&format!("${{{name}_port}}"), &port.to_string());
        }
        let mut endpoints = Vec::new();
        for control in &self.controls {
            let (address, port) = address("control", control)?;
            let socket = format!("{{ address: {address}, port_value: {port} }}");
            endpoints.push(format!("{{ endpoint: {{ address: {{ socket_address: {socket} }} }} }}"));
        }
        let text = text.replace("${controls}", &format!("[{}]", endpoints.join(", ")));
        Ok(text.replace("${node_id}", &quoted(&self.node_id)).replace("${module}", &quoted(&self.module)))
    }
}

fn address(name: &'static str, value: &str) -> Result<(String, u16), BadAddress> {
    let bad = || BadAddress { name, value: value.to_owned() };
    let (host, port) = value.rsplit_once(':').ok_or_else(bad)?;
    Ok((quoted(host.trim_matches(['[', ']'])), port.parse().map_err(|_| bad())?))
}

/// A YAML double-quoted scalar is a JSON string.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bootstrap() -> Bootstrap {
        Bootstrap {
            node_id: "envoy-0".into(),
            module: "/etc/miroir/filter.wasm".into(),
            controls: vec!["control-0:7800".into(), "control-1:7800".into()],
            listen: "[::]:7700".into(),
            admin: "127.0.0.1:9901".into(),
        }
    }

    #[test]
    fn every_value_is_filled_in() {
        let text = bootstrap().render().unwrap();
        let comments_removed: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        assert!(!comments_removed.join("\n").contains("${"));
        assert!(text.contains(r#"socket_address: { address: "::", port_value: 7700 }"#));
        for control in ["control-0", "control-1"] {
            assert!(text.contains(&format!(r#"socket_address: {{ address: "{control}", port_value: 7800 }}"#)));
        }
        assert!(text.contains(r#"module: "/etc/miroir/filter.wasm""#));
    }

    #[test]
    fn an_address_without_port_is_refused() {
        let error = Bootstrap { controls: vec!["control".into()], ..bootstrap() }.render().unwrap_err();
        assert_eq!(error.to_string(), "control `control` is not HOST:PORT");
    }
}
