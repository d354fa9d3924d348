//! Rows that are gone from a table, looked for in the others of its tree: partitions of the same table, and tables of the same
//! inheritance tree.
//!
//! A row counts as moved only where nothing else can be meant: of two rows under one key, or of a key that more than one table
//! of the tree had before, none is. Without a key they are moved only where the tree has none fewer than before; otherwise each
//! that has something of a row which came to another table of the tree may be that one.

use super::super::names::identifier;
use super::super::session::Session;
use super::rows::{AFTER, DOING, drop_after, numbers, pour_into, text};
use crate::catalog::TableName;
use crate::engine::Error;
use crate::ledger::{Member, Question, RowChanges, Tree};
use std::collections::BTreeMap;

/// Returns the changes where rows that are gone from the table are looked for in its tree as well.
pub(super) async fn look(
    (old, new): (&mut Session, &mut Session),
    (question, tree): (&Question, &Tree),
    found: RowChanges,
) -> Result<RowChanges, Error> {
    let is_own = |(one, other): &(String, String)| one == other && tree.key.contains(one);
    let by_own_key = question.after.is_none() || question.key.iter().all(is_own) && !question.key.is_empty();
    let is_open = question.after.is_none() || found.deleted + found.changed > 0;
    let others = tree.now.iter().any(|member| member.changed);
    if !is_open || !others || found.is_rekeyed || !found.found_by.is_empty() {
        return Ok(found);
    }
    match (tree.key.is_empty(), by_own_key) {
        (true, _) => whole(old, new, (question, tree), found).await,
        (false, true) => by_key(old, new, (question, tree), found).await,
        (false, false) => Ok(found),
    }
}

/// Tells whether a key is of one row in the whole tree before: rows of the table have keys that no other table of it has.
pub(super) async fn is_of_one_row(old: &mut Session, table: &TableName, tree: &Tree) -> Result<bool, Error> {
    if tree.is_one_key || tree.key.is_empty() {
        return Ok(true);
    }
    for member in tree.before.iter().filter(|member| tree.key.iter().all(|name| member.has(name))) {
        let sql = format!(
            "SELECT EXISTS (SELECT FROM ONLY {} AS a JOIN ONLY {} AS t ON {})",
            table.sql(),
            member.table.sql(),
            same(&tree.key)
        );
        if old.value(DOING, &sql).await?.as_deref() != Some("f") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn same(key: &[String]) -> String {
    let on = key.iter().map(|name| format!("a.{0} = t.{0}", identifier(name)));
    on.collect::<Vec<_>>().join(" AND ")
}

/// Returns the query of the rows that the tree has now, `list` of what each table of it has; of a key that is in the table
/// itself no other row.
pub(super) fn rows_now(tree: &Tree, list: impl Fn(&Member) -> String) -> String {
    let has_key = |member: &&Member| member.changed && tree.key.iter().all(|name| member.has(name));
    let own = tree.own.as_ref().filter(|own| tree.key.iter().all(|name| own.has(name)));
    let apart = own.filter(|_| !tree.key.is_empty()).map(|own| {
        format!(" WHERE NOT EXISTS (SELECT FROM ONLY {} AS t WHERE {})", own.table.sql(), same(&tree.key))
    });
    let apart = apart.unwrap_or_default();
    let own = own.map(|own| format!("SELECT {} FROM ONLY {} AS a", list(own), own.table.sql()));
    let others = tree.now.iter().filter(has_key);
    let others = others.map(|one| format!("SELECT {} FROM ONLY {} AS a{apart}", list(one), one.table.sql()));
    own.into_iter().chain(others).collect::<Vec<_>>().join(" UNION ALL ")
}

/// Returns a column of a table of the tree as text, as `a`; NULL where it has none.
pub(super) fn text_of(member: &Member, name: &String) -> String {
    match member.has(name) {
        true => format!("a.{}::text", identifier(name)),
        false => "NULL::text".to_string(),
    }
}

async fn by_key(
    old: &mut Session,
    new: &mut Session,
    (question, tree): (&Question, &Tree),
    found: RowChanges,
) -> Result<RowChanges, Error> {
    if !is_of_one_row(old, &question.before, tree).await? {
        return Ok(found);
    }
    let parts = || tree.own.iter().chain(tree.now.iter().filter(|member| member.changed));
    let pairs: Vec<(String, String)> = match question.after {
        Some(_) => question.columns.clone(),
        None => tree.columns.iter().map(|name| (name.clone(), name.clone())).collect(),
    };
    let is_there = |(_, name): &(String, String)| parts().any(|part| part.has(name));
    let pairs: Vec<(String, String)> = pairs.into_iter().filter(is_there).collect();
    let list = |member: &Member| {
        let names = tree.key.iter().chain(pairs.iter().map(|(_, name)| name));
        names.map(|name| text_of(member, name)).collect::<Vec<_>>().join(", ")
    };
    let keys: Vec<String> = (0..tree.key.len()).map(|at| format!("k{at}")).collect();
    let made: Vec<String> = keys.iter().cloned().chain((0..pairs.len()).map(|at| format!("c{at}"))).collect();
    pour_into(old, new, &made, &format!("COPY ({}) TO STDOUT", rows_now(tree, list))).await?;
    let compared = joined(old, (question, tree), &keys, &pairs).await;
    drop_after(old).await?;
    let [rows, both, changed, several, ref columns @ ..] = compared?[..] else { return Ok(found) };
    let gone = if question.after.is_none() { rows } else { found.deleted };
    let moved = (both + gone).saturating_sub(rows);
    if moved == 0 || several > 0 {
        return Ok(found);
    }
    let columns = pairs.into_iter().zip(columns.iter().copied()).collect();
    Ok(RowChanges { moved, deleted: rows - both, changed, columns, ..found })
}

/// Counts the rows before, those of them that are in the tree, those that changed, keys of several rows now, and of each
/// pair of columns the values that differ.
async fn joined(
    old: &mut Session,
    (question, tree): (&Question, &Tree),
    keys: &[String],
    pairs: &[(String, String)],
) -> Result<Vec<u64>, Error> {
    let on = tree.key.iter().zip(keys).map(|(name, key)| format!("{} = b.{key}", text(name)));
    let on = on.collect::<Vec<_>>().join(" AND ");
    let differs = pairs.iter().enumerate();
    let differs: Vec<String> =
        differs.map(|(at, (name, _))| format!("{} IS DISTINCT FROM b.c{at}", text(name))).collect();
    let own = pairs.iter().zip(&differs).filter(|((one, other), _)| one == other);
    let any: Vec<&str> = own.map(|(_, differs)| differs.as_str()).chain(["false"]).collect();
    let counts: String =
        differs.iter().map(|differs| format!(", count(*) FILTER (WHERE {differs})")).collect();
    let (table, keys) = (question.before.sql(), keys.join(", "));
    let sql = format!(
        "SELECT (SELECT count(*) FROM ONLY {table}), count(*), count(*) FILTER (WHERE {}), \
         (SELECT count(*) FROM (SELECT FROM {AFTER} GROUP BY {keys} HAVING count(*) > 1) AS x){counts} \
         FROM ONLY {table} AS a JOIN {AFTER} AS b ON {on}",
        any.join(" OR ")
    );
    numbers(old, &sql).await
}

/// Without a key: they moved only where no column is lost, and no row is gone. What is left of a row says nothing of where it
/// went, and of rows that are alike nobody can tell which of them went: then it is known in what they may be others of the tree.
async fn whole(
    old: &mut Session,
    new: &mut Session,
    (question, tree): (&Question, &Tree),
    found: RowChanges,
) -> Result<RowChanges, Error> {
    let changed = |members: &[Member]| -> Vec<Member> {
        members.iter().filter(|member| member.changed).cloned().collect()
    };
    let (was, is) = (changed(&tree.before), changed(&tree.now));
    let mut names = tree.columns.clone();
    names.retain(|name| tree.own.iter().chain(&was).chain(&is).all(|member| member.has(name)));
    if names.is_empty() {
        return Ok(found);
    }
    let list = |is_own: &str, member: &Member| {
        let texts: String = names.iter().map(|name| format!(", {}", text_of(member, name))).collect();
        format!("SELECT {is_own}{texts} FROM ONLY {} AS a", member.table.sql())
    };
    let own = tree.own.iter().map(|own| list("1", own));
    let out: Vec<String> = own.chain(is.iter().map(|one| list("0", one))).collect();
    let columns: Vec<String> = (0..names.len()).map(|at| format!("c{at}")).collect();
    let made: Vec<String> = std::iter::once("own".to_string()).chain(columns.iter().cloned()).collect();
    pour_into(old, new, &made, &format!("COPY ({}) TO STDOUT", out.join(" UNION ALL "))).await?;
    let before = |is_own: &str, table: &TableName| {
        let texts: String = names.iter().map(|name| format!(", {}", text(name))).collect();
        format!("SELECT {is_own}, 0, 1, 0{texts} FROM ONLY {} AS a", table.sql())
    };
    let sides = std::iter::once(before("1", &question.before));
    let sides: Vec<String> = sides.chain(was.iter().map(|one| before("0", &one.table))).collect();
    // Whether rows that are gone from the table, and some that came to others, hold the same in it.
    let shared = |column: &String| {
        format!(
            ", (SELECT count(*) FROM (SELECT FROM y GROUP BY {column} HAVING bool_or(o > n) AND bool_or(m - n > t - o)) AS z)"
        )
    };
    let shared: String = columns.iter().map(shared).collect();
    let columns = columns.join(", ");
    // How often each row was in the table and is, and in the whole tree.
    let sql = format!(
        "WITH y AS (SELECT sum(o) AS o, sum(n) AS n, sum(t) AS t, sum(m) AS m, {columns} FROM ({} UNION ALL \
         SELECT 0, own::int, 0, 1, {columns} FROM {AFTER}) AS x(o, n, t, m, {columns}) GROUP BY {columns}) \
         SELECT coalesce(sum(greatest(least(o - n, t - m), 0)), 0), coalesce(sum(greatest(least(n - o, m - t), 0)), 0), \
         coalesce(sum(greatest(o - n, 0)), 0){shared} FROM y",
        sides.join(" UNION ALL "),
    );
    let counted = numbers(old, &sql).await;
    drop_after(old).await?;
    let [gone, fresh, missing, ref shared @ ..] = counted?[..] else { return Ok(found) };
    if gone > 0 || missing == 0 || names.len() < tree.columns.len() {
        let mut may_be_in = found.may_be_in.clone();
        let others = names.into_iter().zip(shared).filter(|(_, count)| **count > 0).map(|(name, _)| name);
        may_be_in.extend(others.filter(|name| !found.may_be_in.contains(name)));
        return Ok(RowChanges { may_be_in, ..found });
    }
    let columns = BTreeMap::new();
    Ok(RowChanges { moved: missing, columns, ..RowChanges::of_whole_rows(gone, fresh) })
}
