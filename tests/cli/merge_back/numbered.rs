//! An upgrade that copies a table into a new one, whose rows get other numbers: all of them have their old ones again, or all keep the new
//! ones. What refers to a row never hangs on another one.

use super::*;

const STRANGER: &str = "the row that it refers to is not there, and its key is of another row now";
const RETAKEN: &str = "another row may have taken its key";
/// Whose each order is, who is there, and whose number nobody else has.
const ORDERS: &str = "SELECT o.what, c.name FROM o LEFT JOIN c ON c.id = o.cid ORDER BY o.what;";
const NAMES: &str = "SELECT name FROM c ORDER BY name;";
const NUMBERS: &str = "SELECT id, name FROM c ORDER BY id;";

fn number(db: &TestDatabase) -> &'static str {
    match db.backend() {
        Backend::Sqlite => "INTEGER PRIMARY KEY",
        Backend::Postgres => "SERIAL PRIMARY KEY",
    }
}

/// Customers and their orders, after an upgrade that sorted the customers by name; `note` says whether it dropped a column.
fn sorted(db: &TestDatabase, note: bool) -> Sandbox {
    let key = number(db);
    let (column, down) = match note {
        true => (", note VARCHAR(20)", "ALTER TABLE c ADD COLUMN note VARCHAR(20);"),
        false => ("", "SELECT 1;"),
    };
    let made = format!(
        "CREATE TABLE c (id {key}, name VARCHAR(20){column});
CREATE TABLE o (id {key}, cid INTEGER REFERENCES c (id), what VARCHAR(20));"
    );
    let up = format!(
        "CREATE TABLE c2 (id {key}, name VARCHAR(20)); INSERT INTO c2 (name) SELECT name FROM c ORDER BY name;
CREATE TABLE o2 (id {key}, cid INTEGER REFERENCES c2 (id), what VARCHAR(20));
INSERT INTO o2 SELECT o.id, c2.id, o.what FROM o JOIN c ON c.id = o.cid JOIN c2 ON c2.name = c.name;
DROP TABLE o; DROP TABLE c; ALTER TABLE c2 RENAME TO c; ALTER TABLE o2 RENAME TO o;"
    );
    let mut filled = String::new();
    for (id, name) in (1..).zip(["zoe", "max", "anna", "karl", "ilse", "dora", "fritz", "bert"]) {
        let note = if note { format!(", 'note {name}'") } else { String::new() };
        filled.push_str(&format!("INSERT INTO c VALUES ({id}, '{name}'{note}); "));
        filled.push_str(&format!("INSERT INTO o VALUES ({id}, {id}, 'of {name}'); "));
    }
    let sandbox = project(db, &made, &filled, &up, down);
    upgrade(&sandbox);
    db.execute("DELETE FROM o WHERE what = 'of fritz';");
    sandbox
}

/// Writes, and goes back: everything stays as the way back left it.
#[track_caller]
fn stays(db: &TestDatabase, note: bool, writes: &str) {
    let sandbox = sorted(db, note);
    db.execute(writes);
    let before = [ORDERS, NAMES, NUMBERS].map(|sql| db.query(sql));
    let result = downgrade(&sandbox);
    assert_eq!([ORDERS, NAMES, NUMBERS].map(|sql| db.query(sql)), before, "{writes} {result:#}");
    let reasons = db.query(&format!("SELECT DISTINCT reason FROM {} ORDER BY reason;", side_table(&result)));
    assert!(reasons.contains(RETAKEN) && reasons.contains(STRANGER), "{reasons}");
    sandbox.ripcord(&["verify"]).expect_code(0);
    // By hand it is the same.
    let backup = by_hand::upgrade_backup(&sandbox);
    sandbox.ripcord(&["backup", "merge-back", &backup]).expect_code(0);
    assert_eq!([ORDERS, NAMES, NUMBERS].map(|sql| db.query(sql)), before, "{writes} by hand");
}

#[track_caller]
fn has_numbers_again(db: &TestDatabase, note: bool) {
    let sandbox = sorted(db, note);
    let orders = db.query(ORDERS);
    downgrade(&sandbox);
    assert_eq!(db.query(ORDERS), orders);
    assert!(db.query(NUMBERS).starts_with("1|zoe\n2|max\n3|anna\n4|karl"), "{}", db.query(NUMBERS));
}

/// Parents with children whose key has the number of their parent in it, numbered anew on both ways, each in another order.
fn numbered_both_ways(db: &TestDatabase) -> Sandbox {
    let made = |p: &str, c: &str| {
        format!("CREATE TABLE {p} (id INTEGER PRIMARY KEY, name VARCHAR(20), made VARCHAR(20));
CREATE TABLE {c} (pid INTEGER NOT NULL REFERENCES {p} (id), what VARCHAR(20), made VARCHAR(20), PRIMARY KEY (pid, made));")
    };
    let filled = "INSERT INTO p VALUES (1, 'zoe', '01'), (2, 'max', '02'), (3, 'anna', '03');
INSERT INTO c VALUES (1, 'w2', '04'), (3, 'w0', '05'), (1, 'w1', '06'), (3, 'w3', '07');";
    let anew = format!("CREATE TABLE mp (old INTEGER, nw INTEGER); INSERT INTO mp SELECT id, row_number() OVER (ORDER BY name) FROM p;
{} INSERT INTO np SELECT mp.nw, p.name, p.made FROM p JOIN mp ON mp.old = p.id;
INSERT INTO nc SELECT mp.nw, c.what, c.made FROM c JOIN mp ON mp.old = c.pid; DROP TABLE mp;
DROP TABLE c; DROP TABLE p; ALTER TABLE np RENAME TO p; ALTER TABLE nc RENAME TO c;", made("np", "nc"));
    let back = anew.replace("ORDER BY name", "ORDER BY made DESC");
    let sandbox = project(db, &made("p", "c"), filled, &anew, &back);
    upgrade(&sandbox);
    sandbox
}

both_engines! {
    fn rows_that_were_sorted_anew_have_their_numbers_again_where_nobody_wrote(db: &TestDatabase) {
        has_numbers_again(db, true);
    }

    fn so_have_those_of_which_nothing_but_the_numbers_changed(db: &TestDatabase) {
        has_numbers_again(db, false);
    }

    fn a_new_order_of_an_old_customer_stays_that_customers(db: &TestDatabase) {
        stays(db, true, "INSERT INTO o VALUES (99, (SELECT id FROM c WHERE name = 'anna'), 'new');");
    }

    fn an_order_that_was_moved_stays_where_it_was_moved_to(db: &TestDatabase) {
        stays(db, true, "UPDATE o SET cid = (SELECT id FROM c WHERE name = 'zoe') WHERE what = 'of anna';");
    }

    fn no_customer_gives_way_to_one_that_was_deleted(db: &TestDatabase) {
        stays(db, true, "DELETE FROM o WHERE what = 'of karl'; DELETE FROM c WHERE name = 'karl';");
    }

    fn nor_to_one_that_was_renamed(db: &TestDatabase) {
        stays(db, true, "UPDATE c SET name = 'maxine' WHERE name = 'max';");
    }

    fn so_it_is_where_numbers_are_all_that_changed(db: &TestDatabase) {
        stays(db, false, "INSERT INTO o VALUES (99, (SELECT id FROM c WHERE name = 'anna'), 'new');");
    }

    fn a_new_customer_with_an_order_keeps_nobody_from_the_old_numbers(db: &TestDatabase) {
        let sandbox = sorted(db, true);
        db.execute("INSERT INTO c VALUES (99, 'new'); INSERT INTO o VALUES (99, 99, 'of new');");
        let orders = db.query(ORDERS);
        let result = downgrade(&sandbox);
        assert_eq!(db.query(ORDERS), orders, "{result:#}");
        assert!(db.query(NUMBERS).starts_with("1|zoe\n2|max\n3|anna\n4|karl"), "{}", db.query(NUMBERS));
        assert_eq!(db.query("SELECT note FROM c WHERE name = 'zoe';"), "note zoe");
    }

    fn a_row_that_a_foreign_key_refuses_leaves_all_numbers_as_they_are(db: &TestDatabase) {
        let made = "CREATE TABLE team (id INTEGER PRIMARY KEY);
CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(20), team INTEGER REFERENCES team (id));";
        let row = |at: i32| format!("INSERT INTO team VALUES ({at}); INSERT INTO t VALUES ({at}, 'name {at}', {at});");
        let filled: String = (1..=8).map(row).collect();
        let up = "UPDATE t SET id = -id; UPDATE t SET id = 9 + id, team = NULL;";
        let sandbox = project(db, made, &filled, up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("DELETE FROM team WHERE id = 3;");
        let all = "SELECT id, name, coalesce(team, 0) FROM t ORDER BY id;";
        let before = db.query(all);
        let result = downgrade(&sandbox);
        assert_eq!(db.query(all), before);
        assert_eq!(counts(&result, db, "t", Some("name")), [0, 0, 0, 8]);
        assert_eq!(counts(&result, db, "t", Some("team")), [0, 0, 0, 8]);
    }

    fn a_new_branch_of_a_tree_that_was_numbered_anew_stays_on_its_branch(db: &TestDatabase) {
        let key = number(db);
        let made = format!("CREATE TABLE tree (id {key}, up INTEGER REFERENCES tree (id), name VARCHAR(20));");
        let filled = "INSERT INTO tree VALUES (1, NULL, 'tools'), (2, 1, 'saws'), (3, 2, 'blades'), (4, 1, 'axes'), (5, 4, 'hafts'), (6, NULL, 'books');";
        let up = format!("CREATE TABLE n (id {key}, up INTEGER REFERENCES n (id), name VARCHAR(20));
INSERT INTO n (name) SELECT name FROM tree ORDER BY name;
UPDATE n SET up = (SELECT p.id FROM tree t JOIN tree f ON f.id = t.up JOIN n p ON p.name = f.name WHERE t.name = n.name);
DROP TABLE tree; ALTER TABLE n RENAME TO tree;");
        let sandbox = project(db, &made, filled, &up, "SELECT 1;");
        upgrade(&sandbox);
        db.execute("INSERT INTO tree VALUES (99, (SELECT id FROM tree WHERE name = 'tools'), 'hammers');");
        let all = "SELECT t.id, t.name, coalesce(f.name, '') FROM tree t LEFT JOIN tree f ON f.id = t.up ORDER BY t.id;";
        let before = db.query(all);
        let result = downgrade(&sandbox);
        assert_eq!(db.query(all), before, "{result:#}");
    }

    fn children_under_a_key_of_their_own_stay_where_their_parents_keep_new_numbers(db: &TestDatabase) {
        let sandbox = numbered_both_ways(db);
        db.execute("DELETE FROM c WHERE made = '04'; UPDATE p SET name = 'new' WHERE id = 3; INSERT INTO c VALUES (3, 'w3', '08');");
        let all = "SELECT c.made, p.made FROM c JOIN p ON p.id = c.pid ORDER BY c.made;";
        let before = db.query(all);
        let result = downgrade(&sandbox);
        assert_eq!(db.query(all), before, "{result:#}");
    }
    fn so_they_come_back_together_where_nobody_wrote(db: &TestDatabase) {
        let sandbox = numbered_both_ways(db);
        let result = downgrade(&sandbox);
        let rows = db.query("SELECT id, name FROM p ORDER BY id; SELECT pid, made FROM c ORDER BY made;");
        assert_eq!(rows, "1|zoe\n2|max\n3|anna\n1|04\n3|05\n1|06\n3|07", "{result:#}");
    }
}
