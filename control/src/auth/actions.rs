//! The actions that API keys grant (Meilisearch 1.50): their names, which of them cover others, and how each relates
//! to indexes.

/// Names, in the order in which the engine lists them.
pub(crate) const NAMES: &[&str] = &[
    "*",
    "search",
    "documents.*",
    "documents.add",
    "documents.get",
    "documents.delete",
    "indexes.*",
    "indexes.create",
    "indexes.get",
    "indexes.update",
    "indexes.delete",
    "indexes.swap",
    "tasks.*",
    "tasks.cancel",
    "tasks.delete",
    "tasks.get",
    "settings.*",
    "settings.get",
    "settings.update",
    "stats.*",
    "stats.get",
    "metrics.*",
    "metrics.get",
    "dumps.*",
    "dumps.create",
    "snapshots.*",
    "snapshots.create",
    "version",
    "keys.create",
    "keys.get",
    "keys.update",
    "keys.delete",
    "experimental.get",
    "experimental.update",
    "export",
    "network.get",
    "network.update",
    "chatCompletions",
    "chats.*",
    "chats.get",
    "chats.delete",
    "chatsSettings.*",
    "chatsSettings.get",
    "chatsSettings.update",
    "*.get",
    "webhooks.get",
    "webhooks.update",
    "webhooks.delete",
    "webhooks.create",
    "webhooks.*",
    "indexes.compact",
    "fields.post",
    "tasks.compact",
    "dynamicSearchRules.get",
    "dynamicSearchRules.create",
    "dynamicSearchRules.update",
    "dynamicSearchRules.delete",
    "dynamicSearchRules.*",
];

/// Whether a granted action covers a wanted one.
pub(super) fn covers(granted: &str, wanted: &str) -> bool {
    match granted {
        "*" => true,
        // All that only reads, but for keys: reading them would be to get their rights.
        "*.get" => match wanted {
            "search" | "version" | "fields.post" | "export" => true,
            _ => wanted.ends_with(".get") && wanted != "keys.get",
        },
        // What the engine asks for an edit by function: to its keys, the group is the sum of its three actions.
        _ if wanted == "documents.*" => false,
        _ => granted == wanted || granted.strip_suffix('*').is_some_and(|group| wanted.starts_with(group)),
    }
}

/// Whether the routes of this action judge indexes themselves: then a key that is limited to some indexes may call
/// them without naming one.
pub(super) fn judged_by_route(action: &str) -> bool {
    matches!(
        action,
        "documents.get"
            | "search"
            | "indexes.create"
            | "indexes.get"
            | "indexes.swap"
            | "tasks.cancel"
            | "tasks.delete"
            | "tasks.get"
            | "settings.get"
            | "stats.*"
            | "stats.get"
            | "chatCompletions"
    )
}

/// Whether a key that is limited to some indexes must not have this action.
pub(crate) fn is_global(action: &str) -> bool {
    let group = action.split('.').next().unwrap_or_default();
    action == "tasks.compact"
        || matches!(
            group,
            "metrics"
                | "dumps"
                | "snapshots"
                | "version"
                | "keys"
                | "experimental"
                | "export"
                | "network"
                | "chats"
                | "chatsSettings"
                | "webhooks"
                | "dynamicSearchRules"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_their_members() {
        assert!(covers("*", "keys.create") && covers("documents.*", "documents.add") && covers("search", "search"));
        assert!(covers("*", "documents.*") && !covers("documents.*", "documents.*"));
        assert!(!covers("documents.*", "search") && !covers("search", "documents.get"));
        assert!(covers("*.get", "stats.get") && covers("*.get", "version"));
        assert!(covers("*.get", "search") && covers("*.get", "export"));
        assert!(!covers("*.get", "keys.get") && !covers("*.get", "chatCompletions"));
        assert!(!covers("chats.*", "chatsSettings.get"));
    }

    #[test]
    fn global_actions_are_those_without_an_index() {
        for global in ["version", "keys.get", "tasks.compact", "chats.*", "dumps.create", "export"] {
            assert!(is_global(global), "{global}");
        }
        for scoped in ["*", "*.get", "search", "tasks.get", "stats.*", "fields.post", "chatCompletions", "indexes.swap"]
        {
            assert!(!is_global(scoped), "{scoped}");
        }
    }
}
