//! On a terminal a person is asked, one hazard at a time.

use super::*;
use crate::on_a_terminal::{plain, typed, typed_ahead};

const LOSES_TWO: &str = "DROP TABLE scrap; DELETE FROM training_metric WHERE step = 1;";

both_engines! {
    fn a_person_is_asked_for_each_hazard_and_one_no_stops_it(db: &TestDatabase) {
        let sandbox = with(db, LOSES_TWO, "SELECT 1;");
        sandbox.env("TERM", "xterm");
        let before = db.dump();
        let backups = sandbox.backups();
        for answers in ["n\n", "\n", "y\nn\n", "y\nall\n"] {
            // Yes to every question is no answer to these.
            for yes in [&[][..], &["--yes"]] {
                let (code, shown) = typed(&sandbox, &[&["upgrade", "--no-progress"], yes].concat(), answers);
                assert_eq!(code, 3, "{answers:?}: {shown}");
                assert!(shown.contains("state: nothing was changed"), "{shown}");
                assert_eq!((db.dump(), sandbox.backups()), (before.clone(), backups.clone()));
            }
        }
        leaves_nothing_behind(&sandbox, db);
        let (code, shown) = typed(&sandbox, &["upgrade", "--no-progress"], "y\ny\n");
        let shown = plain(&shown);
        assert_eq!(code, 0, "{shown}");
        for hazard in ["drops-table:scrap", "deletes-rows:training_metric"] {
            assert!(shown.contains(&format!("accept {hazard}? [y/N]")), "{shown}");
            assert!(shown.contains(&format!("{hazard} accepted by the person who was asked")), "{shown}");
        }
        assert!(shown.contains("drops-table:scrap: 2 rows, 8 B: id=1, word=one"), "{shown}");
    }

    fn what_was_accepted_already_is_not_asked_and_a_refusal_names_all_that_is_needed(db: &TestDatabase) {
        let sandbox = with(db, LOSES_TWO, "SELECT 1;");
        sandbox.env("TERM", "xterm");
        let arguments = ["upgrade", "--no-progress", "--accept", "deletes-rows:training_metric"];
        let (code, shown) = typed(&sandbox, &arguments, "n\n");
        assert!(code == 3 && !shown.contains("accept deletes-rows:training_metric?"), "{shown}");
        assert!(shown.contains("--accept deletes-rows:training_metric --accept drops-table:scrap"), "{shown}");
        let (code, shown) = typed(&sandbox, &["upgrade", "--no-progress"], "y\nn\n");
        assert!(code == 3 && shown.contains("error: 1 hazard is not accepted: deletes-rows:training_metric"), "{shown}");
        assert!(shown.contains("--accept drops-table:scrap --accept deletes-rows:training_metric"), "{shown}");
        let (code, shown) = typed(&sandbox, &arguments, "y\n");
        assert_eq!(code, 0, "{shown}");
    }

    fn of_a_revision_without_a_way_back_it_is_not_asked_whether_something_is_to_be_lost(db: &TestDatabase) {
        let sandbox = filled_sample_of(db);
        let revision = Revision::new("abcd00000002").revises(ADD_PROCESS_RANK).directive("irreversible", "\"it merges rows\"");
        sandbox.add(&revision.upgrade("CREATE TABLE more (id INTEGER);"));
        sandbox.env("TERM", "xterm");
        let (code, shown) = typed(&sandbox, &["upgrade", "--no-progress"], "y\n");
        let shown = plain(&shown);
        assert!(code == 0 && !shown.contains("to be lost"), "{shown}");
        assert!(shown.contains("is this to run without a way back, accept irreversible:abcd00000002? [y/N]"), "{shown}");
    }

    fn what_was_typed_before_the_question_is_no_answer(db: &TestDatabase) {
        let sandbox = with(db, "DROP TABLE scrap;", "SELECT 1;");
        sandbox.env("TERM", "xterm");
        let before = db.dump();
        let (code, shown) = typed_ahead(&sandbox, &["upgrade", "--no-progress"], "y\n", "n\n");
        assert!(code == 3 && shown.contains("[y/N]"), "{shown}");
        assert_eq!(db.dump(), before);
    }

    fn a_program_on_a_terminal_is_not_asked(db: &TestDatabase) {
        let sandbox = with(db, LOSES_TWO, "SELECT 1;");
        let (code, shown) = typed(&sandbox, &["upgrade", "--format", "json"], "y\ny\n");
        assert!(code == 3 && !shown.contains("[y/N]"), "{shown}");
    }
}
