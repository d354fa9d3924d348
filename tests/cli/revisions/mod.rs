//! The commands around revisions keep Alembic's words and leave its accidents out.

mod downgrade;
mod offline;
mod reading;
mod stamp;
mod writing;

use crate::support::*;

pub const ACCOUNT: &str = "1975ea83b712";
pub const CART: &str = "27c6a30d7c24";
pub const IP: &str = "29f859a13ea0";
pub const IP_ACCOUNT: &str = "2a95102259be";
pub const ACCOUNT_B: &str = "55af2cb1c267";
pub const ACCOUNT_A: &str = "ae1027a6acf0";

/// Two trees: accounts with two branches, one of them labelled; addresses whose second revision depends on a tip of the
/// first tree.
///
/// ```text
/// account ── account_a ── account_b
///    └────── cart (shoppingcart)  ╎ depends on
/// ip ──────────────────────── ip_account (networking)
/// ```
pub fn shop(sandbox: &Sandbox) {
    let revision = |id: &str, message: &str| Revision::new(id).message(message);
    let all = [
        revision(ACCOUNT, "create account table")
            .upgrade("CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT);")
            .downgrade("DROP TABLE account;"),
        revision(CART, "add shopping cart table")
            .revises(ACCOUNT)
            .directive("labels", "shoppingcart")
            .upgrade(
                "CREATE TABLE cart (id INTEGER PRIMARY KEY, account_id INTEGER REFERENCES account (id));",
            )
            .downgrade("DROP TABLE cart;"),
        revision(ACCOUNT_A, "add a column")
            .revises(ACCOUNT)
            .upgrade("ALTER TABLE account ADD COLUMN a TEXT;\nUPDATE account SET a = 'it''s; -- \"a\"';")
            .downgrade("ALTER TABLE account DROP COLUMN a;"),
        revision(ACCOUNT_B, "add another account column")
            .revises(ACCOUNT_A)
            .upgrade("ALTER TABLE account ADD COLUMN b TEXT -- with a comment at its end")
            .downgrade("ALTER TABLE account DROP COLUMN b;"),
        revision(IP, "create ip table")
            .upgrade("CREATE TABLE ip (id INTEGER PRIMARY KEY);")
            .downgrade("DROP TABLE ip;"),
        revision(IP_ACCOUNT, "add ip account table")
            .revises(IP)
            .directive("labels", "networking")
            .directive("depends-on", ACCOUNT_B)
            .upgrade("CREATE TABLE ip_account (ip_id INTEGER REFERENCES ip (id), account_id INTEGER);")
            .downgrade("DROP TABLE ip_account;"),
    ];
    for revision in &all {
        sandbox.add(revision);
    }
}

/// Writes the version rows as another tool would have.
pub fn set_rows(db: &TestDatabase, rows: &[&str]) {
    db.execute("DROP TABLE IF EXISTS alembic_version;");
    db.execute(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,
CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));",
    );
    for row in rows {
        db.execute(&format!("INSERT INTO alembic_version VALUES ('{row}');"));
    }
}

/// What ripcord prints on standard output when all is well.
#[track_caller]
pub fn printed(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let run = sandbox.ripcord(arguments);
    run.expect_code(0).stderr_is_empty();
    run.stdout
}
