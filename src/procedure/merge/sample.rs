//! Pieces for tests.

use crate::base::hash::Hashed;
use crate::catalog::TableName;
use crate::engine::{Error, Inlet, Piece, Scalar, ShapeColumn, Value};
use crate::ledger::{Salvage, SalvageKind};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

struct Nothing;

impl Inlet for Nothing {
    fn open(&self) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(std::io::empty()))
    }

    fn each(&self, _: &mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>) -> Result<(), Error> {
        Ok(())
    }

    fn check(&self, _: &mut Hashed) -> Result<(), Error> {
        Ok(())
    }

    fn value(&self, _: &str, _: bool) -> Option<Scalar> {
        None
    }
}

/// A file without rows.
pub(super) fn piece(table: &str, what: SalvageKind, key: &[&str], columns: &[&str]) -> Piece {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
    let salvage = Salvage {
        what,
        table: TableName::plain(table),
        key: names(key),
        identity: Vec::new(),
        columns: names(columns),
        returned: BTreeMap::new(),
    };
    let shape = |name: &&str| ShapeColumn { name: (*name).to_string(), type_name: String::new() };
    Piece {
        salvage,
        columns: key.iter().chain(columns).map(shape).collect(),
        rows: 0,
        source: Arc::new(Nothing),
        turn: 0,
        sequences: Arc::default(),
        catalog: None,
        snapshot: None,
        former: None,
        made: BTreeSet::new(),
        beyond: None,
    }
}
