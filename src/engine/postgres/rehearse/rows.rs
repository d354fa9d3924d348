//! Comparing rows of two databases: the rows of one are streamed into a temporary table in a session of the other, and
//! the server joins them there. Values are compared by the text that a session with pinned settings prints.

use super::super::PostgresDatabase;
use super::super::large_objects::only;
use super::super::names::identifier;
use super::super::server::Server;
use super::super::session::{Purpose, Session};
use super::tree;
use crate::catalog::TableName;
use crate::engine::Error;
use crate::ledger::{Answers, Ask, Question, Recast, RowChanges, WholeRows};
use futures_util::StreamExt;

pub(super) const DOING: &str = "comparing rows";
/// The temporary table; its columns are k0, k1 … for the key, c0, c1 … for the columns.
pub(super) const AFTER: &str = "pg_temp.ripcord_after";
/// How much is sent at once; the server sends a message for each row.
const BLOCK: usize = 256 * 1024;

/// Answers the questions about the migrated database and `before`, which stayed as it was.
pub(super) async fn changes(
    copy: &PostgresDatabase,
    (server, before): (&Server, &str),
    questions: &[Question],
) -> Result<Answers, Error> {
    let mut answers = Answers::new();
    if questions.is_empty() {
        return Ok(answers);
    }
    let name = copy.application();
    let mut old = server.open(before, Purpose::Reading, &name).await?;
    let mut new = copy.server.open(&copy.id.name, Purpose::Reading, &name).await?;
    for question in questions {
        let changes = answer(&mut old, &mut new, question).await?;
        answers.insert(question.before.clone(), changes);
    }
    new.give_back().await;
    old.give_back().await;
    Ok(answers)
}

/// Counts the values that the type which their column had prints otherwise.
pub(super) async fn recast(copy: &PostgresDatabase, asked: &[Recast]) -> Result<Vec<u64>, Error> {
    let mut counts = Vec::with_capacity(asked.len());
    for Recast { now, column, type_name, .. } in asked {
        let mut session = copy.server.open(&copy.id.name, Purpose::Reading, &copy.application()).await?;
        let (new, old) = (text(column), format!("(a.{}::{type_name})", identifier(column)));
        let sql = format!(
            "SELECT count(*) FROM {} AS a WHERE {new} IS DISTINCT FROM ({old}::text COLLATE \"C\")",
            only(now)
        );
        let found = session.value(DOING, &sql).await;
        if matches!(found, Err(Error::Interrupted)) {
            return Err(Error::Interrupted);
        }
        // What its old type does not take, or is no type any more, was read the same, and that is all there is to know.
        let count = found.ok().flatten().and_then(|count| count.parse().ok());
        counts.push(count.unwrap_or_default());
        session.give_back().await;
    }
    Ok(counts)
}

async fn answer(old: &mut Session, new: &mut Session, question: &Question) -> Result<RowChanges, Error> {
    let mut changes = match &question.after {
        None => RowChanges::default(),
        Some(now) => match compare(old, new, question, now).await? {
            Some(found) => {
                let is_count = question.may_be_luck && counts(old, question).await?;
                let found = RowChanges { is_count, ..found };
                by_any_key(old, new, (question, now), found).await?
            }
            None => compare(old, new, &question.whole(), now).await?.unwrap_or_default(),
        },
    };
    if let Some(tree) = &question.tree {
        changes = tree::look((old, new), (question, tree), changes).await?;
    }
    if !question.held.is_empty() {
        let counts: Vec<String> =
            question.held.iter().map(|name| format!("count({})", identifier(name))).collect();
        let sql = format!("SELECT {} FROM {} AS a", counts.join(", "), only(&question.before));
        changes.held = question.held.iter().cloned().zip(numbers(old, &sql).await?).collect();
    }
    let rows = format!("FROM {} AS a", only(&question.before));
    changes.uniform.extend(uniform(old, &question.uniform, &rows).await?);
    Ok(changes)
}

/// Looks once more by everything beside the key, where that left rows open.
async fn by_any_key(
    old: &mut Session,
    new: &mut Session,
    (question, now): (&Question, &TableName),
    found: RowChanges,
) -> Result<RowChanges, Error> {
    let Some(beside) = question.beside_key(&found) else { return Ok(found) };
    let groups = compare(old, new, &beside, now).await?.unwrap_or_default();
    let told = question.by(&groups.told(&beside));
    if !told.key.is_empty()
        && let Some(otherwise) = compare(old, new, &told, now).await?
    {
        return Ok(found.or_found(question, otherwise));
    }
    Ok(found.or_grouped(question, &beside, groups))
}

/// Tells whether the key counted the rows before, one number after the other.
async fn counts(old: &mut Session, question: &Question) -> Result<bool, Error> {
    let [(name, _)] = question.key.as_slice() else { return Ok(false) };
    let sql = format!(
        "SELECT (count(*) = count(x.n) AND coalesce(max(x.n) - min(x.n) + 1 = count(*), false))::int FROM (SELECT CASE \
         WHEN {0} ~ '^-?[0-9]{{1,18}}$' THEN {0}::numeric END AS n FROM {1} AS a) AS x",
        text(name),
        only(&question.before)
    );
    Ok(numbers(old, &sql).await?.first() == Some(&1))
}

/// Compares the rows; `None` where the key that is one on one side only does not tell all rows apart on both.
async fn compare(
    old: &mut Session,
    new: &mut Session,
    question: &Question,
    now: &TableName,
) -> Result<Option<RowChanges>, Error> {
    bring(old, new, question, now).await?;
    let found = match tells(old, question).await {
        Ok(true) if question.key.is_empty() => without_key(old, question).await.map(Some),
        Ok(true) => by_key(old, question).await.map(Some),
        Ok(false) => Ok(None),
        Err(error) => Err(error),
    };
    drop_after(old).await?;
    found
}

/// Tells whether the key tells all rows apart on both sides, as far as that is open.
async fn tells(old: &mut Session, question: &Question) -> Result<bool, Error> {
    if !question.is_open {
        return Ok(true);
    }
    let before: Vec<String> = question.key.iter().map(|(name, _)| text(name)).collect();
    let after: Vec<String> = (0..question.key.len()).map(|index| format!("k{index}")).collect();
    let more = |list: &[String], table: &str| {
        let list = list.join(", ");
        format!(
            "(SELECT count(*) FROM {table}) - (SELECT count(*) FROM (SELECT DISTINCT {list} FROM {table}) AS x)"
        )
    };
    let (table, brought) = (format!("{} AS a", only(&question.before)), format!("{AFTER} AS b"));
    let sql = format!("SELECT {}, {}", more(&before, &table), more(&after, &brought));
    Ok(numbers(old, &sql).await?.iter().all(|more| *more == 0))
}

/// Returns those of these columns that hold one value in all rows.
async fn uniform(session: &mut Session, names: &[String], rows: &str) -> Result<Vec<String>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let tests = names.iter().map(|name| {
        let text = text(name);
        format!("(count({text}) IN (0, count(*)) AND min({text}) IS NOT DISTINCT FROM max({text}))::int")
    });
    let sql = format!("SELECT {} {rows}", tests.collect::<Vec<_>>().join(", "));
    let found = names.iter().zip(numbers(session, &sql).await?).filter(|(_, is)| *is == 1);
    Ok(found.map(|(name, _)| name.clone()).collect())
}

/// Returns what is brought over besides the key: the columns of now that are compared, each once, and those alike that are not among
/// them.
fn compared(question: &Question) -> Vec<&String> {
    let mut brought = Vec::new();
    for (_, other) in question.columns.iter().chain(&question.alike) {
        if !brought.contains(&other) {
            brought.push(other);
        }
    }
    brought
}

/// Returns the name under which a column was brought over.
fn brought(all: &[&String], name: &String) -> Option<String> {
    all.iter().position(|other| *other == name).map(|place| format!("c{place}"))
}

/// Brings the rows of the migrated table over.
pub(super) async fn bring(
    old: &mut Session,
    new: &mut Session,
    question: &Question,
    now: &TableName,
) -> Result<(), Error> {
    let key = question.key.iter().enumerate().map(|(index, (_, name))| (format!("k{index}"), name));
    let columns = compared(question).into_iter().enumerate();
    let columns = columns.map(|(index, name)| (format!("c{index}"), name));
    let parts: Vec<(String, &String)> = key.chain(columns).collect();
    let made: Vec<String> = parts.iter().map(|(made, _)| made.clone()).collect();
    let read: Vec<String> = parts.iter().map(|(_, name)| format!("{}::text", identifier(name))).collect();
    let out = format!("COPY (SELECT {} FROM {} AS a) TO STDOUT", read.join(", "), only(now));
    pour_into(old, new, &made, &out).await
}

/// Makes the temporary table with these columns and fills it with what `out` sends in the other session.
pub(super) async fn pour_into(
    old: &mut Session,
    new: &mut Session,
    columns: &[String],
    out: &str,
) -> Result<(), Error> {
    let columns: Vec<String> = columns.iter().map(|made| format!("{made} text COLLATE \"C\"")).collect();
    old.run(DOING, &format!("CREATE TEMPORARY TABLE ripcord_after ({})", columns.join(", "))).await?;
    pour(old, new, out).await.map_err(|error| new.failed(&error, DOING))?;
    old.run(DOING, &format!("ANALYZE {AFTER}")).await
}

/// Removes the temporary table.
pub(super) async fn drop_after(old: &mut Session) -> Result<(), Error> {
    old.run(DOING, &format!("DROP TABLE {AFTER}")).await
}

async fn pour(old: &mut Session, new: &mut Session, out: &str) -> Result<(), sqlx::Error> {
    let into = format!("COPY {AFTER} FROM STDIN");
    let mut sink = old.asking().copy_in_raw(&into).await?;
    let mut messages = new.asking().copy_out_raw(out).await?;
    let mut block = Vec::with_capacity(BLOCK);
    while let Some(message) = messages.next().await {
        block.extend_from_slice(&message?);
        if block.len() >= BLOCK {
            sink.send(block.as_slice()).await?;
            block.clear();
        }
    }
    drop(messages);
    new.answered();
    sink.send(block.as_slice()).await?;
    sink.finish().await?;
    old.answered();
    Ok(())
}

/// Returns the name of a column of the table before as the text that is compared.
pub(super) fn text(name: &str) -> String {
    format!("(a.{}::text COLLATE \"C\")", identifier(name))
}

/// Columns that no index promises to be filled are found by NULL as well, in a form that the server can hash.
pub(super) fn filled(text: &str) -> String {
    format!("coalesce('v' || {text}, '')")
}

async fn by_key(old: &mut Session, question: &Question) -> Result<RowChanges, Error> {
    let found_by = |text: String| if question.is_open { filled(&text) } else { text };
    let on = question.key.iter().enumerate();
    let on = on
        .map(|(index, (name, _))| format!("{} = {}", found_by(text(name)), found_by(format!("b.k{index}"))));
    let on = on.collect::<Vec<_>>().join(" AND ");
    let all = compared(question);
    let differs = question.columns.iter().filter_map(|(name, other)| Some((name, brought(&all, other)?)));
    let differs: Vec<String> =
        differs.map(|(name, other)| format!("{} IS DISTINCT FROM b.{other}", text(name))).collect();
    // Candidates for a rename are no change of the row.
    let own = question.columns.iter().zip(&differs).filter(|((one, other), _)| one == other);
    let own: Vec<&str> = own.map(|(_, differs)| differs.as_str()).collect();
    let any = if own.is_empty() { "false".to_string() } else { own.join(" OR ") };
    let counts: String =
        differs.iter().map(|differs| format!(", count(*) FILTER (WHERE {differs})")).collect();
    let table = only(&question.before);
    let rows = format!("FROM {table} AS a JOIN {AFTER} AS b ON {on}");
    let sql = format!(
        "SELECT (SELECT count(*) FROM {table} AS a), (SELECT count(*) FROM {AFTER}), count(*), \
         count(*) FILTER (WHERE {any}){counts} {rows}"
    );
    let found = numbers(old, &sql).await?;
    let both = found[2];
    let changes = RowChanges {
        inserted: found[1].saturating_sub(both),
        deleted: found[0].saturating_sub(both),
        changed: found[3],
        columns: question.columns.iter().cloned().zip(found[4..].iter().copied()).collect(),
        found_by: question.found_by(),
        ..RowChanges::default()
    };
    let uniform = uniform(old, &changes.like_others(), &rows).await?.into_iter().collect();
    Ok(RowChanges { uniform, ..changes })
}

async fn without_key(old: &mut Session, question: &Question) -> Result<RowChanges, Error> {
    let mut rows = WholeRows::new(question);
    while let Some(ask) = rows.next() {
        rows.take(match &ask {
            Ask::More(columns) => whole(old, question, columns).await?,
            Ask::Distinct(some, all) => {
                (distinct(old, question, some).await?, distinct(old, question, all).await?)
            }
            Ask::Grown(columns) => (grown(old, question, columns).await?, 0),
            Ask::Shared(columns, at) => (shared(old, question, (columns, *at)).await?, 0),
        });
    }
    Ok(rows.into_changes())
}

/// Returns how many rows there were before that are not alike in these columns.
async fn distinct(
    old: &mut Session,
    question: &Question,
    columns: &[(String, String)],
) -> Result<u64, Error> {
    let list: Vec<String> = columns.iter().map(|(name, _)| text(name)).collect();
    let (list, table) = (list.join(", "), only(&question.before));
    let sql = format!("SELECT count(*) FROM (SELECT DISTINCT {list} FROM {table} AS a) AS x");
    Ok(numbers(old, &sql).await?.first().copied().unwrap_or_default())
}

/// Returns how many rows there were more before and how many there are more now, by these columns together.
async fn whole(
    old: &mut Session,
    question: &Question,
    columns: &[(String, String)],
) -> Result<(u64, u64), Error> {
    let sql = format!(
        "SELECT coalesce(-sum(n) FILTER (WHERE n < 0), 0), coalesce(sum(n) FILTER (WHERE n > 0), 0) FROM ({}) AS y",
        counted(question, columns, "")
    );
    let found = numbers(old, &sql).await?;
    Ok((found[0], found[1]))
}

/// Returns how many values of the column at this place are in rows that there were more before, and in some that there are more
/// now as well.
async fn shared(
    old: &mut Session,
    question: &Question,
    (columns, at): (&[(String, String)], usize),
) -> Result<u64, Error> {
    let place = columns.get(at).and_then(|pair| brought(&compared(question), &pair.1));
    let value = place.map(|place| format!("{place} AS v, ")).unwrap_or_default();
    let sql = format!(
        "SELECT count(*) FROM (SELECT FROM ({}) AS y WHERE n <> 0 GROUP BY v HAVING min(n) < 0 AND max(n) > 0) AS z",
        counted(question, columns, &value)
    );
    Ok(numbers(old, &sql).await?.first().copied().unwrap_or_default())
}

/// Returns how many groups of rows that were alike in these columns before have more rows now.
async fn grown(old: &mut Session, question: &Question, columns: &[(String, String)]) -> Result<u64, Error> {
    let groups = counted(question, columns, "min(side) AS one, ");
    let sql = format!("SELECT count(*) FROM ({groups}) AS y WHERE n > 0 AND one < 0");
    Ok(numbers(old, &sql).await?.first().copied().unwrap_or_default())
}

/// Returns the query of the groups of rows that are alike in these columns: how many there are more now, as `n`, behind what else
/// is asked of each.
fn counted(question: &Question, columns: &[(String, String)], of_each: &str) -> String {
    let before: String = columns.iter().map(|(name, _)| format!(", {}", text(name))).collect();
    let all = compared(question);
    let after = columns.iter().filter_map(|(_, other)| brought(&all, other));
    let after: String = after.map(|place| format!(", {place}")).collect();
    format!(
        "SELECT {of_each}sum(side) AS n FROM (SELECT -1 AS side, 0 AS place{before} FROM {} AS a UNION ALL \
         SELECT 1, 0{after} FROM {AFTER}) AS x(side, place{after}) GROUP BY place{after}",
        only(&question.before),
    )
}

/// Returns the one row of counts that a query gives.
pub(super) async fn numbers(session: &mut Session, sql: &str) -> Result<Vec<u64>, Error> {
    let rows = session.rows(DOING, sql).await?;
    let row = rows.first();
    Ok(row.map(|row| (0..row.len()).map(|index| row.number(index)).collect()).unwrap_or_default())
}
