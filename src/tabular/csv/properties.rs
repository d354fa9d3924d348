//! What was written is read back, whatever it was.

use super::{Reader, push_header, push_value};
use crate::engine::Scalar;
use proptest::prelude::*;

fn cells() -> impl Strategy<Value = Scalar> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..12);
    // Bytes that mean something to CSV, to `COPY` or to a terminal.
    let awkward = proptest::collection::vec(proptest::sample::select(b"\",\n\r\\.xN0\0 ".to_vec()), 0..8);
    prop_oneof![
        Just(Scalar::Null),
        any::<i64>().prop_map(Scalar::Integer),
        any::<f64>().prop_filter("SQLite makes NULL of it", |number| !number.is_nan()).prop_map(Scalar::Real),
        proptest::sample::select(vec![0.0, -0.0, 1.0, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY])
            .prop_map(Scalar::Real),
        bytes().prop_map(Scalar::Text),
        awkward.prop_map(Scalar::Text),
        bytes().prop_map(Scalar::Blob),
    ]
}

fn written(rows: &[Vec<Scalar>]) -> Vec<u8> {
    let mut out = Vec::new();
    for row in rows {
        for (place, cell) in row.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            push_value(&mut out, cell.as_value());
        }
        out.push(b'\n');
    }
    out
}

fn read(bytes: &[u8]) -> Vec<Vec<Scalar>> {
    let mut reader = Reader::new(bytes);
    let mut rows = Vec::new();
    while let Some(record) = reader.record().expect("CSV") {
        rows.push(record.into_iter().map(|field| field.into_scalar().expect("a value")).collect());
    }
    rows
}

/// Tells 0.0 and -0.0 apart, which `==` does not.
fn shown(rows: &[Vec<Scalar>]) -> String {
    format!("{rows:?}")
}

proptest! {
    #[test]
    fn every_value_comes_back_with_its_storage_class(rows in proptest::collection::vec(proptest::collection::vec(cells(), 1..5), 0..6)) {
        prop_assert_eq!(shown(&read(&written(&rows))), shown(&rows));
    }

    #[test]
    fn every_column_name_comes_back(names in proptest::collection::vec("[a-zA-Z,\"\n\r .\\\\é]{0,6}", 1..5)) {
        let mut out = Vec::new();
        push_header(&mut out, names.iter().map(String::as_str));
        let header = Reader::new(out.as_slice()).record().expect("CSV").expect("a header");
        let found: Vec<String> = header.into_iter().map(|field| String::from_utf8(field.bytes).expect("UTF-8")).collect();
        prop_assert_eq!(found, names);
    }

    #[test]
    fn a_file_that_is_cut_off_is_never_taken_for_a_whole_one(rows in proptest::collection::vec(proptest::collection::vec(cells(), 1..4), 1..4), cut in 1usize..200) {
        let bytes = written(&rows);
        let cut = cut.min(bytes.len());
        let mut reader = Reader::new(&bytes[..bytes.len() - cut]);
        let mut count = 0;
        while let Ok(Some(_)) = reader.record() {
            count += 1;
        }
        prop_assert!(count < rows.len());
    }
}

/// The examples of `docs/format.md`.
#[test]
fn values_look_as_the_format_says() {
    let row = [
        Scalar::Null,
        Scalar::Integer(-7),
        Scalar::Real(1.0),
        Scalar::Real(-0.0),
        Scalar::Real(f64::NEG_INFINITY),
        Scalar::Text(b"say \"ah\"".to_vec()),
        Scalar::Text(Vec::new()),
        Scalar::Blob(vec![0, 255]),
        Scalar::Blob(Vec::new()),
    ];
    let line = String::from_utf8(written(&[row.to_vec()])).expect("UTF-8");
    assert_eq!(line, ",-7,1.0,-0.0,-Infinity,\"say \"\"ah\"\"\",\"\",\\x00ff,\\x\n");
}

#[test]
fn quotes_in_the_wrong_place_are_refused() {
    for text in ["a\"b\n", "\"a\"b\n", "\"a"] {
        assert!(Reader::new(text.as_bytes()).record().is_err(), "{text:?}");
    }
}
