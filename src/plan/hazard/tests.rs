use super::*;
use crate::history::Direction;
use crate::ledger::{Again, Irreversible, Ledger, Loss, LossKind, Retyped};
use crate::plan::{Script, Statement, Touches, TransactionMode};
use proptest::prelude::*;

fn read(text: &str) -> Hazard {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match text.parse::<Hazard>() {
        Ok(hazard) => panic!("{text:?} is read as {hazard:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn hazards_are_named_as_they_are_documented() {
    let table = || TableName::plain("training_metric");
    let column = || "process_rank".to_string();
    for (hazard, name) in [
        (Hazard::DropsTable { table: table() }, "drops-table:training_metric"),
        (
            Hazard::DropsColumn { table: table(), column: column() },
            "drops-column:training_metric.process_rank",
        ),
        (
            Hazard::NarrowsType { table: TableName::qualified("shop", "Order"), column: column() },
            "narrows-type:shop.\"Order\".process_rank",
        ),
        (
            Hazard::OverwritesValues { table: table(), column: "a \"b\".c".to_string() },
            "overwrites-values:training_metric.\"a \"\"b\"\".c\"",
        ),
        (Hazard::DeletesRows { table: table() }, "deletes-rows:training_metric"),
        (Hazard::Irreversible { revision: RevisionId::new("5f2c").expect("an id") }, "irreversible:5f2c"),
        (Hazard::Opaque, "opaque"),
    ] {
        assert_eq!(hazard.to_string(), name);
        assert_eq!(read(name), hazard);
    }
}

#[test]
fn nothing_but_a_whole_name_is_read() {
    for (text, says) in [
        ("", "no kind of hazard"),
        ("all", "no kind of hazard"),
        ("*", "no kind of hazard"),
        ("drops-colum:t.c", "did you mean drops-column?"),
        ("drops-column", "needs a column"),
        ("drops-column:", "needs a column"),
        ("drops-column:t", "needs a column"),
        ("drops-column:t.", "needs a column"),
        ("drops-column:t.*", "double quotes"),
        ("drops-column:a.b.c.d", "needs a column"),
        ("drops-table", "needs a table"),
        ("drops-table:*", "double quotes"),
        ("drops-table:a.b.c", "needs a table"),
        ("drops-table:Odd-Name", "double quotes"),
        ("drops-table:\"open", "not closed"),
        ("drops-table:a, drops-table:b", "double quotes"),
        ("drops-table:a drops-table:b", "follows the name"),
        ("irreversible", "needs a revision"),
        ("opaque:t", "follows the name"),
    ] {
        assert!(refused(text).contains(says), "{text:?}: {}", refused(text));
    }
}

#[test]
fn the_default_schema_of_an_engine_is_left_out_and_no_other() {
    let named = |text: &str, engine| read(text).within(engine).to_string();
    assert_eq!(named("drops-table:public.t", EngineKind::Postgresql), "drops-table:t");
    assert_eq!(named("drops-column:public.t.c", EngineKind::Postgresql), "drops-column:t.c");
    assert_eq!(named("drops-table:main.t", EngineKind::Sqlite), "drops-table:t");
    // On PostgreSQL main is a schema like any other: accepting its table must not accept that of public.
    assert_eq!(named("drops-table:main.t", EngineKind::Postgresql), "drops-table:main.t");
}

fn script(accepts: &[(&str, &str)]) -> Script {
    Script {
        revision: RevisionId::new("aa").expect("an id"),
        direction: Direction::Up,
        message: String::new(),
        place: String::new(),
        sha256: String::new(),
        transaction: TransactionMode::One,
        statements: Vec::new(),
        accepts: accepts
            .iter()
            .map(|(hazard, why)| Accept { hazard: read(hazard), why: why.to_string() })
            .collect(),
        rows: Vec::new(),
        rows_after: Vec::new(),
    }
}

fn held(name: &str) -> Held {
    Held { hazard: read(name), count: Some(1), bytes: None, examples: Vec::new(), detail: None }
}

#[test]
fn a_hazard_is_open_until_a_file_or_a_flag_names_it() {
    let found = vec![held("drops-table:a"), held("drops-table:b"), held("drops-column:a.x")];
    let scripts = [script(&[("drops-table:a", "empty since May")])];
    let flags = [read("drops-table:b"), read("drops-table:c")];
    let weighed = weigh(found, &scripts, &flags);
    let accepted: Vec<_> =
        weighed.accepted.iter().map(|found| (found.held.hazard.to_string(), found.by)).collect();
    let expected =
        [("drops-table:a".to_string(), AcceptedBy::File), ("drops-table:b".to_string(), AcceptedBy::Flag)];
    assert_eq!(accepted, expected);
    assert_eq!(weighed.accepted[0].why.as_deref(), Some("empty since May"));
    assert_eq!(weighed.open, [held("drops-column:a.x")]);
    assert_eq!(weighed.unneeded, [read("drops-table:c")]);
}

#[test]
fn a_file_that_accepts_that_nobody_looked_speaks_for_itself_alone() {
    let doing = |accepts: &[(&str, &str)], text: &str| {
        let (text, touches) = (text.to_string(), Touches::default());
        let statement = Statement { text, line: 1, sha256: String::new(), touches };
        Script { statements: vec![statement], ..script(accepts) }
    };
    let open = |scripts: &[Script]| weigh(vec![held("opaque")], scripts, &[]).open.len();
    let reviewed = || doing(&[("opaque", "seen by hand")], "CREATE TABLE z (a INT)");
    let not_reviewed = || doing(&[], "DROP TABLE t");
    assert_eq!(open(&[reviewed(), not_reviewed()]), 1);
    assert_eq!(open(&[reviewed(), reviewed(), script(&[])]), 0, "an empty one has nothing to review");
    assert_eq!(weigh(vec![held("opaque")], &[not_reviewed()], &[read("opaque")]).open, []);
}

fn ledger(lost: Vec<Loss>) -> Ledger {
    Ledger {
        direction: Direction::Up,
        from: Vec::new(),
        to: Vec::new(),
        rows_seen: true,
        cannot_see: Vec::new(),
        lost,
        tables: Vec::new(),
        catalog: Vec::new(),
        not_brought_back: Vec::new(),
        dishonest: Vec::new(),
        findings: Vec::new(),
        irreversible: Vec::new(),
        back_failed: None,
        back_failed_at: None,
        again: Again::NotRun,
        revisions: Vec::new(),
        ways_back: Vec::new(),
    }
}

fn loss(what: LossKind, column: Option<&str>, count: Option<u64>) -> Loss {
    let table = TableName::qualified("public", "t");
    Loss { what, table, column: column.map(str::to_string), count, retyped: None }
}

fn names(found: &[Held]) -> Vec<String> {
    found.iter().map(|held| held.hazard.to_string()).collect()
}

#[test]
fn what_the_ledger_calls_lost_and_holds_data_is_a_hazard() {
    let types = Retyped { before: "bigint".into(), after: "integer".into() };
    let found = ledger(vec![
        loss(LossKind::Table, None, Some(2)),
        loss(LossKind::Table, None, Some(0)),
        loss(LossKind::Rows, None, Some(1)),
        loss(LossKind::Column, Some("a"), None),
        loss(LossKind::Values, Some("b"), Some(3)),
        Loss { retyped: Some(types), ..loss(LossKind::Values, Some("c"), Some(3)) },
    ]);
    let found = hazards(&found, EngineKind::Postgresql);
    let expected =
        ["drops-table:t", "deletes-rows:t", "drops-column:t.a", "overwrites-values:t.b", "narrows-type:t.c"];
    assert_eq!(names(&found), expected);
    assert_eq!(found[4].detail.as_deref(), Some("bigint becomes integer"));
}

#[test]
fn a_revision_without_a_way_back_is_a_hazard_whatever_it_holds() {
    let id = |text: &str| RevisionId::new(text).expect("an id");
    let found = Ledger {
        irreversible: vec![Irreversible { revision: id("aa"), why: Some("it merges".into()) }],
        back_failed: Some("no such table".into()),
        back_failed_at: Some(id("bb")),
        ..ledger(Vec::new())
    };
    let found = hazards(&found, EngineKind::Sqlite);
    assert_eq!(names(&found), ["irreversible:aa", "irreversible:bb"]);
    assert_eq!(found[0].detail.as_deref(), Some("it merges"));
}

#[test]
fn examples_are_short_and_cannot_steer_a_terminal() {
    let asked = |columns: &[&str], which| Sample {
        table: TableName::plain("t"),
        key: vec!["id".into()],
        is_found: false,
        columns: columns.iter().map(ToString::to_string).collect(),
        which,
    };
    let row = |values: &[Option<&str>]| values.iter().map(|value| value.map(str::to_string)).collect();
    let told = |asked: &Sample, values: &[Option<&str>]| {
        let found = Sampled { bytes: 1, rows: vec![row(values)] };
        held("drops-table:t").sampled(asked, found).examples.remove(0)
    };
    let long = "x".repeat(SHOWN_CHARACTERS + 1);
    assert_eq!(told(&asked(&["a"], Which::Filled), &[Some("7"), Some("\u{1b}[2J")]), "id=7: \\u{1b}[2J");
    assert_eq!(told(&asked(&["a"], Which::Filled), &[Some("7"), None]), "id=7: NULL");
    let cut = format!("id=7: {}…", "x".repeat(SHOWN_CHARACTERS));
    assert_eq!(told(&asked(&["a"], Which::Filled), &[Some("7"), Some(&long)]), cut);
    let columns = ["id", "a", "b", "c", "d", "e"];
    let values = [Some("7"), Some("7"), Some("1"), None, Some("3"), Some("4"), Some("5")];
    assert_eq!(told(&asked(&columns, Which::All), &values), "id=7, a=1, b=NULL, c=3, d=4, …");
}

fn any_table() -> impl Strategy<Value = TableName> {
    (proptest::option::of(".{0,8}"), ".{0,8}").prop_map(|(schema, name)| TableName { schema, name })
}

fn any_hazard() -> impl Strategy<Value = Hazard> {
    let of_table = |make: fn(TableName) -> Hazard| any_table().prop_map(make);
    let of_column = |make: fn(TableName, String) -> Hazard| {
        (any_table(), "(?s).{0,8}").prop_map(move |(table, column)| make(table, column))
    };
    prop_oneof![
        of_table(|table| Hazard::DropsTable { table }),
        of_table(|table| Hazard::DeletesRows { table }),
        of_column(|table, column| Hazard::DropsColumn { table, column }),
        of_column(|table, column| Hazard::NarrowsType { table, column }),
        of_column(|table, column| Hazard::OverwritesValues { table, column }),
        "[a-z0-9]{1,12}"
            .prop_map(|id| Hazard::Irreversible { revision: RevisionId::new(&id).expect("an id") }),
        Just(Hazard::Opaque),
    ]
}

proptest! {
    #[test]
    fn whatever_the_name_what_is_printed_is_read_back(hazard in any_hazard()) {
        let text = hazard.to_string();
        prop_assert_eq!(text.parse::<Hazard>(), Ok(hazard.clone()));
        let followed = format!("{text} \"why\"");
        prop_assert_eq!(Hazard::read(&followed), Ok((hazard.clone(), " \"why\"")));
        let json = serde_json::to_string(&hazard).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(serde_json::from_str::<Hazard>(&json).ok(), Some(hazard));
    }
}
