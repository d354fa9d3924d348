//! The layering of ARCHITECTURE.md, checked against the paths that the source really names.
//!
//! Promises: every file of `src/` belongs to a known layer, names only what its layer may know, and is short enough to
//! be read; nothing is left undone behind a macro, and no test is switched off. Tests inside the source may know more
//! than the code beside them, so they are looked at for length and leftovers only.

mod layers;
mod paths;
mod placeholders;
mod scan;

use std::path::Path;

use scan::Source;

/// A file that is longer holds more than one idea.
const LONGEST_FILE: usize = 500;

#[test]
fn every_module_knows_only_what_its_layer_may_know() {
    let sources = read_folder("src");
    let count = sources.iter().map(|source| paths::named(source, &sources).len()).sum::<usize>();
    assert!(count > 0, "no path was found in {} files: the scanner is broken", sources.len());
    assert_none(&layers::violations(&sources));
}

#[test]
fn a_command_that_is_printed_leaves_open_only_what_nobody_knows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts = read_folder("src").into_iter().map(|source| {
        let text = std::fs::read_to_string(root.join(&source.file)).expect("source is UTF-8");
        (source.file, text)
    });
    assert_none(&texts.flat_map(|(file, text)| placeholders::violations(&file, &text)).collect::<Vec<_>>());
}

#[test]
fn every_file_is_short() {
    let long = everything().into_iter().filter(|source| source.lines > LONGEST_FILE);
    let long: Vec<_> = long.map(|source| format!("{} has {} lines", source.file, source.lines)).collect();
    assert_none(&long);
}

#[test]
fn nothing_is_left_undone_and_no_test_is_switched_off() {
    assert_none(&everything().iter().flat_map(leftovers).collect::<Vec<_>>());
}

#[test]
fn a_leftover_is_found_in_code_and_not_in_text() {
    let found = |code: &str| leftovers(&Source::new("src/x.rs", code)).len();
    assert_eq!(found("fn f() { todo!() }"), 1);
    assert_eq!(found("fn f() { unimplemented!(\"later\") }"), 1);
    assert_eq!(found("#[test] #[ignore] fn f() {}"), 1);
    assert_eq!(found("#[ignore = \"slow\"] fn f() {}"), 1);
    assert_eq!(found("// todo!()\nconst TEXT: &str = \"#[ignore] unimplemented!\";"), 0);
}

fn leftovers(source: &Source) -> Vec<String> {
    const WORDS: [&str; 4] = ["todo!", "unimplemented!", "#[ignore]", "#[ignore="];
    let code: String = source.code.split_whitespace().collect();
    let found = WORDS.iter().filter(|word| code.contains(**word));
    found.map(|word| format!("{} has {word}", source.file)).collect()
}

fn everything() -> Vec<Source> {
    ["src", "tests", "benches"].into_iter().flat_map(read_folder).collect()
}

fn read_folder(name: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut open = vec![root.join(name)];
    while let Some(folder) = open.pop() {
        // There need not be any benchmarks.
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("the folder can be listed").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(root).expect("it is below the root").display().to_string();
                sources.push(Source::new(&file, &std::fs::read_to_string(&path).expect("source is UTF-8")));
            }
        }
    }
    sources.sort_by(|one, other| one.file.cmp(&other.file));
    sources
}

#[track_caller]
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
