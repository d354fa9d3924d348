//! Keys that are of other rows now. What refers to the rows of then is not put back where it would hang on these.
//!
//! A row that comes back whole may find another one under its key, and one whose key was made anew may not get its own back:
//! each is a conflict, and so is whatever refers to it. So is what refers to a row that nothing was lost of, whose number was
//! given out again since ([`recycled`]).

use super::super::PostgresDatabase;
use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::live::{self, ForeignKey};
use super::recycled::{self, Subject};
use super::side::Side;
use super::target::{Target, object};
use super::unkeyed::Groups;
use super::{DOING, rows, undeclared};
use crate::catalog::TableName;
use crate::engine::{Error, Merged, Piece, RETAKEN, STRANGER};
use crate::ledger::{Doubts, SalvageKind};
use std::collections::BTreeSet;

/// Values of columns of one table that a foreign key refers to, in a temporary table with the same columns.
pub(super) struct Strangers {
    of: TableName,
    keys: String,
    columns: Vec<String>,
    /// Whether all rows of the table keep the numbers that the way there gave them.
    renumbered: bool,
}

impl Strangers {
    /// Makes it quick to find one: every row that comes back is looked up.
    async fn index(&self, session: &mut Session) -> Result<(), Error> {
        let (keys, columns) = (&self.keys, self.columns.iter().map(|name| identifier(name)));
        let columns = columns.collect::<Vec<_>>().join(", ");
        session
            .run(DOING, &format!("CREATE INDEX ON pg_temp.{keys} ({columns}); ANALYZE pg_temp.{keys}"))
            .await
    }
}

/// The columns that a foreign key refers to, with their places in a piece.
type Referred = Vec<(String, usize)>;

/// Looks which rows of tables that pieces of one turn refer to have a number that was given out again since, while nothing of
/// the turn has been put back: what comes back would vouch for all numbers below its own.
pub(super) async fn given_again(
    database: &PostgresDatabase,
    session: &mut Session,
    pieces: &[&Piece],
    turn: usize,
    doubts: &mut Doubts,
) -> Result<Vec<Strangers>, Error> {
    let (mut asked, mut found) = (BTreeSet::new(), Vec::new());
    for piece in pieces {
        let Some(snapshot) = &piece.snapshot else { continue };
        for key in live::foreign_keys(session, &piece.salvage.table).await? {
            let puts = key.columns.iter().any(|name| piece.salvage.columns.contains(name));
            let [referred] = key.referred.as_slice() else { continue };
            for parent in key.parents().filter(|_| puts) {
                let of_parent = || pieces.iter().filter(|other| other.salvage.table == *parent);
                // Where keys are put back it is known which of them are not.
                if of_parent().any(|other| other.is_rekeying())
                    || !asked.insert((parent.clone(), referred.clone()))
                {
                    continue;
                }
                let name = format!("ripcord_parent_{turn}_{}", asked.len());
                let is_about = |name: &str| {
                    of_parent().any(|other| other.salvage.what == SalvageKind::Values && other.is_about(name))
                };
                let subject = Subject {
                    now: parent,
                    then: parent,
                    key: (referred, referred),
                    snapshot,
                    catalog: piece.catalog.as_deref(),
                    sequences: &piece.fingerprint.sequences,
                    is_untouched: piece.untouched.contains(parent),
                    is_about: &is_about,
                    is_changed: &is_about,
                    put_back: piece.put_back(parent, referred).collect(),
                    name: &name,
                };
                found.extend(of_parents(database, session, &subject, doubts).await?);
            }
        }
    }
    Ok(found)
}

/// Looks which numbers of a table are of other rows than then, as far as that can be told.
async fn of_parents(
    database: &PostgresDatabase,
    session: &mut Session,
    subject: &Subject<'_>,
    doubts: &mut Doubts,
) -> Result<Option<Strangers>, Error> {
    let Some(recycled) = database.look_at(session, subject).await? else { return Ok(None) };
    doubts.take(subject.now, &recycled);
    let (referred, name) = (subject.key.0, subject.name);
    let column = format!("t.{}", identifier(referred));
    let among = format!("{name}_among");
    let Some(holds) = recycled::holds(session, &recycled, &column, &among).await? else { return Ok(None) };
    let keys = format!("{name}_strangers");
    let make = format!(
        "CREATE TEMPORARY TABLE {keys} ON COMMIT DROP AS SELECT {column} FROM ONLY {} AS t WHERE {holds}",
        subject.now.sql()
    );
    session.run(DOING, &make).await?;
    let strangers =
        Strangers { of: subject.now.clone(), keys, columns: vec![referred.to_string()], renumbered: false };
    strangers.index(session).await?;
    Ok(Some(strangers))
}

/// Takes the keys of a table under which other rows stand than then.
pub(super) async fn of_moved(
    session: &mut Session,
    table: &TableName,
    keys: &str,
    columns: Vec<String>,
) -> Result<Strangers, Error> {
    let strangers = Strangers { of: table.clone(), keys: keys.to_string(), columns, renumbered: false };
    strangers.index(session).await?;
    Ok(strangers)
}

/// Looks which rows keep what stands in them because it is of others, and not what was salvaged.
pub(super) async fn of_kept(session: &mut Session, target: &Target<'_>) -> Result<Vec<Strangers>, Error> {
    let Some(retaken) = &target.retaken else { return Ok(Vec::new()) };
    let same: Vec<&str> = target.columns.iter().map(|column| column.same.as_str()).collect();
    let from = format!("{} WHERE {retaken} AND NOT ({})", target.joined(), same.join(" AND "));
    let mut found = Vec::new();
    let mut all = referred(session, target).await?;
    // What a foreign key refers to beside the key need not have been salvaged.
    if !all.contains(&target.found_by) {
        all.push(target.found_by.clone());
    }
    for referred in all {
        found.extend(keep(session, target, &from, referred, found.len()).await?);
    }
    Ok(found)
}

/// Looks which whole rows find another one that has what foreign keys refer to; none of them has been put back yet.
pub(super) async fn of_rows(session: &mut Session, target: &Target<'_>) -> Result<Vec<Strangers>, Error> {
    if target.piece.salvage.what != SalvageKind::Rows {
        return Ok(Vec::new());
    }
    let same: Vec<&str> = target.columns.iter().map(|column| column.same.as_str()).collect();
    let same = same.join(" AND ");
    let live = live::columns(session, &target.table).await?;
    let is_number = |name: &String| live.iter().any(|column| column.name == *name && column.is_number());
    let mut found = Vec::new();
    for referred in referred(session, target).await? {
        // A key that means something names its row, whoever inserted it last.
        if !referred.iter().any(|(name, _)| is_number(name)) {
            continue;
        }
        let from = format!(
            "pg_temp.{} AS s JOIN ONLY {} AS t ON {} WHERE NOT ({same})",
            target.loaded,
            target.table.sql(),
            equal(&referred, "t")
        );
        found.extend(keep(session, target, &from, referred, found.len()).await?);
    }
    Ok(found)
}

/// Looks which rows without a key in common have not got theirs, now that each was tried, because another one has it. What
/// nobody has keeps nothing away: a row of that key may come back with an older piece. Where nothing tells rows apart, the one
/// under a key is the one of then only if it holds all that was salvaged of that.
pub(super) async fn of_keys(
    session: &mut Session,
    target: &Target<'_>,
    groups: &Groups,
) -> Result<Vec<Strangers>, Error> {
    let same: Vec<&str> = target.columns.iter().map(|column| column.same.as_str()).collect();
    let same = match target.piece.matched_by().is_empty() {
        true => same.join(" AND "),
        false => format!("{} = {}", groups.live, groups.ident),
    };
    let mut found = Vec::new();
    for referred in referred(session, target).await? {
        let is_put = |name: &String| target.columns.iter().any(|column| column.name == *name);
        if !referred.iter().any(|(name, _)| is_put(name)) {
            continue;
        }
        // What refers to it without a foreign key is refused by nothing where nobody has it.
        let is_undeclared = match referred.as_slice() {
            [(name, _)] => !undeclared::to(session, &target.table, name).await?.is_empty(),
            _ => false,
        };
        let from = format!(
            "pg_temp.{0} AS s WHERE ({is_undeclared} OR EXISTS (SELECT FROM ONLY {1} AS t WHERE {2})) \
             AND NOT EXISTS (SELECT FROM ONLY {1} AS t WHERE {2} AND {same})",
            groups.loaded,
            target.table.sql(),
            equal(&referred, "t")
        );
        found.extend(keep(session, target, &from, referred, found.len()).await?);
    }
    Ok(found)
}

/// Returns the condition that the columns of a table are those of a loaded row.
fn equal(referred: &Referred, table: &str) -> String {
    let on = referred.iter().map(|(name, place)| format!("{table}.{} = s.v{place}", identifier(name)));
    on.collect::<Vec<_>>().join(" AND ")
}

/// Keeps what foreign keys refer to of loaded rows; nothing where there are none.
async fn keep(
    session: &mut Session,
    target: &Target<'_>,
    from: &str,
    referred: Referred,
    number: usize,
) -> Result<Option<Strangers>, Error> {
    let keys = format!("{}_strangers_{number}", target.loaded);
    let list: Vec<String> =
        referred.iter().map(|(name, place)| format!("s.v{place} AS {}", identifier(name))).collect();
    let list = list.join(", ");
    let make = format!("CREATE TEMPORARY TABLE {keys} ON COMMIT DROP AS SELECT {list} FROM {from}");
    session.run(DOING, &make).await?;
    let any = session.value(DOING, &format!("SELECT EXISTS (SELECT FROM pg_temp.{keys})")).await?;
    if any.as_deref() != Some("t") {
        session.run(DOING, &format!("DROP TABLE pg_temp.{keys}")).await?;
        return Ok(None);
    }
    let columns = referred.into_iter().map(|(name, _)| name).collect();
    let strangers = Strangers { of: target.table.clone(), keys, columns, renumbered: target.broken };
    strangers.index(session).await?;
    Ok(Some(strangers))
}

/// Returns what foreign keys refer to, or what does so without one, as far as a piece has all of it: each set of columns once, in the order of names.
async fn referred(session: &mut Session, target: &Target<'_>) -> Result<Vec<Referred>, Error> {
    let sql = format!(
        "SELECT DISTINCT (SELECT json_agg(a.attname ORDER BY a.attname) FROM pg_attribute a \
         WHERE a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey))::text FROM pg_constraint k \
         WHERE k.contype = 'f' AND k.confrelid = to_regclass({}) ORDER BY 1",
        literal(&target.table.sql())
    );
    let rows = session.rows("reading the keys", &sql).await?;
    let names = rows.iter().map(|row| serde_json::from_str::<Vec<String>>(row.text(0)).unwrap_or_default());
    let mut names: Vec<Vec<String>> = names.collect();
    for column in &target.columns {
        let own = vec![column.name.clone()];
        if !names.contains(&own) && !undeclared::to(session, &target.table, &column.name).await?.is_empty() {
            names.push(own);
        }
    }
    let place = |name: String| target.piece.place_of(&name).map(|place| (name, place));
    Ok(names.into_iter().filter_map(|names| names.into_iter().map(place).collect()).collect())
}

/// Returns the condition that a row, which is to hold these values in its columns, refers to a row that is another one now;
/// none where no such row is known.
pub(super) fn met<'k>(
    known: impl IntoIterator<Item = &'k Strangers>,
    key: &ForeignKey,
    value: impl Fn(&String) -> Option<String>,
) -> Option<String> {
    let of_parent = known.into_iter().filter(|one| key.refers_to(&one.of));
    let met: Vec<String> = of_parent
        .filter_map(|one| {
            // What a foreign key refers to beside a number that is of another row now makes no difference.
            let pairs = key.referred.iter().zip(&key.columns).filter(|(name, _)| one.columns.contains(name));
            let pairs: Vec<(&String, &String)> = pairs.collect();
            let is_part = pairs.len() == one.columns.len();
            if pairs.is_empty() || !(is_part || pairs.len() == key.referred.len()) {
                return None;
            }
            let on =
                pairs.iter().map(|(name, own)| Some(format!("x.{} = {}", identifier(name), value(own)?)));
            let on: Vec<String> = on.collect::<Option<_>>()?;
            Some(format!("EXISTS (SELECT FROM pg_temp.{} AS x WHERE {})", one.keys, on.join(" AND ")))
        })
        .collect();
    (!met.is_empty()).then(|| format!("({})", met.join(" OR ")))
}

/// Tells whether loaded rows would refer to numbers that stay with other rows than then.
pub(super) async fn hangs_on_renumbered(
    session: &mut Session,
    target: &Target<'_>,
    known: &[Strangers],
) -> Result<bool, Error> {
    let known: Vec<&Strangers> = known.iter().filter(|one| one.renumbered).collect();
    let value = |name: &String| target.piece.place_of(name).map(|place| format!("s.v{place}"));
    let met: Vec<String> =
        target.all_keys.iter().filter_map(|key| met(known.iter().copied(), key, value)).collect();
    if met.is_empty() {
        return Ok(false);
    }
    let any =
        format!("SELECT EXISTS (SELECT FROM pg_temp.{} AS s WHERE {})", target.loaded, met.join(" OR "));
    Ok(session.value(DOING, &any).await?.as_deref() == Some("t"))
}

/// Takes out the whole rows that would hang on another row, and writes them down.
pub(super) async fn take_out(
    session: &mut Session,
    target: &Target<'_>,
    known: &[Strangers],
    side: &mut Side,
    merged: &mut Merged,
) -> Result<(), Error> {
    let value = |name: &String| target.piece.place_of(name).map(|place| format!("s.v{place}"));
    let met: Vec<String> = target.all_keys.iter().filter_map(|key| met(known, key, value)).collect();
    // Under another number it may be there.
    let (met, reason) = match target.broken {
        true => ("true".to_string(), RETAKEN),
        false => (met.join(" OR "), STRANGER),
    };
    if met.is_empty() {
        return Ok(());
    }
    let which = format!("pg_temp.{} AS s WHERE ({met}) AND {}", target.loaded, rows::absent(target));
    let count = session.value(DOING, &format!("SELECT count(*) FROM {which}")).await?;
    let count: u64 = count.and_then(|text| text.parse().ok()).unwrap_or_default();
    if count == 0 {
        return Ok(());
    }
    side.open(session).await?;
    let parts = target.columns.iter();
    let parts: Vec<String> = parts
        .map(|column| format!("{} AS {}", target.ours(column.place), identifier(&column.name)))
        .collect();
    let keep = format!(
        "INSERT INTO {} SELECT {}, {}, NULL, NULL, {}, NULL, {} FROM {which}",
        side.table(),
        literal(&target.table.to_string()),
        target.key(),
        object(&parts.join(", ")),
        literal(reason)
    );
    session.run("writing down a conflict", &keep).await?;
    session.run(DOING, &format!("DELETE FROM {which}")).await?;
    merged.conflicts += count;
    Ok(())
}
