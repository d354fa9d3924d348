//! Who may know whom.

use super::paths;
use super::scan::Source;

/// Each may use those before it and itself.
const ORDER: &[&str] = &[
    "base",
    "history",
    "catalog",
    "fingerprint",
    "ledger",
    "plan",
    "lint",
    "report",
    "journal",
    "store",
    "engine",
    "tabular",
    "runner",
    "app",
    "runbook",
    "render",
    "procedure",
    "config",
    "cli",
];

/// Modules that implement a family's trait with a driver or a tool: only the wiring may name them.
const ADAPTERS: &[&[&str]] = &[
    &["store", "local"],
    &["store", "object"],
    &["store", "encrypt"],
    &["engine", "postgres"],
    &["engine", "sqlite"],
    &["runner", "sql"],
    &["runner", "alembic"],
    &["runner", "flask_migrate"],
    &["runner", "command"],
];

/// Everything in these sources that goes against the order, one sentence each.
pub fn violations(sources: &[Source]) -> Vec<String> {
    let product =
        sources.iter().filter(|source| !is_front_page(source) && !paths::is_test_only(source, sources));
    product.flat_map(|source| violations_in(source, sources)).collect()
}

/// `lib.rs` declares the modules, `main.rs` calls the command line: they belong to no layer.
fn is_front_page(source: &Source) -> bool {
    source.module.is_empty()
}

fn violations_in(source: &Source, sources: &[Source]) -> Vec<String> {
    let from = &source.module;
    if rank(&from[0]).is_none() {
        return vec![format!("{}: the module {} is in no layer", source.file, from[0])];
    }
    let mut found: Vec<_> = paths::named(source, sources)
        .into_iter()
        .filter_map(|to| Some(format!("{} names {}: {}", source.file, to.join("::"), objection(from, &to)?)))
        .collect();
    found.dedup();
    found
}

/// Why this module may not name that one.
fn objection(from: &[String], to: &[String]) -> Option<&'static str> {
    let (own, other) = (rank(&from[0])?, rank(&to[0])?);
    if from[0] == "cli" {
        return None;
    }
    if other > own {
        return Some("a later layer");
    }
    if to[0] == "config" && from[0] != "config" {
        return Some("only the command line reads the configuration");
    }
    match (adapter(from), adapter(to)) {
        (_, None) => None,
        (Some(own), Some(other)) if own == other => None,
        (Some(_), Some(_)) => Some("another adapter"),
        (None, Some(_)) => Some("an adapter, which only the wiring may know"),
    }
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|layer| *layer == module)
}

fn adapter(module: &[String]) -> Option<&'static [&'static str]> {
    ADAPTERS.iter().copied().find(|adapter| module.len() >= 2 && module[..2] == **adapter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong when this file stands among a few ordinary ones.
    fn wrong(file: &str, code: &str) -> Vec<String> {
        let mut sources: Vec<_> =
            ["src/lib.rs", "src/engine/mod.rs", "src/engine/sqlite/mod.rs", "src/plan/mod.rs"]
                .iter()
                .map(|file| Source::new(file, ""))
                .filter(|source| source.file != file)
                .collect();
        sources.push(Source::new(file, code));
        violations(&sources)
    }

    #[track_caller]
    fn refused(file: &str, code: &str, reason: &str) {
        let found = wrong(file, code);
        assert!(found.iter().any(|violation| violation.contains(reason)), "{file} with {code}: {found:?}");
    }

    #[test]
    fn a_later_layer_is_refused_however_it_is_named() {
        for code in [
            "use crate::engine::Database;",
            "pub use crate::{base::clock, engine::{self, Database}};",
            "fn f() -> crate::engine::Error { panic!() }",
            "use super::engine::Database;",
            "fn f(database: &super::engine::Database) {}",
        ] {
            refused("src/plan/mod.rs", code, "a later layer");
        }
        refused("src/base/fs.rs", "use crate::plan::Plan;", "a later layer");
        refused("src/engine/mod.rs", "use crate::procedure::change;", "a later layer");
        refused("src/render/html.rs", "use crate::cli::args;", "a later layer");
    }

    #[test]
    fn an_earlier_layer_is_welcome() {
        assert_eq!(wrong("src/engine/mod.rs", "use crate::{base::fs, plan::Plan};"), [""; 0]);
        assert_eq!(wrong("src/procedure/change.rs", "use crate::engine::Database;"), [""; 0]);
        assert_eq!(
            wrong("src/cli/wiring.rs", "use crate::engine::sqlite::Sqlite; use crate::config;"),
            [""; 0]
        );
    }

    #[test]
    fn an_adapter_is_known_to_the_wiring_alone() {
        let reason = "only the wiring";
        refused("src/procedure/change.rs", "use crate::engine::sqlite::Sqlite;", reason);
        refused("src/engine/mod.rs", "mod sqlite; pub use sqlite::Sqlite;", reason);
        refused("src/engine/mod.rs", "mod sqlite; fn f() { sqlite::open() }", reason);
        refused("src/engine/mod.rs", "mod sqlite; fn f() { self::sqlite::open() }", reason);
        refused("src/runner/alembic.rs", "use crate::engine::sqlite::Sqlite;", "another adapter");
        refused("src/engine/postgres/mod.rs", "use super::sqlite::Sqlite;", "another adapter");
        let own = "use super::{Database, sqlite::digest}; use crate::engine::sqlite::digest; use crate::plan::Plan;";
        assert_eq!(wrong("src/engine/sqlite/dump.rs", own), [""; 0]);
    }

    #[test]
    fn the_configuration_is_known_to_the_command_line_alone() {
        refused("src/procedure/change.rs", "use crate::config::Config;", "a later layer");
        assert_eq!(wrong("src/cli/args.rs", "use crate::config::Config;"), [""; 0]);
    }

    #[test]
    fn a_module_that_the_table_does_not_know_is_refused() {
        refused("src/helpers.rs", "", "in no layer");
    }

    #[test]
    fn tests_text_and_comments_do_not_count() {
        let code = "//! See [`crate::engine::Database`].
            const TEXT: &str = \"crate::engine\"; const RAW: &str = r#\"use \"crate::engine\"#; /* crate::cli /* */ */
            #[cfg(test)]
            mod tests { use crate::engine::Database; }";
        assert_eq!(wrong("src/plan/mod.rs", code), [""; 0]);
        refused(
            "src/plan/mod.rs",
            "#[cfg(test)] mod tests { } use crate::engine::Database;",
            "a later layer",
        );
    }
}
