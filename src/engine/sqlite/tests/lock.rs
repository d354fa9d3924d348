//! One operation at a time, and no file of a lock that nobody holds.

use super::support::{SHOP, Scratch};
use crate::engine::{Database, Error};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::yield_now;

const LOCK: &str = ".app.db.ripcord-lock";

#[tokio::test]
async fn a_second_operation_is_told_who_holds_the_lock() {
    let scratch = Scratch::with(SHOP);
    let held = scratch.open().lock("20261123T181500Z-upgrade-5f2c").await.expect("free");
    let error = scratch.open().lock("another").await.err().expect("held");
    let Error::LockedByOther { holder, .. } = &error else { panic!("{error}") };
    assert!(holder.contains("20261123T181500Z-upgrade-5f2c"), "{holder}");
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    assert!(scratch.files().contains(&LOCK.to_string()), "who was refused did not remove it");
    drop(held);
    drop(scratch.open().lock("another").await.expect("free again"));
}

#[tokio::test]
async fn the_file_of_the_lock_goes_with_it() {
    let scratch = Scratch::with(SHOP);
    let before = scratch.files();
    let held = scratch.open().lock("one").await.expect("free");
    assert!(scratch.files().contains(&LOCK.to_string()));
    drop(held);
    assert_eq!(scratch.files(), before);
}

#[tokio::test]
async fn what_a_crash_left_of_a_lock_is_taken_over_and_removed() {
    let scratch = Scratch::with(SHOP);
    let before = scratch.files();
    let left = scratch.folder().join(LOCK);
    std::fs::File::create(&left).expect("as a process that was killed leaves it");
    drop(scratch.open().lock("another").await.expect("nobody holds it"));
    assert_eq!(scratch.files(), before);
}

#[tokio::test]
async fn what_a_crash_left_of_a_lock_is_tidied_unless_somebody_holds_it() {
    let scratch = Scratch::with(SHOP);
    let before = scratch.files();
    scratch.open().tidy_lock();
    assert_eq!(scratch.files(), before, "none is made");
    std::fs::File::create(scratch.folder().join(LOCK)).expect("as a process that was killed leaves it");
    scratch.open().tidy_lock();
    assert_eq!(scratch.files(), before);
    let held = scratch.open().lock("one").await.expect("free");
    scratch.open().tidy_lock();
    assert!(scratch.files().contains(&LOCK.to_string()), "it is held");
    assert!(scratch.open().lock("another").await.is_err());
    drop(held);
}

#[tokio::test]
async fn a_file_that_somebody_put_in_the_place_of_the_lock_is_not_removed() {
    let scratch = Scratch::with(SHOP);
    let held = scratch.open().lock("one").await.expect("free");
    let place = scratch.folder().join(LOCK);
    std::fs::remove_file(&place).expect("a person clears up");
    let other = scratch.open().lock("other").await.expect("nobody can know of the one that is gone");
    drop(held);
    assert!(place.exists(), "it is the other's");
    let error = scratch.open().lock("third").await.err().expect("the other holds it");
    assert!(matches!(error, Error::LockedByOther { .. }), "{error}");
    drop(other);
}

/// The race of every lock that is a file: one opens it, its holder removes it, a third makes it anew.
#[test]
fn a_lock_that_is_removed_while_others_open_it_never_lets_two_in() {
    const ROUNDS: usize = 3000;
    let scratch = Scratch::with(SHOP);
    let (inside, entered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let database = scratch.open();
        database.tidy_lock();
        while entered.load(Ordering::SeqCst) < ROUNDS {
            let Ok(held) = database.site.lock("one of many") else { continue };
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
            entered.fetch_add(1, Ordering::SeqCst);
            yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(held);
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    assert!(!scratch.files().contains(&LOCK.to_string()));
}
