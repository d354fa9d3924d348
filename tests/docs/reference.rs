//! The reference names everything that can be typed and set.

use std::collections::BTreeSet;

use crate::read;
use crate::support::*;

#[test]
fn every_command_has_its_place_in_the_contract() {
    let help = Sandbox::new().ripcord(&["--help"]).expect_code(0).stdout.clone();
    let commands: Vec<_> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Lines that go on with a description are indented further.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"upgrade"), "no commands were read from\n{help}");
    let contract = read("docs/cli-contract.md");
    let is_named = |name: &str| [" ", "`"].iter().any(|end| contract.contains(&format!("`{name}{end}")));
    let missing: Vec<_> = commands.iter().filter(|name| !is_named(name)).collect();
    assert!(missing.is_empty(), "docs/cli-contract.md says nothing of {missing:?}");
}

#[test]
fn every_exit_code_of_the_help_is_in_the_contract() {
    let help = Sandbox::new().ripcord(&["--help"]).expect_code(0).stdout.clone();
    let list = help.split("Exit codes:").nth(1).expect("the help ends with the exit codes");
    let codes = list.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let codes: Vec<_> = codes.collect();
    assert_eq!(codes, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "130"]);
    let contract = read("docs/cli-contract.md");
    for code in codes {
        assert!(contract.contains(&format!("\n| {code} |")), "no line for exit code {code}");
    }
}

#[test]
fn the_configuration_file_holds_every_key_of_the_readme_and_all_of_it_is_accepted() {
    let (text, keys) = switched_on(&read("ripcord.toml"));
    let readme = read("README.md");
    let listed: BTreeSet<String> = readme
        .split("## Configuration")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .expect("the README has a section on configuration")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect();
    assert_eq!(keys, listed);

    let sandbox = Sandbox::new();
    sandbox.sample().write("all.toml", text);
    sandbox.ripcord(&["--config", "all.toml", "heads"]).expect_code(0).stderr_is_empty();
}

#[test]
fn the_configuration_file_changes_nothing_as_it_stands() {
    let sandbox = Sandbox::new();
    sandbox.sample();
    let without = sandbox.ripcord(&["upgrade", "--dry-run"]).expect_code(0).stdout.clone();
    sandbox.write("ripcord.toml", read("ripcord.toml"));
    sandbox.ripcord(&["upgrade", "--dry-run"]).expect_code(0).stdout_is(&without);
}

/// Takes the comment signs off the keys; returns the text and the keys' full names.
fn switched_on(text: &str) -> (String, BTreeSet<String>) {
    let (mut whole, mut keys, mut section) = (String::new(), BTreeSet::new(), String::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        }
        // A comment for people has a space after its sign.
        let line = match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
            _ => line,
        };
        if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.insert(format!("{section}.{key}"));
        }
        whole.push_str(line);
        whole.push('\n');
    }
    (whole, keys)
}

#[test]
fn every_dependency_has_its_reason_in_the_decisions() {
    let reasons = read("docs/adr/0001-dependencies.md");
    let cargo = read("Cargo.toml");
    let mut section = "";
    let mut missing = Vec::new();
    for line in cargo.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let name =
            line.split(" = ").next().filter(|_| section.ends_with("dependencies]") && line.contains(" = "));
        if let Some(name) = name.filter(|name| !reasons.contains(*name)) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "docs/adr/0001-dependencies.md gives no reason for {missing:?}");
}
