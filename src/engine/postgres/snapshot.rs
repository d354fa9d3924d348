//! Taking a snapshot: `pg_dump` and our own readers see one instant, and everything is let go before it returns.

use super::PostgresDatabase;
use super::child::Children;
use super::database_level::{self, DatabaseLevel};
use super::exporter::{Exporter, is_small};
use super::fingerprint::sequences;
use super::session::Purpose;
use super::tools::Tools;
use crate::base::{Cancel, fs};
use crate::engine::{Error, Snapshot};
use crate::fingerprint::Inventory;
use crate::report::{Amount, Progress};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// The fact of a snapshot that says how far sequences were when the dump was whole: those that others moved meanwhile.
pub(super) const SEQUENCES: &str = "dump.sequences";

/// How long the server may take to show that our locks are gone.
const RELEASE: Duration = Duration::from_secs(10);

impl PostgresDatabase {
    pub(super) async fn take_snapshot(&self, folder: &Path, progress: &Progress) -> Result<Snapshot, Error> {
        let tools = self.tools().await?;
        // A standby gives no numbers; the snapshot is as good without.
        let before = self.unless_cancelled(self.before_snapshot()).await.ok();
        let mut exporter = self.unless_cancelled(self.export()).await?;
        let taken = self.dump_and_read(&mut exporter, tools, folder, progress).await;
        let taken = match taken {
            // While the instant is still held: what the live database says later may be of a later one.
            Ok(inventory) => {
                let rows = self.unless_cancelled(self.version_rows_at(&mut exporter)).await;
                // Last, and no reason to fail: one that was dropped meanwhile ends the transaction.
                let end = sequences(&mut exporter.session).await.ok();
                Error::no_revisions(rows).map(|rows| (inventory, rows, end))
            }
            Err(error) => Err(error),
        };
        exporter.release().await;
        let (inventory, version_rows, end) = taken?;
        self.remember_taken(&inventory, before);
        let level = self.unless_cancelled(self.write_level(folder, &inventory)).await?;
        make_private(folder)?;
        fs::sync_tree(folder).map_err(|source| io(folder, "synced", source))?;
        // The locks of the snapshot would make our own migration wait for us.
        self.nothing_held().await?;
        let mut facts = BTreeMap::from([
            ("dump.format".to_string(), "directory".to_string()),
            ("dump.roles".to_string(), level.roles.join(", ")),
            ("dump.subscriptions".to_string(), level.subscriptions.to_string()),
        ]);
        if let Some(moved) = end.map(|end| moved(&inventory.fingerprint.sequences, end)) {
            facts.insert(SEQUENCES.to_string(), serde_json::json!(moved).to_string());
        }
        let tools = tools.facts();
        let method = "pg_dump directory".to_string();
        Ok(Snapshot { inventory, version_rows, method, tools, sha256: BTreeMap::new(), facts })
    }

    /// Runs `pg_dump` and our readers side by side on the same exported snapshot; the failure of one ends the other.
    async fn dump_and_read(
        &self,
        exporter: &mut Exporter,
        tools: &Tools,
        folder: &Path,
        progress: &Progress,
    ) -> Result<Inventory, Error> {
        // Before the dump begins: sequences know no snapshot, and what is expected of a restored one must not be later than
        // what was dumped. Rows of the snapshot have got theirs by now.
        let given = self.unless_cancelled(sequences(&mut exporter.session)).await?;
        let stop = Cancel::new();
        let snapshot = exporter.snapshot.clone();
        let small = self.unless_cancelled(is_small(&mut exporter.session)).await?;
        let jobs = if small { 1 } else { self.options.jobs.max(1) };
        let dump = async {
            let dumped = self.pg_dump((&snapshot, jobs), tools, folder, progress, &stop).await;
            if dumped.is_err() {
                stop.cancel();
            }
            dumped
        };
        let read = async {
            let read = tokio::select! {
                read = self.inventory_at(exporter, progress) => read,
                () = stop.cancelled() => Err(Error::Interrupted),
            };
            if read.is_err() {
                stop.cancel();
            }
            read
        };
        let work = async { tokio::join!(dump, read) };
        let forward = async {
            self.options.cancel.cancelled().await;
            stop.cancel();
            std::future::pending::<()>().await;
        };
        let (dumped, read) = tokio::select! {
            both = work => both,
            () = forward => return Err(Error::Interrupted),
        };
        if self.options.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        match (dumped, read) {
            (Ok(()), read) => read.map(|mut inventory| {
                inventory.fingerprint.sequences = given;
                inventory
            }),
            // Whoever was merely told to stop is not the cause.
            (Err(dump), Err(read)) if dump.is_interrupted() => Err(read),
            (Err(dump), _) => Err(dump),
        }
    }

    pub(super) async fn pg_dump(
        &self,
        (snapshot, jobs): (&str, usize),
        tools: &Tools,
        folder: &Path,
        progress: &Progress,
        stop: &Cancel,
    ) -> Result<(), Error> {
        let name = self.application();
        let children = Children::new(&self.server, tools, &self.options.work_dir, &name)?;
        let wait = self.options.lock_timeout.as_millis();
        let mut tool = children
            .tool("pg_dump", &self.id.name)
            .args(["--format=directory", "--compress=1", "--no-password", "--verbose"])
            // Everything is synced once, when the files have their final modes.
            .arg("--no-sync")
            .arg(format!("--jobs={jobs}"))
            .arg(format!("--snapshot={snapshot}"))
            .arg(format!("--lock-wait-timeout={wait}"))
            .arg("--file")
            .arg(folder.join("dump"));
        if let Some(limit) = self.options.tool_timeout {
            tool = tool.timeout(limit);
        }
        tool.run_watched(stop, |line| {
            if let Some(table) = line.strip_prefix("pg_dump: dumping contents of table ") {
                progress.at(&format!("pg_dump {}", table.replace('"', "")), Amount::default(), None);
            }
        })
        .await?;
        Ok(())
    }

    async fn write_level(&self, folder: &Path, inventory: &Inventory) -> Result<DatabaseLevel, Error> {
        let mut session = self.reading_session().await?;
        let level = DatabaseLevel::read(&mut session, inventory.catalog.settings.clone()).await;
        session.give_back().await;
        let level = level?;
        let json = serde_json::to_vec_pretty(&level).map_err(|error| Error::Driver {
            doing: "writing down the database's own properties".to_string(),
            detail: error.to_string(),
        })?;
        for (file, bytes) in [
            (database_level::FILE, json),
            (database_level::SCRIPT, level.script().into_bytes()),
            (database_level::CREATE_SCRIPT, level.create_script().into_bytes()),
        ] {
            let place = folder.join(file);
            fs::write_durable(&place, &bytes).map_err(|source| io(&place, "written", source))?;
        }
        Ok(level)
    }

    /// Waits until the server shows no table lock of ours any more.
    async fn nothing_held(&self) -> Result<(), Error> {
        let mut session = self.server.open(&self.id.name, Purpose::Steering, &self.application()).await?;
        let sql = format!(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name = {} \
             AND a.datname = current_database() AND l.locktype = 'relation' AND l.pid <> pg_backend_pid() \
             AND l.relation >= 16384",
            super::names::literal(&self.application())
        );
        let released = tokio::time::timeout(RELEASE, async {
            loop {
                let held = session.value("looking whether our locks are gone", &sql).await?;
                if held.as_deref() == Some("0") {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        session.give_back().await;
        released.unwrap_or_else(|_| {
            let detail = "locks of the snapshot are still held".to_string();
            Err(Error::Busy { place: self.id.to_string(), detail })
        })
    }
}

/// Returns those of `end` that are not where they were.
fn moved(begin: &BTreeMap<String, i64>, end: BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    end.into_iter().filter(|(name, value)| begin.get(name) != Some(value)).collect()
}

/// `pg_dump` writes with the user's umask; what it wrote holds all data.
fn make_private(folder: &Path) -> Result<(), Error> {
    let dump = folder.join("dump");
    let set = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(|source| io(path, "made private", source))
    };
    set(&dump, 0o700)?;
    for entry in std::fs::read_dir(&dump).map_err(|source| io(&dump, "listed", source))? {
        let entry = entry.map_err(|source| io(&dump, "listed", source))?;
        set(&entry.path(), 0o600)?;
    }
    Ok(())
}

fn io(place: &Path, doing: &'static str, source: std::io::Error) -> Error {
    Error::Io { place: place.to_path_buf(), doing, source }
}
