//! The zoo of damaged backups: what disks, copies and people do to them.

use super::local::LocalStore;
use super::sample::{DUMP, fill, manifest, published};
use super::{Backup, BackupStore, Damage, Error, Listed, contract};
use crate::base::{Cancel, Tool, fs, hash};
use crate::report::Progress;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use tempfile::TempDir;

const ID: &str = "20261123T181500Z-upgrade-5f2c";
const OTHER: &str = "20261124T090000Z-backup-0001";

/// A store with one whole backup in it.
struct Zoo {
    folder: TempDir,
    store: LocalStore,
    backup: Backup,
}

fn store_in(folder: &TempDir) -> LocalStore {
    LocalStore::open(folder.path().join("backups"), Cancel::new())
}

impl Zoo {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store_in(&folder);
        let backup = published(&store, ID).await;
        Self { folder, store, backup }
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs::write_durable(&self.backup.folder.join(path), bytes.as_ref()).expect("written");
    }

    fn remove(&self, path: &str) {
        std::fs::remove_file(self.backup.folder.join(path)).expect("removed");
    }

    fn link(&self, to: &Path, path: &str) {
        symlink(to, self.backup.folder.join(path)).expect("linked");
    }

    /// Changes the text of the manifest.
    fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.backup.folder.join("manifest.json")).expect("read");
        assert!(text.contains(from), "{from} is not in {text}");
        self.write("manifest.json", text.replace(from, to));
    }

    async fn wrong(&self) -> Vec<Damage> {
        self.store.verify(&self.backup, &Progress::silent()).await.expect("looked")
    }

    /// Returns why the backup cannot be opened.
    async fn refused(&self) -> Damage {
        match self.store.open(ID).await {
            Err(Error::Unusable { id, damage }) if id == ID => damage,
            other => panic!("{other:?}"),
        }
    }

    /// Returns why the list calls the only backup damaged.
    async fn listed(&self) -> String {
        match self.store.list().await.expect("listed").as_slice() {
            [Listed::Damaged { id, reason }] if id == ID => reason.clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn named(path: &str) -> String {
    path.to_string()
}

#[tokio::test]
async fn the_local_store_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = std::sync::atomic::AtomicUsize::new(0);
    contract::check(|| {
        let name = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_string();
        Box::new(LocalStore::open(folder.path().join(name), Cancel::new()))
    })
    .await;
}

#[tokio::test]
async fn a_truncated_dump_is_found_and_listed() {
    let zoo = Zoo::new().await;
    zoo.write(DUMP, "all the");
    let size = Damage::Size { path: named(DUMP), expected: 12, found: 7 };
    assert_eq!(zoo.wrong().await, std::slice::from_ref(&size));
    assert_eq!(zoo.listed().await, size.to_string());
    assert!(
        matches!(zoo.store.open("latest").await, Err(Error::NotFound { .. })),
        "latest is whole or nothing"
    );
}

#[tokio::test]
async fn one_flipped_byte_is_found() {
    let zoo = Zoo::new().await;
    zoo.write(DUMP, "all the rowt");
    assert_eq!(zoo.wrong().await, [Damage::Digest { path: named(DUMP) }]);
}

#[tokio::test]
async fn an_artifact_without_a_byte_is_found() {
    let zoo = Zoo::new().await;
    zoo.write(DUMP, "");
    assert_eq!(zoo.wrong().await, [Damage::Size { path: named(DUMP), expected: 12, found: 0 }]);
}

#[tokio::test]
async fn a_missing_artifact_is_found_and_listed() {
    let zoo = Zoo::new().await;
    zoo.remove(DUMP);
    assert_eq!(zoo.wrong().await, [Damage::Missing { path: named(DUMP) }]);
    assert_eq!(zoo.listed().await, format!("{DUMP} is missing"));
    assert_eq!(zoo.store.open(ID).await.expect("opened, to be looked at").manifest.id, ID);
}

#[tokio::test]
async fn every_damage_is_reported_not_only_the_first() {
    let zoo = Zoo::new().await;
    zoo.remove("before.json");
    zoo.write(DUMP, "all the rowt");
    zoo.write("stray", "");
    assert_eq!(
        zoo.wrong().await,
        [
            Damage::Missing { path: named("before.json") },
            Damage::Digest { path: named(DUMP) },
            Damage::Unlisted { path: named("stray") },
        ]
    );
}

#[tokio::test]
async fn an_extra_file_is_found_wherever_it_is() {
    let zoo = Zoo::new().await;
    zoo.write("snapshot/toc.dat", "");
    zoo.link(Path::new("/etc/passwd"), "outcome.json");
    assert_eq!(
        zoo.wrong().await,
        [
            Damage::Unlisted { path: named("outcome.json") },
            Damage::Unlisted { path: named("snapshot/toc.dat") },
        ]
    );
}

#[tokio::test]
async fn a_missing_manifest_is_refused_by_name() {
    let zoo = Zoo::new().await;
    zoo.remove("manifest.json");
    assert_eq!(zoo.refused().await, Damage::NoManifest);
    assert_eq!(zoo.wrong().await, [Damage::NoManifest]);
    assert_eq!(zoo.listed().await, "it has no manifest.json");
}

#[tokio::test]
async fn an_empty_folder_is_a_damaged_backup() {
    let zoo = Zoo::new().await;
    std::fs::remove_dir_all(&zoo.backup.folder).expect("removed");
    std::fs::create_dir(&zoo.backup.folder).expect("created");
    assert_eq!(zoo.refused().await, Damage::NoManifest);
}

#[tokio::test]
async fn a_manifest_that_is_no_json_is_refused() {
    let zoo = Zoo::new().await;
    for text in ["", "not JSON", "[]", "{\"format\": 1}", "{\"format\": -1}"] {
        zoo.write("manifest.json", text);
        let damage = zoo.refused().await;
        assert!(matches!(damage, Damage::UnreadableManifest { .. }), "{text}: {damage:?}");
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_politely_even_when_nothing_else_is_understood() {
    let zoo = Zoo::new().await;
    zoo.write("manifest.json", "{\"format\": 2, \"entirely\": \"different\"}");
    let damage = zoo.refused().await;
    assert_eq!(damage, Damage::NewerFormat { found: 2, supported: 1 });
    assert_eq!(zoo.listed().await, "its format is 2, this ripcord reads up to 1");
}

#[tokio::test]
async fn the_manifest_of_another_backup_is_refused() {
    let zoo = Zoo::new().await;
    let other = published(&zoo.store, OTHER).await;
    std::fs::copy(other.folder.join("manifest.json"), zoo.backup.folder.join("manifest.json"))
        .expect("copied");
    assert_eq!(zoo.refused().await, Damage::AnotherBackup { found: named(OTHER) });
}

#[tokio::test]
async fn the_manifest_of_another_database_is_found_even_under_the_right_id() {
    let zoo = Zoo::new().await;
    zoo.edit("/srv/app/database.db", "/srv/shop/database.db");
    assert_eq!(zoo.wrong().await, [Damage::Digest { path: named("manifest.json") }]);
}

#[tokio::test]
async fn a_path_that_leaves_the_folder_is_never_opened() {
    let zoo = Zoo::new().await;
    let mut now = DUMP;
    for path in ["../database.db", "snapshot/../../database.db", "/etc/passwd", "./database.db", "a//b", ""] {
        zoo.edit(&format!("\"path\": \"{now}\""), &format!("\"path\": \"{path}\""));
        assert_eq!(zoo.refused().await, Damage::LeavesFolder { path: named(path) });
        assert_eq!(zoo.wrong().await, [Damage::LeavesFolder { path: named(path) }]);
        now = path;
    }
}

#[tokio::test]
async fn a_link_that_leaves_the_folder_is_never_followed() {
    let zoo = Zoo::new().await;
    let outside = zoo.folder.path().join("outside");
    std::fs::rename(zoo.backup.snapshot(), &outside).expect("moved away");
    zoo.link(&outside, "snapshot");
    assert!(matches!(zoo.refused().await, Damage::LeavesFolder { .. }));
    assert!(zoo.wrong().await.contains(&Damage::LeavesFolder { path: named(DUMP) }));
    std::fs::rename(zoo.backup.folder.join("manifest.json"), outside.join("m")).expect("moved away");
    zoo.link(&outside.join("m"), "manifest.json");
    assert_eq!(zoo.refused().await, Damage::LeavesFolder { path: named("manifest.json") });
}

#[tokio::test]
async fn an_artifact_that_is_named_twice_is_refused() {
    let zoo = Zoo::new().await;
    zoo.edit("\"path\": \"before.json\"", "\"path\": \"RUNBOOK.md\"");
    assert_eq!(zoo.refused().await, Damage::Duplicate { path: named("RUNBOOK.md") });
}

#[tokio::test]
async fn a_damaged_list_of_checksums_is_found() {
    let zoo = Zoo::new().await;
    let sums = std::fs::read_to_string(zoo.backup.folder.join("SHA256SUMS")).expect("read");
    zoo.write("SHA256SUMS", sums.replace(&hash::sha256_hex("{}"), &hash::sha256_hex("other")));
    assert_eq!(zoo.wrong().await, [Damage::Disagree { path: named("before.json") }]);
    zoo.write("SHA256SUMS", format!("{sums}{}  of-nobody\n", hash::sha256_hex("")));
    assert_eq!(zoo.wrong().await, [Damage::Disagree { path: named("of-nobody") }]);
    zoo.write("SHA256SUMS", "nonsense\n");
    assert_eq!(zoo.wrong().await, [Damage::UnreadableSums { detail: named("line 1") }]);
    zoo.remove("SHA256SUMS");
    assert_eq!(zoo.wrong().await, [Damage::Missing { path: named("SHA256SUMS") }]);
}

#[tokio::test]
async fn a_crash_while_a_later_file_is_added_harms_nothing() {
    let zoo = Zoo::new().await;
    // The file is written, its checksum is not yet; beside it the temporary file of a write that did not end.
    zoo.write("after.json", "{}");
    zoo.write(".ripcord-a1b2c3", "half");
    assert_eq!(zoo.wrong().await, []);
    zoo.store.add(ID, "after.json", b"{\"again\": true}").await.expect("added");
    assert_eq!(zoo.wrong().await, []);
    let said = zoo.store.tidy(ID).await.expect("tidied").concat();
    assert!(said.contains(&format!("removed {ID}/.ripcord-a1b2c3")), "{said}");
}

#[tokio::test]
async fn a_replacement_that_fails_half_way_leaves_no_checksum_that_is_wrong() {
    let zoo = Zoo::new().await;
    zoo.store.add(ID, "after.json", b"{}").await.expect("added");
    zoo.remove("after.json");
    std::fs::create_dir(zoo.backup.folder.join("after.json")).expect("in the way");
    assert!(zoo.store.add(ID, "after.json", b"{\"new\": 1}").await.is_err());
    assert_eq!(zoo.wrong().await, []);
}

#[tokio::test]
async fn a_later_file_that_was_listed_and_is_gone_is_found() {
    let zoo = Zoo::new().await;
    zoo.store.add(ID, "report.html", b"<p>").await.expect("added");
    zoo.remove("report.html");
    assert_eq!(zoo.wrong().await, [Damage::Missing { path: named("report.html") }]);
}

#[tokio::test]
async fn drafts_journals_and_plain_files_are_not_backups() {
    let zoo = Zoo::new().await;
    zoo.store.draft(OTHER).await.expect("a draft");
    fs::create_private_dir(&zoo.store.place().join(".operations")).expect("created");
    fs::write_durable(&zoo.store.place().join("notes.txt"), b"").expect("written");
    assert!(matches!(zoo.store.list().await.expect("listed").as_slice(), [Listed::Whole { .. }]));
}

#[tokio::test]
async fn what_is_no_ordinary_file_or_has_an_odd_name_is_not_sealed() {
    let zoo = Zoo::new().await;
    for (name, is_link) in [("new\nline", false), ("link", true)] {
        let draft = zoo.store.draft(OTHER).await.expect("a draft");
        fill(&draft);
        let place = draft.folder.join(name);
        if is_link { symlink("/etc/passwd", place) } else { fs::write_durable(&place, b"") }
            .expect("written");
        assert!(zoo.store.publish(draft, manifest(OTHER), &Progress::silent()).await.is_err(), "{name:?}");
        assert_eq!(zoo.store.tidy(OTHER).await.expect("tidied").len(), 1);
    }
}

#[tokio::test]
async fn a_backup_is_private_whatever_wrote_its_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_in(&folder);
    let draft = store.draft(ID).await.expect("a draft");
    fill(&draft);
    for (path, mode) in [("snapshot", 0o755), (DUMP, 0o644), ("RESTORE.sh", 0o755)] {
        let path = draft.folder.join(path);
        if !path.exists() {
            fs::write_durable(&path, b"#!/bin/sh").expect("written");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("changed");
    }
    let backup = store.publish(draft, manifest(ID), &Progress::silent()).await.expect("published");
    for (path, mode) in
        [("", 0o700), ("snapshot", 0o700), (DUMP, 0o600), ("RESTORE.sh", 0o700), ("SHA256SUMS", 0o600)]
    {
        let found = backup.folder.join(path).metadata().expect("facts").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path:?} has {found:o}");
    }
}

#[tokio::test]
async fn sha256sum_vouches_for_a_whole_backup_and_not_for_a_damaged_one() {
    let zoo = Zoo::new().await;
    zoo.store.add(ID, "after.json", b"{}").await.expect("added");
    let check = Tool::new("sha256sum").args(["--strict", "-c", "SHA256SUMS"]).current_dir(&zoo.backup.folder);
    check.run(&Cancel::new()).await.expect("every file is vouched for");
    zoo.write(DUMP, "all the rowt");
    assert!(check.run(&Cancel::new()).await.is_err());
}

#[tokio::test]
async fn an_interrupted_verification_gives_no_verdict() {
    let zoo = Zoo::new().await;
    let cancel = Cancel::new();
    let store = LocalStore::open(zoo.store.place(), cancel.clone());
    cancel.cancel();
    assert!(matches!(store.verify(&zoo.backup, &Progress::silent()).await, Err(Error::Interrupted)));
}

#[tokio::test]
async fn the_folder_of_backups_says_what_it_is_and_keeps_out_of_version_control() {
    let zoo = Zoo::new().await;
    let read = |name: &str| std::fs::read_to_string(zoo.store.place().join(name)).expect("read");
    assert!(read("README.md").contains("ripcord backup list"));
    assert!(read(".gitignore").starts_with('*'));
    fs::write_durable(&zoo.store.place().join("README.md"), b"mine").expect("written");
    published(&zoo.store, OTHER).await;
    assert_eq!(read("README.md"), "mine", "what is there stays");
}

/// Only a checkout that still has it: nothing that is built may need the folder of somebody's backups.
#[tokio::test]
async fn the_backups_folder_of_the_sample_project_says_what_every_other_one_does() {
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("backups/README.md");
    let Ok(sample) = std::fs::read_to_string(sample) else { return };
    let written = std::fs::read_to_string(Zoo::new().await.store.place().join("README.md")).expect("read");
    assert_eq!(sample, written);
}
