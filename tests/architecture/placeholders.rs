//! Commands that are printed as advice: what is known in them is said, not left to the reader.

/// What only the reader knows, in the file that leaves it open. Everything else has a name where it is printed.
const OPEN: [(&str, &str); 7] = [
    // A database that is still to be made.
    ("src/cli/render/advice.rs", "URL"),
    ("src/procedure/merge/older.rs", "URL"),
    ("src/procedure/merge/ready.rs", "URL"),
    ("src/procedure/restore_table/told.rs", "URL"),
    // Where the database stands, which no file says.
    ("src/cli/render/advice.rs", "REVISION"),
    // A backup that was looked for and not found.
    ("src/procedure/merge/sources.rs", "BACKUP"),
    ("src/procedure/recover/without_backup.rs", "BACKUP"),
];

/// Texts that are not of one occasion: the help, and tests.
fn is_general(file: &str) -> bool {
    file.starts_with("src/cli/args") || file.ends_with("tests.rs") || file.contains("/tests/")
}

/// Returns the placeholders in the commands of a file's texts that are not known to be open.
pub fn violations(file: &str, text: &str) -> Vec<String> {
    if is_general(file) {
        return Vec::new();
    }
    let commands = text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(commands);
    let left = commands.flat_map(|command| placeholders(command).map(move |word| (word, command)));
    let left = left.filter(|(word, _)| !OPEN.contains(&(file, *word)));
    left.map(|(word, command)| format!("{file} leaves {word} open in: ripcord {command}")).collect()
}

/// What stands behind each `ripcord ` of a line that a command follows, to the end of its sentence or text.
fn commands(line: &str) -> impl Iterator<Item = &str> {
    let begun = line.split("ripcord ").skip(1).filter(|rest| rest.starts_with(char::is_lowercase));
    begun.map(|rest| rest.split([';', ',', '"', '\\', '`']).next().unwrap_or_default())
}

fn placeholders(command: &str) -> impl Iterator<Item = &str> {
    let is_one = |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    command.split(' ').filter(is_one)
}

#[test]
fn a_placeholder_is_found_in_a_command_and_nowhere_else() {
    let found = |line: &str| violations("src/x.rs", line).len();
    assert_eq!(found("\"see \\\"ripcord backup show BACKUP\\\"\""), 1);
    assert_eq!(found("\"restore it: ripcord restore BACKUP --to URL; then look\""), 2);
    assert_eq!(found("\"ripcord restore {backup}; the REST is no command\""), 0);
    assert_eq!(found("/// ripcord restore BACKUP"), 0);
    assert!(violations("src/cli/args.rs", "\"ripcord restore BACKUP\"").is_empty());
}
