//! The tour of the README is a real session: each line of it is run, and prints what the page shows.

use crate::console::{blocks, plain};
use crate::read;
use crate::support::*;

/// The folder in which the session of the README was recorded.
const RECORDED_IN: &str = "/srv/training";

#[test]
fn the_tour_of_the_readme_prints_what_the_page_shows() {
    let sandbox = Sandbox::new();
    sandbox.sample();
    crate::on_the_path(&sandbox);
    let here = sandbox.project().display().to_string();
    let readme = read("README.md");
    let section = readme.split("## One minute").nth(1).expect("the README has a tour");
    let tour = blocks(section).swap_remove(0);
    assert!(tour.len() >= 8, "the tour has only {} commands", tour.len());
    for typed in tour {
        let run = sandbox.run("sh", &["-c", &typed.command]);
        run.expect_code(0).stderr_is_empty();
        let printed = run.stdout.replace(&here, RECORDED_IN);
        assert_eq!(plain(&printed), plain(&typed.shown), "{}\n{run}", typed.command);
    }
}
