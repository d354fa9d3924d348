//! `revision`, `merge`, `edit`: what they write, and what they refuse before they write.

use super::*;
use crate::promise::{report, says_three_parts};

/// Runs a command that is refused as usage and writes no file.
#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str], fact: &str) -> Run {
    let before = sandbox.files("migrations");
    let run = sandbox.ripcord(arguments);
    run.expect_code(2).stdout_is_empty();
    says_three_parts(&run, fact);
    assert_eq!(sandbox.files("migrations"), before, "{run}");
    run
}

/// The lines of a revision file's header, without the line of its creation.
fn header(sandbox: &Sandbox, file: &str) -> String {
    let text = sandbox.read(format!("migrations/versions/{file}"));
    let lines = text.lines().filter(|line| line.starts_with("-- ripcord:") && !line.contains("created"));
    lines.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn a_new_revision_says_where_it_stands() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    let run = sandbox.ripcord(&[
        "revision",
        "-m",
        "Add a thing",
        "--rev-id",
        "dddd",
        "--head",
        "shoppingcart",
        "--branch-label",
        "things",
        "--depends-on",
        "networking",
        "--depends-on",
        "55af",
    ]);
    run.expect_code(0).stderr_is_empty();
    run.stdout_is("Generating migrations/versions/dddd_add_a_thing.sql ...  done\n");
    assert_eq!(
        header(&sandbox, "dddd_add_a_thing.sql"),
        "ripcord:revision dddd
ripcord:revises 27c6a30d7c24
ripcord:labels things
ripcord:depends-on networking, 55af2cb1c267
ripcord:upgrade
ripcord:downgrade
"
    );
    let json = report(&sandbox.ripcord(&["revision", "--head", "base", "--format", "json"]));
    let (id, path) =
        (json["result"]["revision"].as_str().unwrap(), json["result"]["created"].as_str().unwrap());
    assert_eq!((id.len(), path), (12, format!("migrations/versions/{id}.sql").as_str()));
    assert!(printed(&sandbox, &["show", id]).contains("Parent: <base>\n"));
}

#[test]
fn a_revision_leaves_a_branch_only_with_splice() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    let not_a_head =
        "Revision ae1027a6acf0 is not a head revision; please specify --splice to create a new branch";
    refused(&sandbox, &["revision", "--head", "ae10"], not_a_head);
    sandbox.ripcord(&["revision", "--head", "ae10", "--splice", "--rev-id", "dddd"]).expect_code(0);
    assert!(printed(&sandbox, &["branches"]).contains("ae1027a6acf0 (branchpoint)\n"));
}

#[test]
fn what_would_break_the_history_is_refused_before_a_file_is_written() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    let several = "Multiple heads are present; please specify the head revision on which the new revision should be based";
    refused(&sandbox, &["revision", "-m", "x"], several);
    for (arguments, fact) in [
        (&["--rev-id", CART][..], "exists already"),
        (&["--rev-id", "a@b"], "Character(s) '@' not allowed in revision identifier 'a@b'"),
        (&["--branch-label", "networking"], "Branch name 'networking' in revision"),
        (&["--depends-on", "nowhere"], "Can't locate revision identified by 'nowhere'"),
        (&["--depends-on", "base"], "cannot depend on 'base'"),
        (&["--depends-on", "current"], "Can't locate revision identified by 'current'"),
    ] {
        let mut all = vec!["revision", "--head", "shoppingcart@head"];
        all.extend(arguments);
        refused(&sandbox, &all, fact);
    }
    refused(&sandbox, &["revision", "--head", "+1"], "an offset is not accepted here");
}

#[test]
fn a_merge_joins_heads() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    sandbox
        .ripcord(&["merge", "heads", "-m", "join", "--rev-id", "dddd", "--branch-label", "all"])
        .expect_code(0);
    assert_eq!(
        header(&sandbox, "dddd_join.sql"),
        "ripcord:revision dddd
ripcord:revises 27c6a30d7c24, 2a95102259be
ripcord:labels all
ripcord:upgrade
ripcord:downgrade
"
    );
    // A head that another one depends on is a branch of its own all the same.
    sandbox.ripcord(&["merge", "dddd", "55af", "--rev-id", "eeee"]).expect_code(0);
    assert_eq!(printed(&sandbox, &["heads"]), "eeee (all, networking, shoppingcart) (head)\n");
}

#[test]
fn a_merge_of_nothing_in_particular_is_refused() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    let run = refused(&sandbox, &["merge"], "a merge needs the revisions that it joins");
    run.stderr_has("next: ripcord merge heads\n");
    refused(&sandbox, &["merge", "shoppingcart"], "a merge joins two revisions or more");
    refused(&sandbox, &["merge", "base"], "a merge joins two revisions or more, and 'base' names none");
    refused(&sandbox, &["merge", CART, "shoppingcart"], "Duplicate head revisions specified: 27c6a30d7c24");
    refused(&sandbox, &["merge", "networking", "ae10"], "please specify --splice");
    let overlap = "Requested revision 55af2cb1c267 overlaps with other requested revisions ae1027a6acf0";
    refused(&sandbox, &["merge", "--splice", "55af", "ae10"], overlap);
}

#[test]
fn edit_opens_the_file_in_the_editor_that_was_chosen() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    let file = "migrations/versions/27c6a30d7c24_add_shopping_cart_table.sql";
    sandbox.env("EDITOR", "false").env("VISUAL", "sed -i 's/cart table/basket table/'");
    sandbox.ripcord(&["edit", "shoppingcart"]).expect_code(0).stderr_is_empty();
    assert!(sandbox.read(file).starts_with("-- add shopping basket table\n"));
    sandbox.env("VISUAL", " ").env("EDITOR", "touch new").env("PATH", std::env::var("PATH").unwrap());
    sandbox.ripcord(&["revision", "--head", "shoppingcart", "--rev-id", "dddd", "--edit"]).expect_code(0);
    assert!(sandbox.path("new").exists());
}

#[test]
fn no_editor_is_chosen_for_the_user() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    refused(&sandbox, &["edit", CART], "no editor is set").stderr_has("set VISUAL or EDITOR");
    refused(&sandbox, &["revision", "--head", CART, "--edit"], "no editor is set");
    sandbox.env("VISUAL", "no-such-editor --wait").env("EDITOR", "true");
    let run = refused(&sandbox, &["edit", CART], "the editor no-such-editor --wait was not found");
    run.stderr_has("next: set VISUAL or EDITOR");
    sandbox.env("VISUAL", "false");
    let run = sandbox.ripcord(&["edit", CART]);
    run.expect_code(4);
    says_three_parts(&run, "the editor false ended with exit status: 1");
}

#[test]
fn a_slip_made_in_the_editor_is_seen_at_once() {
    let sandbox = Sandbox::new();
    shop(&sandbox);
    sandbox.env("EDITOR", "sed -i s/ripcord:revises/ripcord:revices/");
    let run = sandbox.ripcord(&["edit", CART]);
    run.expect_code(2);
    says_three_parts(&run, "migrations/versions/27c6a30d7c24_add_shopping_cart_table.sql:4");
    run.stderr_has("revises");
}
