//! A live database that is broken is the reason for a restore, never an obstacle: the backup comes back, the broken file
//! is kept.

use std::fs;

use crate::promise::*;
use crate::support::*;

/// A filled database with a backup, broken by this, and then restored. The old bytes are kept, the old rows are back.
fn comes_back_after(break_it: fn(&mut Vec<u8>)) {
    let db = TestDatabase::sqlite();
    let sandbox = filled_sample_of(&db);
    sandbox.ripcord(&["backup", "create"]).expect_code(0);
    let before = db.dump();
    let mut bytes = fs::read(db.file()).unwrap();
    break_it(&mut bytes);
    fs::write(db.file(), &bytes).unwrap();
    at(&sandbox, 2);
    assert!(db.try_query("SELECT * FROM training_metric;").is_err(), "it is not broken");

    let run = sandbox.ripcord(&["restore", "latest"]);
    run.expect_code(0).stdout_has("is kept as");
    assert_same(&before, &db.dump(), &run);
    assert_eq!(db.query("PRAGMA integrity_check;"), "ok");
    let folder = db.file().parent().unwrap();
    let kept = sandbox.files(folder).into_iter().find(|name| name.contains("app.db.pre-restore-"));
    let kept = folder.join(kept.unwrap_or_else(|| panic!("the broken file is gone\n{run}")));
    assert!(fs::read(&kept).unwrap() == bytes, "{} is not the broken file", kept.display());
    sandbox.ripcord(&["recover"]).expect_code(0).stdout_has("there is nothing to recover");
    at(&sandbox, 3);
    sandbox.ripcord(&["downgrade"]).expect_code(0);
}

#[test]
fn a_restore_replaces_a_file_whose_header_is_garbage_and_keeps_it() {
    comes_back_after(|bytes| bytes[..100].fill(0x5A));
}

#[test]
fn a_restore_replaces_a_database_with_a_broken_page_and_keeps_it() {
    comes_back_after(|bytes| bytes[4096..].chunks_mut(4096).for_each(|page| page[..64].fill(0xAA)));
}
