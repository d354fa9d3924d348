//! Which modules of the crate a file names, in `use` and in the middle of an expression.

use super::scan::Source;

/// The full paths below the crate that this file names outside its tests.
pub fn named(source: &Source, all: &[Source]) -> Vec<Vec<String>> {
    let code = source.product_code();
    let tokens = tokens(&code);
    let mut written = Vec::new();
    let mut place = 0;
    while place < tokens.len() {
        let starts = is_word(tokens[place]) && (place == 0 || tokens[place - 1] != "::");
        place = if starts { read_path(&tokens, place, Vec::new(), &mut written) } else { place + 1 };
    }
    written
        .into_iter()
        .filter_map(|path| resolve(source, &path, all))
        .filter(|path| !path.is_empty())
        .collect()
}

/// Whether a file is compiled for tests only, because its own or an outer module is declared so.
pub fn is_test_only(source: &Source, all: &[Source]) -> bool {
    (1..=source.module.len()).any(|depth| {
        let (parent, name) = (&source.module[..depth - 1], &source.module[depth - 1]);
        let declaring = all.iter().filter(|other| other.module == parent);
        declaring.into_iter().any(|other| declares_for_tests(&other.code, name))
    })
}

fn declares_for_tests(code: &str, name: &str) -> bool {
    let tokens = tokens(code);
    let declaration = ["mod", name, ";"];
    tokens.windows(3).enumerate().any(|(place, window)| {
        let marked = ["#", "[", "cfg", "(", "test", ")", "]"];
        let before: Vec<_> =
            tokens[..place].iter().rev().skip_while(|token| is_visibility(token)).take(7).collect();
        window == declaration && before.iter().rev().copied().eq(marked.iter())
    })
}

fn is_visibility(token: &str) -> bool {
    // Of `pub(super)` the closing bracket is left to end the search: `cfg(test)` ends with `]`.
    matches!(token, "pub" | "(" | ")" | "super" | "crate" | "in")
}

/// Reads the path or group of paths that starts at `place`; returns the place behind it.
fn read_path(
    tokens: &[&str],
    mut place: usize,
    mut path: Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    while place < tokens.len() && is_word(tokens[place]) {
        path.push(tokens[place].to_owned());
        place += 1;
        if tokens.get(place) != Some(&"::") {
            break;
        }
        place += 1;
    }
    // Only a path that ends in `::` opens a group; the block of a function is not one.
    if tokens.get(place) != Some(&"{") || place == 0 || tokens[place - 1] != "::" {
        found.push(path);
        return place;
    }
    place += 1;
    while place < tokens.len() && tokens[place] != "}" {
        place = match tokens[place] {
            // What follows is another name, not another path.
            "as" => place + 2,
            word if is_word(word) => read_path(tokens, place, path.clone(), found),
            _ => place + 1,
        };
    }
    place + 1
}

/// The path below the crate, if it leads into the crate: from `crate`, `self`, `super` or a module declared here.
fn resolve(source: &Source, path: &[String], all: &[Source]) -> Option<Vec<String>> {
    let mut base = match path[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => source.module.clone(),
        name => {
            let child: Vec<_> = source.module.iter().cloned().chain([name.to_owned()]).collect();
            // A field or variable may have the name of a module; only a path goes on behind it.
            let is_module = path.len() > 1 && all.iter().any(|other| other.module == child);
            return is_module.then(|| child.into_iter().chain(path[1..].iter().cloned()).collect());
        }
    };
    for part in path {
        match part.as_str() {
            "crate" | "self" => {}
            // One `super` too many stands in an inline module, whose parent is the file.
            "super" => drop(base.pop()),
            name => base.push(name.to_owned()),
        }
    }
    Some(base)
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = match first {
            _ if word > 0 => word,
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let sources = ["src/engine/mod.rs", "src/engine/sqlite/mod.rs"].map(|file| Source::new(file, ""));
    let source = Source::new(
        "src/engine/mod.rs",
        "mod sqlite; use crate::{base::{fs, clock as time}, plan::*}; fn f() -> super::report::Event { sqlite::open::<u8>(sqlite) }",
    );
    let found: Vec<_> = named(&source, &sources).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["base::fs", "base::clock", "plan", "report::Event", "engine::sqlite::open"]);
}

#[test]
fn a_module_declared_for_tests_is_not_the_product() {
    let all = [
        Source::new("src/plan/mod.rs", "#[cfg(test)]\npub(super) mod sample;\nmod hazard;"),
        Source::new("src/plan/sample/rows.rs", ""),
        Source::new("src/plan/hazard.rs", ""),
    ];
    assert!(is_test_only(&all[1], &all));
    assert!(!is_test_only(&all[2], &all));
}
