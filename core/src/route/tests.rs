use super::*;
use proptest::prelude::*;

fn found(method: &str, path: &str) -> Matched {
    match route(method, path) {
        Route::Found(matched) => matched,
        other => panic!("{method} {path}: {other:?}"),
    }
}

#[test]
fn every_row_is_found_by_its_own_path_and_no_other_row_shadows_it() {
    for rule in PATHS {
        for method in rule.methods {
            let path = rule.pattern.replace(['{', '}'], "");
            let matched = found(method.method, &path);
            assert_eq!((matched.pattern, matched.rule), (rule.pattern, method), "{path}");
        }
    }
}

#[test]
fn paths_are_listed_once_and_explained() {
    for (at, rule) in PATHS.iter().enumerate() {
        assert!(PATHS[..at].iter().all(|earlier| earlier.pattern != rule.pattern), "{}", rule.pattern);
        assert!(!rule.methods.is_empty());
        for method in rule.methods {
            assert!(method.note.ends_with('.'), "{} {}", method.method, rule.pattern);
        }
    }
}

#[test]
fn slashes_and_queries_do_not_matter() {
    for path in [
        "/indexes/movies/search",
        "/indexes/movies/search/",
        "//indexes//movies/search//",
        "/indexes/movies/search?q=a/b",
    ] {
        let matched = found("GET", path);
        assert_eq!(matched.rule.serve, Serve::Read(ReadOp::Search));
        assert_eq!(matched.index(), Some("movies"));
    }
    assert_eq!(found("GET", "/").pattern, "/");
    assert_eq!(found("GET", "").pattern, "/");
}

#[test]
fn literals_win_over_variables() {
    assert_eq!(found("POST", "/indexes/a/documents/fetch").rule.serve, Serve::Read(ReadOp::Documents));
    assert_eq!(found("POST", "/tasks/cancel").pattern, "/tasks/cancel");
    // The engine's resource `fetch` has no GET: a document of that name cannot be read.
    assert_eq!(route("GET", "/indexes/a/documents/fetch"), Route::MethodNotAllowed("POST".into()));
}

#[test]
fn segments_are_decoded_after_they_are_cut() {
    let matched = found("GET", "/indexes/my%2Dindex/documents/a%2Fb%252F");
    assert_eq!(matched.segments, ["my-index", "a/b%2F"]);
    assert_eq!(matched.last_segment(), Some("a/b%2F"));
    assert_eq!(found("GET", "/in%64exes").pattern, "/indexes");
    assert_eq!(found("GET", "/keys/1%2").last_segment(), Some("1%2"));
    assert_eq!(found("GET", "/keys/%ff%zz").last_segment(), Some("\u{fffd}%zz"));
}

#[test]
fn a_wrong_method_is_told_which_are_right() {
    let reply = route("HEAD", "/indexes/a").dead_end().unwrap();
    assert_eq!((reply.status, reply.body.len()), (405, 0));
    assert_eq!(reply.headers, [("allow".to_owned(), "GET, PATCH, DELETE".to_owned())]);
    assert_eq!(route("PUT", "/health"), Route::MethodNotAllowed("GET".into()));
    assert_eq!(route("TRACE", "/indexes/a/documents"), Route::MethodNotAllowed("GET, POST, PUT, DELETE".into()));
}

#[test]
fn an_unknown_path_is_an_empty_404() {
    for path in ["/nothing", "/Indexes", "/indexes/a/b", "/_miroir/other", "/internal/v1/begin", "/keys/a/b"] {
        assert_eq!(route("GET", path), Route::NotFound, "{path}");
    }
    assert_eq!(Route::NotFound.dead_end(), Some(Reply { status: 404, headers: vec![], body: vec![] }));
}

#[test]
fn refusals_have_the_shape_of_the_engine() {
    let refused = |method, path| {
        let reply = found(method, path).refusal().unwrap();
        let body: ErrorBody = serde_json::from_slice(&reply.body).unwrap();
        assert!(body.message.ends_with('.'), "{}", body.message);
        (reply.status, body.code)
    };
    assert_eq!(refused("GET", "/metrics"), (400, "feature_not_enabled".to_owned()));
    assert_eq!(refused("POST", "/network/control"), (451, "requires_enterprise_edition".to_owned()));
    assert_eq!(refused("POST", "/snapshots"), (501, "feature_not_enabled".to_owned()));
    assert_eq!(found("GET", "/tasks").refusal(), None);
}

#[test]
fn only_paths_below_an_index_have_one() {
    assert_eq!(found("GET", "/keys/a").index(), None);
    assert_eq!(found("GET", "/indexes/a/settings/stop-words").index(), Some("a"));
}

proptest! {
    #[test]
    fn any_path_is_routed_without_panic(method in "[A-Z]{1,8}", path in "(/|%|[a-z0-9?#]|\\PC){0,60}") {
        let _ = route(&method, &path);
    }

    #[test]
    fn a_segment_comes_back_from_its_encoding(id in "\\PC{1,20}") {
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let matched = found("GET", &format!("/indexes/a/documents/{encoded}"));
        prop_assert_eq!(matched.last_segment(), Some(id.as_str()));
    }
}
