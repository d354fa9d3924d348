//! Where a piece goes: the live table, as far as it still has what the piece is about.

use super::super::names::{identifier, is_held, is_null, literal};
use super::super::session::Session;
use super::given::{AllGiven, Given, given_to};
use super::live::{self, ForeignKey, LiveColumn};
use super::strangers::{self, Strangers};
use super::{DOING, fit, load, spread, undeclared};
use crate::base::counted;
use crate::catalog::TableName;
use crate::engine::{BOTH_CHANGED, Base, Error, Merged, OWN_VALUE, Piece};
use crate::ledger::{Doubts, SalvageKind};
use crate::report::Progress;
use std::collections::BTreeSet;

/// The live table of a piece (`t` in statements), and the temporary table that the piece was loaded into (`s`).
pub(super) struct Target<'p> {
    pub piece: &'p Piece,
    pub table: TableName,
    /// The temporary table; its columns are v0, v1 … as in the CSV.
    pub loaded: String,
    /// How many rows were loaded.
    pub rows: u64,
    /// Where the rows are kept that constraints refused: place and reason.
    pub refused: String,
    /// Without a key: the temporary table of the places of rows that were inserted.
    pub done: Option<String>,
    /// The condition that a loaded row and a live one are the same row.
    pub matches: String,
    /// The columns by which rows are found, with their places.
    pub found_by: Vec<(String, usize)>,
    pub columns: Vec<TargetColumn>,
    pub keys: Vec<ForeignKey>,
    /// Those, and what refers to rows without one.
    pub all_keys: Vec<ForeignKey>,
    /// Whether the live table promises that the key is of one row.
    pub unique: bool,
    /// Whether other tables inherit from it, whose rows are read with its own.
    pub inherited: bool,
    /// Whether every column of the live table is put back, computed, or one by which rows are found.
    pub is_whole: bool,
    /// The condition that a live row with the key of a loaded one may be another row; none when there is no such row.
    pub retaken: Option<String>,
    /// How many loaded rows are found by another key than that of then, because users changed it.
    pub found_anew: u64,
    /// Whether no column tells whether that is so.
    pub untold: bool,
    /// Which rows are taken for those of then by their key alone.
    pub doubts: Doubts,
    /// Whether `moved` stands beside the loaded rows: such a row is put back as a whole or not at all.
    pub renumbered: bool,
    /// Whether whole rows were numbered anew, so that all of the table comes back or nothing.
    pub whole: bool,
    /// Whether somebody has written since to a table whose rows were numbered anew, so that all of it stays as it is.
    pub broken: bool,
    /// The places of columns with values that their type does not take now.
    pub misfits: BTreeSet<usize>,
}

/// A column that is put back.
#[derive(Clone)]
pub(super) struct TargetColumn {
    pub name: String,
    pub place: usize,
    /// Whether theirs is ours.
    pub same: String,
    /// Whether ours is what the way back left, so that nothing is lost, whatever was written since; none where that cannot be.
    pub kept: Option<String>,
    /// Whether ours is not theirs, where theirs is what the way back left.
    pub differs: String,
    /// Whether theirs is what the way back left.
    pub is_base: String,
    /// What the way back left, as text.
    pub base: String,
    /// Whether ours may be put there at all, as far as that can be told beforehand.
    pub fits: String,
    /// Whether ours would refer to a row that is another one now; none where that cannot be.
    pub stranger: Option<String>,
    /// Whether theirs is a key of which nobody knows whether rows mean this one; none where that cannot be.
    pub undecided: Option<String>,
    /// Why theirs is left, where it is neither ours nor what the way back left.
    pub changed: &'static str,
    /// Whether other rows refer to it and lose what they refer to when it changes (`ON UPDATE SET NULL`, `SET DEFAULT`).
    pub would_take_along: bool,
    /// Whether each row gets a value of its own where nobody names one.
    pub makes_its_own: bool,
    /// Whether it holds text, which is nobody else's by chance.
    pub is_word: bool,
    /// `GENERATED ALWAYS AS IDENTITY`, which no update may set.
    pub always_identity: bool,
    /// What may stand there for a moment and no other row has, if the type has such values; `m.number` is the row's own.
    pub vacant: Option<String>,
}

/// What is known of the database before a piece is loaded.
#[derive(Clone, Copy)]
pub(super) struct Known<'k> {
    pub given: &'k AllGiven,
    pub strangers: &'k [Strangers],
}

impl<'p> Target<'p> {
    /// Looks at the live table and loads the piece; returns what is skipped, and why.
    pub(super) async fn load(
        session: &mut Session,
        piece: &'p Piece,
        index: usize,
        Known { given, strangers }: Known<'_>,
        progress: &Progress,
    ) -> Result<(Option<Self>, Vec<Merged>), Error> {
        let skip = |why: &str| Ok((None, vec![Merged::skipped(&piece.salvage, None, why)]));
        let table = piece.salvage.table.clone();
        if table.is_large_objects() {
            // Who refers to one by its number cannot be seen, so that none is put back unasked.
            return skip("large objects are put back by hand: SELECT lo_from_bytea(number, content)");
        }
        let live = live::columns(session, &table).await?;
        if live.is_empty() {
            return skip(&match live::is_there(session, &table).await? {
                // All rows are alike, so that nobody can tell which of them are there.
                true => format!(
                    "it has no columns now; put {} back by hand: INSERT INTO {} DEFAULT VALUES",
                    counted(piece.rows, "row"),
                    table.sql()
                ),
                false => "there is no such table now".to_string(),
            });
        }
        let find = |wanted: &str| live.iter().find(|column| column.name == wanted);
        if let Some(gone) = piece.matched_by().iter().find(|wanted| find(wanted).is_none()) {
            return skip(&format!("column {gone}, by which rows are found, is not there now"));
        }
        let whole_rows = piece.salvage.what == SalvageKind::Rows;
        let lacking =
            |column: &&LiveColumn| column.is_required() && !piece.salvage.columns.contains(&column.name);
        if let Some(required) = live.iter().find(lacking).filter(|_| whole_rows) {
            return skip(&format!("column {}, which is not salvaged, must have a value now", required.name));
        }
        let mut skipped = Vec::new();
        let mut wanted = Vec::new();
        for name in &piece.salvage.columns {
            match find(name) {
                None => {
                    skipped.push(Merged::skipped(&piece.salvage, Some(name), "there is no such column now"))
                }
                Some(column) if column.generated => {
                    skipped.push(Merged::skipped(&piece.salvage, Some(name), "the column is generated now"));
                }
                Some(column) => wanted.push(column),
            }
        }
        let loaded = format!("ripcord_piece_{index}");
        let load::Loaded { misfits, unfit, rows } =
            load::load(session, piece, &table, &live, &loaded, progress).await?;
        let rows = rows - load::leave_out(session, piece, (&table, &live), (&loaded, &misfits)).await?;
        let rows = rows - spread::leave_out(session, piece, &loaded, |place| shown(place, &misfits)).await?;
        if let Some(name) = piece.matched_by().iter().find(|name| unfit.contains(name)) {
            return skip(&format!("column {name}, by which rows are found, has another type now"));
        }
        let why = "the type of the column takes neither some of the values nor NULL in their place now";
        for name in unfit.iter().filter(|name| wanted.iter().any(|column| column.name == **name)) {
            skipped.push(Merged::skipped(&piece.salvage, Some(name), why));
        }
        let keys = live::foreign_keys(session, &table).await?;
        let all_keys = [keys.clone(), undeclared::of(session, &table).await?].concat();
        let fitting = wanted.into_iter().filter(|column| !unfit.contains(&column.name));
        let of = |column: &LiveColumn| {
            let found =
                TargetColumn::of(piece, column, &keys, &misfits, given_to(given, piece, &column.name));
            found.map(|found| found.away_from(&met((piece, &all_keys), strangers, &column.name)))
        };
        let columns: Vec<TargetColumn> = fitting.filter_map(of).collect();
        if columns.is_empty() {
            return Ok((None, skipped));
        }
        let found_by: Vec<(String, usize)> = piece
            .matched_by()
            .iter()
            .filter_map(|name| Some((name.clone(), piece.place_of(name)?)))
            .collect();
        let matches: Vec<String> = found_by
            .iter()
            .filter_map(|(name, place)| {
                Some(find(name)?.equals(&format!("t.{}", identifier(name)), &format!("s.v{place}")))
            })
            .collect();
        let refused = format!("ripcord_refused_{index}");
        session
            .run(DOING, &format!("CREATE TEMPORARY TABLE {refused} (place tid, reason text) ON COMMIT DROP"))
            .await?;
        let unique = live::is_unique(session, &table, piece.matched_by()).await?;
        let inherited = live::is_inherited(session, &table).await?;
        let is_known = |column: &LiveColumn| {
            column.generated
                || columns.iter().any(|put| put.name == column.name)
                || piece.matched_by().contains(&column.name)
        };
        let is_whole = live.iter().all(is_known);
        let matches = matches.join(" AND ");
        let target = Self {
            piece,
            table,
            loaded,
            rows,
            refused,
            done: None,
            matches,
            found_by,
            columns,
            keys,
            all_keys,
            unique,
            inherited,
            is_whole,
            retaken: None,
            found_anew: 0,
            untold: false,
            doubts: Doubts::default(),
            renumbered: false,
            whole: false,
            broken: false,
            misfits,
        };
        target.note_left(session, given).await?;
        Ok((Some(target), skipped))
    }

    /// Leaves theirs wherever ours would refer to one of these rows.
    pub(super) fn keep_away(&mut self, strangers: &[Strangers]) {
        for column in &mut self.columns {
            *column = column.clone().away_from(&met((self.piece, &self.all_keys), strangers, &column.name));
        }
    }

    /// Returns the live table and the loaded one, joined.
    pub(super) fn joined(&self) -> String {
        format!("pg_temp.{} AS s JOIN ONLY {} AS t ON {}", self.loaded, self.table.sql(), self.matches)
    }

    /// Tells whether a change of other rows can change what was written here.
    pub(super) fn follows(&self) -> bool {
        self.keys.iter().any(|key| key.follows)
    }

    /// Returns what identifies a loaded row, as an expression; where nothing does, what was salvaged of it.
    pub(super) fn key(&self) -> String {
        let part = |(name, place): (&String, usize)| format!("{} AS {}", self.ours(place), identifier(name));
        let by: Vec<String> = match self.found_by.is_empty() {
            true => self.columns.iter().map(|column| part((&column.name, column.place))).collect(),
            false => self.found_by.iter().map(|(name, place)| part((name, *place))).collect(),
        };
        object(&by.join(", "))
    }

    /// Returns where these columns stand, if all of them are put back.
    pub(super) fn places(&self, names: &[String]) -> Option<Vec<usize>> {
        let place = |name: &String| Some(self.columns.iter().find(|column| column.name == *name)?.place);
        names.iter().map(place).collect()
    }

    /// Returns a loaded value to be shown, also one that its type does not take.
    pub(super) fn ours(&self, place: usize) -> String {
        shown(place, &self.misfits)
    }

    /// Returns the condition that a value of a loaded row is one that its type does not take; none when all are taken.
    pub(super) fn has_misfit(&self) -> Option<String> {
        self.has_misfit_in(0..self.piece.columns.len())
    }

    /// Returns the condition that a value by which a loaded row is found is one that its type does not take.
    pub(super) fn is_found_by_misfit(&self) -> Option<String> {
        self.has_misfit_in(self.found_by.iter().map(|(_, place)| *place))
    }

    fn has_misfit_in(&self, places: impl Iterator<Item = usize>) -> Option<String> {
        let misfits = places.filter(|place| self.misfits.contains(place));
        let parts: Vec<String> =
            misfits.map(|place| format!("s.{} IS NOT NULL", fit::beside(place))).collect();
        (!parts.is_empty()).then(|| format!("({})", parts.join(" OR ")))
    }
}

/// Returns the conditions that a column of a loaded row would refer to a row that is another one now.
fn met((piece, keys): (&Piece, &[ForeignKey]), known: &[Strangers], column: &String) -> Vec<String> {
    let own = keys.iter().filter(|key| key.columns.contains(column));
    own.filter_map(|key| strangers::met(known, key, |name| Some(held(piece, name)))).collect()
}

/// Returns what a row holds in a column once the piece is put back: of a key some columns may never have been lost.
fn held(piece: &Piece, name: &str) -> String {
    match piece.place_of(name).filter(|_| piece.salvage.columns.iter().any(|own| own == name)) {
        Some(place) => format!("s.v{place}"),
        None => format!("t.{}", identifier(name)),
    }
}

/// Returns the expression of a JSON object with these columns.
pub(super) fn object(list: &str) -> String {
    // A name alone is a column first, and a table may have one called `x`; before a dot it is never one.
    format!("(SELECT row_to_json(x.*)::text FROM (SELECT {list}) AS x)")
}

pub(super) fn shown(place: usize, misfits: &BTreeSet<usize>) -> String {
    match misfits.contains(&place) {
        true => format!("coalesce(s.{}, s.v{place}::text)", fit::beside(place)),
        false => format!("s.v{place}"),
    }
}

/// Returns the condition that the type takes a loaded value; none when it takes all of them.
fn is_taken(place: usize, misfits: &BTreeSet<usize>) -> Option<String> {
    misfits.contains(&place).then(|| format!("s.{} IS NULL", fit::beside(place)))
}

fn settled(same: &str, kept: Option<&str>) -> String {
    kept.map_or_else(|| same.to_string(), |kept| format!("({same} OR {kept})"))
}

impl TargetColumn {
    fn of(
        piece: &Piece,
        column: &LiveColumn,
        keys: &[ForeignKey],
        misfits: &BTreeSet<usize>,
        given: Option<&Given>,
    ) -> Option<Self> {
        let place = piece.place_of(&column.name)?;
        let taken = is_taken(place, misfits);
        let (theirs, ours) = (format!("t.{}", identifier(&column.name)), format!("s.v{place}"));
        let (mut is_base, mut base) = match piece.base(&column.name) {
            Base::Constant(None) => (format!("({})", is_null(&theirs)), "NULL::text".to_string()),
            Base::Constant(Some((text, _))) => {
                (live::is_text(&text, &theirs), format!("{}::text", literal(&text)))
            }
            Base::Column(place) => {
                let same = column.same(&theirs, &format!("s.v{place}"));
                // What the type does not take now nobody can have left as it was.
                let is_base = match is_taken(place, misfits) {
                    Some(taken) => format!("({taken} AND {same})"),
                    None => same,
                };
                (is_base, format!("{}::text", shown(place, misfits)))
            }
            Base::Unknown => {
                let default = column.constant_default();
                let default =
                    default.map(|default| format!(" OR {}", column.same(&theirs, &format!("({default})"))));
                (format!("({}{})", is_null(&theirs), default.unwrap_or_default()), "NULL::text".to_string())
            }
        };
        match given {
            // The copy got another one.
            Some(Given::One(text)) => {
                let value = format!("({}::{})", literal(text), column.type_name);
                (is_base, base) = (column.same(&theirs, &value), format!("{value}::text"));
            }
            Some(Given::Each(each)) => is_base = format!("({} OR {is_base})", each.is_left(place)),
            None => {}
        }
        let mut fits: Vec<String> = taken.iter().cloned().collect();
        if column.not_null {
            fits.push(is_held(&ours));
        }
        // The columns of a key go together: of one whose row is gone none is put back.
        for key in keys.iter().filter(|key| key.columns.contains(&column.name)) {
            let salvaged =
                |name: &String| piece.place_of(name).filter(|_| piece.salvage.columns.contains(name));
            let Some(places) = key.columns.iter().map(salvaged).collect::<Option<Vec<usize>>>() else {
                continue;
            };
            let nulls: String = places.iter().map(|place| is_null(&format!("s.v{place}")) + " OR ").collect();
            let on = places.iter().zip(&key.referred);
            let on: Vec<String> =
                on.map(|(place, name)| format!("p.{} = s.v{place}", identifier(name))).collect();
            let parent = key.parent.sql();
            fits.push(format!("({nulls}EXISTS (SELECT FROM {parent} AS p WHERE {}))", on.join(" AND ")));
        }
        let mut same = column.same(&theirs, &ours);
        if let Some(taken) = &taken {
            same = format!("({taken} AND {same})");
        }
        let kept = match piece.base(&column.name) {
            // A key made anew may be the same on the copy by accident, and another row's in the real run.
            _ if piece.puts_key(&column.name) => None,
            Base::Column(base)
                if given.is_none() && !misfits.contains(&base) && !misfits.contains(&place) =>
            {
                Some(column.same(&format!("s.v{base}"), &ours))
            }
            _ => None,
        };
        let differs = match piece.base(&column.name) {
            // Cheaper than to compare, and the same: theirs is NULL there.
            Base::Constant(None) if given.is_none() => is_held(&ours),
            _ => format!("NOT {}", settled(&same, kept.as_deref())),
        };
        Some(Self {
            name: column.name.clone(),
            place,
            same,
            kept,
            differs,
            is_base,
            base,
            fits: if fits.is_empty() { "true".to_string() } else { fits.join(" AND ") },
            changed: match given {
                Some(Given::One(_)) => BOTH_CHANGED,
                _ if column.makes_its_own() => OWN_VALUE,
                _ => BOTH_CHANGED,
            },
            stranger: None,
            undecided: None,
            would_take_along: column.would_take_along,
            makes_its_own: column.makes_its_own(),
            is_word: column.is_word(),
            always_identity: column.identity == "a",
            vacant: column.vacant(&piece.salvage.table),
        })
    }

    /// Returns the condition that nothing of ours is missing.
    pub(super) fn settled(&self) -> String {
        settled(&self.same, self.kept.as_deref())
    }

    /// Leaves theirs where ours would refer to a row that is another one now.
    fn away_from(self, met: &[String]) -> Self {
        if met.is_empty() {
            return self;
        }
        let stranger = self.stranger.iter().chain(met).cloned().collect::<Vec<_>>().join(" OR ");
        Self { fits: format!("{} AND NOT ({stranger})", self.fits), stranger: Some(stranger), ..self }
    }

    /// Notes that what the way back left in all rows has followed a key that moved.
    pub(super) fn follow(&mut self, left: &str) {
        let (theirs, ours) = (format!("t.{}", identifier(&self.name)), format!("s.v{}", self.place));
        self.is_base = live::is_text(left, &theirs);
        self.base = format!("{}::text", literal(left));
        self.kept = Some(live::is_text(left, &ours));
        self.differs = format!("NOT {}", self.settled());
    }

    /// Leaves theirs where this condition holds of the loaded row.
    pub(super) fn leave(&mut self, undecided: &str) {
        self.fits = format!("{} AND NOT ({undecided})", self.fits);
        self.undecided = Some(undecided.to_string());
    }

    /// Returns the condition that ours is to be put there.
    pub(super) fn put(&self) -> String {
        match self.would_take_along {
            // What refers to it would be emptied.
            true => "false".to_string(),
            false => self.moves(),
        }
    }

    /// Returns the condition that ours is to be put there, and what refers to theirs is to follow.
    pub(super) fn moves(&self) -> String {
        format!("({} AND {} AND {})", self.is_base, self.differs, self.fits)
    }
}
