//! What every store promises. Each adapter runs [`check`] in its own tests.

use super::sample::{DUMP, fill, manifest, published};
use super::{Artifact, Backup, BackupStore, Damage, Draft, Error, Listed};
use crate::base::{fs, hash};
use crate::report::{Event, Observer, Progress, Step};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

const FIRST: &str = "20261123T181500Z-upgrade-5f2c";
const SECOND: &str = "20261124T090000Z-downgrade-1975";

/// Holds a store against every promise; `make` returns a new and empty one each time.
pub(crate) async fn check(make: impl Fn() -> Box<dyn BackupStore>) {
    reading_creates_nothing(&*make()).await;
    a_backup_is_listed_only_once_it_is_whole(&*make()).await;
    a_published_backup_verifies_and_opens_as_it_was(&*make()).await;
    a_file_that_was_hashed_while_written_is_not_read_again(&*make()).await;
    a_wrong_size_of_a_hashed_file_is_refused(&*make()).await;
    hashing_tells_its_bytes_to_the_last_one(&*make()).await;
    backups_are_found_by_a_part_that_only_one_has(&*make()).await;
    the_list_is_sorted_by_id(&*make()).await;
    what_comes_later_is_listed_and_verified(&*make()).await;
    nothing_else_is_added_to_a_published_backup(&*make()).await;
    what_is_salvaged_after_the_fact_is_moved_in_and_verified(&*make()).await;
    an_id_is_used_once(&*make()).await;
    each_backup_names_the_one_before(&*make()).await;
    a_changed_manifest_breaks_the_chain(&*make()).await;
    a_discarded_draft_leaves_nothing(&*make()).await;
    tidying_removes_the_drafts_of_one_operation(&*make()).await;
}

async fn ids(store: &dyn BackupStore) -> Vec<String> {
    let listed = store.list().await.expect("listed");
    let id = |listed: Listed| match listed {
        Listed::Whole { backup } => backup.manifest.id,
        Listed::Damaged { id, reason } => panic!("{id} is damaged: {reason}"),
    };
    listed.into_iter().map(id).collect()
}

async fn reading_creates_nothing(store: &dyn BackupStore) {
    assert!(ids(store).await.is_empty());
    assert!(matches!(store.open("latest").await, Err(Error::NotFound { .. })));
    assert!(store.tidy(FIRST).await.expect("tidied").is_empty());
    assert!(store.verify_chain().await.expect("looked").is_empty());
    assert!(!store.place().exists(), "a reading command left a trace");
}

async fn a_backup_is_listed_only_once_it_is_whole(store: &dyn BackupStore) {
    let draft = store.draft(FIRST).await.expect("a draft");
    fill(&draft);
    assert!(ids(store).await.is_empty(), "a draft is listed");
    assert!(matches!(store.open(FIRST).await, Err(Error::NotFound { .. })), "a draft can be opened");
    store.publish(draft, manifest(FIRST), &Progress::silent()).await.expect("published");
    assert_eq!(ids(store).await, [FIRST]);
}

async fn a_published_backup_verifies_and_opens_as_it_was(store: &dyn BackupStore) {
    let backup = published(store, FIRST).await;
    assert_eq!(store.verify(&backup, &Progress::silent()).await.expect("looked"), []);
    let opened = store.open(FIRST).await.expect("opened");
    assert_eq!(opened.manifest, backup.manifest);
    let paths: Vec<_> = backup.manifest.artifacts.iter().map(|artifact| artifact.path.as_str()).collect();
    assert_eq!(paths, ["RUNBOOK.md", "before.json", "snapshot/blobs.dat", DUMP]);
    let dump = backup.manifest.artifacts.last().expect("an artifact");
    assert_eq!((dump.size, dump.sha256.clone()), (12, hash::sha256_hex("all the rows")));
    assert_eq!(backup.bytes(), 12 + 13 + 2 + 12);
}

/// Returns the artifact that a lying engine would hand over for the dump.
fn claimed(draft: &Draft, sha256: &str) -> Vec<Artifact> {
    draft.hashed(&BTreeMap::from([("database.db".to_string(), sha256.to_string())])).expect("a size")
}

async fn a_file_that_was_hashed_while_written_is_not_read_again(store: &dyn BackupStore) {
    let draft = store.draft(FIRST).await.expect("a draft");
    fill(&draft);
    let claim = hash::sha256_hex("what the writer saw");
    let given = super::Manifest { artifacts: claimed(&draft, &claim), ..manifest(FIRST) };
    let backup = store.publish(draft, given, &Progress::silent()).await.expect("published");
    let kept = backup.manifest.artifacts.iter().find(|artifact| artifact.path == DUMP);
    assert_eq!(kept.map(|artifact| &artifact.sha256), Some(&claim));
    // And so a lie comes out as soon as somebody verifies.
    let wrong = store.verify(&backup, &Progress::silent()).await.expect("looked");
    assert_eq!(wrong, [Damage::Digest { path: DUMP.to_string() }]);
}

/// Remembers how far it was told that something is.
#[derive(Default)]
struct Heard(Mutex<Vec<(u64, u64)>>);

impl Observer for Heard {
    fn event(&self, event: &Event) {
        if let Event::Progress { done, total: Some(total), .. } = event {
            self.0.lock().expect("no panic").push((done.bytes, total.bytes));
        }
    }
}

async fn hashing_tells_its_bytes_to_the_last_one(store: &dyn BackupStore) {
    let draft = store.draft(FIRST).await.expect("a draft");
    fill(&draft);
    // More than one report's worth, in a file of its own.
    fs::write_durable(&draft.folder.join("snapshot/large.dat"), &vec![7; 20 << 20]).expect("written");
    let (publishing, verifying) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
    let progress = Progress::new(publishing.clone(), Step::Publish);
    let backup = store.publish(draft, manifest(FIRST), &progress).await.expect("published");
    let progress = Progress::new(verifying.clone(), Step::Verify);
    assert_eq!(store.verify(&backup, &progress).await.expect("looked"), []);
    for heard in [publishing, verifying] {
        let heard = heard.0.lock().expect("no panic");
        let all = backup.bytes();
        assert!(heard.len() > 2, "{heard:?}");
        assert!(heard.iter().all(|(_, total)| *total == all), "{heard:?}, {all} in all");
        assert_eq!(heard.iter().map(|(done, _)| *done).max(), Some(all));
    }
}

async fn a_wrong_size_of_a_hashed_file_is_refused(store: &dyn BackupStore) {
    let draft = store.draft(FIRST).await.expect("a draft");
    fill(&draft);
    let artifacts = claimed(&draft, &hash::sha256_hex("all the rows"));
    fs::write_durable(&draft.folder.join(DUMP), b"all the rows and one more").expect("written");
    let refused =
        store.publish(draft, super::Manifest { artifacts, ..manifest(FIRST) }, &Progress::silent()).await;
    assert!(matches!(refused, Err(Error::Unusable { damage: Damage::Size { .. }, .. })), "{refused:?}");
    assert!(ids(store).await.is_empty());
}

async fn backups_are_found_by_a_part_that_only_one_has(store: &dyn BackupStore) {
    published(store, FIRST).await;
    published(store, SECOND).await;
    for (asked, found) in
        [(FIRST, FIRST), ("20261123", FIRST), ("upgrade-5f2c", FIRST), ("1975", SECOND), ("latest", SECOND)]
    {
        assert_eq!(store.open(asked).await.expect(asked).manifest.id, found, "{asked}");
    }
    match store.open("202611").await {
        Err(Error::Ambiguous { candidates, .. }) => assert_eq!(candidates, [FIRST, SECOND]),
        other => panic!("{other:?}"),
    }
    for asked in ["", "upgrade", "..", "."] {
        assert!(matches!(store.open(asked).await, Err(Error::NotFound { .. })), "{asked:?}");
    }
}

async fn the_list_is_sorted_by_id(store: &dyn BackupStore) {
    published(store, SECOND).await;
    published(store, FIRST).await;
    assert_eq!(ids(store).await, [FIRST, SECOND]);
}

async fn what_comes_later_is_listed_and_verified(store: &dyn BackupStore) {
    let backup = published(store, FIRST).await;
    store.add(FIRST, "after.json", b"{\"first\": 1}").await.expect("added");
    store.add(FIRST, "after.json", b"{\"second\": 2}").await.expect("replaced");
    store.add(FIRST, "journal.jsonl", b"").await.expect("added");
    assert_eq!(store.verify(&backup, &Progress::silent()).await.expect("looked"), []);
    let reopened = store.open(FIRST).await.expect("opened");
    assert_eq!(reopened.manifest, backup.manifest, "the manifest is written once");
    damage(&backup, "after.json", b"{\"third\": 3}");
    let wrong = store.verify(&backup, &Progress::silent()).await.expect("looked");
    assert_eq!(wrong, [Damage::Digest { path: "after.json".to_string() }]);
}

fn damage(backup: &Backup, path: &str, bytes: &[u8]) -> PathBuf {
    let place = backup.folder.join(path);
    fs::write_durable(&place, bytes).expect("written");
    place
}

async fn nothing_else_is_added_to_a_published_backup(store: &dyn BackupStore) {
    let backup = published(store, FIRST).await;
    for name in ["manifest.json", "RUNBOOK.md", "../elsewhere", DUMP] {
        let refused = store.add(FIRST, name, b"other").await;
        assert!(matches!(refused, Err(Error::NotAllowed { .. })), "{name}: {refused:?}");
    }
    let nowhere = store.add(SECOND, "after.json", b"{}").await;
    assert!(matches!(nowhere, Err(Error::NotFound { .. })), "{nowhere:?}");
    assert_eq!(store.verify(&backup, &Progress::silent()).await.expect("looked"), []);
}

async fn what_is_salvaged_after_the_fact_is_moved_in_and_verified(store: &dyn BackupStore) {
    let backup = published(store, FIRST).await;
    let draft = store.draft(SECOND).await.expect("a draft");
    let from = draft.folder.join("t.rows.csv.gz");
    fs::write_durable(&from, b"rows").expect("written");
    for name in ["exports/", "exports/.hidden", "exports/a/b", "exports/../RUNBOOK.md", "RUNBOOK.md", DUMP] {
        let refused = store.add_file(FIRST, name, &from).await;
        assert!(matches!(refused, Err(Error::NotAllowed { .. })), "{name}: {refused:?}");
    }
    store.add_file(FIRST, "exports/t.rows.csv.gz", &from).await.expect("added");
    store.discard(draft).await.expect("discarded");
    let place = backup.folder.join("exports/t.rows.csv.gz");
    assert!(!from.exists() && place.is_file());
    assert_eq!(store.verify(&backup, &Progress::silent()).await.expect("looked"), []);
    fs::write_durable(&place, b"others").expect("written");
    let path = "exports/t.rows.csv.gz".to_string();
    assert_eq!(store.verify(&backup, &Progress::silent()).await.expect("looked"), [Damage::Digest { path }]);
}

async fn an_id_is_used_once(store: &dyn BackupStore) {
    published(store, FIRST).await;
    assert!(store.draft(FIRST).await.is_err(), "a published backup could be replaced");
    store.draft(SECOND).await.expect("a draft");
    assert!(store.draft(SECOND).await.is_err(), "two could write one draft");
    for id in ["", "latest", ".hidden", "a/b", "..", "with\nnewline"] {
        assert!(store.draft(id).await.is_err(), "{id:?}");
    }
    let draft = Draft { id: SECOND.to_string(), folder: store.place().join(format!(".partial-{SECOND}")) };
    let refused = store.publish(draft, manifest(FIRST), &Progress::silent()).await;
    assert!(matches!(refused, Err(Error::Unusable { damage: Damage::AnotherBackup { .. }, .. })));
}

async fn each_backup_names_the_one_before(store: &dyn BackupStore) {
    let first = published(store, FIRST).await;
    assert_eq!(first.manifest.previous, None);
    let second = published(store, SECOND).await;
    let previous = second.manifest.previous.expect("a backup before");
    let (_, sha256) = hash::file_sha256(&first.folder.join("manifest.json")).expect("read");
    assert_eq!((previous.id.as_str(), previous.manifest_sha256), (FIRST, sha256));
    assert_eq!(store.verify_chain().await.expect("looked"), []);
}

async fn a_changed_manifest_breaks_the_chain(store: &dyn BackupStore) {
    let first = published(store, FIRST).await;
    published(store, SECOND).await;
    let path = first.folder.join("manifest.json");
    let text = std::fs::read_to_string(&path).expect("read").replace("\"rows\": 1000", "\"rows\": 9999");
    damage(&first, "manifest.json", text.as_bytes());
    let broken = Damage::BrokenChain { previous: FIRST.to_string() };
    assert_eq!(store.verify_chain().await.expect("looked"), [(SECOND.to_string(), broken)]);
}

async fn a_discarded_draft_leaves_nothing(store: &dyn BackupStore) {
    let draft = store.draft(FIRST).await.expect("a draft");
    fill(&draft);
    let folder = draft.folder.clone();
    store.discard(draft).await.expect("discarded");
    assert!(!folder.exists());
    store.draft(FIRST).await.expect("the id is free again");
}

async fn tidying_removes_the_drafts_of_one_operation(store: &dyn BackupStore) {
    let (left, other) = (store.draft(FIRST).await.expect("one"), store.draft(SECOND).await.expect("two"));
    fill(&left);
    assert_eq!(
        store.tidy(FIRST).await.expect("tidied"),
        [format!("removed .partial-{FIRST}, a backup that was not finished")]
    );
    assert!(!left.folder.exists() && other.folder.exists());
    assert!(store.tidy(FIRST).await.expect("again").is_empty(), "twice is once");
    published(store, FIRST).await;
    assert!(store.tidy(FIRST).await.expect("tidied").is_empty(), "a published backup stays");
    assert_eq!(ids(store).await, [FIRST]);
}
