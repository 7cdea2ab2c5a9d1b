//! The table. Paths, methods and their order are those of Meilisearch 1.50 (each path asked with a method that it does
//! not have, and its `Allow` header read).

use super::{MethodRule, PathRule, ReadOp, Refusal, Serve};
use crate::wire::WriteKind;

const CONTROL: Serve = Serve::Control;
const UNSUPPORTED: Serve = Serve::Refuse(Refusal::Unsupported);

const SNAPSHOTS: &str =
    "A snapshot is of one node. Make a dump, or take snapshots of nodes beside a `miroirctl backup`.";
const CHATS: &str = "A node would answer from its own shards only, so that there are no chats to set up.";
const PINS: &str = "A node knows only the documents of its own shards, and pins them at places of its own list.";

const fn experimental(feature: &'static str) -> Serve {
    Serve::Refuse(Refusal::Experimental(feature))
}

const fn rule(method: &'static str, action: &'static str, serve: Serve, note: &'static str) -> MethodRule {
    MethodRule { method, action, serve, note }
}

const fn path(pattern: &'static str, methods: &'static [MethodRule]) -> PathRule {
    PathRule { pattern, depth: depth(pattern.as_bytes()), methods }
}

/// Segments of a pattern.
const fn depth(mut pattern: &[u8]) -> usize {
    let mut depth = 0usize;
    while let [first, rest @ ..] = pattern {
        if *first == b'/' && !rest.is_empty() {
            depth = depth.wrapping_add(1);
        }
        pattern = rest;
    }
    depth
}

/// A sub-route of the settings, with the method that changes it.
macro_rules! setting {
    ($name:literal, $update:literal) => {
        path(
            concat!("/indexes/{index_uid}/settings/", $name),
            &[
                rule(
                    "GET",
                    "settings.get",
                    CONTROL,
                    "As the client set it; what Miroir adds on the nodes never shows.",
                ),
                rule($update, "settings.update", CONTROL, "One task; applied on all nodes and read back."),
                rule("DELETE", "settings.update", CONTROL, "One task; reset on all nodes and read back."),
            ],
        )
    };
}

/// Every path of the API.
pub const PATHS: &[PathRule] = &[
    path("/", &[rule("GET", "", CONTROL, "Status line.")]),
    path(
        "/health",
        &[rule(
            "GET",
            "",
            Serve::Read(ReadOp::Health),
            "`available` when every shard has a readable copy, else 503; needs neither control nor a node.",
        )],
    ),
    path("/version", &[rule("GET", "version", CONTROL, "Version of the nodes.")]),
    path("/stats", &[rule("GET", "stats.get", CONTROL, "Sums over one copy of each shard.")]),
    path(
        "/metrics",
        &[rule("GET", "metrics.get", experimental("metrics"), "Envoy and control have metrics of their own.")],
    ),
    path(
        "/indexes",
        &[
            rule("GET", "indexes.get", CONTROL, "From the registry of indexes."),
            rule("POST", "indexes.create", CONTROL, "One task; created on all nodes."),
        ],
    ),
    path(
        "/indexes/{index_uid}",
        &[
            rule("GET", "indexes.get", CONTROL, "From the registry of indexes."),
            rule("PATCH", "indexes.update", CONTROL, "One task; applied on all nodes."),
            rule("DELETE", "indexes.delete", CONTROL, "One task; deleted on all nodes."),
        ],
    ),
    path("/indexes/{index_uid}/stats", &[rule("GET", "stats.get", CONTROL, "Sums over one copy of each shard.")]),
    path(
        "/indexes/{index_uid}/fields",
        &[rule("POST", "fields.post", Serve::Read(ReadOp::Fields), "Fields of all nodes, put together.")],
    ),
    path(
        "/indexes/{index_uid}/compact",
        &[rule("POST", "indexes.compact", CONTROL, "One task; on all nodes. Its details name no sizes.")],
    ),
    path(
        "/indexes/{index_uid}/documents",
        &[
            rule(
                "GET",
                "documents.get",
                Serve::Read(ReadOp::Documents),
                "One page over all shards, in an order that stays while the same replicas serve.",
            ),
            rule(
                "POST",
                "documents.add",
                Serve::Write(WriteKind::Replace),
                "Split by document; every replica of each shard is written.",
            ),
            rule(
                "PUT",
                "documents.add",
                Serve::Write(WriteKind::Update),
                "Split by document; every replica of each shard is written.",
            ),
            rule("DELETE", "documents.delete", Serve::Write(WriteKind::DeleteAll), "One task over all shards."),
        ],
    ),
    path(
        "/indexes/{index_uid}/documents/fetch",
        &[rule(
            "POST",
            "documents.get",
            Serve::Read(ReadOp::Documents),
            "One page over all shards, in an order that stays while the same replicas serve.",
        )],
    ),
    path(
        "/indexes/{index_uid}/documents/delete",
        &[rule("POST", "documents.delete", Serve::Write(WriteKind::DeleteByFilter), "One task over all shards.")],
    ),
    path(
        "/indexes/{index_uid}/documents/delete-batch",
        &[rule(
            "POST",
            "documents.delete",
            Serve::Write(WriteKind::DeleteBatch),
            "Split by id; every replica of each shard is written.",
        )],
    ),
    path(
        "/indexes/{index_uid}/documents/edit",
        &[rule(
            "POST",
            "documents.*",
            Serve::Write(WriteKind::Edit),
            "One task over all shards. Functions must be deterministic: each replica runs them. One that fails on a \
             document fails the task, and may have been applied in other shards.",
        )],
    ),
    path(
        "/indexes/{index_uid}/documents/{document_id}",
        &[
            rule(
                "GET",
                "documents.get",
                Serve::Read(ReadOp::Document),
                "From one replica of the document's shard; another one if it fails.",
            ),
            rule(
                "DELETE",
                "documents.delete",
                Serve::Write(WriteKind::DeleteOne),
                "On every replica of the document's shard.",
            ),
        ],
    ),
    path(
        "/indexes/{index_uid}/search",
        &[
            rule(
                "GET",
                "search",
                Serve::Read(ReadOp::Search),
                "All shards are asked; hits, totals and facets are merged.",
            ),
            rule(
                "POST",
                "search",
                Serve::Read(ReadOp::Search),
                "All shards are asked; hits, totals and facets are merged.",
            ),
        ],
    ),
    path(
        "/indexes/{index_uid}/facet-search",
        &[rule("POST", "search", Serve::Read(ReadOp::FacetSearch), "All shards are asked; counts are summed.")],
    ),
    path(
        "/indexes/{index_uid}/similar",
        &[
            rule(
                "GET",
                "search",
                Serve::Read(ReadOp::Similar),
                "The document's vector is fetched from its shard, then all shards are asked.",
            ),
            rule(
                "POST",
                "search",
                Serve::Read(ReadOp::Similar),
                "The document's vector is fetched from its shard, then all shards are asked.",
            ),
        ],
    ),
    path(
        "/multi-search",
        &[rule(
            "POST",
            "search",
            Serve::Read(ReadOp::MultiSearch),
            "Each query over all shards, with `federation` all at once.",
        )],
    ),
    path(
        "/indexes/{index_uid}/settings",
        &[
            rule("GET", "settings.get", CONTROL, "As the client set them; what Miroir adds on the nodes never shows."),
            rule("PATCH", "settings.update", CONTROL, "One task; applied on all nodes and read back."),
            rule("DELETE", "settings.update", CONTROL, "One task; reset on all nodes and read back."),
        ],
    ),
    setting!("chat", "PATCH"),
    setting!("dictionary", "PUT"),
    setting!("displayed-attributes", "PUT"),
    setting!("distinct-attribute", "PUT"),
    setting!("embedders", "PATCH"),
    setting!("facet-search", "PUT"),
    setting!("faceting", "PATCH"),
    setting!("filterable-attributes", "PUT"),
    setting!("foreign-keys", "PUT"),
    setting!("localized-attributes", "PUT"),
    setting!("non-separator-tokens", "PUT"),
    setting!("pagination", "PATCH"),
    setting!("prefix-search", "PUT"),
    setting!("proximity-precision", "PUT"),
    setting!("ranking-rules", "PUT"),
    setting!("search-cutoff-ms", "PUT"),
    setting!("searchable-attributes", "PUT"),
    setting!("separator-tokens", "PUT"),
    setting!("sortable-attributes", "PUT"),
    setting!("stop-words", "PUT"),
    setting!("synonyms", "PUT"),
    setting!("typo-tolerance", "PATCH"),
    path(
        "/tasks",
        &[
            rule("GET", "tasks.get", CONTROL, "One sequence of tasks for the cluster."),
            rule("DELETE", "tasks.delete", CONTROL, "From the list of tasks; nodes are not touched."),
        ],
    ),
    path("/tasks/cancel", &[rule("POST", "tasks.cancel", CONTROL, "On all nodes concerned.")]),
    path(
        "/tasks/compact",
        &[rule(
            "POST",
            "tasks.compact",
            experimental("taskQueueCompactionRoute"),
            "Compact nodes one at a time instead.",
        )],
    ),
    path("/tasks/{task_uid}", &[rule("GET", "tasks.get", CONTROL, "One task stands for all parts of a write.")]),
    path(
        "/tasks/{task_uid}/documents",
        &[rule(
            "GET",
            "tasks.get",
            experimental("getTaskDocumentsRoute"),
            "A write's documents lie in parts on the nodes.",
        )],
    ),
    path("/batches", &[rule("GET", "tasks.get", CONTROL, "Every task is a batch of its own.")]),
    path("/batches/{batch_uid}", &[rule("GET", "tasks.get", CONTROL, "Every task is a batch of its own.")]),
    path(
        "/keys",
        &[
            rule("GET", "keys.get", CONTROL, "One set of keys for all nodes."),
            rule("POST", "keys.create", CONTROL, "Created with one uid on all nodes, so that one key opens all."),
        ],
    ),
    path(
        "/keys/{key}",
        &[
            rule("GET", "keys.get", CONTROL, "One set of keys for all nodes."),
            rule("PATCH", "keys.update", CONTROL, "On all nodes."),
            rule("DELETE", "keys.delete", CONTROL, "On all nodes."),
        ],
    ),
    path("/swap-indexes", &[rule("POST", "indexes.swap", CONTROL, "One task over both indexes.")]),
    path("/dumps", &[rule("POST", "dumps.create", CONTROL, "One task; one ordinary dump file of all nodes.")]),
    path("/snapshots", &[rule("POST", "snapshots.create", UNSUPPORTED, SNAPSHOTS)]),
    path("/export", &[rule("POST", "export", UNSUPPORTED, "Make a dump, or fetch the documents.")]),
    path(
        "/experimental-features",
        &[
            rule("GET", "experimental.get", CONTROL, "As the client set them."),
            rule("PATCH", "experimental.update", CONTROL, "On all nodes, where the feature works in a cluster."),
        ],
    ),
    path(
        "/network",
        &[
            rule(
                "GET",
                "network.get",
                CONTROL,
                "As the client set it; nothing goes by it, since Miroir is the network.",
            ),
            rule("PATCH", "network.update", CONTROL, "Kept for the client; nothing goes by it."),
        ],
    ),
    path(
        "/network/control",
        &[rule("POST", "network.update", Serve::Refuse(Refusal::Enterprise), "As in the Community Edition.")],
    ),
    path(
        "/webhooks",
        &[
            rule("GET", "webhooks.get", CONTROL, "Told once for each task of the cluster, by control."),
            rule("POST", "webhooks.create", CONTROL, "Told once for each task of the cluster, by control."),
        ],
    ),
    path(
        "/webhooks/{webhook_uuid}",
        &[
            rule("GET", "webhooks.get", CONTROL, "Told once for each task of the cluster, by control."),
            rule("PATCH", "webhooks.update", CONTROL, "Told once for each task of the cluster, by control."),
            rule("DELETE", "webhooks.delete", CONTROL, "Told once for each task of the cluster, by control."),
        ],
    ),
    path(
        "/dynamic-search-rules",
        &[
            rule("POST", "dynamicSearchRules.get", experimental("dynamicSearchRules"), PINS),
            rule("DELETE", "dynamicSearchRules.delete", experimental("dynamicSearchRules"), PINS),
        ],
    ),
    path(
        "/dynamic-search-rules/{rule_uid}",
        &[
            rule("GET", "dynamicSearchRules.get", experimental("dynamicSearchRules"), PINS),
            rule("PATCH", "dynamicSearchRules.update", experimental("dynamicSearchRules"), PINS),
            rule("DELETE", "dynamicSearchRules.delete", experimental("dynamicSearchRules"), PINS),
        ],
    ),
    path(
        "/render-template",
        &[rule(
            "POST",
            "settings.get",
            CONTROL,
            "By any node, where the request itself holds template and document; 501 for those of an index.",
        )],
    ),
    path("/chats", &[rule("GET", "chats.get", experimental("chatCompletions"), CHATS)]),
    path(
        "/chats/{workspace_uid}",
        &[
            rule("GET", "chats.get", experimental("chatCompletions"), CHATS),
            rule("DELETE", "chats.delete", experimental("chatCompletions"), CHATS),
        ],
    ),
    path(
        "/chats/{workspace_uid}/settings",
        &[
            rule("GET", "chatsSettings.get", experimental("chatCompletions"), CHATS),
            rule("PATCH", "chatsSettings.update", experimental("chatCompletions"), CHATS),
            rule("DELETE", "chatsSettings.update", experimental("chatCompletions"), CHATS),
        ],
    ),
    path(
        "/chats/{workspace_uid}/chat/completions",
        &[rule(
            "POST",
            "chatCompletions",
            experimental("chatCompletions"),
            "A node would answer from its own shards only.",
        )],
    ),
    path(
        "/logs/stream",
        &[
            rule("POST", "metrics.get", experimental("logsRoute"), "Read the nodes' own logs."),
            rule("DELETE", "metrics.get", experimental("logsRoute"), "Read the nodes' own logs."),
        ],
    ),
    path("/logs/stderr", &[rule("POST", "metrics.get", experimental("logsRoute"), "Read the nodes' own logs.")]),
    path("/_miroir/filter", &[rule("GET", "", Serve::Filter, "Epoch of the filter's map; 503 before the first one.")]),
    path("/_miroir/health", &[rule("GET", "", CONTROL, "State of the control service.")]),
];
