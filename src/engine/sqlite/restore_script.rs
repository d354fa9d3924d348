//! `RESTORE.sh`: puts a snapshot back with `sqlite3` and `sha256sum` alone.

use super::snapshot::FILE;
use crate::engine::Snapshot;

/// Returns the script. It works from any folder, refuses a damaged snapshot, and overwrites nothing unless told to.
pub(super) fn text(taken: &Snapshot) -> String {
    let check = match taken.sha256.get(FILE) {
        Some(sha256) => format!("printf '%s  %s\\n' {sha256} snapshot/{FILE}"),
        None => format!("grep '  snapshot/{FILE}$' SHA256SUMS"),
    };
    let mode = match taken.facts.get("journal_mode").map(String::as_str) {
        Some("wal") => "wal",
        _ => "delete",
    };
    format!(
        r#"#!/bin/sh
# Puts the snapshot of this backup into a SQLite database, without ripcord.
# Needs sqlite3 and sha256sum.
#
#   sh RESTORE.sh /srv/app/new.db                 makes a new database
#   sh RESTORE.sh /srv/app/app.db --overwrite     replaces what is in an existing one
#
# The content is replaced in one transaction: a program that has the database open goes on with the restored content.
# Stop it first if it must not.
set -eu

fail() {{ printf 'RESTORE.sh: %s\n' "$1" >&2; exit 1; }}

case $# in
  1) overwrite=no ;;
  2) [ "$2" = --overwrite ] || fail "the second argument can only be --overwrite"; overwrite=yes ;;
  *) fail "usage: sh RESTORE.sh DATABASE [--overwrite]" ;;
esac
target=$1
case $target in
  '') fail "the database has no name" ;;
  /*) ;;
  *) target=$PWD/$target ;;
esac
for tool in sqlite3 sha256sum; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done
if [ -e "$target" ] && [ "$overwrite" = no ]; then
  fail "$target exists; add --overwrite to replace what is in it"
fi

cd -- "$(dirname -- "$0")"
{check} | sha256sum -c - >/dev/null || fail "the snapshot is damaged; nothing was changed"

# The path of the snapshot is written out and the database is an argument: no name has to be quoted for sqlite3.
sqlite3 -batch -bail -cmd '.timeout 10000' "$target" ".restore snapshot/{FILE}"
found=$(sqlite3 -batch "$target" 'PRAGMA journal_mode = {mode};') || found=unchanged
[ "$found" = {mode} ] || printf 'RESTORE.sh: the journal mode is %s, it was {mode}\n' "$found" >&2
# quick_check of sqlite3 3.40 finds faults that are none in tables WITHOUT ROWID; integrity_check does not.
verdict=$(sqlite3 -batch -bail "$target" 'PRAGMA integrity_check;') || verdict="${{verdict:-}} (sqlite3 failed)"
if [ "$verdict" != ok ]; then
  # What the snapshot holds was there before it was taken, or is a mistake of this sqlite3: both say the same of it.
  original=$(sqlite3 -batch -bail 'file:snapshot/{FILE}?immutable=1' 'PRAGMA integrity_check;') || original=unknown
  [ "$verdict" = "$original" ] || fail "the restored database does not pass its check: $verdict"
  printf 'RESTORE.sh: sqlite3 says of the restored database what it says of the snapshot: %s\n' "$verdict" >&2
fi
printf 'restored %s\n' "$target"
"#
    )
}
