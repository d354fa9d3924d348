//! The words of a statement, for rules that must know what it is about without understanding it.

/// Returns the words of a statement in upper case, comments left out. Words inside quotes of every kind are among them,
/// because what is in a string may be run; each single quote is a word by itself.
pub(super) fn of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    let mut in_string = false;
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = after_comment(rest).filter(|_| !in_string) {
            rest = behind;
            continue;
        }
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if length > 0 {
            words.push(rest[..length].to_uppercase());
            rest = &rest[length..];
            continue;
        }
        if first == '\'' {
            in_string = !in_string;
            words.push("'".to_string());
        }
        rest = &rest[first.len_utf8()..];
    }
    words
}

/// Returns what follows a comment; comments of the second kind nest in PostgreSQL.
fn after_comment(text: &str) -> Option<&str> {
    if let Some(inside) = text.strip_prefix("--") {
        return Some(inside.split_once('\n').map_or("", |(_, rest)| rest));
    }
    let mut rest = text.strip_prefix("/*")?;
    let mut depth = 1;
    while depth > 0 {
        let Some(place) = rest.find(['*', '/']) else { return Some("") };
        rest = &rest[place..];
        let (step, length) = match rest.as_bytes() {
            [b'*', b'/', ..] => (-1, 2),
            [b'/', b'*', ..] => (1, 2),
            _ => (0, 1),
        };
        depth += step;
        rest = &rest[length..];
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn words_are_found_whatever_stands_between_them() {
        assert_eq!(of("-- why\n /* how /* so */ */create\trole/**/app;"), ["CREATE", "ROLE", "APP"]);
        assert_eq!(of("VACUUM;"), ["VACUUM"]);
        assert_eq!(of("-- nothing"), [""; 0]);
        assert_eq!(of("/* open"), [""; 0]);
        assert_eq!(of("COPY\"t\"TO'x -- y'"), ["COPY", "T", "TO", "'", "X", "Y", "'"]);
        assert_eq!(of("DO $a$BEGIN f(); END$a$"), ["DO", "A", "BEGIN", "F", "END", "A"]);
    }
}
