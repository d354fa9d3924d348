//! Tables without a key: rows are found again by everything that is the same on both sides, in groups of rows that are
//! alike. What cannot be told apart is merged only where nothing has to be told apart ([`alike`]).

use super::super::rehearse::wide;
use super::super::scan::rowid_name;
use super::super::{catalog, session::Session};
use super::feed::{Bound, Feed, fill, value};
use super::rekey::{self, Rekeyed};
use super::side::{self, Side};
use super::strangers::Guard;
use super::target::{Known, Target, TargetColumn};
use super::{DOING, alike, strangers};
use crate::catalog::{Catalog, Table, quote};
use crate::engine::{
    Conflict, Error, HALF, Merged, NOT_AS_MANY, NOTHING_TELLS, ONE_WAS, ONE_WAS_WRITTEN, Piece,
    SEVERAL_VALUES, STRANGER, Value,
};
use crate::ledger::{Followed, SalvageKind};

/// Values of rows without a key on their way.
pub(super) struct Unkeyed<'p> {
    pub target: Target<'p>,
    pub feed: Feed<'p>,
    /// What is put already, in the order of the columns.
    pub beforehand: Vec<Merged>,
    pub followed: Vec<Followed>,
}

/// Returns the same piece with each live row that a salvaged value is for, found by its rowid, and what is put already: keys,
/// and what is told apart in another way. The groups that do not match are counted and written down here.
pub(super) fn values<'p>(
    session: &Session,
    mut target: Target<'p>,
    pieces: &[Piece],
    side: &mut Side<'_>,
    merged: &mut [Merged],
) -> Result<Unkeyed<'p>, Error> {
    let (piece, groups, pairs, due) = load(session, &target, side, merged)?;
    if hangs_on_renumbered(session, &target)? {
        let all = Feed::Table(piece.clone());
        all.each(session, &mut |values| give_up(&target, values, STRANGER, &[], side, merged))?;
        return none_due(session, target, &piece, due);
    }
    if target.piece.is_lost_for_rows() && !target.piece.is_base_known() {
        let all = Feed::Table(piece.clone());
        all.each(session, &mut |values| give_up(&target, values, NOTHING_TELLS, &[], side, merged))?;
        return none_due(session, target, &piece, due);
    }
    let catalog = catalog::read(session)?;
    let table = catalog.tables.get(&target.table).cloned().unwrap_or_default();
    let Some(rowid) = rowid_name(&table) else {
        for merged in merged.iter_mut() {
            merged.skipped = Some("without a key and without a name for the rowid".to_string());
        }
        return none_due(session, target, &piece, due);
    };
    let by: Vec<String> = target.found_by.iter().map(|place| format!("v{place}")).collect();
    let group = wide::terms(&by).into_iter().map(|v| format!("{v} COLLATE BINARY, typeof({v})"));
    // Where nothing tells rows apart, all of them are alike.
    let group = group.chain(by.is_empty().then(|| "NULL".to_string())).collect::<Vec<_>>().join(", ");
    let ours = target.columns.iter().map(|column| column.place);
    let left = target.columns.iter().filter_map(|column| match column.base {
        Known::Column(place) => Some(place),
        _ => None,
    });
    let (ours, left) = (one_value(ours), one_value(left));
    session.run(
        DOING,
        &format!(
            "CREATE TEMP TABLE {groups} AS SELECT min(rowid) AS first, count(*) AS n, {ours} AS one_value, \
             {ours} AND {left} AS uniform, 0 AS live, 0 AS paired FROM temp.{piece} GROUP BY {group}"
        ),
    )?;
    session.run(DOING, &format!("CREATE INDEX temp.{groups}_first ON {groups} (first)"))?;
    let on = same_row(&target, "p", "t");
    session.run(
        DOING,
        &format!(
            "CREATE TEMP TABLE {pairs} AS SELECT g.first, t.{rowid} AS live FROM temp.{groups} g \
             JOIN temp.{piece} p ON p.rowid = g.first JOIN main.{} t ON {on}",
            target.table.sql()
        ),
    )?;
    session.run(DOING, &format!("CREATE INDEX temp.{pairs}_first ON {pairs} (first)"))?;
    session.run(
        DOING,
        &format!("UPDATE temp.{groups} AS g SET live = (SELECT count(*) FROM temp.{pairs} x WHERE x.first = g.first)"),
    )?;
    session.run(
        DOING,
        &format!(
            "CREATE TEMP TABLE {due} AS SELECT p.*, x.live, 0 AS together FROM temp.{groups} g \
             JOIN temp.{piece} p ON p.rowid = g.first JOIN temp.{pairs} x ON x.first = g.first \
             WHERE g.uniform AND g.n = g.live"
        ),
    )?;
    alike::pair(session, &target, &rowid, &group)?;
    // From here on a row is found by its rowid, which stands behind the columns of the CSV, and behind it the group whose
    // rows go together.
    target.condition = format!("{rowid} = ?1");
    target.found_by = vec![target.width];
    target.width += 2;
    target.own_rowid = target.columns.iter().position(|column| is_rowid(&table, &column.name));
    if target.own_rowid.is_some() {
        session.run(DOING, &format!("CREATE INDEX temp.{due}_live ON {due} (live)"))?;
    }
    let (beforehand, followed) = put_together(session, &mut target, (&catalog, pieces), &rowid, side)?;
    let deleted: i64 =
        session.one(DOING, &format!("SELECT coalesce(sum(n), 0) FROM temp.{groups} WHERE live = 0"))?;
    merged.iter_mut().for_each(|merged| merged.deleted += deleted.unsigned_abs());
    let left_alone = "g.live > 0 AND NOT g.paired AND NOT (g.uniform AND g.n = g.live)";
    let by_group = by.iter().map(|v| format!("p.{v} IS q.{v} AND typeof(p.{v}) = typeof(q.{v})"));
    let by_group = wide::joined(&by_group.collect::<Vec<_>>(), "AND", "1");
    let others = format!("{piece}_others");
    let theirs = Theirs::new(session, &target, &rowid, &pairs)?;
    session.run(
        DOING,
        &format!(
            "CREATE TEMP TABLE {others} AS SELECT p.*, g.first, CASE WHEN g.n <> g.live THEN 0 WHEN g.one_value THEN 1 ELSE 2 END \
             FROM temp.{groups} g JOIN temp.{piece} q ON q.rowid = g.first JOIN temp.{piece} p ON {by_group} \
             WHERE {left_alone} ORDER BY g.first"
        ),
    )?;
    write_down(session, &target, others, theirs, side, merged)?;
    Ok(Unkeyed { target, feed: Feed::Table(due), beforehand, followed })
}

/// Puts back keys, and what is told apart in another way; returns what that was, in the order of the columns, and what followed.
///
/// Where a constraint refuses a group of alike rows, none of these may keep a key that it got, nor what followed it: everything
/// begins again without that group.
fn put_together(
    session: &Session,
    target: &mut Target<'_>,
    known: (&Catalog, &[Piece]),
    rowid: &str,
    side: &mut Side<'_>,
) -> Result<(Vec<Merged>, Vec<Followed>), Error> {
    let known_before = target.guards.len();
    loop {
        session.run(DOING, "SAVEPOINT ripcord_together")?;
        let Rekeyed { put: keys, followed, undecided, moves } = rekey::put(session, target, known, rowid)?;
        (target.undecided, target.moves) = (undecided, moves);
        let own = (target.table.clone(), target.moves.clone());
        target.follow(session, &[(&own.0, &own.1)])?;
        // What refers to the same table must not hang on whoever keeps a key that is not put back.
        let due = format!("ripcord_due_{}", target.index);
        let strangers = strangers::of_keys(session, known.0, target, Some(&due))?;
        target.guards.truncate(known_before);
        target.guards.extend(strangers::guards(session, target, &strangers)?);
        let (mut put, broken) = alike::put(session, target, side)?;
        let is_over = broken.is_empty() || keys.iter().all(|count| *count == 0);
        let end = if is_over { "" } else { "ROLLBACK TO ripcord_together; " };
        session.run(DOING, &format!("{end}RELEASE ripcord_together"))?;
        alike::leave(session, target, &broken)?;
        if is_over {
            put.iter_mut().zip(keys).for_each(|(put, keys)| put.merged += keys);
            return Ok((put, followed));
        }
    }
}

/// Tells whether rows would refer to numbers that stay with other rows than then. What cannot be told apart goes together, so that
/// none of it is put back then.
fn hangs_on_renumbered(session: &Session, target: &Target<'_>) -> Result<bool, Error> {
    let mut met = false;
    let guards: Vec<&Guard> = target.guards.iter().filter(|guard| guard.renumbered).collect();
    if guards.is_empty() {
        return Ok(false);
    }
    Feed::File(target.piece.source.as_ref()).each(session, &mut |values| {
        for guard in &guards {
            met = met || guard.is_met(session, values)?;
        }
        Ok(())
    })?;
    Ok(met)
}

/// Tells whether a column looks like the rowid itself.
fn is_rowid(table: &Table, column: &str) -> bool {
    let mut own = table.columns.iter().filter(|own| own.name == column);
    table.key == [column] && own.any(|own| own.type_name.eq_ignore_ascii_case("INTEGER"))
}

/// Returns a target into which nothing of its piece goes.
fn none_due<'p>(
    session: &Session,
    target: Target<'p>,
    piece: &str,
    due: String,
) -> Result<Unkeyed<'p>, Error> {
    session.run(DOING, &format!("CREATE TEMP TABLE {due} AS SELECT *, 0, 0 FROM temp.{piece} WHERE 0"))?;
    // Where nothing tells rows apart there is no condition by which one could be looked for.
    let target = Target { condition: "0".to_string(), found_by: Vec::new(), ..target };
    let (beforehand, followed) = (Vec::new(), Vec::new());
    Ok(Unkeyed { target, feed: Feed::Table(due), beforehand, followed })
}

/// Returns the condition, of the rows of a group together, that these columns hold one value each.
fn one_value(places: impl Iterator<Item = usize>) -> String {
    let same: Vec<String> = places.map(|place| holds_one(&format!("v{place}"))).collect();
    wide::joined(&same, "AND", "1")
}

/// Returns the condition, of several rows together, that an expression has one value in all of them.
fn holds_one(v: &str) -> String {
    // min = max compares 1 and 1.0 as the same, so that the types are compared as well.
    format!(
        "(count({v}) IN (0, count(*)) AND min({v} COLLATE BINARY) IS max({v} COLLATE BINARY) \
         AND min(typeof({v})) = max(typeof({v})))"
    )
}

/// What is there of each column in the live rows of a group.
struct Theirs<'s> {
    session: &'s Session,
    look: rusqlite::Statement<'s>,
    /// Of the group that was asked for last.
    last: (i64, Vec<Option<String>>),
}

impl<'s> Theirs<'s> {
    fn new(session: &'s Session, target: &Target<'_>, rowid: &str, pairs: &str) -> Result<Self, Error> {
        let one = |column: &TargetColumn| {
            let live = format!("t.{}", quote(&column.name));
            format!("CASE WHEN {} THEN min({live} COLLATE BINARY) END", holds_one(&live))
        };
        let columns: Vec<String> = target.columns.iter().map(one).collect();
        let sql = format!(
            "SELECT {} FROM temp.{pairs} x JOIN main.{} t ON t.{rowid} = x.live WHERE x.first = ?1",
            columns.join(", "),
            target.table.sql()
        );
        let look = session.prepare(&sql).map_err(|error| session.failed(DOING, error))?;
        Ok(Self { session, look, last: (0, Vec::new()) })
    }

    /// Returns what all rows of a group hold. Where they differ it is none, because nobody can tell which of them is meant.
    fn of(&mut self, group: i64) -> Result<&[Option<String>], Error> {
        if self.last.0 != group {
            let width = self.look.column_count();
            let read = |row: &rusqlite::Row<'_>| {
                let texts = (0..width).map(|at| row.get_ref(at).map(|found| side::text(value(found))));
                texts.collect::<rusqlite::Result<Vec<_>>>()
            };
            let found = self.look.query_row([group], read);
            self.last = (group, found.map_err(|error| self.session.failed(DOING, error))?);
        }
        Ok(&self.last.1)
    }
}

/// Writes down every salvaged value of these rows as a conflict; the last columns are the group of each, and why.
fn write_down(
    session: &Session,
    target: &Target<'_>,
    others: String,
    mut theirs: Theirs<'_>,
    side: &mut Side<'_>,
    merged: &mut [Merged],
) -> Result<(), Error> {
    Feed::Table(others).each(session, &mut |values| {
        let [.., Value::Integer(group), Value::Integer(why)] = values else { return Ok(()) };
        let reason = match why {
            _ if target.piece.is_lost_for_rows() => NOTHING_TELLS,
            0 => NOT_AS_MANY,
            1 => ONE_WAS_WRITTEN,
            _ => SEVERAL_VALUES,
        };
        give_up(target, values, reason, theirs.of(*group)?, side, merged)
    })
}

/// Writes down one row of a piece as conflicts: each of its values, with what is there of each column as far as that is
/// known, or the whole row.
fn give_up(
    target: &Target<'_>,
    values: &[Value<'_>],
    reason: &str,
    theirs: &[Option<String>],
    side: &mut Side<'_>,
    merged: &mut [Merged],
) -> Result<(), Error> {
    let conflict = |column, base, ours, theirs| Conflict {
        table: target.table.clone(),
        key: side::key(target.piece, values),
        column,
        base,
        ours,
        theirs,
        reason: reason.to_string(),
    };
    if target.piece.salvage.what == SalvageKind::Rows {
        merged[0].conflicts += 1;
        let columns = target.columns.iter().map(|column| (column.name.as_str(), values[column.place]));
        return side.add(conflict(None, None, Some(side::object(columns)), None));
    }
    for ((at, column), merged) in target.columns.iter().enumerate().zip(merged.iter_mut()) {
        merged.conflicts += 1;
        let (base, ours) = (side::text(column.base.value(values)), side::text(values[column.place]));
        let theirs = theirs.get(at).cloned().flatten();
        side.add(conflict(Some(column.name.clone()), base, ours, theirs))?;
    }
    Ok(())
}

/// Returns the rows that may be inserted: those like which there is none. The others are written down here.
pub(super) fn rows<'p>(
    session: &Session,
    mut target: Target<'p>,
    side: &mut Side<'_>,
    merged: &mut [Merged],
) -> Result<(Target<'p>, Feed<'p>), Error> {
    let (piece, clash, there, due) = load(session, &target, side, merged)?;
    let live = target.table.sql();
    let find = match target.piece.salvage.in_any {
        _ if target.piece.alone => "p WHERE 0".to_string(),
        true => format!("p WHERE {}", in_any(&target, "p", &live)),
        false => format!("p JOIN main.{live} t ON {}", same_row(&target, "p", "t")),
    };
    let find =
        format!("CREATE TEMP TABLE {clash} AS SELECT DISTINCT p.rowid AS first FROM temp.{piece} {find}");
    session.run(DOING, &find)?;
    let is_there = format!("rowid IN (SELECT first FROM temp.{clash})");
    // One that may have been changed, and deleted since, stays deleted.
    let doubt = target.piece.doubt().map_or("0".to_string(), |place| format!("v{place}"));
    session.run(
        DOING,
        &format!(
            "CREATE TEMP TABLE {there} AS SELECT *, {is_there} FROM temp.{piece} WHERE {is_there} OR {doubt}; \
             CREATE TEMP TABLE {due} AS SELECT * FROM temp.{piece} WHERE NOT ({is_there} OR {doubt})"
        ),
    )?;
    let (why, is_same) = target.piece.why_not_beside(target.columns.len());
    Feed::Table(there).each(session, &mut |values| {
        merged[0].conflicts += 1;
        let is_there = values.last() == Some(&Value::Integer(1));
        let columns = target.columns.iter();
        let row = side::object(columns.map(|column| (column.name.as_str(), values[column.place])));
        side.add(Conflict {
            table: target.table.clone(),
            key: side::key(target.piece, values),
            column: None,
            base: None,
            ours: Some(row.clone()),
            // Which of those that are alike only in part is meant, nobody can tell.
            theirs: (is_same && is_there).then_some(row),
            reason: if is_there { why } else { ONE_WAS }.to_string(),
        })
    })?;
    target.condition = "0".to_string();
    target.found_by = Vec::new();
    Ok((target, Feed::Table(due)))
}

/// Loads the file into a temporary table, and returns its name and three more that are free. Rows with a text that the table
/// could not hold are written down here, and not loaded.
fn load(
    session: &Session,
    target: &Target<'_>,
    side: &mut Side<'_>,
    merged: &mut [Merged],
) -> Result<(String, String, String, String), Error> {
    let name = |what: &str| format!("ripcord_{what}_{}", target.index);
    let names = (name("piece"), name("groups"), name("pairs"), name("due"));
    for table in [&names.1, &names.2, &names.3, &format!("{}_others", names.0)] {
        session.run(DOING, &format!("DROP TABLE IF EXISTS temp.{table}"))?;
    }
    let mut insert = fill(session, &names.0, target.width)?;
    let failed = |error| session.failed(DOING, error);
    Feed::of(session, target)?.each(session, &mut |values: &[Value<'_>]| {
        if values.iter().any(|value| target.is_half(*value)) {
            return give_up(target, values, HALF, &[], side, merged);
        }
        let all = values.iter().copied().map(Bound);
        insert.execute(rusqlite::params_from_iter(all)).map(|_| ()).map_err(failed)
    })?;
    Ok(names)
}

/// Returns the condition that a loaded row holds in any of the columns by which it is told what some live row holds there.
fn in_any(target: &Target<'_>, loaded: &str, table: &str) -> String {
    let piece = target.piece;
    let parts = piece.told_by().iter().filter_map(|name| {
        let (one, other) = (format!("{loaded}.v{}", piece.place_of(name)?), quote(name));
        let (one, other) = (wide::text(&[one]), wide::text(&[other]));
        Some(format!("{one} IN (SELECT {other} FROM main.{table})"))
    });
    wide::joined(&parts.collect::<Vec<_>>(), "OR", "0")
}

/// Returns the condition that a loaded row and a live one hold the same, by type and bytes.
pub(super) fn same_row(target: &Target<'_>, loaded: &str, live: &str) -> String {
    same_in(target, target.piece.told_by().iter(), loaded, live)
}

/// The same, in these columns.
pub(super) fn same_in<'n>(
    target: &Target<'_>,
    names: impl Iterator<Item = &'n String>,
    loaded: &str,
    live: &str,
) -> String {
    let piece = target.piece;
    let parts = names.filter_map(|name| {
        let (one, other) =
            (format!("{loaded}.v{}", piece.place_of(name)?), format!("{live}.{}", quote(name)));
        Some(format!("{one} COLLATE BINARY IS {other} AND typeof({one}) = typeof({other})"))
    });
    let parts: Vec<String> = parts.collect();
    wide::joined(&parts, "AND", "1")
}
