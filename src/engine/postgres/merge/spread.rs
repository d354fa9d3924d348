//! Pieces whose rows lie in several tables of one tree by now: partitions of one table, or tables that inherit from each
//! other. Each of these gets a piece of its own, with the rows that are there.
//!
//! A row is of the table in which its key is. A whole row that is nowhere is of the table that it was in, or, where that is gone
//! or takes it no longer, of the partition that does.

use super::super::names::{identifier, literal};
use super::super::session::Session;
use super::live::{self, LiveColumn};
use super::unkeyed::row_text;
use super::{DOING, load};
use crate::catalog::TableName;
use crate::engine::{Apart, Error, Former, Piece};
use crate::ledger::{Salvage, SalvageKind};
use crate::report::Progress;
use std::collections::{BTreeMap, BTreeSet};

/// The live tree of a piece.
pub(super) struct Tree {
    root: TableName,
    /// The tables with rows, by their numbers.
    members: BTreeMap<u32, TableName>,
    /// The number of the table that the piece is about, where that is there; it may have left the tree.
    home: Option<u32>,
}

/// The trees of pieces, by their places; a piece of a table that is in none has none.
pub(super) async fn trees(session: &mut Session, pieces: &[Piece]) -> Result<BTreeMap<usize, Tree>, Error> {
    let mut found = BTreeMap::new();
    for (place, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.salvage.in_tree) {
        if let Some(tree) = tree(session, piece).await? {
            found.insert(place, tree);
        }
    }
    Ok(found)
}

impl Tree {
    pub(super) fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.members.values()
    }
}

async fn tree(session: &mut Session, piece: &Piece) -> Result<Option<Tree>, Error> {
    let table = &piece.salvage.table;
    let mut names = BTreeSet::from([table.clone()]);
    if let Some(catalog) = &piece.catalog {
        names.extend(catalog.ancestors(piece.table_then()));
    }
    let names: Vec<String> = names.iter().map(|name| literal(&name.sql())).collect();
    let doing = "looking for partitions";
    // Of several the one that is read through, and not a table that has left it.
    let sql = format!(
        "WITH RECURSIVE up(oid) AS (SELECT to_regclass(x)::oid FROM unnest(ARRAY[{}]) AS x UNION \
         SELECT h.inhparent FROM up JOIN pg_inherits h ON h.inhrelid = up.oid) \
         SELECT c.oid, n.nspname, c.relname FROM up JOIN pg_class c ON c.oid = up.oid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') \
         AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid) \
         ORDER BY c.relkind = 'p' DESC, c.oid IS NOT DISTINCT FROM to_regclass({1})::oid, n.nspname, c.relname LIMIT 1",
        names.join(", "),
        literal(&table.sql())
    );
    let rows = session.rows(doing, &sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let root = TableName::qualified(row.text(1), row.text(2));
    let sql = format!(
        "WITH RECURSIVE down(oid) AS (SELECT '{}'::oid UNION SELECT h.inhrelid FROM down \
         JOIN pg_inherits h ON h.inhparent = down.oid) SELECT c.oid, n.nspname, c.relname FROM down \
         JOIN pg_class c ON c.oid = down.oid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'",
        row.number::<u32>(0)
    );
    let rows = session.rows(doing, &sql).await?;
    let members = rows.iter().map(|row| (row.number(0), TableName::qualified(row.text(1), row.text(2))));
    let mut members: BTreeMap<u32, TableName> = members.collect();
    let home = format!(
        "SELECT oid FROM pg_class WHERE oid = to_regclass({}) AND relkind = 'r'",
        literal(&table.sql())
    );
    let home = session.value(doing, &home).await?.and_then(|text| text.parse().ok());
    let is_alone = members.keys().all(|number| Some(*number) == home);
    if is_alone || (piece.salvage.key.is_empty() && home.is_some_and(|home| members.contains_key(&home))) {
        return Ok(None);
    }
    members.extend(home.map(|home| (home, table.clone())));
    Ok(Some(Tree { root, members, home }))
}

/// Divides the pieces that have a tree among its tables, which are locked.
pub(super) async fn divide(
    session: &mut Session,
    pieces: &[Piece],
    trees: &BTreeMap<usize, Tree>,
) -> Result<Vec<Piece>, Error> {
    let mut divided = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        match trees.get(&place) {
            Some(tree) => divided.extend(tree.divide(session, piece, place).await?),
            None => divided.push(piece.clone()),
        }
    }
    Ok(divided)
}

impl Tree {
    async fn divide(&self, session: &mut Session, piece: &Piece, place: usize) -> Result<Vec<Piece>, Error> {
        let whole = || Ok(vec![piece.clone()]);
        let first = self.home.or_else(|| self.members.keys().next().copied());
        let Some((first, table)) = first.and_then(|first| self.members.get_key_value(&first)) else {
            return whole();
        };
        let live = live::columns(session, table).await?;
        let find = |name: &String| live.iter().find(|column| column.name == *name);
        if piece.matched_by().iter().any(|name| find(name).is_none()) {
            return whole();
        }
        let among = format!("ripcord_spread_{place}");
        load::load(session, piece, table, &live, &among, &Progress::silent()).await?;
        session.run(DOING, &format!("ALTER TABLE pg_temp.{among} ADD owner oid")).await?;
        self.find(session, piece, &live, &among).await?;
        if piece.salvage.what == SalvageKind::Rows {
            self.take_in(session, piece, &among).await?;
        }
        let owners = format!("SELECT DISTINCT owner FROM pg_temp.{among} WHERE owner IS NOT NULL ORDER BY 1");
        let owners = session.rows(DOING, &owners).await?;
        let mut owners: BTreeSet<u32> = owners.iter().map(|row| row.number(0)).collect();
        // What is nowhere is told once.
        let rest = match self.home {
            Some(home) => home,
            None => owners.first().copied().unwrap_or(*first),
        };
        let set = format!(
            "WITH u AS (UPDATE pg_temp.{among} SET owner = {rest} WHERE owner IS NULL RETURNING 1) SELECT count(*) FROM u"
        );
        if session.value(DOING, &set).await?.is_some_and(|count| count != "0") || owners.is_empty() {
            owners.insert(rest);
        }
        if owners.len() == 1 && self.home == owners.first().copied() {
            session.run(DOING, &format!("DROP TABLE pg_temp.{among}")).await?;
            return whole();
        }
        session.run(DOING, &format!("ANALYZE pg_temp.{among}")).await?;
        let parts = owners.into_iter().filter_map(|number| Some((number, self.members.get(&number)?)));
        Ok(parts.map(|(owner, table)| of(piece, table, Apart { among: among.clone(), owner })).collect())
    }

    /// Notes of each row in which table it is: in its own, or in another one.
    async fn find(
        &self,
        session: &mut Session,
        piece: &Piece,
        live: &[LiveColumn],
        among: &str,
    ) -> Result<(), Error> {
        let is_keyed = !piece.salvage.key.is_empty();
        if !is_keyed && piece.salvage.what == SalvageKind::Rows {
            return Ok(());
        }
        let by = piece.matched_by().iter().filter_map(|name| {
            let column = live.iter().find(|column| column.name == *name)?;
            Some((column, format!("t.{}", identifier(name)), format!("s.v{}", piece.place_of(name)?)))
        });
        let by: Vec<_> = by.collect();
        let on = match is_keyed {
            true => {
                let on: Vec<String> =
                    by.iter().map(|(column, one, other)| column.equals(one, other)).collect();
                on.join(" AND ")
            }
            false => {
                let (now, then): (Vec<_>, Vec<_>) = by.into_iter().map(|(_, now, then)| (now, then)).unzip();
                format!("{} = {}", row_text(&now), row_text(&then))
            }
        };
        let home =
            self.home.and_then(|home| self.members.get(&home)).map(|home| format!("ONLY {}", home.sql()));
        for from in home.into_iter().chain([self.root.sql()]) {
            let note = format!(
                "UPDATE pg_temp.{among} AS s SET owner = t.tableoid FROM {from} AS t WHERE s.owner IS NULL AND {on}"
            );
            session.run(DOING, &note).await?;
        }
        Ok(())
    }

    /// Notes of each whole row that is nowhere which table takes it.
    async fn take_in(&self, session: &mut Session, piece: &Piece, among: &str) -> Result<(), Error> {
        let columns: String = piece
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| format!(", s.v{place} AS {}", identifier(&column.name)))
            .collect();
        let others = self.members.keys().filter(|number| Some(**number) != self.home);
        for number in self.home.iter().chain(others) {
            let constraint = format!("SELECT coalesce(pg_get_partition_constraintdef({number}), '')");
            let takes = session.value(DOING, &constraint).await?.unwrap_or_default();
            let takes = match takes.is_empty() {
                // No partition: it takes what it had.
                true if Some(*number) == self.home => "true",
                true => continue,
                false => takes.as_str(),
            };
            let note = format!(
                "UPDATE pg_temp.{among} AS u SET owner = {number} FROM (SELECT s.ctid AS \"ripcord place\"{columns} \
                 FROM pg_temp.{among} AS s WHERE s.owner IS NULL) AS x WHERE x.\"ripcord place\" = u.ctid AND ({takes})"
            );
            session.run(DOING, "SAVEPOINT ripcord_spread").await?;
            let then = match session.execute(&note).await {
                Ok(_) => "RELEASE ripcord_spread",
                // It is divided by a column that nobody salvaged.
                Err(_) => "ROLLBACK TO ripcord_spread; RELEASE ripcord_spread",
            };
            session.run(DOING, then).await?;
        }
        Ok(())
    }
}

/// The part of a piece that is of one table.
fn of(piece: &Piece, table: &TableName, part: Apart) -> Piece {
    let columns = piece.former.as_ref().map(|former| former.columns.clone()).unwrap_or_default();
    let former = Former { table: piece.table_then().clone(), columns };
    let salvage = Salvage { table: table.clone(), ..piece.salvage.clone() };
    Piece { salvage, former: Some(former), part: Some(part), ..piece.clone() }
}

/// Takes out the rows of a piece that are of other tables; returns how many.
pub(super) async fn leave_out(
    session: &mut Session,
    piece: &Piece,
    loaded: &str,
    shown: impl Fn(usize) -> String,
) -> Result<u64, Error> {
    let Some(Apart { among, owner }) = &piece.part else { return Ok(0) };
    let places = || piece.matched_by().iter().filter_map(|name| piece.place_of(name));
    let own = row_text(&places().map(&shown).collect::<Vec<_>>());
    let sql = format!(
        "DELETE FROM pg_temp.{loaded} AS x WHERE x.ctid NOT IN (SELECT s.ctid FROM pg_temp.{loaded} AS s \
         JOIN (SELECT DISTINCT {own} AS row FROM pg_temp.{among} AS s WHERE s.owner = {owner}) AS o ON o.row = {own})"
    );
    let count = session.execute(&sql).await.map_err(|error| session.failed(&error, DOING))?;
    session.run(DOING, &format!("ANALYZE pg_temp.{loaded}")).await?;
    Ok(count)
}
