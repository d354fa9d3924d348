//! Salvage: what of the rows of the scratch database that stayed as it was is not there, or not the same, in the one that
//! was migrated there and back.
//!
//! What identifies the rows now, and what is compared, is streamed into a temporary table beside the rows of before, as
//! texts that a session with pinned settings prints; the server joins them, and sends the values of before as they are.

use super::super::PostgresDatabase;
use super::super::export::Plan;
use super::super::large_objects::{self, only};
use super::super::names::{identifier, is_held};
use super::super::server::Server;
use super::super::session::{Purpose, Session};
use super::rows::{AFTER, drop_after, pour_into, text};
use super::tree;
use crate::engine::{Error, Exported, Outlet, Salvaged, Selection, Tally, doubt_column, salvage_columns};
use crate::ledger::{Keep, Kept, Member, Returned, SalvageKind};
use crate::report::Progress;
use std::collections::BTreeMap;

const DOING: &str = "salvaging rows";

type Left = BTreeMap<String, Returned>;

/// Hands over what is to be kept of the database `before` on `server`, compared with the one that was migrated.
pub(super) async fn salvage(
    copy: &PostgresDatabase,
    (server, before): (&Server, &str),
    keeps: &[Keep],
    outlet: &dyn Outlet,
    progress: &Progress,
) -> Result<Vec<Salvaged>, Error> {
    let mut salvaged = Vec::new();
    if keeps.is_empty() {
        return Ok(salvaged);
    }
    let name = copy.application();
    let mut old = server.open(before, Purpose::Reading, &name).await?;
    let mut new = copy.server.open(&copy.id.name, Purpose::Reading, &name).await?;
    for (place, keep) in keeps.iter().enumerate() {
        let name = keep.name();
        let tally = Tally::new(&name, progress);
        let is_whole = keep.what == SalvageKind::Rows && keep.now.is_none() && !keep.in_tree;
        let (exported, returned) = if is_whole && !keep.table.is_large_objects() {
            let selection = Selection::Table(keep.table.to_string());
            let plan = Plan::of_table(&mut old, &selection).await?;
            (copy.export_plan(&mut old, plan, place, outlet, tally).await?, Left::new())
        } else {
            compared(copy, &mut old, &mut new, keep, place, outlet, tally).await?
        };
        let mut done = Salvaged::of(keep, exported, returned);
        if let Some(tree) = &keep.tree {
            done.salvage.in_tree = tree::is_of_one_row(&mut old, &keep.table, tree).await?;
        }
        salvaged.push(done);
    }
    new.give_back().await;
    old.give_back().await;
    Ok(salvaged)
}

async fn compared(
    copy: &PostgresDatabase,
    old: &mut Session,
    new: &mut Session,
    keep: &Keep,
    place: usize,
    outlet: &dyn Outlet,
    tally: Tally<'_>,
) -> Result<(Exported, Left), Error> {
    let brought = bring(old, new, keep).await?;
    let mut returned = if brought && keep.returned { constants(old, keep).await? } else { Left::new() };
    let is_open = |name: &String| !returned.contains_key(name);
    let left: Vec<String> =
        compared_names(keep).filter(|name| brought && keep.returned && is_open(name)).collect();
    let (names, left) = salvage_columns(keep, &left);
    // A text beside the rows, as what the way back left is one; no type says so, and any column's will do.
    let doubt = doubt_column(keep).and_then(|name| Some((keep.alike.first()?.clone(), name)));
    let sql = statement(keep, &names, &left, doubt.as_ref().map(|(_, name)| name.as_str()));
    let texts: Vec<(String, String)> = left.iter().cloned().chain(doubt).collect();
    let plan = Plan::of_columns(old, &keep.table, &names, &texts, &sql).await?;
    let mut exported = copy.export_plan(old, plan, place, outlet, tally).await?;
    if brought {
        drop_after(old).await?;
    }
    exported.shape.table = Some(keep.table.clone());
    exported.shape.key = keep.key.iter().map(|(old, _)| old.clone()).collect();
    exported.shape.left_out = keep.left_out.clone();
    returned.extend(left.into_iter().map(|(column, name)| (column, Returned::In(name))));
    Ok((exported, returned))
}

fn compared_names(keep: &Keep) -> impl Iterator<Item = String> + '_ {
    let values = keep.what == SalvageKind::Values;
    keep.columns.iter().filter(move |column| values && column.compared).map(|column| column.name.clone())
}

/// One text for several columns, from which two rows that are alike in them cannot be told and any others can.
pub(super) fn together(names: &[String]) -> String {
    let fields: Vec<String> = names.iter().map(|name| format!("{}::text", text_of(name))).collect();
    format!("(ROW({})::text COLLATE \"C\")", fields.join(", "))
}

fn text_of(name: &str) -> String {
    format!("a.{}", identifier(name))
}

/// The columns that decide whether a row without a key is the same.
fn whole(keep: &Keep) -> Vec<String> {
    keep.identity.iter().cloned().chain(compared_names(keep)).collect()
}

/// The columns in which together a row that came may be one that is gone, changed: each of these is enough.
fn doubted(keep: &Keep) -> Vec<Vec<String>> {
    match (keep.is_in_doubt(), keep.in_any) {
        (false, _) => Vec::new(),
        (true, false) => vec![keep.alike.clone()],
        (true, true) => keep.alike.iter().map(|name| vec![name.clone()]).collect(),
    }
}

/// Brings over what the rows of before are compared with: k0 … for the key, or k0 for all identifying columns together and
/// x0 for those and the compared ones; c0 … for what is compared, d0 … for that in which a row may be
/// one that is gone. Returns whether there is anything to compare with.
async fn bring(old: &mut Session, new: &mut Session, keep: &Keep) -> Result<bool, Error> {
    if let Some(tree) = keep.tree.as_ref().filter(|_| keep.in_tree && !keep.key.is_empty()) {
        let names = || keep.key.iter().map(|(_, name)| name.clone()).chain(compared_names(keep));
        let list =
            |member: &Member| names().map(|name| tree::text_of(member, &name)).collect::<Vec<_>>().join(", ");
        let made = (0..keep.key.len()).map(|at| format!("k{at}"));
        let made = made.chain(compared_names(keep).enumerate().map(|(at, _)| format!("c{at}")));
        let made: Vec<String> = made.collect();
        pour_into(old, new, &made, &format!("COPY ({}) TO STDOUT", tree::rows_now(tree, list))).await?;
        return Ok(true);
    }
    let Some(now) = &keep.now else { return Ok(false) };
    let mut parts: Vec<String> = match keep.key.is_empty() {
        true => vec![together(&keep.identity), together(&whole(keep))],
        false => keep.key.iter().map(|(_, name)| format!("{}::text", text_of(name))).collect(),
    };
    let mut made: Vec<String> = match keep.key.is_empty() {
        true => vec!["k0".to_string(), "x0".to_string()],
        false => (0..keep.key.len()).map(|index| format!("k{index}")).collect(),
    };
    for (index, name) in compared_names(keep).enumerate() {
        made.push(format!("c{index}"));
        parts.push(format!("{}::text", text_of(&name)));
    }
    for (index, columns) in doubted(keep).iter().enumerate() {
        made.push(format!("d{index}"));
        parts.push(together(columns));
    }
    let out = format!("COPY (SELECT {} FROM {} AS a) TO STDOUT", parts.join(", "), only(now));
    pour_into(old, new, &made, &out).await?;
    Ok(true)
}

/// Returns what the whole column holds now, where that is one value.
async fn constants(old: &mut Session, keep: &Keep) -> Result<Left, Error> {
    let mut found = Left::new();
    for (index, name) in compared_names(keep).enumerate() {
        let sql = format!(
            "SELECT min(c{index}) IS NOT DISTINCT FROM max(c{index}) AND count(c{index}) IN (0, count(*)), \
             min(c{index}), (SELECT t.typcategory IN ('S', 'E') OR t.typname IN ('char', 'json', 'jsonb', 'xml') \
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = {}::regclass \
             AND a.attname = {}) FROM {AFTER}",
            super::super::names::literal(&keep.table.sql()),
            super::super::names::literal(&name),
        );
        let rows = old.rows(DOING, &sql).await?;
        let Some(row) = rows.first().filter(|row| row.is(0)) else { continue };
        let field = row.maybe(1).map(|value| {
            let quoted = row.is(2) || value.is_empty() || value.contains([',', '"', '\n', '\r']);
            if quoted { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.to_string() }
        });
        found.insert(name, Returned::Constant(field));
    }
    Ok(found)
}

fn statement(keep: &Keep, names: &[String], left: &[(String, String)], doubt: Option<&str>) -> String {
    let old = only(&keep.table);
    let content = keep.table.is_large_objects().then(large_objects::content);
    let list: Vec<String> = names.iter().map(|name| text_of(name)).chain(content).collect();
    let list = list.join(", ");
    let held = |column: &Kept| is_held(&text_of(&column.name));
    if keep.now.is_none() && !keep.in_tree {
        let lost = |column| Kept::condition(column, held(column), String::new, "true");
        let filter: Vec<String> = keep.columns.iter().map(lost).collect();
        let filter = if keep.key.is_empty() { "true".to_string() } else { filter.join(" OR ") };
        return format!("SELECT {list} FROM {old} AS a WHERE {filter}");
    }
    if keep.key.is_empty() {
        return without_key(keep, &old, names, left, doubt);
    }
    let on = keep.key.iter().enumerate().map(|(index, (name, _))| format!("{} = b.k{index}", text(name)));
    let on = on.collect::<Vec<_>>().join(" AND ");
    if keep.what == SalvageKind::Rows {
        return format!(
            "SELECT {list} FROM {old} AS a WHERE NOT EXISTS (SELECT FROM {AFTER} AS b WHERE {on})"
        );
    }
    let place = |name: &str| place(keep, name);
    let left = left.iter().map(|(column, name)| format!(", b.c{} AS {}", place(column), identifier(name)));
    let differs = keep.columns.iter().map(|column| {
        let differs = || format!("{} IS DISTINCT FROM b.c{}", text(&column.name), place(&column.name));
        column.condition(held(column), differs, "true")
    });
    format!(
        "SELECT {list}{} FROM {old} AS a JOIN {AFTER} AS b ON {on} WHERE {}",
        left.collect::<String>(),
        differs.collect::<Vec<_>>().join(" OR ")
    )
}

fn place(keep: &Keep, name: &str) -> usize {
    compared_names(keep).position(|other| other == name).unwrap_or_default()
}

/// Within the rows that are alike, how many there are on each side decides. Beside each of them stands what the way back
/// left in one that is like it, which all of them together have in common; beside one too many its own values.
///
/// Inside, the columns are v0, v1 … by their places in `names`: one of the table's could be called as what is computed here.
fn without_key(
    keep: &Keep,
    old: &str,
    names: &[String],
    left: &[(String, String)],
    doubt: Option<&str>,
) -> String {
    let (group, all) = (together(&keep.identity), together(&whole(keep)));
    let own = |name: &String| names.iter().position(|other| other == name).unwrap_or_default();
    let numbered = names.iter().enumerate().map(|(place, name)| format!("{} AS v{place}", text_of(name)));
    let numbered = numbered.collect::<Vec<_>>().join(", ");
    let list = names.iter().enumerate().map(|(place, name)| format!("a.v{place} AS {}", identifier(name)));
    let list = list.collect::<Vec<_>>().join(", ");
    let is_there = |name: &String| whole(keep).contains(name);
    let gone: Vec<&String> =
        keep.columns.iter().map(|column| &column.name).filter(|name| !is_there(name)).collect();
    let lost = keep.columns.iter().filter(|column| column.is_lost()).map(|column| &column.name);
    let order: String = gone.iter().map(|name| format!(", {}", text(name))).collect();
    let held: String = lost.map(|name| format!(" OR {}", is_held(&format!("a.v{}", own(name))))).collect();
    // Rows of which fewer are there now are in the export of rows.
    let stays =
        if compared_names(keep).next().is_none() { "a.ripcord_place <= a.ripcord_now" } else { "true" };
    let chosen = match keep.what {
        SalvageKind::Rows => "a.ripcord_place > a.ripcord_now".to_string(),
        SalvageKind::Values => format!("a.ripcord_hit AND {stays}"),
    };
    let beside = left.iter().map(|(column, name)| {
        format!(
            ", CASE WHEN b.place IS NULL THEN a.v{}::text ELSE b.c{} END AS {}",
            own(column),
            place(keep, column),
            identifier(name)
        )
    });
    let beside: String = beside.collect();
    let (came, texts, doubt) = match doubt {
        Some(name) => in_doubt(keep, old, name),
        None => Default::default(),
    };
    let pairs = match left.is_empty() {
        true => String::new(),
        false => format!(
            " LEFT JOIN (SELECT x.*, row_number() OVER (PARTITION BY k0 ORDER BY x0) AS place FROM {AFTER} AS x) AS b \
             ON b.k0 = a.ripcord_group AND b.place = a.ripcord_place"
        ),
    };
    format!(
        "{came}SELECT {list}{beside}{doubt} FROM (SELECT a.*, bool_or(a.ripcord_all <> coalesce(x.n, 0){held}) \
         OVER (PARTITION BY a.ripcord_group) AS ripcord_hit, coalesce(k.n, 0) AS ripcord_now FROM \
         (SELECT {numbered}{texts}, {group} AS ripcord_group, {all} AS ripcord_whole, \
         row_number() OVER (PARTITION BY {group} ORDER BY 1{order}) AS ripcord_place, \
         count(*) OVER (PARTITION BY {all}) AS ripcord_all FROM {old} AS a) AS a \
         LEFT JOIN (SELECT k0, count(*) AS n FROM {AFTER} GROUP BY k0) AS k ON k.k0 = a.ripcord_group \
         LEFT JOIN (SELECT x0, count(*) AS n FROM {AFTER} GROUP BY x0) AS x ON x.x0 = a.ripcord_whole) AS a{pairs} \
         WHERE {chosen}"
    )
}

/// Returns what says of each row that is gone whether a row that came may be it, changed: the query of those that came, what a
/// row of before holds to be compared with them, and the column.
fn in_doubt(keep: &Keep, old: &str, name: &str) -> (String, String, String) {
    let came = format!(
        "WITH ripcord_came AS (SELECT x.* FROM (SELECT x.*, row_number() OVER (PARTITION BY k0) AS place FROM {AFTER} AS x) AS x \
         LEFT JOIN (SELECT {} AS k, count(*) AS n FROM {old} AS a GROUP BY 1) AS o ON o.k = x.k0 WHERE x.place > coalesce(o.n, 0)) ",
        together(&keep.identity)
    );
    let each = doubted(keep);
    let texts =
        each.iter().enumerate().map(|(at, columns)| format!(", {} AS ripcord_d{at}", together(columns)));
    let is = (0..each.len()).map(|at| format!("a.ripcord_d{at} IN (SELECT d{at} FROM ripcord_came)"));
    let is = is.collect::<Vec<_>>().join(" OR ");
    (came, texts.collect(), format!(", CASE WHEN {is} THEN '1' ELSE '0' END AS {}", identifier(name)))
}
