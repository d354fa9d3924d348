//! The user's editor, which has the terminal to itself until it is closed.
#![expect(clippy::disallowed_methods, reason = "this module owns the power to hand over the terminal")]

use std::path::{Path, PathBuf};

/// Why a file was not edited.
#[derive(Debug, thiserror::Error)]
pub enum EditorError {
    #[error("no editor is set")]
    NotSet,
    #[error("the editor {editor} was not found; {} was not opened", file.display())]
    Missing { editor: String, file: PathBuf },
    #[error("the editor {editor} could not be started: {source}")]
    Start { editor: String, source: std::io::Error },
    #[error("the editor {editor} ended with {status}; {} is as it left it", file.display())]
    Failed { editor: String, status: String, file: PathBuf },
}

/// Opens the file in the editor and returns when it is closed. The editor may be a command with arguments
/// (`code --wait`): as Git does, the shell takes it apart.
pub async fn edit(editor: &str, file: &Path) -> Result<(), EditorError> {
    let mut command = tokio::process::Command::new("/bin/sh");
    // What follows the script becomes $0 and $1: the name of the file is never read as shell.
    command.arg("-c").arg(format!("{editor} \"$@\"")).arg(editor).arg(file);
    let named = editor.to_string();
    let status = match command.status().await {
        Ok(status) => status,
        Err(source) => return Err(EditorError::Start { editor: named, source }),
    };
    match status.code() {
        Some(0) => Ok(()),
        // The shell's words for "not found" and "cannot be run".
        Some(126 | 127) => Err(EditorError::Missing { editor: named, file: file.to_path_buf() }),
        _ => Err(EditorError::Failed { editor: named, status: status.to_string(), file: file.to_path_buf() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_editor_may_have_arguments_and_the_file_a_space_in_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a $(touch b) c.sql");
        edit("touch -r /", &file).await.expect("edited");
        assert!(file.exists());
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[tokio::test]
    async fn an_editor_that_fails_is_no_success() {
        let file = Path::new("/tmp/nothing.sql");
        let error = edit("false", file).await.expect_err("fails");
        assert_eq!(
            error.to_string(),
            "the editor false ended with exit status: 1; /tmp/nothing.sql is as it left it"
        );
        let error = edit("/nowhere/editor --wait 2>/dev/null", file).await.expect_err("missing");
        assert!(matches!(error, EditorError::Missing { .. }), "{error}");
    }
}
