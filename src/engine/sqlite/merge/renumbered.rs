//! Rows that the way there and back gave the key of another one: an upgrade numbered them anew and its way back did not undo
//! that. As long as nobody has written, all of such a row becomes what the row of its key was. Where somebody has, all of the
//! table stays as it is ([`intact`](super::intact)): the rows that stand in the places of others would be lost.

use super::super::session::Session;
use super::DOING;
use super::feed::{Bound, Feed, value};
use super::target::{Known, Target, TargetColumn};
use super::told::{Look, Told};
use crate::catalog::quote;
use crate::engine::{Error, Mark, Piece, SAMPLE, Value};
use crate::ledger::SalvageKind;
use std::collections::HashMap;

/// A column in which rows got what others had.
pub(super) struct Moved {
    /// Its place among those of the target.
    pub index: usize,
    /// What all rows had; none where nobody knows what was left, because what somebody has written since hides it.
    then: Option<Told>,
}

/// Looks up whether another row had a value.
pub(super) struct Had<'s>(Option<Look<'s>>);

impl Moved {
    pub(super) fn look<'s>(&'s self, session: &'s Session) -> Result<Had<'s>, Error> {
        Ok(Had(self.then.as_ref().map(|then| then.look(session)).transpose()?))
    }
}

impl Had<'_> {
    /// Tells whether another row may have had the value that was left in one that had another value.
    pub(super) fn has(&mut self, left: Value<'_>) -> Result<bool, Error> {
        self.0.as_mut().map_or(Ok(true), |then| then.has(&[left]))
    }
}

/// Rows in which something else stood in one column after the way there and back than before.
struct Changed {
    /// The place of the column among those of the target.
    index: usize,
    rows: usize,
    /// How many of them hold text there.
    words: usize,
    /// By what stood there: the keys of these rows.
    keys: HashMap<Mark, Vec<Mark>>,
    /// By the same: how many rows had that before, and the key of one.
    then: HashMap<Mark, (usize, Mark)>,
}

/// What shows that rows have the keys of others.
#[derive(Default)]
pub(super) struct Renumbered {
    /// The columns in which most rows got what just one other row had. Values that many rows have say nothing.
    pub moved: Vec<Moved>,
    /// Whether whole rows did: in a column of text, or in all that not every row was left the same in. A number alone says
    /// nothing: one that is one more than it was is soon that of another row.
    pub whole: bool,
}

/// Looks whether rows of a piece have the keys of others.
pub(super) fn look(session: &Session, target: &Target<'_>, pieces: &[Piece]) -> Result<Renumbered, Error> {
    let piece = target.piece;
    let ([key], SalvageKind::Values) = (piece.salvage.key.as_slice(), piece.salvage.what) else {
        return Ok(Renumbered::default());
    };
    if target.recycled.apart {
        return Ok(Renumbered::default());
    }
    let mut changed = sample(session, target)?;
    let files = files(piece, pieces);
    for piece in &files {
        let Some(key) = piece.place_of(key) else { continue };
        let places = changed.iter().map(|one| piece.place_of(&target.columns[one.index].name));
        let places: Vec<Option<usize>> = places.collect();
        Feed::File(piece.source.as_ref()).each(session, &mut |values| {
            for (one, place) in changed.iter_mut().zip(&places) {
                let Some(had) = place.and_then(|place| Mark::of(values[place])) else { continue };
                if let (true, Some(key)) = (one.keys.contains_key(&had), Mark::of(values[key])) {
                    one.then.entry(had).or_insert((0, key)).0 += 1;
                }
            }
            Ok(())
        })?;
    }
    changed.retain(Changed::is_of_others);
    let is_word = changed.iter().any(|one| one.words * 2 > one.rows);
    if changed.is_empty() || !is_word && target.columns.len() < 2 {
        return Ok(Renumbered::default());
    }
    let found = changed.iter().map(|one| moved(session, target, one.index, &files));
    let moved = found.collect::<Result<_, _>>()?;
    Ok(Renumbered { moved, whole: is_word || has_whole(session, target, &files)? })
}

/// Returns the file of a piece, and those of rows of the same table whose keys are gone. What another backup has is of
/// another time.
fn files<'p>(piece: &'p Piece, pieces: &'p [Piece]) -> Vec<&'p Piece> {
    let gone = pieces.iter().filter(|other| other.turn == piece.turn).filter(|other| {
        let (own, other) = (&piece.salvage, &other.salvage);
        other.table == own.table && other.what == SalvageKind::Rows && other.key == own.key
    });
    std::iter::once(piece).chain(gone).collect()
}

/// Tells whether a row holds all that another one had, in two columns or more in which not all of them were left the same.
fn has_whole(session: &Session, target: &Target<'_>, files: &[&Piece]) -> Result<bool, Error> {
    let is_known = target.columns.iter().all(|column| !matches!(column.base, Known::Unknown(_)));
    let columns: Vec<&TargetColumn> = target.left_in_each().collect();
    if !is_known || columns.len() < 2 {
        return Ok(false);
    }
    let places = |file: &Piece| -> Option<Vec<usize>> {
        columns.iter().map(|column| file.place_of(&column.name)).collect()
    };
    let files = files.iter().filter_map(|file| Some((*file, places(file)?)));
    let table = format!("ripcord_rows_then_{}", target.index);
    let then = Told::read(session, table, &files.collect::<Vec<_>>(), (0..columns.len()).collect())?;
    let (mut look, mut found) = (then.look(session)?, false);
    Feed::File(target.piece.source.as_ref()).each(session, &mut |values| {
        let left: Vec<Value<'_>> = columns.iter().map(|column| column.base.value(values)).collect();
        let is_its_own = columns.iter().zip(&left).all(|(column, left)| left.is_same(values[column.place]));
        found = found || (!is_its_own && look.has(&left)?);
        Ok(())
    })?;
    Ok(found)
}

fn moved(session: &Session, target: &Target<'_>, index: usize, files: &[&Piece]) -> Result<Moved, Error> {
    let column = &target.columns[index];
    if !matches!(column.base, Known::Column(_)) {
        return Ok(Moved { index, then: None });
    }
    let own = files.iter().filter_map(|file| Some((*file, vec![file.place_of(&column.name)?])));
    let table = format!("ripcord_then_{}_{index}", target.index);
    let then = Told::read(session, table, &own.collect::<Vec<_>>(), vec![0])?;
    Ok(Moved { index, then: Some(then) })
}

/// Reads the first rows of that kind.
fn sample(session: &Session, target: &Target<'_>) -> Result<Vec<Changed>, Error> {
    let failed = |error| session.failed(DOING, error);
    // Numbers that the way back gives out anew are none of those that rows had.
    let can_differ = |index: &usize| {
        let column = &target.columns[*index];
        !matches!(column.base, Known::Constant(_)) && !column.makes_its_own
    };
    let fresh = |index| Changed { index, rows: 0, words: 0, keys: HashMap::new(), then: HashMap::new() };
    let mut changed: Vec<Changed> = (0..target.columns.len()).filter(can_differ).map(fresh).collect();
    let names: Vec<String> = target.columns.iter().map(|column| quote(&column.name)).collect();
    let sql =
        format!("SELECT {} FROM main.{} WHERE {}", names.join(", "), target.table.sql(), target.condition);
    let mut select = session.prepare(&sql).map_err(failed)?;
    Feed::File(target.piece.source.as_ref()).each(session, &mut |values| {
        let key = target.found(values).next().and_then(Mark::of);
        let (Some(key), true) = (key, changed.iter().any(|one| one.rows < SAMPLE)) else { return Ok(()) };
        let found = rusqlite::params_from_iter(target.found(values).map(Bound));
        let mut rows = select.query(found).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(()) };
        for one in changed.iter_mut().filter(|one| one.rows < SAMPLE) {
            let column = &target.columns[one.index];
            let theirs = value(row.get_ref(one.index).map_err(failed)?);
            let left = column.base.left(theirs, values);
            if let (Some(mark), false) = (Mark::of(left), left.is_same(values[column.place])) {
                one.keys.entry(mark).or_default().push(key.clone());
                one.rows += 1;
                one.words += usize::from(matches!(left, Value::Text(_)));
            }
        }
        Ok(())
    })?;
    Ok(changed)
}

impl Changed {
    fn is_of_others(&self) -> bool {
        let others = self.then.iter().filter(|(_, (count, _))| *count == 1).map(|(had, (_, key))| {
            self.keys.get(had).into_iter().flatten().filter(|own| *own != key).count()
        });
        others.sum::<usize>() * 2 > self.rows
    }
}
