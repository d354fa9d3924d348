//! Keys that are put back, and what refers to them follows: both in one statement, at whose end the server looks at the
//! foreign keys.
//!
//! A key is only put back as a value where the way back made it anew. What others have written since refers to the new one,
//! and would otherwise forbid the old one, or hang on nothing. What holds the numbers of then stays ([`super::stays`]).

use super::super::PostgresDatabase;
use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::claims::is_answer;
use super::stays::{self, Led, Stays};
use super::target::{Target, TargetColumn};
use super::undeclared;
use super::unkeyed::Groups;
use super::{DOING, values};
use crate::catalog::TableName;
use crate::engine::{Base, Error, Piece};
use crate::ledger::{Followed, SalvageKind};
use std::collections::{BTreeMap, BTreeSet};

/// A column whose foreign key refers to one column of another table, or of its own.
struct Reference {
    table: TableName,
    column: String,
    /// Whether the table's rows lie in partitions.
    is_partitioned: bool,
}

/// What was put beforehand.
pub(super) struct Rekeyed {
    /// How many keys, by the place of the column among those that are put back.
    pub put: Vec<u64>,
    pub followed: Vec<Followed>,
    /// The columns whose keys moved, each with the temporary table that has them: `now`, before they moved, and `old`.
    pub moves: Vec<(String, String)>,
    pub groups: Groups,
}

/// What was put of the keys of a piece: how many of each column, what followed, and the columns whose keys moved.
pub(super) type Put = (Vec<u64>, Vec<Followed>, Vec<(String, String)>);

/// Lets what the way back left in columns that refer to keys which moved follow these, as the rows themselves have. What it left as
/// it was is a number of then, which has not.
pub(super) async fn follow(
    session: &mut Session,
    target: &mut Target<'_>,
    moved: &[(&TableName, &[(String, String)])],
) -> Result<(), Error> {
    for key in &target.all_keys {
        let of_parent = moved.iter().filter(|(table, _)| key.parents().any(|parent| parent == *table));
        for (name, moves) in of_parent.flat_map(|(_, moves)| moves.iter()) {
            let pairs = key.columns.iter().zip(&key.referred).filter(|(_, other)| *other == name);
            for (own, _) in pairs {
                let Some(column) = target.columns.iter_mut().find(|column| column.name == *own) else {
                    continue;
                };
                match target.piece.base(own) {
                    Base::Column(place) if !target.misfits.contains(&place) => {
                        let sql = format!(
                            "UPDATE pg_temp.{} AS s SET v{place} = m.old FROM {moves} AS m \
                             WHERE m.now = s.v{place} AND s.v{place} IS DISTINCT FROM s.v{}",
                            target.loaded, column.place
                        );
                        session.run(DOING, &sql).await?;
                    }
                    // One that a default gave is no number of a row.
                    Base::Constant(Some((text, _))) if column.base == format!("{}::text", literal(&text)) => {
                        let sql = format!(
                            "SELECT m.old::text FROM {moves} AS m WHERE m.now::text = {}",
                            literal(&text)
                        );
                        if let Some(left) = session.value(DOING, &sql).await? {
                            column.follow(&left);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// Returns the tables that refer to columns which may be put back as keys.
pub(super) async fn referring(session: &mut Session, pieces: &[Piece]) -> Result<BTreeSet<TableName>, Error> {
    let mut found = BTreeSet::new();
    let unkeyed = |piece: &&Piece| {
        piece.salvage.what == SalvageKind::Values
            && piece.salvage.key.is_empty()
            && !piece.salvage.table.is_large_objects()
    };
    for piece in pieces.iter().filter(unkeyed) {
        for column in &piece.salvage.columns {
            let refer = references(session, &piece.salvage.table, column).await?;
            found.extend(refer.into_iter().map(|reference| reference.table));
            found.extend(stays::beside_others(session, &piece.salvage.table, column).await?);
        }
    }
    Ok(found)
}

/// Puts back the keys that other rows refer to, in groups of one row, as far as nobody else has one of them now. Returns how
/// many, by the place of the column, and what followed.
pub(super) async fn put(
    session: &mut Session,
    target: &mut Target<'_>,
    groups: &Groups,
    (database, pieces): (&PostgresDatabase, &[Piece]),
) -> Result<Put, Error> {
    let (mut put, mut all_followed) = (vec![0; target.columns.len()], Vec::new());
    let (mut undecided, mut moved_keys) = (Vec::new(), Vec::new());
    for (place, column) in target.columns.iter().enumerate() {
        let refer = references(session, &target.table, &column.name).await?;
        let moves = Moves { target, column, refer };
        let stays = Stays { database, target, pieces, column, keys: moves.name() };
        // What is left is put back as a value, where nothing is lost by it.
        let is_asked = !moves.refer.is_empty() || stays.any_follows(session).await?;
        if !is_asked || takes_along(session, target, column).await? {
            continue;
        }
        values::allow_identity(session, target, true).await?;
        session.run(DOING, "SAVEPOINT ripcord_rekey").await?;
        let moved = moves.make(session, groups, &stays).await;
        match moved {
            Ok(Some((count, followed, left))) => {
                session.run(DOING, "RELEASE ripcord_rekey").await?;
                put[place] = count;
                all_followed.extend(followed);
                if count > 0 {
                    moved_keys.push((column.name.clone(), stays.keys.clone()));
                }
                undecided.extend(left.map(|left| (place, left)));
            }
            // The rest of the merge tries each by itself, and says what forbids it.
            Ok(None) => {
                session.run(DOING, "ROLLBACK TO ripcord_rekey; RELEASE ripcord_rekey").await?;
                let left = stays.any_follows(session).await?;
                undecided.extend(left.then(|| (place, "true".to_string())));
            }
            Err(error) => return Err(error),
        }
        values::allow_identity(session, target, false).await?;
    }
    for (place, left) in undecided {
        target.columns[place].leave(&left);
    }
    Ok((put, all_followed, moved_keys))
}

/// The keys of one column that get another value, in a temporary table: `now`, `old`, and `number` for each.
struct Moves<'a, 'p> {
    target: &'a Target<'p>,
    column: &'a TargetColumn,
    refer: Vec<Reference>,
}

impl Moves<'_, '_> {
    fn name(&self) -> String {
        format!("pg_temp.{}_keys_{}", self.target.loaded, self.column.place)
    }

    /// Moves what can be moved; nothing where a constraint forbids it.
    async fn make(
        &self,
        session: &mut Session,
        groups: &Groups,
        stays: &Stays<'_, '_>,
    ) -> Result<Option<(u64, Vec<Followed>, Option<String>)>, Error> {
        self.find(session, groups).await?;
        let Some(stayed) = stays.lead(session).await? else { return Ok(None) };
        self.leave_taken(session).await?;
        let late: Vec<&Led> = stayed.late().collect();
        let Some((count, mut followed)) = self.move_all(session, &late).await? else { return Ok(None) };
        let is_settled = stays.settle(session, &stayed, &mut followed).await?;
        Ok(is_settled.then_some((count, followed, stayed.undecided)))
    }

    /// Moves all that are left, and returns how many, and what followed; nothing where a constraint forbids it.
    async fn move_all(
        &self,
        session: &mut Session,
        late: &[&Led],
    ) -> Result<Option<(u64, Vec<Followed>)>, Error> {
        let moves = self.name();
        let overlap = format!("SELECT EXISTS (SELECT FROM {moves} AS x JOIN {moves} AS y ON x.old = y.now)");
        let overlaps = session.value(DOING, &overlap).await?.as_deref() == Some("t");
        let count = session.value(DOING, &format!("SELECT count(*) FROM {moves}")).await?;
        let count: u64 = count.and_then(|text| text.parse().ok()).unwrap_or_default();
        if count == 0 {
            // Nothing takes them where they belong.
            return Ok(late.is_empty().then(|| (0, Vec::new())));
        }
        let followed = if overlaps || !late.is_empty() {
            let Some(aside) = self.set_aside(session, late).await? else { return Ok(None) };
            self.change(session, &aside, ("aside", "old"), &[]).await?
        } else {
            self.change(session, &moves, ("now", "old"), &[]).await?
        };
        Ok(followed.map(|followed| (count, followed)))
    }

    async fn find(&self, session: &mut Session, groups: &Groups) -> Result<(), Error> {
        let (target, column, moves) = (self.target, self.column, self.name());
        let Groups { table: made, ident, live, .. } = groups;
        let make = format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT t.{} AS now, s.v{} AS old, row_number() OVER () AS number \
             FROM pg_temp.{made} AS g JOIN pg_temp.{} AS s ON {ident} = g.ident JOIN ONLY {} AS t ON {live} = g.ident \
             WHERE g.n = 1 AND g.live = 1 AND {}",
            unqualified(&moves),
            identifier(&column.name),
            column.place,
            target.loaded,
            target.table.sql(),
            column.moves()
        );
        session.run(DOING, &make).await?;
        let indexes =
            ["now", "old", "number"].map(|name| format!("CREATE INDEX ON {moves} ({name}); ")).concat();
        session.run(DOING, &format!("{indexes}ANALYZE {moves}")).await
    }

    /// Leaves those alone that would take a key which another row keeps, and whoever would take theirs: each that stays keeps
    /// its own. A chain may be as long as the table, so that it is followed in one statement, by an index.
    async fn leave_taken(&self, session: &mut Session) -> Result<(), Error> {
        let (moves, column) = (self.name(), identifier(&self.column.name));
        let taken = format!(
            "WITH RECURSIVE kept(number) AS (SELECT m.number FROM {moves} AS m \
             WHERE EXISTS (SELECT FROM ONLY {} AS x WHERE x.{column} = m.old \
             AND NOT EXISTS (SELECT FROM {moves} AS y WHERE y.now = x.{column})) \
             OR EXISTS (SELECT FROM {moves} AS y WHERE y.old = m.old AND y.number <> m.number) \
             UNION SELECT next.number FROM kept CROSS JOIN LATERAL (SELECT m.number FROM {moves} AS y \
             JOIN {moves} AS m ON m.old = y.now WHERE y.number = kept.number OFFSET 0) AS next) \
             DELETE FROM {moves} AS m USING kept WHERE kept.number = m.number",
            self.target.table.sql()
        );
        session.run(DOING, &taken).await
    }

    /// Where keys change places, gives each row one that nobody has first, and returns the table that has it as `aside`;
    /// nothing where there is no such value, or a constraint forbids it.
    async fn set_aside(&self, session: &mut Session, late: &[&Led]) -> Result<Option<String>, Error> {
        let Some(vacant) = self.column.vacant.as_ref().filter(|vacant| *vacant != "NULL") else {
            return Ok(None);
        };
        let (moves, aside) = (self.name(), format!("{}_aside", self.name()));
        let make = format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT m.*, {vacant} AS aside FROM {moves} AS m",
            unqualified(&aside)
        );
        session.run(DOING, &make).await?;
        session
            .run(DOING, &format!("CREATE INDEX ON {aside} (now); CREATE INDEX ON {aside} (aside)"))
            .await?;
        session.run(DOING, &format!("ANALYZE {aside}")).await?;
        Ok(self.change(session, &aside, ("now", "aside"), late).await?.map(|_| aside))
    }

    /// Changes the keys from one column of a table to another, and everything that refers to them: what comes late as if it held
    /// the key of its row of then. Nothing where a constraint forbids it.
    async fn change(
        &self,
        session: &mut Session,
        moves: &str,
        (from, to): (&str, &str),
        late: &[&Led],
    ) -> Result<Option<Vec<Followed>>, Error> {
        // A table is written once in a statement, so that all its columns are set together.
        let own = (&self.target.table, false, &self.column.name);
        let refer = self.refer.iter().map(|one| (&one.table, one.is_partitioned, &one.column));
        let mut tables: BTreeMap<(&TableName, bool), Vec<&String>> = BTreeMap::new();
        for (table, is_partitioned, column) in std::iter::once(own).chain(refer) {
            tables.entry((table, is_partitioned)).or_default().push(column);
        }
        let is_written =
            |led: &&Led| tables.keys().any(|(table, whole)| **table == led.refers.table && !*whole);
        if !late.iter().all(is_written) {
            return Ok(None);
        }
        let updates = tables.iter().enumerate().map(|(at, ((table, is_partitioned), columns))| {
            let of_then = |column: &String| {
                let is_own = |led: &&&Led| led.refers.table == **table && led.refers.column == *column;
                late.iter().find(is_own).map(|led| format!("{} AS l WHERE l.place = r.ctid", led.table))
            };
            let each = |column: &&String| {
                let name = identifier(column);
                let first = of_then(column).map(|led| {
                    format!(
                        "(SELECT coalesce((SELECT m.{to} FROM {moves} AS m WHERE m.{from} = l.led), l.led) FROM {led}), "
                    )
                });
                format!(
                    "{name} = coalesce({}(SELECT m.{to} FROM {moves} AS m WHERE m.{from} = r.{name}), r.{name})",
                    first.unwrap_or_default()
                )
            };
            // Several of them are looked up by the index, each for itself, however many keys move.
            let hit = |column: &&String| {
                let by = format!("EXISTS (SELECT FROM {moves} AS m WHERE m.{from} = r.{})", identifier(column));
                match of_then(column) {
                    Some(led) => format!("{by} OR EXISTS (SELECT FROM {led} AND l.led IS NOT NULL)"),
                    None => by,
                }
            };
            let only = if *is_partitioned { "" } else { "ONLY " };
            format!(
                "u{at} AS (UPDATE {only}{} AS r SET {} WHERE {} RETURNING 1)",
                table.sql(),
                columns.iter().map(each).collect::<Vec<_>>().join(", "),
                columns.iter().map(hit).collect::<Vec<_>>().join(" OR ")
            )
        });
        let updates: Vec<String> = updates.collect();
        let counts: Vec<String> =
            (0..tables.len()).map(|at| format!("(SELECT count(*) FROM u{at})")).collect();
        let sql = format!("WITH {} SELECT {}", updates.join(", "), counts.join(", "));
        let rows = match session.query(&sql).await {
            Err(error) if is_answer(&error) => return Ok(None),
            found => found.map_err(|error| session.failed(&error, DOING))?,
        };
        let Some(row) = rows.first() else { return Ok(None) };
        let followed = tables.into_iter().enumerate().map(|(at, ((table, _), columns))| Followed {
            table: table.clone(),
            columns: columns.into_iter().cloned().collect(),
            rows: row.number(at),
            led: 0,
        });
        Ok(Some(followed.filter(|followed| followed.rows > 0).collect()))
    }
}

/// A temporary table is made without naming its schema.
fn unqualified(table: &str) -> &str {
    table.trim_start_matches("pg_temp.")
}

/// Returns the columns that refer to this one alone, be it without a foreign key.
async fn references(session: &mut Session, table: &TableName, column: &str) -> Result<Vec<Reference>, Error> {
    // What a partition has of its parent's keys goes with these: it is written with all of that table.
    let sql = format!(
        "SELECT n.nspname, c.relname, a.attname, c.relkind = 'p' FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] \
         JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = k.confkey[1] \
         WHERE k.contype = 'f' AND k.confrelid = to_regclass({}) AND p.attname = {} AND cardinality(k.conkey) = 1 \
         AND NOT EXISTS (SELECT FROM pg_partition_ancestors(k.conrelid) AS up JOIN pg_constraint o ON o.conrelid = up.relid \
         JOIN pg_attribute oa ON oa.attrelid = o.conrelid AND oa.attnum = o.conkey[1] \
         WHERE up.relid <> k.conrelid AND o.contype = 'f' AND o.confrelid = k.confrelid AND o.confkey = k.confkey \
         AND oa.attname = a.attname) ORDER BY 1, 2, 3",
        literal(&table.sql()),
        literal(column)
    );
    let rows = session.rows("reading the keys", &sql).await?;
    let reference = |row: &super::super::session::Row| Reference {
        table: TableName::qualified(row.text(0), row.text(1)),
        column: row.text(2).to_string(),
        is_partitioned: row.is(3),
    };
    let mut found: Vec<Reference> = rows.iter().map(reference).collect();
    found.dedup_by(|one, other| one.table == other.table && one.column == other.column);
    let more = undeclared::to(session, table, column).await?.into_iter();
    found.extend(more.map(|(table, column)| Reference { table, column, is_partitioned: false }));
    Ok(found)
}

/// Tells whether a foreign key of several columns would be emptied when this one changes: only what refers to it alone
/// follows, and with it those keys that have that column in common.
async fn takes_along(
    session: &mut Session,
    target: &Target<'_>,
    column: &TargetColumn,
) -> Result<bool, Error> {
    if !column.would_take_along {
        return Ok(false);
    }
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_constraint k, unnest(k.conkey, k.confkey) AS x(own, other) \
         JOIN pg_attribute p ON p.attnum = x.other WHERE p.attrelid = k.confrelid AND k.contype = 'f' \
         AND k.confrelid = to_regclass({}) AND p.attname = {} AND k.confupdtype IN ('n', 'd') \
         AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.contype = 'f' AND o.conrelid = k.conrelid \
         AND o.confrelid = k.confrelid AND o.conkey = ARRAY[x.own] AND o.confkey = ARRAY[x.other]))",
        literal(&target.table.sql()),
        literal(&column.name)
    );
    Ok(session.value("reading the keys", &sql).await?.as_deref() == Some("t"))
}
