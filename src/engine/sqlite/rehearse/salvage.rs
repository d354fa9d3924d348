//! Salvage: what of the snapshot's rows is not there, or not the same, in the copy that was migrated there and back.
//!
//! Values are compared by type and bytes, as everywhere in a rehearsal. Nothing is held in memory but a block of rows:
//! what has to be sorted is sorted by SQLite, in its temporary files.

use super::super::Site;
use super::super::catalog;
use super::super::export::Plan;
use super::super::raw::Cursor;
use super::super::session::Session;
use super::super::view::View;
use super::rows::same_row;
use super::wide::{joined, terms, text};
use super::{BEFORE, attach};
use crate::catalog::{TableKind, TableName, quote};
use crate::engine::{
    Error, Exported, MOST_WORKERS, Outlet, Salvaged, Selection, Shape, ShapeColumn, Tally, Value,
    doubt_column, salvage_columns,
};
use crate::ledger::{Keep, Kept, ROWID, Returned, SalvageKind};
use crate::report::Progress;
use rusqlite::OpenFlags;
use std::collections::BTreeMap;
use std::path::Path;

/// Hands over what is to be kept.
pub(super) fn salvage(
    site: &Site,
    before: &Path,
    keeps: &[Keep],
    outlet: &dyn Outlet,
    progress: &Progress,
) -> Result<Vec<Salvaged>, Error> {
    let session = site.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI)?;
    session.run("opening", "PRAGMA query_only = ON")?;
    attach(&session, before)?;
    let mut both = View::of_session(session);
    // Whole tables are read by several threads, in ranges of their rowids.
    let mut old = View::of_copy(before, site.workers().min(MOST_WORKERS), &site.options.cancel)?;
    let tables = catalog::read(old.first())?;
    let mut salvaged = Vec::new();
    for (place, keep) in keeps.iter().enumerate() {
        let name = keep.name();
        let tally = Tally::new(&name, progress);
        // A virtual table as it reads lacks the numbers of its rows.
        let numbered = keep.columns.iter().any(|column| column.name == ROWID)
            && tables.tables.get(&keep.table).is_some_and(|table| table.kind == TableKind::Virtual);
        let is_whole = keep.what == SalvageKind::Rows && keep.now.is_none() && !numbered;
        let (exported, returned) = if is_whole {
            let plan = Plan::of(old.first(), &tables, &Selection::Table(keep.table.name.clone()))?;
            (site.export_plan(&mut old, plan, place, outlet, tally)?, BTreeMap::new())
        } else {
            compared(site, &mut both, keep, place, outlet, tally)?
        };
        salvaged.push(Salvaged::of(keep, exported, returned));
    }
    Ok(salvaged)
}

type Left = BTreeMap<String, Returned>;

fn compared(
    site: &Site,
    both: &mut View,
    keep: &Keep,
    place: usize,
    outlet: &dyn Outlet,
    tally: Tally<'_>,
) -> Result<(Exported, Left), Error> {
    let mut returned = constants(both.first(), keep)?;
    let is_open = |name: &String| !returned.contains_key(name);
    let left: Vec<String> =
        compared_names(keep).filter(|name| keep.returned && keep.now.is_some() && is_open(name)).collect();
    let (names, left) = salvage_columns(keep, &left);
    let doubt = doubt_column(keep);
    let sql = statement(keep, &names, &left, doubt.as_deref());
    let types = names.iter().map(|name| (name.clone(), keep.type_of(name)));
    let types = types.chain(left.iter().map(|(column, name)| (name.clone(), keep.type_of(column))));
    let types = types.chain(doubt.map(|name| (name, "INTEGER".to_string())));
    let shape = Shape {
        table: Some(keep.table.clone()),
        columns: types.map(|(name, type_name)| ShapeColumn { name, type_name }).collect(),
        key: keep.key.iter().map(|(old, _)| old.clone()).collect(),
        left_out: keep.left_out.clone(),
        encoding: String::new(),
    };
    let plan = Plan::of_known(both.first(), sql, shape)?;
    let exported = site.export_plan(both, plan, place, outlet, tally)?;
    returned.extend(left.into_iter().map(|(column, name)| (column, Returned::In(name))));
    Ok((exported, returned))
}

fn compared_names(keep: &Keep) -> impl Iterator<Item = String> + '_ {
    let values = keep.what == SalvageKind::Values;
    keep.columns.iter().filter(move |column| values && column.compared).map(|column| column.name.clone())
}

/// Returns what the whole column holds now, where that is one value and one that needs no care to be written: NULL, an
/// integer or a text.
fn constants(session: &Session, keep: &Keep) -> Result<Left, Error> {
    let mut found = Left::new();
    let Some(now) = keep.now.as_ref().filter(|_| keep.returned) else { return Ok(found) };
    for name in compared_names(keep) {
        let one = one_value(session, now, &name)?;
        found.extend(one.map(|one| (name, one)));
    }
    Ok(found)
}

/// The same of one column.
pub fn one_value(session: &Session, table: &TableName, column: &str) -> Result<Option<Returned>, Error> {
    let column = quote(column);
    let sql = format!(
        "SELECT min({column} COLLATE BINARY) IS max({column} COLLATE BINARY) AND count({column}) IN (0, count(*))
        AND coalesce(min(typeof({column})) = max(typeof({column})), 1), min({column} COLLATE BINARY)
        FROM main.{}",
        table.sql()
    );
    let failed = |error| session.failed("comparing rows", error);
    let mut cursor = Cursor::prepare(session, &sql, session.is_wide()?).map_err(failed)?;
    if !cursor.step().map_err(failed)? || cursor.integer(0) != 1 {
        return Ok(None);
    }
    let field = match cursor.value(1) {
        Value::Null => None,
        Value::Integer(number) => Some(number.to_string()),
        Value::Text(text) if !session.is_wide()? => match std::str::from_utf8(text) {
            Ok(text) => Some(format!("\"{}\"", text.replace('"', "\"\""))),
            Err(_) => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(Returned::Constant(field)))
}

fn statement(keep: &Keep, names: &[String], left: &[(String, String)], doubt: Option<&str>) -> String {
    let old = format!("{BEFORE}.{}", quote(&keep.table.name));
    let list = names.iter().map(|name| format!("a.{0} AS {0}", quote(name))).collect::<Vec<_>>().join(", ");
    let Some(now) = &keep.now else {
        let held = |column: &Kept| format!("a.{} IS NOT NULL", quote(&column.name));
        let lost = keep.columns.iter().map(|column| column.condition(held(column), String::new, "1"));
        let lost = joined(&lost.collect::<Vec<_>>(), "OR", "0");
        let filter = if keep.key.is_empty() { "1".to_string() } else { lost };
        return format!("SELECT {list} FROM {old} AS a WHERE {filter}");
    };
    let now = format!("main.{}", now.sql());
    if keep.key.is_empty() {
        return without_key(keep, (&old, &now), names, left, doubt);
    }
    let on = same_row(&keep.key);
    match keep.what {
        SalvageKind::Rows => {
            format!("SELECT {list} FROM {old} AS a WHERE NOT EXISTS (SELECT 1 FROM {now} AS b WHERE {on})")
        }
        SalvageKind::Values => {
            let left = left.iter().map(|(column, name)| format!(", b.{} AS {}", quote(column), quote(name)));
            let differs = keep.columns.iter().map(|column| {
                let (one, other) =
                    (format!("a.{}", quote(&column.name)), format!("b.{}", quote(&column.name)));
                let differs =
                    || format!("(+{one} COLLATE BINARY IS NOT +{other} OR typeof({one}) <> typeof({other}))");
                column.condition(format!("{one} IS NOT NULL"), differs, "1")
            });
            format!(
                "SELECT {list}{} FROM {old} AS a JOIN {now} AS b ON {on} WHERE {}",
                left.collect::<String>(),
                joined(&differs.collect::<Vec<_>>(), "OR", "0")
            )
        }
    }
}

/// Rows of both sides are sorted together; within those that are alike, how many there are on each side decides. Beside
/// each of before stands what the way back left in one that is like it, which all of them together have in common; beside
/// one too many its own values.
///
/// Inside, the columns are v0, v1 …: one of the table's could be called as what is computed here.
fn without_key(
    keep: &Keep,
    (old, now): (&str, &str),
    exported: &[String],
    left: &[(String, String)],
    doubt: Option<&str>,
) -> String {
    let compared: Vec<String> = compared_names(keep).collect();
    let of_kept = |name: &String| keep.columns.iter().any(|column| column.name == *name);
    let mut names: Vec<&String> = keep.identity.iter().filter(|name| !of_kept(name)).collect();
    names.extend(keep.columns.iter().map(|column| &column.name));
    let is_there = |name: &str| keep.identity.iter().chain(&compared).any(|other| other == name);
    let (mut before, mut after) = (String::new(), String::new());
    for (place, name) in names.iter().enumerate() {
        let column = quote(name);
        before.push_str(&format!(", {column} AS v{place}"));
        after.push_str(&if is_there(name) { format!(", {column}") } else { ", NULL".to_string() });
    }
    let inside =
        |name: &String| format!("v{}", names.iter().position(|other| *other == name).unwrap_or_default());
    let list = exported.iter().map(|name| format!("x.{} AS {}", inside(name), quote(name)));
    let list = list.collect::<Vec<_>>().join(", ");
    let alike = |names: &mut dyn Iterator<Item = &String>| {
        let names: Vec<String> = names.map(inside).collect();
        let parts: Vec<String> =
            terms(&names).iter().map(|term| format!("{term} COLLATE BINARY, typeof({term})")).collect();
        if parts.is_empty() {
            "PARTITION BY 0".to_string()
        } else {
            format!("PARTITION BY {}", parts.join(", "))
        }
    };
    let group = alike(&mut keep.identity.iter());
    let beside = left.iter().enumerate().map(|(place, (column, _))| {
        let column = inside(column);
        format!(
            ", CASE WHEN lead(1) OVER ripcord_pair THEN lead({column}) OVER ripcord_pair ELSE {column} END AS w{place}"
        )
    });
    let beside: String = beside.collect();
    let left = left.iter().enumerate().map(|(place, (_, name))| format!(", x.w{place} AS {}", quote(name)));
    let left: String = left.collect();
    let (then, came, doubt) = match doubt {
        Some(name) => in_doubt(keep, inside, (&group, name)),
        None => Default::default(),
    };
    let pair = match beside.is_empty() {
        true => String::new(),
        false => format!(" WINDOW ripcord_pair AS ({group}, ripcord_place ORDER BY ripcord_side)"),
    };
    let whole = alike(&mut keep.identity.iter().chain(&compared));
    let gone = keep.columns.iter().map(|column| &column.name).filter(|name| !is_there(name));
    let gone: Vec<String> = gone.map(inside).collect();
    let order = gone.iter().map(|column| format!(", {column}")).collect::<String>();
    let lost = keep.columns.iter().filter(|column| column.is_lost()).map(|column| inside(&column.name));
    let held: Vec<String> = lost.map(|column| format!("{column} IS NOT NULL")).collect();
    let held = joined(&held, "OR", "0");
    // Rows of which fewer are there now are in the export of rows.
    let stays = if compared.is_empty() { "ripcord_place <= ripcord_now" } else { "1" };
    let chosen = match keep.what {
        SalvageKind::Rows => "ripcord_place > ripcord_now".to_string(),
        SalvageKind::Values => format!("ripcord_hit AND {stays}"),
    };
    format!(
        "WITH ripcord_both AS (SELECT 0 AS ripcord_side{before} FROM {old} UNION ALL SELECT 1{after} FROM {now}),
        ripcord_counted AS (SELECT *, sum(ripcord_side) OVER ({group}) AS ripcord_now,{then}
        row_number() OVER ({group}, ripcord_side ORDER BY 0{order}) AS ripcord_place,
        sum(1 - 2 * ripcord_side) OVER ({whole}) AS ripcord_more FROM ripcord_both),
        ripcord_marked AS (SELECT *, max(ripcord_more <> 0 OR {held}) OVER ({group}) AS ripcord_hit{beside}
        FROM ripcord_counted{pair}){came}
        SELECT {list}{left}{doubt} FROM ripcord_marked AS x WHERE ripcord_side = 0 AND {chosen}"
    )
}

/// Returns what says of each row that is gone whether a row that came may be it, changed: how many alike there were before, the
/// query of those that came, and the column.
fn in_doubt(
    keep: &Keep,
    inside: impl Fn(&String) -> String,
    (group, name): (&str, &str),
) -> (String, String, String) {
    let alike = |columns: &[String]| {
        let columns =
            |side: &str| columns.iter().map(|name| format!("{side}.{}", inside(name))).collect::<Vec<_>>();
        format!("{} IN (SELECT {} FROM ripcord_came AS c)", text(&columns("x")), text(&columns("c")))
    };
    let is = match keep.in_any {
        true => keep.alike.iter().map(|name| alike(std::slice::from_ref(name))).collect(),
        false => vec![alike(&keep.alike)],
    };
    let came = ", ripcord_came AS MATERIALIZED (SELECT * FROM ripcord_counted WHERE ripcord_side = 1 AND ripcord_place > ripcord_then)";
    (
        format!("\n        sum(1 - ripcord_side) OVER ({group}) AS ripcord_then,"),
        came.to_string(),
        format!(", {} AS {}", joined(&is, "OR", "0"), quote(name)),
    )
}
