use super::*;

fn postgres(text: &str) -> PostgresUrl {
    match DatabaseUrl::parse(text) {
        Ok(DatabaseUrl::Postgres(url)) => url,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn sqlite_paths_are_relative_after_three_slashes_and_absolute_after_four() {
    let path = |text| match DatabaseUrl::parse(text) {
        Ok(DatabaseUrl::Sqlite(path)) => path.display().to_string(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(path("sqlite:///app.db"), "app.db");
    assert_eq!(path("sqlite:////srv/app.db"), "/srv/app.db");
    assert_eq!(path("sqlite+pysqlite:///a b.db?timeout=3"), "a b.db");
    assert_eq!(path("sqlite:///a%20b%3F100%.db"), "a b?100%.db");
    let odd = DatabaseUrl::Sqlite(PathBuf::from("a?b%41.db"));
    assert_eq!(DatabaseUrl::parse(&odd.to_string()), Ok(odd), "what is printed is read back");
}

#[test]
fn no_part_of_an_address_is_passed_over_in_silence() {
    let refused = |text: &str| DatabaseUrl::parse(text).expect_err(text).to_string();
    assert!(refused("sqlite:///x.db?mode=ro").contains("mode=ro"));
    assert!(refused("sqlite:///a?b.db").contains("%3F"));
    assert!(refused("sqlite:///a.db?immutable=1").contains("immutable"));
    let misspelt = refused("postgresql://h/shop?sslmod=require");
    assert!(misspelt.contains("sslmod") && misspelt.contains("did you mean sslmode?"), "{misspelt}");
    assert!(refused("postgresql://h/shop?hostaddr=10.0.0.1").contains("hostaddr"));
    assert!(refused("postgresql://h/shop?connect_timeout=soon").contains("connect_timeout"));
    let leaked = refused("postgresql://app:hun?ter2@h/shop");
    assert!(!leaked.contains("ter2"), "{leaked}");
    assert!(!postgres("postgresql://h/shop?application_name=x").parameters.contains_key("application_name"));
}

#[test]
fn tls_is_asked_for_in_the_words_of_any_driver() {
    for (said, mode) in
        [("ssl=require", "require"), ("ssl=true", "require"), ("ssl=verify-full", "verify-full")]
    {
        let url = postgres(&format!("postgresql+asyncpg://h/shop?{said}"));
        assert_eq!(url.parameters["sslmode"], mode, "{said}");
    }
    let both = postgres("postgresql://h/shop?ssl=true&sslmode=verify-full");
    assert_eq!(both.parameters["sslmode"], "verify-full");
}

#[test]
fn a_printed_command_can_be_pasted_and_holds_no_password() {
    let text = "postgresql://app:hunter2@h:6543/shop?sslmode=verify-full&options=-c%20geqo%3Doff";
    let Ok(url) = DatabaseUrl::parse(text) else { panic!("an address") };
    let pasted = url.without_password();
    let (DatabaseUrl::Postgres(mut was), Ok(DatabaseUrl::Postgres(read))) =
        (url, DatabaseUrl::parse(&pasted))
    else {
        panic!("{pasted}")
    };
    was.password = None;
    assert_eq!(read, was, "{pasted}");
}

#[test]
fn a_database_that_ends_with_the_program_is_refused() {
    for text in ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://:memory:"] {
        assert_eq!(DatabaseUrl::parse(text), Err(UrlError::Memory), "{text}");
    }
}

#[test]
fn every_way_of_writing_a_postgresql_address_is_read() {
    let url = postgres("postgresql+psycopg2://app:p%40ss%25@db.example:6543/shop?sslmode=require");
    assert_eq!(
        (url.user.as_deref(), url.host.as_deref(), url.port),
        (Some("app"), Some("db.example"), Some(6543))
    );
    assert_eq!(url.password, Some(Secret::new("p@ss%")));
    assert_eq!(url.database_name(), "shop");
    assert_eq!(url.parameters["sslmode"], "require");
    let socket = postgres("postgres:///shop?host=/run/pg&user=app&port=5433");
    assert_eq!((socket.host.as_deref(), socket.port), (Some("/run/pg"), Some(5433)));
    assert_eq!(postgres("postgres://[::1]:5433/shop").host.as_deref(), Some("::1"));
}

#[test]
fn no_address_ever_shows_its_password() {
    let url = DatabaseUrl::parse("postgres://app:hunter2@h/shop").expect("read");
    assert_eq!(url.to_string(), "postgresql://app:***@h/shop");
    assert!(!format!("{url:?}").contains("hunter2"));
    let error = DatabaseUrl::parse("app:hunter2@h/shop").expect_err("no scheme").to_string();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn what_cannot_be_used_says_why() {
    assert_eq!(DatabaseUrl::parse("postgresql://h/"), Err(UrlError::NoDatabase));
    assert!(matches!(DatabaseUrl::parse("mysql://h/x"), Err(UrlError::UnknownScheme { .. })));
    assert!(matches!(DatabaseUrl::parse("postgresql://h:abc/x"), Err(UrlError::Malformed { .. })));
    assert_eq!(DatabaseUrl::parse("sqlite://host/x.db"), Err(UrlError::SqliteHost));
}
