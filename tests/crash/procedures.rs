//! Every procedure, on both engines.

use crate::scene::Scene;
use crate::story::Story;
use crate::support::*;

both_engines! {
    fn an_upgrade_that_dies_anywhere_ends_before_or_after_all_its_revisions(db: &TestDatabase) {
        let scene = Scene::new(db);
        scene.sandbox.sample();
        scene.sandbox.ripcord(&["upgrade", CREATE_TABLES]).expect_code(0);
        db.fill_sample(3, 20);
        scene.sandbox.add(&changes_data(ADD_PROCESS_RANK));
        scene.keep();
        Story::new(scene, &["upgrade"]).dies_everywhere();
    }
}
