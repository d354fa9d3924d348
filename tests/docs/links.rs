//! Links between documents lead somewhere.

use std::path::Path;

use crate::{documents, read, root};

#[test]
fn every_link_to_a_file_of_the_repository_leads_to_one() {
    let mut broken = Vec::new();
    let mut followed = 0;
    for document in documents() {
        let folder = root().join(document.parent().unwrap_or(Path::new("")));
        for target in targets(&read(&document)) {
            followed += 1;
            if !folder.join(&target).exists() {
                broken.push(format!("{} links to {target}", document.display()));
            }
        }
    }
    assert!(followed > 20, "only {followed} links were found: the reader of links is broken");
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn a_link_is_read_without_its_anchor_and_the_web_is_left_alone() {
    let text = "See [a](docs/a.md#b), [c](https://example.org) and [d](#e) and code `x[0](y)`.";
    assert_eq!(targets(text), ["docs/a.md"]);
}

/// The files that a Markdown text links to.
fn targets(text: &str) -> Vec<String> {
    let outside_of_code: String = text.split('`').step_by(2).collect();
    let parts = outside_of_code.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = parts.map(|target| target.split('#').next().unwrap_or_default());
    files.filter(|file| !file.is_empty() && !file.contains("://")).map(str::to_owned).collect()
}
