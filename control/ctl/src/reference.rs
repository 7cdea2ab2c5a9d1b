//! `docs/miroirctl.md`, printed from the definition of the command line.

use clap::{Arg, Command, CommandFactory};

use crate::cli::Cli;
use crate::exit;

const HEAD: &str = "\
# miroirctl

The operator's tool. It talks to control's admin API ([openapi.json](openapi.json)), which answers only to the admin key:
`admin.key_file` (or `MIROIR_ADMIN_KEY_FILE`) in control's configuration, `--admin-key-file` or `MIROIR_ADMIN_KEY` here.
What to do when: [operations.md](operations.md). This file is printed from the command line's definition; do not edit it.

";

/// The whole page.
pub fn page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = HEAD.to_owned();
    page.push_str("## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (_, code, meaning) in exit::TABLE {
        page.push_str(&format!("| {code} | {meaning} |\n"));
    }
    page.push_str("\n## Options of every command\n\n");
    page.push_str(&options(root.get_arguments().filter(|option| option.is_global_set())));
    commands(&root, "miroirctl", &mut page);
    page
}

fn commands(command: &Command, path: &str, page: &mut String) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        let path = format!("{path} {}", sub.get_name());
        if sub.has_subcommands() {
            commands(sub, &path, page);
            continue;
        }
        let positional: String = sub.get_positionals().map(|argument| format!(" {}", usage(argument))).collect();
        page.push_str(&format!("\n## {path}{positional}\n\n"));
        let about = sub.get_long_about().or_else(|| sub.get_about()).map(ToString::to_string).unwrap_or_default();
        page.push_str(&format!("{}\n", sentence(about)));
        let own: Vec<&Arg> =
            sub.get_arguments().filter(|option| !option.is_global_set() && !own_help(option)).collect();
        if !own.is_empty() {
            page.push_str(&format!("\n{}", options(own.into_iter())));
        }
        if let Some(help) = sub.get_after_help() {
            let help = help.to_string();
            let example: Vec<&str> = help.lines().skip(1).map(|line| line.trim_start_matches("  ")).collect();
            page.push_str(&format!("\n```\n{}\n```\n", example.join("\n")));
        }
    }
}

fn own_help(option: &Arg) -> bool {
    matches!(option.get_id().as_str(), "help" | "version")
}

/// How an argument is given.
fn usage(option: &Arg) -> String {
    let takes = option.get_action().takes_values();
    let value =
        option.get_value_names().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    let value = value.filter(|_| takes).unwrap_or_default();
    match option.get_long() {
        None => value.to_uppercase(),
        Some(long) => {
            let short = option.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
            format!("{short}--{long} {value}").trim_end().to_owned()
        }
    }
}

fn options<'a>(options: impl Iterator<Item = &'a Arg>) -> String {
    let mut text = String::new();
    for option in options {
        let mut line = format!("- `{}`: {}", usage(option), help(option));
        if let Some(variable) = option.get_env() {
            line.push_str(&format!(" Environment: `{}`.", variable.to_string_lossy()));
        }
        let defaults: Vec<String> =
            option.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        if option.get_action().takes_values() && !defaults.is_empty() && !defaults.concat().is_empty() {
            line.push_str(&format!(" Default: `{}`.", defaults.join(" ")));
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn help(option: &Arg) -> String {
    sentence(option.get_help().map(ToString::to_string).unwrap_or_default())
}

/// clap takes the full stop off.
fn sentence(text: String) -> String {
    if text.is_empty() || text.ends_with(['.', '?']) { text } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_verb_and_code() {
        let page = page();
        for part in [
            "\n## miroirctl status\n",
            "\n## miroirctl node add ID URL\n",
            "\n## miroirctl shard accept-loss SHARD\n",
            "\n## miroirctl shard force-deletion\n",
            "| 6 | `verify`",
            "- `-o, --output FORM`",
            "Environment: `MIROIR_ADMIN_URL`",
            "miroirctl rebalance wait 3 --timeout 2h",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("reference"));
    }
}
