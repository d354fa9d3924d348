//! `init` and `revision`: what is written, and what is refused before anything is.

use super::*;
use crate::runner::sql::template::NewRevision;

fn project() -> (TempDir, Project) {
    let folder = tempfile::tempdir().expect("a folder");
    let project = Project::new(folder.path().join("migrations"));
    project.init().expect("made");
    (folder, project)
}

fn request(id: &str, message: &str) -> Request {
    Request {
        heads: vec!["head".into()],
        splice: false,
        revision: NewRevision {
            id: RevisionId::new(id).expect("an identifier"),
            parents: vec![],
            message: Some(message.into()),
            created: "2026-11-23T18:15:00Z".parse().expect("a time"),
            labels: vec![],
            depends_on: vec![],
        },
    }
}

fn on(head: &str, request: Request) -> Request {
    Request { heads: vec![head.into()], ..request }
}

fn heads(project: &Project) -> Vec<String> {
    project.history().expect("a history").heads().iter().map(|head| head.id.to_string()).collect()
}

fn refused(project: &Project, request: Request) -> String {
    let count = || project.files().expect("files").len();
    let before = count();
    let error = project.add(request).expect_err("refused").to_string();
    assert_eq!(count(), before, "nothing was written");
    error
}

#[test]
fn a_new_project_is_empty_and_can_be_read() {
    let (_folder, project) = project();
    assert!(project.history().expect("a history").is_empty());
    assert!(project.folder().join("versions/.gitkeep").exists());
}

#[test]
fn a_project_is_not_made_in_a_folder_that_holds_something() {
    let (_folder, project) = project();
    let refused = project.init().expect_err("refused").to_string();
    assert!(
        refused.starts_with("Directory ") && refused.ends_with(" already exists and is not empty"),
        "{refused}"
    );
    let empty = tempfile::tempdir().expect("a folder");
    Project::new(empty.path()).init().expect("an empty folder will do");
}

#[test]
fn each_new_revision_continues_the_head() {
    let (_folder, project) = project();
    let first = project.add(request("aaaa", "Create tables")).expect("written");
    assert!(first.ends_with("versions/aaaa_create_tables.sql"));
    project.add(request("bbbb", "")).expect("written");
    let files = project.files().expect("files");
    assert!(files[0].revision.is_base());
    assert_eq!(files[1].revision.parents, [files[0].revision.id.clone()]);
    assert_eq!(heads(&project), ["bbbb"]);
}

#[test]
fn branches_merges_and_new_roots_are_made_only_when_asked_for() {
    let (_folder, project) = project();
    project.add(request("aaaa", "a")).expect("written");
    project.add(request("bbbb", "b")).expect("written");
    assert_eq!(
        refused(&project, on("aaaa", request("cccc", "c"))),
        "Revision aaaa is not a head revision; please specify --splice to create a new branch from this revision"
    );
    project.add(Request { splice: true, ..on("aaaa", request("cccc", "c")) }).expect("a branch");
    assert_eq!(
        refused(&project, request("dddd", "d")),
        "Multiple heads are present; please specify the head revision on which the new revision should be based, or perform a \
         merge (the heads are bbbb, cccc)"
    );
    project.add(on("heads", request("dddd", "d"))).expect("a merge");
    assert_eq!(heads(&project), ["dddd"]);
    project.add(on("base", request("eeee", "e"))).expect("a root");
    assert_eq!(heads(&project), ["dddd", "eeee"]);
}

#[test]
fn what_would_break_the_history_is_refused_before_a_file_is_written() {
    let (_folder, project) = project();
    let labelled = |id: &str, label: &str| {
        let mut request = request(id, "x");
        request.revision.labels = vec![label.into()];
        request
    };
    project.add(labelled("aaaa", "net")).expect("written");
    assert!(refused(&project, request("aaaa", "again")).ends_with("aaaa_x.sql exists already"));
    assert_eq!(
        refused(&project, labelled("bbbb", "net")),
        "Branch name 'net' in revision bbbb already used by revision aaaa"
    );
    let mut dependent = request("bbbb", "b");
    dependent.revision.depends_on = vec!["gone".into()];
    assert!(refused(&project, dependent).contains("gone"));
    assert!(refused(&project, labelled("bbbb", "a b@c")).contains("'@' is not allowed"));
    assert_eq!(
        refused(&project, labelled("bbbb", "a b")),
        "a label or a dependency is one word without commas"
    );
    assert!(refused(&project, request(&"b".repeat(33), "b")).contains("has 33 characters"));
    assert!(refused(&project, request("../../b", "b")).contains("'/' is not allowed"));
    assert!(refused(&project, on("zzzz", request("bbbb", "b"))).contains("Can't locate revision"));
}
