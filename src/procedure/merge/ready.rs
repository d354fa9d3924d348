//! What a merge needs, looked at while nothing is changed: salvage that is damaged is taken out of the snapshot again, or
//! what would have to do without it is refused.

use super::MergeRequest;
use super::kept::{is_rehearsed, look_through, not_taken, pieces};
use super::older::has_run;
use super::renew::{untried, way_back, way_back_of_then};
use super::sources::{Answered, sources};
use crate::base::hash::Hashed;
use crate::base::shell_word;
use crate::engine::ProofLevel;
use crate::history::{Direction, RevisionId};
use crate::plan::Plan;
use crate::procedure::snapshot::read_plan;
use crate::procedure::{Ports, Refusal, refused};
use crate::report::{Failure, Kind, Step};
use crate::store::{Backup, Damage};
use crate::tabular::{EXPORTS, Sidecar};
use std::collections::BTreeSet;

/// The upgrades whose salvage a downgrade brings back, as they were found before it runs.
#[derive(Default)]
pub(in crate::procedure) struct Ready {
    pub(super) upgrades: Vec<Answered>,
    /// What was read of them need not be read again.
    pub(in crate::procedure) hashed: Hashed,
}

/// Finds the salvage that a downgrade will bring back, and reads all of it. Refuses where some is not as it was written and
/// cannot be taken out of its snapshot again, as far as that can be known without trying.
pub(in crate::procedure) async fn ready(
    ports: &Ports<'_>,
    plan: &Plan,
    moved: &[String],
    rehearses: bool,
) -> Result<Ready, Failure> {
    if plan.direction == Direction::Up {
        return Ok(Ready::default());
    }
    let undone: Vec<RevisionId> = plan.scripts.iter().map(|script| script.revision.clone()).collect();
    let mut hashed = Hashed::default();
    let mut found = sources(ports, &undone, &plan.to, &moved.join("\n"), &[]).await.map_err(refused)?;
    found.look_through(&mut hashed);
    if let Some((id, damage)) = found.unreadable.first() {
        let unknown = Hindrance::Damage("nobody can tell what that upgrade did".to_string());
        return Err(without(Kind::Downgrade, (id, None), damage, &unknown));
    }
    for answered in found.upgrades.iter().filter(|answered| answered.damage.is_some()) {
        let hindrance = match rehearses {
            true => hindrance(ports, &answered.backup).await?,
            false => Some(Hindrance::NotRehearsed),
        };
        let no_way = || way_back(ports, &answered.plan).err().map(Hindrance::Other);
        if let Some(hindrance) = hindrance.or_else(no_way) {
            return Err(cannot(Kind::Downgrade, answered, &hindrance));
        }
    }
    Ok(Ready { upgrades: found.upgrades, hashed })
}

/// Reads all salvage of a backup that is to be merged by hand. Where some is not as it was written, returns the upgrade and
/// its way back by which it can be taken out of the snapshot again; refuses where it cannot.
pub(super) async fn by_hand(
    ports: &Ports<'_>,
    backup: &Backup,
    request: &MergeRequest,
) -> Result<Option<(Answered, Plan)>, Failure> {
    let damage = match pieces(backup) {
        Ok(pieces) => look_through(&pieces, &mut Hashed::default()).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let Some(damage) = damage else { return Ok(None) };
    let refuse = |hindrance: Hindrance| {
        without(Kind::MergeBack, (&backup.manifest.id, Some(backup)), &damage, &hindrance)
    };
    if let Some(hindrance) = hindrance(ports, backup).await? {
        return Err(refuse(hindrance));
    }
    if request.look || request.policy.proof != ProofLevel::Full {
        return Err(refuse(if request.look { Hindrance::DryRun } else { Hindrance::NotRehearsed }));
    }
    let plan = read_plan(backup).map_err(|error| refuse(Hindrance::Other(error.to_string())))?;
    let back = way_back_of_then(ports, backup, &plan).map_err(|why| refuse(Hindrance::Other(why)))?;
    Ok(Some((Answered { backup: backup.clone(), plan, damage: Some(damage.clone()) }, back)))
}

/// Returns the upgrade of a backup whose way back was never tried, or was another one, and has run since as it is now: what it
/// brought back by itself is not to be merged by hand.
pub(super) async fn not_tried(ports: &Ports<'_>, backup: &Backup) -> Option<(Answered, Plan, &'static str)> {
    if backup.manifest.kind != Kind::Upgrade {
        return None;
    }
    let answered = Answered { backup: backup.clone(), plan: read_plan(backup).ok()?, damage: None };
    let (back, why) = untried(ports, &answered)?;
    has_run(ports, backup, &back).await.then_some((answered, back, why))
}

/// Why salvage cannot be taken out of its snapshot again.
pub(super) enum Hindrance {
    /// It is only to be said what would be merged.
    DryRun,
    /// It was asked not to try anything on a copy.
    NotRehearsed,
    /// More than salvage is not as it was written.
    Damage(String),
    Other(String),
}

/// Returns what keeps the salvage of an upgrade from being taken out of its snapshot again, as far as its backup tells.
pub(super) async fn hindrance(ports: &Ports<'_>, backup: &Backup) -> Result<Option<Hindrance>, Failure> {
    let mut damage = ports.store.verify(backup, &ports.progress(Step::Preflight)).await.map_err(refused)?;
    damage.retain(|damage| !damage.is_of_journal_copy());
    let beyond: Vec<String> =
        damage.iter().filter(|damage| damage.of_salvage().is_none()).map(ToString::to_string).collect();
    if !beyond.is_empty() {
        return Ok(Some(Hindrance::Damage(beyond.join("; "))));
    }
    if !is_rehearsed(backup) {
        // Nothing was tried then, so that trying it now finds all there is to find.
        return Ok(None);
    }
    if not_taken(backup).is_some() {
        let why = "it was to be taken after the fact, which no rehearsal does again";
        return Ok(Some(Hindrance::Other(why.to_string())));
    }
    let listed = |path: &str| backup.manifest.artifacts.iter().any(|artifact| artifact.path == path);
    let is_later = |path: &&str| path.starts_with(EXPORTS) && !listed(path);
    let later = damage.iter().filter_map(Damage::of_salvage).find(is_later);
    Ok(later.map(|path| {
        Hindrance::Other(format!("{path} was salvaged after the fact, which no rehearsal does again"))
    }))
}

/// Refuses to do without the salvage of an upgrade.
pub(super) fn cannot(kind: Kind, answered: &Answered, hindrance: &Hindrance) -> Failure {
    let backup = &answered.backup;
    let damage = answered.damage.as_deref().unwrap_or_default();
    without(kind, (&backup.manifest.id, Some(backup)), damage, hindrance)
}

fn without(
    kind: Kind,
    (id, backup): (&str, Option<&Backup>),
    damage: &str,
    hindrance: &Hindrance,
) -> Failure {
    let by_table = || {
        format!(
            "put back the rows that a table had then, without what was written to it since: ripcord restore {id} --table {}",
            backup.map_or("TABLE".to_string(), tables)
        )
    };
    let back = || "go back without it: run the same command with --no-merge".to_string();
    let beside = format!(
        "put that snapshot, in which nothing is missing, beside this database: ripcord restore {id} --to URL"
    );
    let next = match (hindrance, kind) {
        (Hindrance::Damage(_), Kind::Downgrade) => vec![format!("ripcord backup verify {id}"), back()],
        (Hindrance::Damage(_), _) => vec![format!("ripcord backup verify {id}")],
        (Hindrance::DryRun, _) => {
            vec![format!(
                "without --dry-run it is taken out of that snapshot first: ripcord backup merge-back {id}"
            )]
        }
        (Hindrance::NotRehearsed, Kind::Downgrade) => vec![
            "take it out of that snapshot: run the same command with a rehearsal and a full proof"
                .to_string(),
            back(),
            beside,
        ],
        (Hindrance::NotRehearsed, _) => {
            vec!["take it out of that snapshot: run the same command with --proof full".to_string(), beside]
        }
        (Hindrance::Other(_), Kind::Downgrade) => vec![back(), beside],
        (Hindrance::Other(_), _) => vec![beside, by_table()],
    };
    let why = match hindrance {
        Hindrance::DryRun => DRY_RUN.to_string(),
        Hindrance::NotRehearsed => NOT_REHEARSED.to_string(),
        Hindrance::Damage(why) | Hindrance::Other(why) => why.clone(),
    };
    Failure {
        next,
        ..refused(Refusal::DamagedSalvage { backup: id.to_string(), detail: damage.to_string(), why })
    }
}

/// Why nothing is tried on a copy.
pub(super) const DRY_RUN: &str = "a dry run writes nothing";
pub(super) const NOT_REHEARSED: &str = "nothing was to be rehearsed";

/// Returns the tables of which a backup has salvage, for a command line, as far as its files say.
fn tables(backup: &Backup) -> String {
    let files = backup.vouched().into_keys().filter(|path| path.contains('/') && path.ends_with(".json"));
    let names = files.filter_map(|path| {
        let sidecar: Sidecar = serde_json::from_slice(&std::fs::read(backup.folder.join(path)).ok()?).ok()?;
        Some(shell_word(&sidecar.salvage?.table.to_string()))
    });
    let names: BTreeSet<String> = names.collect();
    match names.is_empty() {
        true => "TABLE".to_string(),
        false => names.into_iter().collect::<Vec<_>>().join(" --table "),
    }
}
