//! A statement over all loaded rows that is tried in halves where a constraint refuses it, down to the rows that are
//! refused.

use super::super::errors;
use super::super::names::literal;
use super::super::session::Session;
use super::DOING;
use super::claims::{self, Claims};
use super::target::Target;
use crate::engine::Error;

/// Rows of the loaded table.
enum Part {
    All,
    /// Those that nothing is known against.
    Rest,
    /// Those in blocks from one number up to, not including, another one.
    Blocks(u64, u64),
    Places(Vec<String>),
}

impl Part {
    fn condition(&self) -> String {
        match self {
            Self::All | Self::Rest => "true".to_string(),
            Self::Blocks(from, to) => format!("(s.ctid >= '({from},0)'::tid AND s.ctid < '({to},0)'::tid)"),
            Self::Places(places) => {
                let list: Vec<String> = places.iter().map(|place| format!("\"{place}\"")).collect();
                format!("s.ctid = ANY ('{{{}}}'::tid[])", list.join(","))
            }
        }
    }
}

/// Runs the statement that `sql` makes of a condition on `s`; it gives one row of counts. Returns their sums, and whether
/// anything was refused, which is written down with its reason.
pub(super) async fn attempt(
    session: &mut Session,
    target: &Target<'_>,
    counts: usize,
    claims: Claims<'_>,
    sql: impl Fn(&str) -> String,
) -> Result<(Vec<u64>, bool), Error> {
    let mut sums = vec![0; counts];
    let mut refused = false;
    let mut open = vec![Part::All];
    session.run(DOING, &format!("DELETE FROM pg_temp.{}", target.refused)).await?;
    while let Some(part) = open.pop() {
        session.run(DOING, "SAVEPOINT ripcord_part").await?;
        let condition = match part {
            Part::All => part.condition(),
            _ => format!("{} AND {}", part.condition(), rest(target)),
        };
        match try_part(session, &sql(&condition)).await? {
            Ok(found) => {
                session.run(DOING, "RELEASE ripcord_part").await?;
                sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
            }
            Err(reason) => {
                session.run(DOING, "ROLLBACK TO ripcord_part; RELEASE ripcord_part").await?;
                // All at once is asked before each by itself is tried.
                if matches!(part, Part::All) && claims::blocked(session, target, claims).await? {
                    refused = true;
                    open.push(Part::Rest);
                    continue;
                }
                if let (Part::All | Part::Rest, Claims::Values(columns)) = (&part, claims)
                    && let Some(found) = claims::exchange(session, target, columns).await?
                {
                    sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
                    continue;
                }
                let parts = halves(session, target, part).await?;
                if let [Part::Places(places)] = parts.as_slice()
                    && let [place] = places.as_slice()
                {
                    refused = true;
                    let keep = format!(
                        "INSERT INTO pg_temp.{} VALUES ('{place}', {})",
                        target.refused,
                        literal(&reason)
                    );
                    session.run(DOING, &keep).await?;
                } else {
                    open.extend(parts);
                }
            }
        }
    }
    Ok((sums, refused))
}

/// The condition that nothing is known against a row.
pub(super) fn rest(target: &Target<'_>) -> String {
    format!("NOT EXISTS (SELECT FROM pg_temp.{} AS r WHERE r.place = s.ctid)", target.refused)
}

/// Runs a part; a refusal by a constraint (class 23) is an answer, anything else an error.
async fn try_part(session: &mut Session, sql: &str) -> Result<Result<Vec<u64>, String>, Error> {
    match session.query(sql).await {
        Ok(rows) => {
            let row = rows.first();
            Ok(Ok(row.map(|row| (0..row.len()).map(|at| row.number(at)).collect()).unwrap_or_default()))
        }
        Err(error) => match errors::server_error(&error) {
            Some(said) if said.code().starts_with("23") => Ok(Err(said.message().to_string())),
            _ => Err(session.failed(&error, DOING)),
        },
    }
}

/// Divides what was refused; one place alone is handed back as it is.
async fn halves(session: &mut Session, target: &Target<'_>, part: Part) -> Result<Vec<Part>, Error> {
    let (from, to) = match part {
        Part::All | Part::Rest => {
            let sql = format!(
                "SELECT pg_relation_size('pg_temp.{}') / current_setting('block_size')::bigint",
                target.loaded
            );
            let blocks = session.value(DOING, &sql).await?.and_then(|text| text.parse().ok()).unwrap_or(1);
            (0, blocks)
        }
        Part::Blocks(from, to) => (from, to),
        Part::Places(mut places) => {
            if places.len() <= 1 {
                return Ok(vec![Part::Places(places)]);
            }
            let second = places.split_off(places.len() / 2);
            return Ok(vec![Part::Places(second), Part::Places(places)]);
        }
    };
    if to - from > 1 {
        let middle = from + (to - from) / 2;
        return Ok(vec![Part::Blocks(middle, to), Part::Blocks(from, middle)]);
    }
    let sql = format!(
        "SELECT s.ctid FROM pg_temp.{} AS s WHERE {}",
        target.loaded,
        Part::Blocks(from, to).condition()
    );
    let rows = session.rows(DOING, &sql).await?;
    let mut places: Vec<String> = rows.iter().map(|row| row.text(0).to_string()).collect();
    let second = places.split_off(places.len() / 2);
    Ok([second, places].into_iter().filter(|places| !places.is_empty()).map(Part::Places).collect())
}
