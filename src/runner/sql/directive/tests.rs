use super::*;

fn accepted(hazard: &str, why: &str) -> Directive {
    Directive::Accept(Accept { hazard: hazard.parse().expect("a hazard"), why: why.to_string() })
}

fn id(text: &str) -> RevisionId {
    RevisionId::new(text).expect("an identifier")
}

#[test]
fn every_directive_is_read_whatever_its_case_and_spacing() {
    let section = |direction, engine| Directive::Section { direction, engine };
    for (line, expected) in [
        ("-- ripcord:revision    5f2c81d0a3be", Directive::Revision(id("5f2c81d0a3be"))),
        ("--ripcord:revision a\r", Directive::Revision(id("a"))),
        ("\t--- Ripcord : REVISION\ta", Directive::Revision(id("a"))),
        ("-- ripcord:revises", Directive::Revises(vec![])),
        ("-- ripcord:revises a, b\tc,d", Directive::Revises(vec![id("a"), id("b"), id("c"), id("d")])),
        ("-- ripcord:created 2026-11-23T18:15:00Z", Directive::Created("2026-11-23T18:15:00Z".into())),
        ("-- ripcord:labels net, shop", Directive::Labels(vec!["net".into(), "shop".into()])),
        ("-- ripcord:depends-on 55af", Directive::DependsOn(vec!["55af".into()])),
        ("-- ripcord:transaction none", Directive::Transaction(TransactionMode::None)),
        ("-- ripcord:transaction one", Directive::Transaction(TransactionMode::One)),
        (
            "-- ripcord:irreversible \"it \"merges\" rows\"",
            Directive::Irreversible("it \"merges\" rows".into()),
        ),
        ("-- ripcord:accept drops-column:a.b \"unused\"", accepted("drops-column:a.b", "unused")),
        (
            "-- ripcord:accept drops-table:\"Odd \"\"Name\"\"\" \"it was \"odd\"\"",
            accepted("drops-table:\"Odd \"\"Name\"\"\"", "it was \"odd\""),
        ),
        ("-- ripcord:upgrade", section(Direction::Up, None)),
        ("-- ripcord: upgrade sqlite", section(Direction::Up, Some(EngineKind::Sqlite))),
        ("-- RIPCORD:Downgrade PostgreSQL", section(Direction::Down, Some(EngineKind::Postgresql))),
    ] {
        assert_eq!(read(line), Ok(Some(expected)), "{line:?}");
    }
}

#[test]
fn other_lines_are_no_directives() {
    for line in [
        "",
        "SELECT 1",
        "SELECT 1; -- ripcord:upgrade",
        "--",
        "-- a note: upgrade",
        "-- ripcord is a parachute",
        "-- ripcord upgrade takes a snapshot first",
        "-- see https://example.org/ripcord:upgrade",
        "-- record:keeping",
    ] {
        assert_eq!(read(line), Ok(None), "{line:?}");
    }
}

#[test]
fn an_unknown_directive_names_the_nearest_known_one() {
    for (found, near) in [
        ("upgrad", Some("upgrade")),
        ("up", Some("upgrade")),
        ("down", Some("downgrade")),
        ("dowgrade", Some("downgrade")),
        ("revison", Some("revision")),
        ("depends_on", Some("depends-on")),
        ("no-transaction", Some("transaction")),
        ("label", Some("labels")),
        ("zzz", None),
        ("", None),
    ] {
        let expected = DirectiveProblem::Unknown { found: found.into(), near };
        assert_eq!(read(&format!("-- ripcord:{found}")), Err(expected), "{found}");
    }
}

#[test]
fn what_was_meant_as_a_directive_is_never_a_comment() {
    for (line, expected) in [
        ("-- ripcrod:downgrade", DirectiveProblem::MisspelledPrefix { found: "ripcrod:downgrade".into() }),
        ("-- rip-cord: Upgrade", DirectiveProblem::MisspelledPrefix { found: "rip-cord:upgrade".into() }),
        ("-- ripcord downgrade", DirectiveProblem::MissingColon { name: "downgrade" }),
        ("--Ripcord Upgrade sqlite", DirectiveProblem::MissingColon { name: "upgrade" }),
        ("-- ripcord revises 1975ea83b712", DirectiveProblem::MissingColon { name: "revises" }),
    ] {
        assert_eq!(read(line), Err(expected), "{line:?}");
    }
}

#[test]
fn a_bad_value_is_told_with_what_was_expected() {
    let missing = |directive, needed| DirectiveProblem::MissingValue { directive, needed };
    let reason = "a reason in double quotes";
    for (text, expected) in [
        ("revision", missing("revision", "an identifier")),
        ("revision a b", DirectiveProblem::UnexpectedValue { directive: "revision", found: "b".into() }),
        ("revision a@b", DirectiveProblem::BadCharacter { name: "a@b".into(), character: '@' }),
        ("revision a/b", DirectiveProblem::BadCharacter { name: "a/b".into(), character: '/' }),
        ("revises a, b-c", DirectiveProblem::BadCharacter { name: "b-c".into(), character: '-' }),
        ("labels a:b", DirectiveProblem::BadCharacter { name: "a:b".into(), character: ':' }),
        ("depends-on a+1", DirectiveProblem::BadCharacter { name: "a+1".into(), character: '+' }),
        ("created yesterday", DirectiveProblem::BadTime { found: "yesterday".into() }),
        ("created", missing("created", "a time")),
        ("transaction", missing("transaction", "one or none")),
        (
            "transaction non",
            DirectiveProblem::UnknownValue {
                directive: "transaction",
                expected: "one or none",
                found: "non".into(),
                near: Some("none"),
            },
        ),
        (
            "upgrade postgres",
            DirectiveProblem::UnknownValue {
                directive: "upgrade",
                expected: "for sqlite or postgresql",
                found: "postgres".into(),
                near: Some("postgresql"),
            },
        ),
        (
            "downgrade sqlite twice",
            DirectiveProblem::UnexpectedValue { directive: "downgrade", found: "twice".into() },
        ),
        ("irreversible", missing("irreversible", reason)),
        ("irreversible \"\"", missing("irreversible", reason)),
        (
            "irreversible why",
            DirectiveProblem::UnexpectedValue { directive: "irreversible", found: "why".into() },
        ),
        ("accept", missing("accept", "the name of a hazard")),
        ("accept \"why\"", missing("accept", "the name of a hazard")),
        ("accept drops-table:a", missing("accept", reason)),
    ] {
        assert_eq!(read(&format!("-- ripcord:{text}")), Err(expected), "{text}");
    }
}

#[test]
fn an_identifier_longer_than_the_version_column_is_refused() {
    let longest = "é".repeat(32);
    assert!(read(&format!("-- ripcord:revision {longest}")).is_ok());
    let expected = DirectiveProblem::IdTooLong { id: format!("{longest}x"), length: 33 };
    assert_eq!(read(&format!("-- ripcord:revision {longest}x")), Err(expected));
}
