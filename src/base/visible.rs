//! Text on a terminal: nothing in a value or a name may steer it, reorder it or break its line.

/// Tells whether a character is one that steers: a control, a mark that changes the direction of what stands beside it, or
/// one that cannot be seen. The joiners of scripts and emoji are none.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Returns the text in one line, with what steers written as an escape.
pub fn visible(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same of text that has lines of its own and perhaps colours of ours.
pub fn visible_lines(text: &str) -> String {
    let coloured = escaped(text, |character| matches!(character, '\n' | '\t' | '\u{1b}'));
    // A colour is ours; any other sequence is not.
    let mut parts = coloured.split('\u{1b}');
    let mut shown = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let is_colour = part.strip_prefix('[').is_some_and(|rest| {
            rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).starts_with('m')
        });
        shown.push_str(if is_colour { "\u{1b}" } else { "\\u{1b}" });
        shown.push_str(part);
    }
    shown
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let show = |character: char| match steers(character) && !keep(character) {
        true => character.escape_default().collect::<String>(),
        false => character.to_string(),
    };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown_as_an_escape() {
        assert_eq!(visible("a\u{202e}b\u{200b}\u{1b}[2J\nc\r"), "a\\u{202e}b\\u{200b}\\u{1b}[2J\\nc\\r");
        assert_eq!(visible("zoë 漢字 👩\u{200d}🚀 \"x\""), "zoë 漢字 👩\u{200d}🚀 \"x\"");
    }

    #[test]
    fn of_text_with_lines_only_lines_tabs_and_colours_stay() {
        assert_eq!(
            visible_lines("\u{1b}[31merror:\u{1b}[0m\n\tx\u{2066}\u{1b}]0;title\u{7}"),
            "\u{1b}[31merror:\u{1b}[0m\n\tx\\u{2066}\\u{1b}]0;title\\u{7}"
        );
    }
}
