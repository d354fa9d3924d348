//! Words as a POSIX shell takes them: printed commands must mean the same when they are pasted.

/// Returns the text as one word, in single quotes where it needs them.
pub fn shell_word(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-:@%+=".contains(character);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::shell_word;

    #[test]
    fn a_word_that_is_pasted_means_itself() {
        assert_eq!(
            shell_word("drops-column:training_metric.process_rank"),
            "drops-column:training_metric.process_rank"
        );
        assert_eq!(shell_word("drops-table:\"it's $ODD\""), r#"'drops-table:"it'\''s $ODD"'"#);
        assert_eq!(shell_word(""), "''");
    }
}
