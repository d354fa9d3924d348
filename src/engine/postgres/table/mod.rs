//! Putting single tables back: their rows are restored into a scratch database, and come from there into the live tables
//! in one transaction.
//!
//! Only what differs is written, because every row that is deleted and inserted again would take with it what refers to
//! it. What is not there is made by the statements that `pg_restore` has for it.

mod circle;
mod made;
mod parents;
mod rows;
mod saved;

use super::PostgresDatabase;
use super::merge::{sequences, triggers};
use super::names::{self, identifier, literal};
use super::restore::Build;
use super::session::{Purpose, Session};
use super::wait_watch::WaitWatch;
use super::writes::Present;
use crate::base::checkpoint;
use crate::catalog::{Catalog, TableName};
use crate::engine::{Error, RestoredTable};
use crate::report::{Amount, Event, Progress};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const DOING: &str = "putting tables back";

/// What is to be done.
#[derive(Clone, Copy)]
struct Task<'a> {
    tables: &'a [TableName],
    expected: &'a Catalog,
    /// What was saved of the live tables.
    present: &'a Present,
}

/// A table on its way.
struct Job {
    table: TableName,
    /// The columns that hold something, as the live table has them.
    columns: Vec<Column>,
    key: Vec<String>,
    /// The temporary table with the rows of the snapshot.
    loaded: String,
    created: bool,
    /// Whether keys of any table point to it.
    referred: Vec<Referrer>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    type_name: String,
    generated: bool,
    always_identity: bool,
}

/// A foreign key that points to a table.
struct Referrer {
    child: TableName,
    columns: Vec<String>,
    referred: Vec<String>,
}

impl PostgresDatabase {
    pub(super) async fn put_tables_back(
        &self,
        folder: &Path,
        tables: &[TableName],
        expected: &Catalog,
        operation: &str,
        progress: &Progress,
    ) -> Result<Vec<RestoredTable>, Error> {
        let present = self.present().ok_or_else(|| self.wrote_meanwhile())?;
        let task = Task { tables, expected, present: &present };
        self.move_mark().await?;
        let server = self.scratch_server()?;
        let name = names::scratch(operation);
        let fit = self.fit(server, folder).await?;
        let build = Build {
            server,
            name: &name,
            folder,
            schema_only: false,
            only: Some(tables),
            scratch: true,
            roles: fit.roles(),
            same_cluster: fit.same_cluster,
        };
        let put_back = async {
            self.build(&build, progress).await?;
            self.copy_from_scratch(&build, task, progress).await
        };
        let outcome = put_back.await;
        if !matches!(outcome, Err(Error::Exists { .. })) {
            // It holds rows, and must not stay; `tidy` looks for what could not be dropped now.
            let dropped = self.drop_built(server, &name).await;
            if let (Ok(_), Err(error)) = (&outcome, dropped) {
                // The tables are put back and committed: no reason to say that they are not.
                let text =
                    format!("the database {name}, a copy with their rows, could not be dropped: {error}");
                self.options.observer.event(&Event::Note { text });
            }
        }
        outcome
    }

    async fn copy_from_scratch(
        &self,
        build: &Build<'_>,
        task: Task<'_>,
        progress: &Progress,
    ) -> Result<Vec<RestoredTable>, Error> {
        let mut tries = self.retries();
        loop {
            let mut scratch = build.server.open(build.name, Purpose::Reading, &self.application()).await?;
            let mut session = self.server.open(&self.id.name, Purpose::Reading, &self.application()).await?;
            self.limit_waiting(&mut session).await?;
            let pid = session.pid().await?;
            let waits = WaitWatch::begin(self, &mut session).await?;
            let outcome = {
                let work = self.in_one_transaction(build, &mut scratch, &mut session, task, progress);
                let mut work = std::pin::pin!(work);
                tokio::select! {
                    done = &mut work => done,
                    () = self.options.cancel.cancelled() => Err(Error::Interrupted),
                }
            };
            let outcome = match outcome {
                Ok((own, done)) => {
                    checkpoint::reached("before the commit of tables");
                    self.commit(&mut session, own).await.map(|()| done)
                }
                Err(Error::Interrupted) => {
                    // A statement may be under way: only when its process has gone are its locks free.
                    self.end_backend(pid).await?;
                    return Err(Error::Interrupted);
                }
                Err(error) => {
                    let _ = session.execute("ROLLBACK").await;
                    Err(waits.named(self, error).await)
                }
            };
            checkpoint::reached("after the commit of tables");
            scratch.close().await;
            session.close().await;
            match outcome {
                Err(error) if error.is_locked() && self.try_again(&mut tries, &error).await? => {}
                other => return other,
            }
        }
    }

    async fn in_one_transaction(
        &self,
        build: &Build<'_>,
        scratch: &mut Session,
        session: &mut Session,
        task: Task<'_>,
        progress: &Progress,
    ) -> Result<(u64, Vec<RestoredTable>), Error> {
        let Task { tables, expected, present } = task;
        // Whatever the database's default: what is committed until the locks are granted must be seen.
        session.run(DOING, "BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let own = self.own_transaction(session).await?;
        let there = existing(session, tables).await?;
        if !there.is_empty() {
            let names: Vec<String> = there.iter().map(|table| format!("ONLY {}", table.sql())).collect();
            // Nobody may refer to a row meanwhile that is about to go; reading goes on.
            session.run(DOING, &format!("LOCK TABLE {} IN EXCLUSIVE MODE", names.join(", "))).await?;
            self.refuse_unsaved(session, &there, present).await?;
        }
        session.run(DOING, "SET CONSTRAINTS ALL IMMEDIATE").await?;
        let missing: Vec<&TableName> = tables.iter().filter(|table| !there.contains(table)).collect();
        refuse_orphans(session, &missing, expected).await?;
        let open = made::open_publications(session).await?;
        let scripts = self.scripts(build, scratch, &missing, (expected, &open)).await?;
        session.run("making a table as it was", &scripts.before).await?;
        // What the scripts of pg_restore set is for them.
        session.run(DOING, "SET search_path = ''").await?;
        let silenced = triggers::silence(session, &there).await?;
        let mut jobs = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let job = load(scratch, session, table, index, !there.contains(table), expected).await?;
            checkpoint::reached("the rows of a table are loaded");
            jobs.push(job);
        }
        let before = rows::count_all(session, &jobs).await?;
        rows::refuse_referred(session, &jobs).await?;
        session.run(DOING, "SAVEPOINT ripcord_rows").await?;
        if let Err(error) = write(session, &jobs).await {
            return Err(parents::named(session, &jobs, error).await);
        }
        session.run("making the indexes and constraints of a table", &scripts.after).await?;
        session.run("making a table a partition again", &scripts.attach).await?;
        session.run(DOING, "SET search_path = ''").await?;
        session.run(DOING, "SET CONSTRAINTS ALL IMMEDIATE").await?;
        let after = rows::count_all(session, &jobs).await?;
        for job in &jobs {
            rows::prove(session, job).await?;
        }
        triggers::restore(session, &silenced).await?;
        for job in &jobs {
            sequences::follow(session, &job.table, &[]).await?;
        }
        let done = jobs.into_iter().zip(before.into_iter().zip(after)).map(|(job, (rows_before, rows))| {
            progress.at(&job.table.to_string(), Amount { rows, bytes: 0 }, None);
            RestoredTable { table: job.table, created: job.created, rows_before, rows }
        });
        Ok((own, done.collect()))
    }
}

/// Makes the rows of all tables those of the snapshot.
async fn write(session: &mut Session, jobs: &[Job]) -> Result<(), Error> {
    let order = order(jobs);
    let groups: Vec<Vec<&Job>> = circle::groups(jobs, &order)
        .into_iter()
        .map(|group| group.into_iter().map(|index| &jobs[index]).collect())
        .collect();
    for group in groups.iter().rev() {
        match group.as_slice() {
            [job] => rows::delete(session, job).await?,
            all => circle::delete(session, all).await?,
        }
    }
    for group in &groups {
        match group.as_slice() {
            [job] => rows::write(session, job).await?,
            all => circle::write(session, all).await?,
        }
        checkpoint::reached("a table is put back");
    }
    Ok(())
}

async fn existing(session: &mut Session, tables: &[TableName]) -> Result<BTreeSet<TableName>, Error> {
    let mut there = BTreeSet::new();
    for table in tables {
        let sql = format!("SELECT relkind FROM pg_class WHERE oid = to_regclass({})", literal(&table.sql()));
        match session.value("looking for a table", &sql).await?.as_deref() {
            Some("r") => {
                there.insert(table.clone());
            }
            Some(_) => {
                let detail = "what has its name now is no ordinary table".to_string();
                return Err(Error::TableDiffers { table: table.clone(), detail });
            }
            None => {}
        }
    }
    Ok(there)
}

/// Fails when a table was a partition of one that is not there now.
async fn refuse_orphans(
    session: &mut Session,
    missing: &[&TableName],
    expected: &Catalog,
) -> Result<(), Error> {
    for table in missing {
        let options = expected.tables.get(*table).map(|table| &table.options);
        let is_part = options.is_some_and(|options| options.contains_key("partition"));
        let parent =
            options.and_then(|options| options.get("inherits")).and_then(|parent| TableName::parse(parent));
        let Some(parent) = parent.filter(|_| is_part) else { continue };
        let sql = format!("SELECT relkind FROM pg_class WHERE oid = to_regclass({})", literal(&parent.sql()));
        if session.value("looking for a table", &sql).await?.as_deref() != Some("p") {
            let detail = format!("it was a partition of {parent}, which is no partitioned table now");
            return Err(Error::TableDiffers { table: (*table).clone(), detail });
        }
    }
    Ok(())
}

/// Brings the rows of the snapshot over into a temporary table.
async fn load(
    scratch: &mut Session,
    session: &mut Session,
    table: &TableName,
    index: usize,
    created: bool,
    expected: &Catalog,
) -> Result<Job, Error> {
    let (then, now) = (columns(scratch, table).await?, columns(session, table).await?);
    refuse_other_columns(table, &then, &now)?;
    let columns: Vec<Column> = now.into_iter().filter(|column| !column.generated).collect();
    let list = list(&columns, "");
    let loaded = format!("ripcord_table_{index}");
    let create = format!(
        "CREATE TEMPORARY TABLE {loaded} ON COMMIT DROP AS SELECT {list} FROM ONLY {} WITH NO DATA",
        table.sql()
    );
    session.run(DOING, &create).await?;
    let out = format!("COPY (SELECT {list} FROM ONLY {}) TO STDOUT", table.sql());
    let poured = rows::pour(scratch, session, &out, &format!("COPY pg_temp.{loaded} FROM STDIN")).await;
    poured.map_err(|error| session.failed(&error, DOING))?;
    session.run(DOING, &format!("ANALYZE pg_temp.{loaded}")).await?;
    let key = expected.tables.get(table).map(|table| table.key.clone()).unwrap_or_default();
    let key = if key.iter().all(|part| columns.iter().any(|column| column.name == *part)) {
        key
    } else {
        Vec::new()
    };
    let referred = referrers(session, table).await?;
    Ok(Job { table: table.clone(), columns, key, loaded, created, referred })
}

fn list(columns: &[Column], of: &str) -> String {
    let names: Vec<String> =
        columns.iter().map(|column| format!("{of}{}", identifier(&column.name))).collect();
    names.join(", ")
}

async fn columns(session: &mut Session, table: &TableName) -> Result<Vec<Column>, Error> {
    let sql = format!(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '', a.attidentity = 'a' \
         FROM pg_attribute a WHERE a.attrelid = to_regclass({}) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        literal(&table.sql())
    );
    let rows = session.rows("reading the columns", &sql).await?;
    let column = |row: &super::session::Row| Column {
        name: row.text(0).to_string(),
        type_name: row.text(1).to_string(),
        generated: row.is(2),
        always_identity: row.is(3),
    };
    Ok(rows.iter().map(column).collect())
}

/// Fails when the columns are others, or of other types: what the rows mean then is nobody's to say.
fn refuse_other_columns(table: &TableName, then: &[Column], now: &[Column]) -> Result<(), Error> {
    let said = |columns: &[Column]| -> BTreeSet<String> {
        columns.iter().map(|column| format!("{} {}", identifier(&column.name), column.type_name)).collect()
    };
    let (then, now) = (said(then), said(now));
    let gone = then.difference(&now).map(|column| format!("{column} is gone"));
    let differ: Vec<String> =
        gone.chain(now.difference(&then).map(|column| format!("{column} is new"))).collect();
    if differ.is_empty() {
        return Ok(());
    }
    Err(Error::TableDiffers { table: table.clone(), detail: differ.join(", ") })
}

async fn referrers(session: &mut Session, table: &TableName) -> Result<Vec<Referrer>, Error> {
    let sql = format!(
        "SELECT k.oid, n.nspname, c.relname, a.attname, pa.attname FROM pg_constraint k \
         JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace, \
         unnest(k.conkey, k.confkey) WITH ORDINALITY AS x(own, other, place) \
         JOIN pg_attribute a ON a.attnum = x.own JOIN pg_attribute pa ON pa.attnum = x.other \
         WHERE k.contype = 'f' AND k.confrelid = to_regclass({}) AND a.attrelid = k.conrelid \
         AND pa.attrelid = k.confrelid ORDER BY k.oid, x.place",
        literal(&table.sql())
    );
    let mut found: BTreeMap<u32, Referrer> = BTreeMap::new();
    for row in session.rows("reading the keys", &sql).await? {
        let child = TableName::qualified(row.text(1), row.text(2));
        let entry = found.entry(row.number(0)).or_insert(Referrer {
            child,
            columns: Vec::new(),
            referred: Vec::new(),
        });
        entry.columns.push(row.text(3).to_string());
        entry.referred.push(row.text(4).to_string());
    }
    Ok(found.into_values().collect())
}

/// Orders the tables so that parents come before their children. A circle is cut where it is entered.
fn order(jobs: &[Job]) -> Vec<usize> {
    fn visit(index: usize, jobs: &[Job], seen: &mut BTreeSet<usize>, order: &mut Vec<usize>) {
        if !seen.insert(index) {
            return;
        }
        let is_parent = |other: &Job| other.referred.iter().any(|key| key.child == jobs[index].table);
        for parent in (0..jobs.len()).filter(|other| is_parent(&jobs[*other])) {
            visit(parent, jobs, seen, order);
        }
        order.push(index);
    }
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    (0..jobs.len()).for_each(|index| visit(index, jobs, &mut seen, &mut order));
    order
}
