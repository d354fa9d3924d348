//! SQL text as SQLite keeps it, cut into tokens and written in one canonical way.
//!
//! `ALTER TABLE` rewrites the text of a table, and people format theirs as they like: comments and white space must
//! not look like a change. What is inside quotes is kept as it is.

/// Cuts text into tokens: words, quoted things, numbers and operators. White space and comments are left out.
pub(super) fn tokens(sql: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = blank(rest, first);
        if length > 0 {
            rest = &rest[length..];
            continue;
        }
        let (token, after) = rest.split_at(token_length(rest, first));
        found.push(token);
        rest = after;
    }
    found
}

/// Returns the text of a statement without comments and with canonical white space.
pub(super) fn canonical(sql: &str) -> String {
    join(&tokens(sql))
}

/// Writes tokens with single spaces where they would otherwise run together or be hard to read.
pub(super) fn join(tokens: &[&str]) -> String {
    let mut text = String::new();
    let mut before = "";
    for token in tokens {
        // A point before a digit would be read as the beginning of a number.
        let tight = before.is_empty()
            || before == "("
            || (before == "." && !token.starts_with(|next: char| next.is_ascii_digit()))
            || matches!(*token, ")" | "," | "." | ";")
            || (*token == "(" && before != ",");
        if !tight {
            text.push(' ');
        }
        text.push_str(token);
        before = token;
    }
    text
}

/// Takes the quotes off an identifier.
pub(super) fn unquote(token: &str) -> String {
    let inner = |close: &str| {
        token.get(1..token.len().saturating_sub(1)).unwrap_or_default().replace(&close.repeat(2), close)
    };
    match token.as_bytes().first() {
        Some(b'"') => inner("\""),
        Some(b'`') => inner("`"),
        Some(b'\'') => inner("'"),
        Some(b'[') => token.trim_start_matches('[').trim_end_matches(']').to_string(),
        _ => token.to_string(),
    }
}

/// Tells whether a token is this keyword (and not a quoted name that looks like it).
pub(super) fn is_word(token: &str, keyword: &str) -> bool {
    token.eq_ignore_ascii_case(keyword)
}

fn blank(rest: &str, first: char) -> usize {
    if first.is_ascii_whitespace() {
        return 1;
    }
    if rest.starts_with("--") {
        return rest.find('\n').map_or(rest.len(), |end| end + 1);
    }
    match rest.strip_prefix("/*") {
        Some(comment) => comment.find("*/").map_or(rest.len(), |end| end + 4),
        None => 0,
    }
}

fn token_length(rest: &str, first: char) -> usize {
    const LONG_OPERATORS: [&str; 10] = ["->>", "->", "||", "<=", ">=", "<>", "!=", "==", "<<", ">>"];
    match first {
        '\'' | '"' | '`' => quoted(rest, first),
        '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
        _ if first.is_ascii_digit() => number(rest),
        '.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => number(rest),
        _ if is_name(first) => rest.find(|next| !is_name(next)).unwrap_or(rest.len()),
        _ => LONG_OPERATORS
            .iter()
            .find(|operator| rest.starts_with(**operator))
            .map_or(first.len_utf8(), |operator| operator.len()),
    }
}

/// A number with its point and the sign of its exponent.
fn number(rest: &str) -> usize {
    let is_exponent = |at: usize| !rest.starts_with("0x") && rest[..at].ends_with(['e', 'E']);
    let ends = |(at, next): &(usize, char)| {
        !is_name(*next) && *next != '.' && !(matches!(next, '+' | '-') && is_exponent(*at))
    };
    rest.char_indices().find(ends).map_or(rest.len(), |(at, _)| at)
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '$' || !character.is_ascii()
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(end) = rest[at..].find(quote) {
        at += end + 1;
        if !rest[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comments_and_white_space_are_no_difference() {
        let tidy = "CREATE TABLE t(a TEXT DEFAULT 'x  --y', b CHECK(b <> 1.5 AND a ->> 'k' = 2e-3))";
        let messy = "CREATE  TABLE t ( a\tTEXT /* why */ DEFAULT 'x  --y' -- end\n , b CHECK (b<>1.5 AND a->>'k'=2e-3) )";
        assert_eq!(canonical(messy), canonical(tidy));
        assert_eq!(canonical(tidy), tidy);
        assert_eq!(canonical("a . b, A .\n0"), "a.b, A. 0");
        assert_eq!(canonical("A. 0"), "A. 0");
    }

    #[test]
    fn what_is_in_quotes_is_a_difference() {
        assert_ne!(canonical("SELECT 'a b'"), canonical("SELECT 'a  b'"));
        assert_ne!(canonical("SELECT \"a\""), canonical("SELECT \"A\""));
    }

    #[test]
    fn every_way_of_quoting_a_name_is_taken_off() {
        for (token, name) in
            [("\"a\"\"b\"", "a\"b"), ("`a`", "a"), ("[a b]", "a b"), ("'a'", "a"), ("a", "a")]
        {
            assert_eq!(unquote(token), name);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end_and_canonical_text_stays_as_it_is(text in "\\PC{0,40}") {
            let once = canonical(&text);
            prop_assert_eq!(canonical(&once), once);
        }
    }
}
