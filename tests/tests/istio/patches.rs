//! EnvoyFilter's patches, applied to a bootstrap as Istio applies them to what it sends.

use serde_json::Value;

/// Applies all patches; each must find its one place.
pub fn apply(filter: &Value, bootstrap: &mut Value) {
    for patch in filter["spec"]["configPatches"].as_array().unwrap() {
        assert_eq!(patch["match"]["context"], "GATEWAY");
        if patch["applyTo"] == "BOOTSTRAP" {
            assert_eq!(patch["patch"]["operation"], "MERGE");
            merge(bootstrap, &patch["patch"]["value"]);
            continue;
        }
        let listeners = bootstrap["static_resources"]["listeners"].as_array_mut().unwrap();
        let chains = listeners.iter_mut().flat_map(|listener| listener["filter_chains"].as_array_mut().unwrap());
        let filters = chains.flat_map(|chain| chain["filters"].as_array_mut().unwrap());
        let applied = filters.map(|network| network_filter(patch, network)).filter(|applied| *applied).count();
        assert_eq!(applied, 1, "{patch}");
    }
}

fn network_filter(patch: &Value, network: &mut Value) -> bool {
    let (value, operation) = (&patch["patch"]["value"], patch["patch"]["operation"].as_str().unwrap());
    let wanted = &patch["match"]["listener"]["filterChain"]["filter"];
    if !wanted.is_null() && wanted["name"] != network["name"] {
        return false;
    }
    let manager = &mut network["typed_config"];
    match (patch["applyTo"].as_str().unwrap(), operation) {
        ("NETWORK_FILTER", "MERGE") => {
            assert_eq!(value["typed_config"]["@type"], manager["@type"]);
            merge(network, value);
            true
        }
        ("HTTP_FILTER", "INSERT_BEFORE") => {
            let filters = manager["http_filters"].as_array_mut().unwrap();
            let Some(at) = filters.iter().position(|filter| filter["name"] == wanted["subFilter"]["name"]) else {
                return false;
            };
            filters.insert(at, value.clone());
            true
        }
        ("HTTP_ROUTE", "MERGE") => {
            let name = &patch["match"]["routeConfiguration"]["vhost"]["route"]["name"];
            let hosts = manager["route_config"]["virtual_hosts"].as_array_mut().unwrap().iter_mut();
            let mut routes = hosts.flat_map(|host| host["routes"].as_array_mut().unwrap());
            let Some(route) = routes.find(|route| route["name"] == *name) else { return false };
            // Of the fields that say where a request goes, protobuf keeps the last one set.
            if !value["route"]["cluster_header"].is_null() {
                route["route"].as_object_mut().unwrap().remove("cluster");
            }
            merge(route, value);
            true
        }
        other => panic!("{other:?} is not known here"),
    }
}

/// As protobuf merges: messages field by field, lists one after the other, everything else replaced.
fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(under), Value::Array(over)) => under.extend(over.iter().cloned()),
        (under, over) => *under = over.clone(),
    }
}
