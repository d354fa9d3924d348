//! The tour of the README is a real session: each line of it is run, and prints what the page shows.

use crate::read;
use crate::support::*;

/// The folder in which the session of the README was recorded.
const RECORDED_IN: &str = "/srv/training";

#[test]
fn the_tour_of_the_readme_prints_what_the_page_shows() {
    let sandbox = Sandbox::new();
    sandbox.sample();
    let tools = sandbox.project().parent().expect("the project is in the sandbox").join("tools");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ripcord"), tools.join("ripcord")).expect("linked once");
    let here = sandbox.project().display().to_string();
    let tour = session(&read("README.md"));
    assert!(tour.len() >= 8, "the tour has only {} commands", tour.len());
    for (command, shown) in tour {
        let run = sandbox.run("sh", &["-c", &command]);
        run.expect_code(0).stderr_is_empty();
        let printed = run.stdout.replace(&here, RECORDED_IN);
        assert_eq!(plain(&printed), plain(&shown), "{command}\n{run}");
    }
}

#[test]
fn only_what_differs_from_run_to_run_is_made_plain() {
    assert_eq!(
        plain("undo  ripcord restore 20261123T223425Z-downgrade-a37e\n"),
        ["undo ripcord restore TIME-downgrade-ID"]
    );
    assert_eq!(
        plain("backup backups/20261123T223425Z-upgrade-a37e (46.2 KiB, proven)"),
        ["backup backups/TIME-upgrade-ID (N KiB, proven)"]
    );
    assert_eq!(plain("swap ok  clients waited 28 ms"), ["swap ok clients waited N ms"]);
    assert_eq!(plain("4 tables, 5 rows"), ["4 tables, 5 rows"]);
}

/// The commands of the first session after "One minute", each with what it prints.
fn session(readme: &str) -> Vec<(String, String)> {
    let section = readme.split("## One minute").nth(1).expect("the README has a tour");
    let block = section.split("```console\n").nth(1).and_then(|rest| rest.split("```").next());
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in block.expect("the tour is a console block").lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((_, shown))) => shown.push_str(&format!("{line}\n")),
            (None, None) => panic!("the tour begins with {line:?}, not with a command"),
        }
    }
    commands
}

/// The lines with names, sizes and times that differ from run to run replaced, and spaces that align columns joined.
fn plain(text: &str) -> Vec<String> {
    text.lines().map(|line| line_without_chance(&line.split_whitespace().collect::<Vec<_>>())).collect()
}

fn line_without_chance(words: &[&str]) -> String {
    let units = ["KiB,", "KiB", "ms", "ms;"];
    let word = |(at, word): (usize, &&str)| match words.get(at + 1) {
        Some(unit) if units.contains(unit) => {
            let digits = |c: char| c.is_ascii_digit() || c == '.';
            format!("{}N", &word[..word.len() - word.trim_start_matches(|c| !digits(c)).len()])
        }
        _ => word.split('/').map(without_id).collect::<Vec<_>>().join("/"),
    };
    words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

/// `20261123T223425Z-downgrade-a37e` and what follows it becomes `TIME-downgrade-ID`.
fn without_id(part: &str) -> String {
    let mut pieces = part.splitn(3, '-');
    match (pieces.next(), pieces.next(), pieces.next()) {
        (Some(time), Some(kind), Some(rest)) if time.len() == 16 && time.ends_with('Z') => {
            let after = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
            format!("TIME-{kind}-ID{after}")
        }
        _ => part.to_owned(),
    }
}
