//! Console blocks of a page: what is typed, and what the page shows of what it prints.

/// A command and the lines that the page shows below it; none where the page shows nothing.
pub struct Typed {
    pub command: String,
    pub shown: String,
}

/// The commands of every console block of a text, block by block. A block in a list is indented, and so are its lines.
pub fn blocks(text: &str) -> Vec<Vec<Typed>> {
    let mut blocks: Vec<Vec<Typed>> = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let Some(indent) = &open else {
            if let Some(indent) = line.strip_suffix("```console") {
                open = Some(indent.to_owned());
                blocks.push(Vec::new());
            }
            continue;
        };
        let line = line.strip_prefix(indent.as_str()).unwrap_or(line);
        let block = blocks.last_mut().expect("a block is open");
        match (line.strip_prefix("$ "), block.last_mut()) {
            _ if line == "```" => open = None,
            (Some(command), _) => block.push(Typed { command: command.to_owned(), shown: String::new() }),
            (None, Some(typed)) => typed.shown.push_str(&format!("{line}\n")),
            (None, None) => panic!("a console block begins with {line:?}, not with a command"),
        }
    }
    assert!(open.is_none(), "a console block does not end");
    blocks
}

/// The lines with names, sizes and times that differ from run to run replaced, and spaces that align columns joined.
pub fn plain(text: &str) -> Vec<String> {
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

#[test]
fn a_block_is_read_where_it_stands() {
    let text = "a\n```console\n$ one\nshown\n$ two\n```\n1. b\n\n   ```console\n   $ three\n   ```\n```sql\n$ no\n```\n";
    let found: Vec<String> = blocks(text)
        .iter()
        .map(|block| block.iter().map(|typed| format!("{}:{}", typed.command, typed.shown)).collect())
        .collect();
    assert_eq!(found, ["one:shown\ntwo:", "three:"]);
}
