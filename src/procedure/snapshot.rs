//! Taking a snapshot, proving it, publishing it: one backup, three steps.

use super::consent::{self, Consent, Given};
use super::rehearse::{Rehearsal, prove_and_rehearse};
use super::{Ports, Refusal, SnapshotPolicy, facts::Done, legs, rows_text, salvage, settle};
use crate::base::fs;
use crate::catalog::Severity;
use crate::engine::{Proof, ProofLevel, Snapshot};
use crate::fingerprint::Inventory;
use crate::journal::{Entry, Operation};
use crate::ledger::{self, Ledger};
use crate::plan::{Accepted, Plan};
use crate::report::{BackupFacts, Event, Failure, Kind, SalvageFacts, Step};
use crate::runbook::RunbookFacts;
use crate::store::{Backup, Draft, FORMAT, Manifest, ProofFacts};
use chrono::{DateTime, Utc};
use std::path::Path;

/// A published backup together with what the database looked like at its instant.
pub(super) struct Saved {
    pub backup: Backup,
    pub inventory: Inventory,
    /// What the rehearsal on the restored snapshot found out, if there was one.
    pub rehearsal: Option<Rehearsal>,
    /// What of the migration's losses is in it as files by themselves.
    pub salvage: Vec<SalvageFacts>,
    pub given: Given,
    /// What lies beside the database and the plan changes, where that is why there was no rehearsal.
    pub beyond: Option<String>,
}

impl Saved {
    /// Tells whether the migration was rehearsed on the rows of the snapshot.
    pub(super) fn rehearsed_rows(&self) -> bool {
        self.rehearsal.as_ref().is_some_and(|rehearsal| rehearsal.ledger.rows_seen)
    }

    pub(super) fn facts(&self) -> BackupFacts {
        BackupFacts {
            id: self.backup.manifest.id.clone(),
            place: self.backup.folder.clone(),
            bytes: self.backup.bytes(),
            proven: self.backup.manifest.proof.proven,
            salvage: self.salvage.clone(),
        }
    }
}

/// What a backup is taken for.
pub(super) struct Purpose<'a> {
    /// The id of the backup: the operation's own, or one derived from it.
    pub id: String,
    pub kind: Kind,
    pub plan: Option<&'a Plan>,
    /// Whether the plan is rehearsed on what the proof restores.
    pub rehearse: bool,
    /// Who consents to what the plan loses.
    pub consent: Option<&'a Consent>,
    /// What is known of the legs of which the plan is one: what they lose is asked for with the first of them.
    pub ahead: Option<&'a legs::Ahead<'a>>,
}

impl<'a> Purpose<'a> {
    /// Returns what is to be rehearsed: without statements there is nothing to find out.
    fn to_rehearse(&self) -> Option<&'a Plan> {
        let has_statements = |plan: &&Plan| plan.scripts.iter().any(|script| !script.statements.is_empty());
        self.plan.filter(|_| self.rehearse).filter(has_statements)
    }
}

/// Takes a snapshot, proves that it can be restored, and publishes it as a backup.
pub(super) async fn keep(
    ports: &Ports<'_>,
    op: &mut Operation,
    purpose: &Purpose<'_>,
    policy: &SnapshotPolicy,
) -> Result<Saved, Failure> {
    let draft = ports.store.draft(&purpose.id).await.map_err(|error| failed(op, Step::Snapshot, error))?;
    let place = draft.snapshot();
    // Before the snapshot, not after its proof: whoever restores must know since when writes are missing.
    let began = ports.clock.now();
    let mut taken = match op.step(Step::Snapshot, take(ports, &place)).await {
        Ok(done) => done.what,
        Err(failure) => return Err(discard(ports, draft, failure).await),
    };
    if let Some(moved) = purpose.plan.and_then(|plan| moved(plan, &taken)) {
        return Err(discard(ports, draft, failed(op, Step::Snapshot, moved)).await);
    }
    if let Some(text) = not_compared(&taken.inventory) {
        ports.observer.event(&Event::Note { text });
    }
    taken.facts.insert("proof.level".to_string(), policy.proof.word().to_string());
    // Read it back now: the moment the migration starts, this copy is the only one of the old data. What it is restored to
    // is what the migration is rehearsed on: one restore serves both.
    let Restored { proof, rehearsal, beyond } =
        match restored(ports, op, purpose, &draft, &taken, policy.proof).await {
            Ok(restored) => restored,
            Err(failure) => return Err(discard(ports, draft, failure).await),
        };

    // Before it is published, and after the copy is gone: a person may take long to answer.
    let given = match agreed(ports, op, purpose, (rehearsal.as_ref(), beyond.as_deref()), &taken).await {
        Ok(given) => given,
        Err(failure) => return Err(discard(ports, draft, failure).await),
    };

    let inventory = taken.inventory.clone();
    let salvaged = rehearsal.iter().flat_map(|rehearsal| &rehearsal.salvage);
    let salvage = salvaged.filter_map(salvage::facts).collect();
    let published =
        publish(ports, draft, taken, proof.as_ref(), purpose, began, (rehearsal.as_ref(), &given.accepted));
    let backup = op.step(Step::Publish, published).await?;
    op.write(Entry::Published { backup: backup.manifest.id.clone() })
        .map_err(|error| failed(op, Step::Publish, error))?;
    Ok(Saved { backup, inventory, rehearsal, salvage, given, beyond })
}

/// Says in one sentence what of a database is in the snapshot and is compared with nothing.
fn not_compared(inventory: &Inventory) -> Option<String> {
    let all = &inventory.fingerprint.not_compared;
    let named: Vec<String> =
        all.iter().take(3).map(|left| format!("{} ({})", left.subject, left.reason)).collect();
    let more = all.len().checked_sub(named.len()).filter(|more| *more > 0);
    let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
    (!named.is_empty()).then(|| format!("not compared: {}{more}", named.join(", ")))
}

/// Asks for consent to what the plan loses; to what nobody knows where it was not rehearsed.
async fn agreed(
    ports: &Ports<'_>,
    op: &mut Operation,
    purpose: &Purpose<'_>,
    (rehearsal, beyond): (Option<&Rehearsal>, Option<&str>),
    taken: &Snapshot,
) -> Result<Given, Failure> {
    let (Some(plan), Some(consent)) = (purpose.plan, purpose.consent) else { return Ok(Given::default()) };
    if let Some(foreseen) = rehearsal.map(|found| &found.foreseen).filter(|found| !found.wrong.is_empty()) {
        // Before anybody is asked: what was accepted would be put back all the same.
        let refusal = Refusal::Verification { count: foreseen.wrong.len() };
        let check = Some(Box::new(foreseen.clone()));
        return Err(Failure { check, ..failed(op, Step::Rehearse, refusal) });
    }
    let seen = ledger::folded(&taken.inventory);
    let found = match rehearsal {
        Some(rehearsal) => rehearsal.hazards.clone(),
        None => consent::unrehearsed(ports, plan, &seen)?,
    };
    let (plan, found) = match purpose.ahead {
        Some(ahead) => (ahead.whole(), ahead.with_all(found, &seen)),
        None => (plan, found),
    };
    consent::obtain(ports, op, plan, consent, (found, beyond.is_none())).await
}

/// Reads the snapshot back, as far as it is asked for, and rehearses the plan on what that restores.
async fn restored(
    ports: &Ports<'_>,
    op: &mut Operation,
    purpose: &Purpose<'_>,
    draft: &Draft,
    taken: &Snapshot,
    level: ProofLevel,
) -> Result<Restored, Failure> {
    let (place, id) = (draft.snapshot(), op.id().to_string());
    match (level, purpose.to_rehearse()) {
        (ProofLevel::None, _) => Ok(Restored::default()),
        (_, None) => {
            let proof = Some(op.step(Step::Prove, prove(ports, &place, taken, &id)).await?);
            Ok(Restored { proof, ..Restored::default() })
        }
        (_, Some(plan)) => {
            let keep = Some(draft.folder.as_path());
            let (proof, rehearsal) = prove_and_rehearse(ports, op, plan, &place, taken, keep).await?;
            let proof = Some(proof);
            match rehearsal {
                Ok(rehearsal) => Ok(Restored { proof, rehearsal: Some(rehearsal), beyond: None }),
                Err(beyond) => {
                    let text = format!("{}: nobody knows beforehand what it loses", beyond.failure);
                    ports.observer.event(&Event::Note { text });
                    Ok(Restored { proof, rehearsal: None, beyond: Some(beyond.what) })
                }
            }
        }
    }
}

/// What reading a snapshot back has shown.
#[derive(Default)]
struct Restored {
    proof: Option<Proof>,
    rehearsal: Option<Rehearsal>,
    /// What lies beside the database and the plan would change, where that is why it was not rehearsed.
    beyond: Option<String>,
}

/// Tells whether somebody has moved the database since it was planned: what the plan was made for is no longer there.
pub(super) fn moved(plan: &Plan, taken: &Snapshot) -> Option<Refusal> {
    if !settle::same(&taken.version_rows, &plan.from) {
        let (planned, found) = (rows_text(&plan.from), rows_text(&taken.version_rows));
        return Some(Refusal::RowsMoved { planned, found });
    }
    let schema = plan.schema.as_ref()?;
    (*schema != taken.inventory.catalog.sha256()).then_some(Refusal::SchemaMoved)
}

/// Saves the present state before it is replaced, whatever it is. One that is too broken to be read is said so, and kept
/// as it is by the swap: `None`.
pub(super) async fn keep_present(
    ports: &Ports<'_>,
    op: &mut Operation,
    id: String,
    policy: &SnapshotPolicy,
) -> Result<Option<Saved>, Failure> {
    let note = |text: String| ports.observer.event(&Event::Note { text });
    let purpose =
        Purpose { id, kind: Kind::Restore, plan: None, rehearse: false, consent: None, ahead: None };
    match keep(ports, op, &purpose, policy).await {
        Ok(saved) => {
            if let Some(worst) =
                saved.inventory.findings.iter().find(|found| found.severity == Severity::Error)
            {
                // The list may have a line for each page; all of it is in the backup.
                let detail: Vec<&str> = worst.detail.lines().take(2).collect();
                note(format!(
                    "the present database is not sound ({}: {}); it is saved as it is",
                    worst.subject,
                    detail.join(" ")
                ));
            }
            Ok(Some(saved))
        }
        Err(failure) if is_unreadable(&failure) => {
            note(format!("the present database cannot be read ({failure}); its files are kept beside it"));
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Tells whether it failed because the database itself cannot be read.
pub(super) fn is_unreadable(failure: &Failure) -> bool {
    failure.source.downcast_ref::<crate::engine::Error>().is_some_and(crate::engine::Error::is_unreadable)
}

pub(super) async fn take(ports: &Ports<'_>, place: &Path) -> Result<Done<Snapshot>, crate::engine::Error> {
    ports.go_on()?;
    let taken = ports.database.snapshot(place, &ports.progress(Step::Snapshot)).await?;
    let print = &taken.inventory.fingerprint;
    let facts =
        format!("{}: {}", taken.method, super::tables_and_rows(print.tables.len() as u64, print.rows()));
    Ok(Done { what: taken, facts })
}

async fn prove(
    ports: &Ports<'_>,
    place: &Path,
    taken: &Snapshot,
    operation: &str,
) -> Result<Proof, Box<dyn std::error::Error + Send + Sync>> {
    ports.go_on()?;
    let proof = ports.database.prove(place, taken, operation, &ports.progress(Step::Prove)).await?;
    if !proof.differences.is_empty() {
        return Err(Refusal::NotProven { differences: proof.differences }.into());
    }
    Ok(proof)
}

async fn publish(
    ports: &Ports<'_>,
    draft: Draft,
    taken: Snapshot,
    proof: Option<&Proof>,
    purpose: &Purpose<'_>,
    began: DateTime<Utc>,
    (rehearsal, accepted): (Option<&Rehearsal>, &[Accepted]),
) -> Result<Backup, Box<dyn std::error::Error + Send + Sync>> {
    let manifest = Manifest {
        created: began,
        accepted: accepted.to_vec(),
        ..manifest(ports, &taken, proof, purpose, &draft)?
    };
    let write = |name: &str, bytes: &[u8], mode: u32| {
        let place = draft.folder.join(name);
        fs::write_durable_mode(&place, bytes, mode).map_err(|source| Refusal::Io {
            place,
            doing: "written",
            source,
        })
    };
    write("before.json", &serde_json::to_vec_pretty(&taken.inventory)?, 0o600)?;
    write("RESTORE.sh", ports.database.restore_script(&taken).as_bytes(), 0o700)?;
    let salvage = rehearsal.map(|rehearsal| rehearsal.salvage.clone()).unwrap_or_default();
    let facts = RunbookFacts { salvage, ..RunbookFacts::of(&manifest) };
    write("RUNBOOK.md", crate::runbook::text(&facts).as_bytes(), 0o600)?;
    if let Some(plan) = purpose.plan {
        // After a crash `recover` judges by what was planned, not by what the project's files say then.
        let plan = Plan { accepted: accepted.to_vec(), ..plan.clone() };
        write("plan.json", &serde_json::to_vec_pretty(&plan)?, 0o600)?;
    }
    if let Some(Rehearsal { ledger, .. }) = rehearsal {
        write("ledger.json", &serde_json::to_vec_pretty(ledger)?, 0o600)?;
    }
    keep_migrations(ports, &draft, purpose.plan)?;
    ports.go_on()?;
    Ok(ports.store.publish(draft, manifest, &ports.progress(Step::Publish)).await?)
}

/// Keeps a copy of every revision file: the way down must be there even if the project has moved on.
fn keep_migrations(ports: &Ports<'_>, draft: &Draft, plan: Option<&Plan>) -> Result<(), Refusal> {
    // A backup by hand works without any project; a guarded change has just planned from these files.
    let Ok(files) = ports.runner.files() else { return Ok(()) };
    let folder = draft.folder.join("migrations");
    let io = |place: &Path, doing| {
        let place = place.to_path_buf();
        move |source| Refusal::Io { place, doing, source }
    };
    if files.is_empty() && plan.is_none() {
        return Ok(());
    }
    fs::create_private_dir(&folder).map_err(io(&folder, "created"))?;
    for file in files {
        let bytes = std::fs::read(&file).map_err(io(&file, "read"))?;
        let place = folder.join(file.file_name().unwrap_or(file.as_os_str()));
        fs::write_durable(&place, &bytes).map_err(io(&place, "written"))?;
    }
    Ok(())
}

fn manifest(
    ports: &Ports<'_>,
    taken: &Snapshot,
    proof: Option<&Proof>,
    purpose: &Purpose<'_>,
    draft: &Draft,
) -> Result<Manifest, Refusal> {
    let plan = purpose.plan;
    let proof = ProofFacts {
        level: proof.map_or("none", |proof| proof.level.word()).to_string(),
        proven: proof.is_some_and(|proof| proof.level == ProofLevel::Full),
        method: proof.map(|proof| proof.method.clone()).unwrap_or_default(),
        tables: proof.map_or(0, |proof| proof.tables),
        rows: proof.map_or(0, |proof| proof.rows),
    };
    let io = |source| Refusal::Io { place: draft.snapshot(), doing: "measured", source };
    let artifacts = draft.hashed(&taken.sha256).map_err(io)?;
    Ok(Manifest {
        format: FORMAT,
        id: purpose.id.clone(),
        kind: purpose.kind,
        created: ports.clock.now(),
        ripcord: env!("CARGO_PKG_VERSION").to_string(),
        database: ports.identity().clone(),
        engine_version: taken.inventory.version.clone(),
        from: taken.version_rows.clone(),
        to: plan.map_or_else(|| taken.version_rows.clone(), |plan| plan.to.clone()),
        method: taken.method.clone(),
        tools: taken.tools.clone(),
        facts: taken.facts.clone(),
        proof,
        artifacts,
        fingerprint: taken.inventory.fingerprint.clone(),
        catalog_sha256: taken.inventory.catalog.sha256(),
        accepted: Vec::new(),
        previous: None,
    })
}

/// Reads the plan of the operation that a backup was taken for.
pub(super) fn read_plan(backup: &Backup) -> Result<Plan, Refusal> {
    read_json(backup, "plan.json")
}

/// Reads what the rehearsal of the operation saw that a backup was taken for, if there was one.
pub(super) fn read_ledger(backup: &Backup) -> Result<Option<Ledger>, Refusal> {
    if !backup.folder.join("ledger.json").exists() {
        return Ok(None);
    }
    read_json(backup, "ledger.json").map(Some)
}

/// Reads `before.json` or `after.json` of a backup.
pub fn read_inventory(backup: &Backup, name: &str) -> Result<Inventory, Refusal> {
    read_json(backup, name)
}

fn read_json<T: serde::de::DeserializeOwned>(backup: &Backup, name: &str) -> Result<T, Refusal> {
    let unreadable = |detail: String| Refusal::Unreadable {
        backup: backup.manifest.id.clone(),
        name: name.to_string(),
        detail,
    };
    let bytes = std::fs::read(backup.folder.join(name)).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))
}

async fn discard(ports: &Ports<'_>, draft: Draft, failure: Failure) -> Failure {
    // The failure is the news; a draft that cannot be removed now is removed by `recover`.
    let _ = ports.store.discard(draft).await;
    failure
}

fn failed(op: &Operation, step: Step, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure {
        step: Some(step),
        operation: Some(op.id().to_string()),
        aftermath: op.aftermath(),
        ..Failure::refused(error)
    }
}
