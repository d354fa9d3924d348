//! On a terminal there are colours, bars and questions; nowhere else.

use std::process::Command;

use crate::promise::*;
use crate::support::*;

/// Runs ripcord on a terminal of its own and answers each question with the next line; returns everything the terminal
/// showed.
pub fn typed(sandbox: &Sandbox, arguments: &[&str], answers: &str) -> (i32, String) {
    typed_ahead(sandbox, arguments, "", answers)
}

/// The same, with something that is typed before anybody is asked.
pub fn typed_ahead(sandbox: &Sandbox, arguments: &[&str], ahead: &str, answers: &str) -> (i32, String) {
    // script(1) makes the terminal; its own environment is that of the sandbox.
    let mut line = vec![ripcord_binary().display().to_string()];
    line.extend(arguments.iter().map(|argument| format!("'{argument}'")));
    let mut command = sandbox.command(find("script").expect("util-linux is installed"));
    command.env("SHELL", "/bin/sh").args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
    feed(&mut command, ahead, answers)
}

fn feed(command: &mut Command, ahead: &str, answers: &str) -> (i32, String) {
    use std::io::{Read, Write};
    use std::process::Stdio;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The end of the input would be typed as the end of a session, so the pipe stays open until the end.
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    input.write_all(ahead.as_bytes()).unwrap();
    let (mut shown, mut asked, mut part) = (String::new(), 0, [0; 4096]);
    let mut answers = answers.split_inclusive('\n');
    while let Ok(count @ 1..) = output.read(&mut part) {
        shown.push_str(&String::from_utf8_lossy(&part[..count]));
        while asked < shown.matches("[y/N] ").count() {
            asked += 1;
            input.write_all(answers.next().unwrap_or_default().as_bytes()).unwrap();
        }
    }
    let status = child.wait().unwrap();
    drop(input);
    (status.code().unwrap(), shown)
}

/// The text without the sequences that steer a terminal.
pub fn plain(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        kept.push_str(before);
        let end = after.find(|letter: char| letter.is_ascii_alphabetic()).map_or(after.len(), |at| at + 1);
        rest = &after[end..];
    }
    kept + rest
}

both_engines! {
    fn colours_and_bars_are_for_a_terminal_that_wants_them(db: &TestDatabase) {
        let sandbox = sample_of(db);
        sandbox.env_remove("NO_COLOR").env("TERM", "xterm");
        let (code, shown) = typed(&sandbox, &["upgrade"], "");
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains("\u{1b}[32mok\u{1b}[0m"), "{shown:?}");
        assert!(plain(&shown).contains("undo       ripcord downgrade base"), "{shown:?}");

        at(&sandbox, 1);
        sandbox.env("NO_COLOR", "1");
        let (code, shown) = typed(&sandbox, &["downgrade", "--no-progress"], "");
        assert_eq!(code, 0, "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");

        at(&sandbox, 2);
        let run = sandbox.env_remove("NO_COLOR").ripcord(&["upgrade"]);
        run.expect_code(0).says_nowhere("\u{1b}");
    }

    fn a_restore_in_place_asks_first_and_no_is_no(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        sandbox.env("TERM", "xterm");
        sandbox.ripcord(&["backup", "create"]).expect_code(0);
        db.execute("DELETE FROM training_metric;");
        let (before, files) = (db.dump(), sandbox.files("backups"));
        at(&sandbox, 2);
        for answer in ["n\n", "\n", "nonsense\n"] {
            let (code, shown) = typed(&sandbox, &["restore", "latest", "--no-progress"], answer);
            assert!(code == 0 && shown.contains("[y/N]") && shown.contains("nothing was changed"), "{shown}");
            assert_eq!((db.dump(), sandbox.files("backups")), (before.clone(), files.clone()));
        }
        let (code, shown) = typed(&sandbox, &["restore", "latest", "--no-progress", "--yes"], "");
        assert!(code == 0 && !shown.contains("[y/N]"), "{shown}");
        assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "60");
        at(&sandbox, 3);
        let (code, shown) = typed(&sandbox, &["restore", "latest", "--no-progress"], "y\n");
        assert!(code == 0 && shown.contains("[y/N]"), "{shown}");
        assert_eq!(db.query("SELECT count(*) FROM training_metric;"), "0");
    }
}
