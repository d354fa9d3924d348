//! Words as a shell takes them: printed commands must mean the same when they are pasted.

use super::visible::visible;

/// Returns the text as one word, in single quotes where it needs them. What would steer a terminal is written as an escape,
/// in the quotes of POSIX.1-2024 (`$'…'`), which bash, zsh and ksh know as well.
pub fn shell_word(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-:@%+=".contains(character);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_string(),
        false if visible(text) != text => {
            let quoted = text.replace('\\', r"\\").replace('\'', r"\'");
            // Rust writes \u{202e}, a shell reads \U0000202e.
            let escape = |character: char| match character {
                '\n' => r"\n".to_string(),
                _ if visible(&character.to_string()) == character.to_string() => character.to_string(),
                _ => format!(r"\U{:08x}", u32::from(character)),
            };
            format!("$'{}'", quoted.chars().map(escape).collect::<String>())
        }
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

    #[test]
    fn a_word_that_would_steer_a_terminal_is_written_with_escapes_and_means_the_same() {
        let odd = "drops-table:\"a\n\u{202e}it's \\ \u{1b}\"";
        let word = shell_word(odd);
        assert_eq!(word, r#"$'drops-table:"a\n\U0000202eit\'s \\ \U0000001b"'"#);
    }
}
