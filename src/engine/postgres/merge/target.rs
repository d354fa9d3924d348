//! Where a piece goes: the live table, as far as it still has what the piece is about.

use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::{DOING, fit, load};
use crate::catalog::TableName;
use crate::engine::{Base, Error, Merged, Piece};
use crate::ledger::SalvageKind;
use crate::report::Progress;
use std::collections::BTreeSet;

/// The live table of a piece (`t` in statements), and the temporary table that the piece was loaded into (`s`).
pub(super) struct Target<'p> {
    pub piece: &'p Piece,
    pub table: TableName,
    /// The temporary table; its columns are v0, v1 … as in the CSV.
    pub loaded: String,
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
    /// Whether the live table promises that the key is of one row.
    pub unique: bool,
    /// The places of columns with values that their type does not take now.
    pub misfits: BTreeSet<usize>,
}

/// A column that is put back.
pub(super) struct TargetColumn {
    pub name: String,
    pub place: usize,
    /// Whether theirs is ours.
    pub same: String,
    /// Whether ours is not theirs, where theirs is what the way back left.
    pub differs: String,
    /// Whether theirs is what the way back left.
    pub is_base: String,
    /// What the way back left, as text.
    pub base: String,
    /// Whether ours may be put there at all, as far as that can be told beforehand.
    pub fits: String,
    /// `GENERATED ALWAYS AS IDENTITY`, which no update may set.
    pub always_identity: bool,
}

/// A column of the live table.
pub(super) struct LiveColumn {
    pub name: String,
    pub type_name: String,
    pub generated: bool,
    pub identity: String,
    pub default: Option<String>,
    pub not_null: bool,
    /// How values are compared: `=` (by the type's own equality, which is that of the bytes), `C` (text), `float4` and
    /// `float8` (by their bits), or by the text that the type prints.
    how: String,
}

/// A foreign key of the live table.
pub(super) struct ForeignKey {
    pub name: String,
    pub columns: Vec<String>,
    pub parent: TableName,
    pub referred: Vec<String>,
}

impl LiveColumn {
    /// Returns the condition that two values are the same, NULL among them.
    pub(super) fn same(&self, one: &str, other: &str) -> String {
        match self.how.as_str() {
            "=" => format!("({one} IS NOT DISTINCT FROM {other})"),
            // The bits: 0.0 is not -0.0, which the type's own equality calls the same.
            "float4" | "float8" => {
                format!("({0}send({one}) IS NOT DISTINCT FROM {0}send({other}))", self.how)
            }
            "C" => format!("({one} COLLATE \"C\" IS NOT DISTINCT FROM {other} COLLATE \"C\")"),
            _ => format!("({one}::text COLLATE \"C\" IS NOT DISTINCT FROM {other}::text COLLATE \"C\")"),
        }
    }

    /// Returns the condition that two values of a key are the same.
    fn equals(&self, one: &str, other: &str) -> String {
        match self.how.as_str() {
            "=" | "C" => format!("{one} = {other}"),
            _ => format!("{one}::text COLLATE \"C\" = {other}::text COLLATE \"C\""),
        }
    }

    fn is_text(&self, text: &str, value: &str) -> String {
        format!("({value}::text COLLATE \"C\" IS NOT DISTINCT FROM {} COLLATE \"C\")", literal(text))
    }

    /// Tells whether an insert must name it.
    pub(super) fn is_required(&self) -> bool {
        self.not_null && !self.generated && self.identity.is_empty() && self.default.is_none()
    }

    /// Returns the default as SQL, if it is the same at every time.
    fn constant_default(&self) -> Option<&str> {
        let text = self.default.as_deref()?;
        let number = text
            .trim_matches(|next| "()-".contains(next))
            .chars()
            .all(|next| next.is_ascii_digit() || next == '.');
        let word = ["true", "false"].contains(&text);
        let quoted = text.starts_with('\'') && {
            let end = text.rfind('\'').unwrap_or(0);
            let after = &text[end + 1..];
            // 'now'::timestamp is read anew each time; as a default it is stored evaluated, so a literal is a literal.
            end > 0 && (after.is_empty() || after.starts_with("::"))
        };
        (number || word || quoted).then_some(text)
    }
}

impl<'p> Target<'p> {
    /// Looks at the live table and loads the piece; returns what is skipped, and why.
    pub(super) async fn load(
        session: &mut Session,
        piece: &'p Piece,
        index: usize,
        progress: &Progress,
    ) -> Result<(Option<Self>, Vec<Merged>), Error> {
        let skip = |why: &str| Ok((None, vec![Merged::skipped(&piece.salvage, None, why)]));
        let table = piece.salvage.table.clone();
        if table.is_large_objects() {
            // Who refers to one by its number cannot be seen, so that none is put back unasked.
            return skip("large objects are put back by hand: SELECT lo_from_bytea(number, content)");
        }
        let live = live_columns(session, &table).await?;
        if live.is_empty() {
            return skip("there is no such table now");
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
        let load::Loaded { misfits, mut unfit } =
            load::load(session, piece, &table, &live, &loaded, progress).await?;
        for name in load::retyped(piece, &live) {
            if !load::retype(session, piece, &live, &loaded, &name).await? {
                unfit.push(name);
            }
        }
        if let Some(name) = piece.matched_by().iter().find(|name| unfit.contains(name)) {
            return skip(&format!("column {name}, by which rows are found, has another type now"));
        }
        let why = "the column has another type now, which cannot hold the values";
        for name in unfit.iter().filter(|name| wanted.iter().any(|column| column.name == **name)) {
            skipped.push(Merged::skipped(&piece.salvage, Some(name), why));
        }
        let keys = foreign_keys(session, &table).await?;
        let fitting = wanted.into_iter().filter(|column| !unfit.contains(&column.name));
        let columns: Vec<TargetColumn> =
            fitting.filter_map(|column| TargetColumn::of(piece, column, &keys, &misfits)).collect();
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
        let unique = is_unique(session, &table, piece.matched_by()).await?;
        let matches = matches.join(" AND ");
        let target = Self {
            piece,
            table,
            loaded,
            refused,
            done: None,
            matches,
            found_by,
            columns,
            keys,
            unique,
            misfits,
        };
        Ok((Some(target), skipped))
    }

    /// Returns the live table and the loaded one, joined.
    pub(super) fn joined(&self) -> String {
        format!("pg_temp.{} AS s JOIN ONLY {} AS t ON {}", self.loaded, self.table.sql(), self.matches)
    }

    /// Returns what identifies a loaded row, as an expression.
    pub(super) fn key(&self) -> String {
        let part = |(name, place): &(String, usize)| format!("{} AS {}", self.ours(*place), identifier(name));
        object(&self.found_by.iter().map(part).collect::<Vec<_>>().join(", "))
    }

    /// Returns where these columns stand, if all of them are put back.
    pub(super) fn places(&self, names: &[String]) -> Option<Vec<usize>> {
        let place = |name: &String| Some(self.columns.iter().find(|column| column.name == *name)?.place);
        names.iter().map(place).collect()
    }

    /// Returns a loaded value to be shown, also one that its type does not take.
    pub(super) fn ours(&self, place: usize) -> String {
        match self.misfits.contains(&place) {
            true => format!("coalesce(s.{}, s.v{place}::text)", fit::beside(place)),
            false => format!("s.v{place}"),
        }
    }

    /// Returns the condition that a value of a loaded row is one that its type does not take; none when all are taken.
    pub(super) fn has_misfit(&self) -> Option<String> {
        let parts: Vec<String> =
            self.misfits.iter().map(|place| format!("s.{} IS NOT NULL", fit::beside(*place))).collect();
        (!parts.is_empty()).then(|| format!("({})", parts.join(" OR ")))
    }
}

/// Returns the expression of a JSON object with these columns.
pub(super) fn object(list: &str) -> String {
    format!("(SELECT row_to_json(x)::text FROM (SELECT {list}) AS x)")
}

impl TargetColumn {
    fn of(
        piece: &Piece,
        column: &LiveColumn,
        keys: &[ForeignKey],
        misfits: &BTreeSet<usize>,
    ) -> Option<Self> {
        let place = piece.place_of(&column.name)?;
        let taken = misfits.contains(&place).then(|| format!("s.{} IS NULL", fit::beside(place)));
        let (theirs, ours) = (format!("t.{}", identifier(&column.name)), format!("s.v{place}"));
        let (is_base, base) = match piece.base(&column.name) {
            Base::Constant(None) => (format!("({theirs} IS NULL)"), "NULL::text".to_string()),
            Base::Constant(Some((text, _))) => {
                (column.is_text(&text, &theirs), format!("{}::text", literal(&text)))
            }
            Base::Column(place) => {
                (column.same(&theirs, &format!("s.v{place}")), format!("s.v{place}::text"))
            }
            Base::Unknown => {
                let default = column.constant_default();
                let default =
                    default.map(|default| format!(" OR {}", column.same(&theirs, &format!("({default})"))));
                (format!("({theirs} IS NULL{})", default.unwrap_or_default()), "NULL::text".to_string())
            }
        };
        let mut fits: Vec<String> = taken.iter().cloned().collect();
        if column.not_null {
            fits.push(format!("{ours} IS NOT NULL"));
        }
        for key in keys.iter().filter(|key| key.columns == [column.name.as_str()]) {
            fits.push(format!(
                "({ours} IS NULL OR EXISTS (SELECT FROM {} AS p WHERE p.{} = {ours}))",
                key.parent.sql(),
                identifier(&key.referred[0])
            ));
        }
        let mut same = column.same(&theirs, &ours);
        if let Some(taken) = &taken {
            same = format!("({taken} AND {same})");
        }
        let differs = match piece.base(&column.name) {
            // Cheaper than to compare, and the same: theirs is NULL there.
            Base::Constant(None) => format!("{ours} IS NOT NULL"),
            _ => format!("NOT {same}"),
        };
        Some(Self {
            name: column.name.clone(),
            place,
            same,
            differs,
            is_base,
            base,
            fits: if fits.is_empty() { "true".to_string() } else { fits.join(" AND ") },
            always_identity: column.identity == "a",
        })
    }

    /// Returns the condition that ours is to be put there.
    pub(super) fn put(&self) -> String {
        format!("({} AND {} AND {})", self.is_base, self.differs, self.fits)
    }
}

async fn live_columns(session: &mut Session, table: &TableName) -> Result<Vec<LiveColumn>, Error> {
    let sql = format!(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '', a.attidentity, \
         CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, a.attnotnull, \
         CASE WHEN t.typnamespace <> 'pg_catalog'::regnamespace OR t.typtype <> 'b' THEN '' \
         WHEN t.typname IN ('int2', 'int4', 'int8', 'bool', 'uuid', 'date', 'timestamp', 'timestamptz', 'bytea', 'oid') \
         THEN '=' WHEN t.typname IN ('text', 'varchar') THEN 'C' \
         WHEN t.typname IN ('float4', 'float8') THEN t.typname::text ELSE '' END \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = to_regclass({}) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        literal(&table.sql())
    );
    let rows = session.rows("reading the columns", &sql).await?;
    let column = |row: &super::super::session::Row| LiveColumn {
        name: row.text(0).to_string(),
        type_name: row.text(1).to_string(),
        generated: row.is(2),
        identity: row.text(3).to_string(),
        default: row.filled(4),
        not_null: row.is(5),
        how: row.text(6).to_string(),
    };
    Ok(rows.iter().map(column).collect())
}

async fn foreign_keys(session: &mut Session, table: &TableName) -> Result<Vec<ForeignKey>, Error> {
    let sql = format!(
        "SELECT k.oid, k.conname, a.attname, pn.nspname, p.relname, pa.attname FROM pg_constraint k \
         JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace, \
         unnest(k.conkey, k.confkey) WITH ORDINALITY AS x(own, other, place) \
         JOIN pg_attribute a ON a.attnum = x.own JOIN pg_attribute pa ON pa.attnum = x.other \
         WHERE k.contype = 'f' AND k.conrelid = to_regclass({}) AND a.attrelid = k.conrelid \
         AND pa.attrelid = k.confrelid ORDER BY k.oid, x.place",
        literal(&table.sql())
    );
    let mut keys: Vec<(u32, ForeignKey)> = Vec::new();
    for row in session.rows("reading the keys", &sql).await? {
        let number = row.number(0);
        if keys.last().is_none_or(|(last, _)| *last != number) {
            let parent = TableName::qualified(row.text(3), row.text(4));
            let name = row.text(1).to_string();
            keys.push((number, ForeignKey { name, columns: Vec::new(), parent, referred: Vec::new() }));
        }
        if let Some((_, key)) = keys.last_mut() {
            key.columns.push(row.text(2).to_string());
            key.referred.push(row.text(5).to_string());
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

/// Tells whether a unique index of the live table is over these columns, or some of them.
async fn is_unique(session: &mut Session, table: &TableName, columns: &[String]) -> Result<bool, Error> {
    let names: Vec<String> = columns.iter().map(|name| literal(name)).collect();
    if names.is_empty() {
        return Ok(false);
    }
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = to_regclass({}) AND i.indisunique AND i.indisvalid \
         AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) \
         AS k(number) JOIN pg_attribute a ON a.attnum = k.number WHERE a.attrelid = i.indrelid \
         AND a.attname NOT IN ({})))",
        literal(&table.sql()),
        names.join(", ")
    );
    Ok(session.value("reading the keys", &sql).await?.as_deref() == Some("t"))
}
