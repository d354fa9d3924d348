//! `RESTORE.sh`: restoring a snapshot with stock tools, when ripcord is not at hand.

/// Restores into a database that it creates. The server is where libpq's variables (`PGHOST`, `PGUSER`, …) point to.
pub(super) const RESTORE: &str = r#"#!/bin/sh
# Restores this backup into a new database, with stock tools only: sha256sum, createdb, psql, pg_restore.
#
# usage: RESTORE.sh NEW_DATABASE
#
# The server and the user are taken from PGHOST, PGPORT, PGUSER and ~/.pgpass, as for psql. The database must not
# exist: nothing that is there is ever overwritten. Roles that the dump names must exist (see snapshot/database.sql).
# The user needs CREATEDB and must be a member of every role that owns something. A superuser is needed only where
# objects of one role lie in a schema of another that it may not create in, and for what only a superuser may create.
set -eu

if [ "$#" -ne 1 ] || [ -z "$1" ]; then
    echo "usage: RESTORE.sh NEW_DATABASE" >&2
    exit 2
fi
database=$1
# As a connection string: a name with "=" or ":" in it would be taken for one.
target="dbname='$(printf '%s' "$database" | sed "s/[\\\\']/\\\\&/g")'"
cd "$(dirname "$0")"

echo "checking the files"
sha256sum --quiet -c SHA256SUMS

echo "creating $database"
psql -X -q -w -d postgres -v ON_ERROR_STOP=1 -v db="$database" -f snapshot/create.sql

echo "restoring into $database"
if ! pg_restore -w --exit-on-error --dbname "$target" snapshot/dump; then
    echo "the restore failed; drop $database and try again" >&2
    exit 1
fi

echo "giving $database its owner, grants and settings"
psql -X -q -w -d "$target" -v ON_ERROR_STOP=1 -v db="$database" -f snapshot/database.sql
# Tables that only others may analyze, such as the server's own, are passed over without a word each.
psql -X -q -w -d "$target" -v ON_ERROR_STOP=1 -c 'SET client_min_messages = error' -c 'ANALYZE'
echo "done: $database"
"#;
