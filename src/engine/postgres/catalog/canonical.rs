//! One spelling for expressions that the server prints differently after a dump and a restore.
//!
//! `status IN ('a', 'b')` on a varchar column is stored as `ARRAY['a'::character varying, …]::text[]` and printed so;
//! when the server reads that text again it casts each element instead, and prints
//! `ARRAY[('a'::character varying)::text, …]`. The second spelling prints itself, so it is the one we keep.

/// Returns the expression in the spelling that survives a dump and a restore.
pub(super) fn canonical(expression: &str) -> String {
    let mut text = expression.to_string();
    let mut from = 0;
    while let Some(found) = text[from..].find("(ARRAY[") {
        let start = from + found;
        from = start + 1;
        if let Some(rewritten) = push_cast_down(&text, start) {
            text = rewritten;
        }
    }
    text
}

/// Rewrites `(ARRAY[a, b])::t[]` at `start` as `ARRAY[(a)::t, (b)::t]`; `None` when it is something else.
fn push_cast_down(text: &str, start: usize) -> Option<String> {
    let elements_start = start + "(ARRAY[".len();
    let (elements, end) = split_elements(&text[elements_start..])?;
    let after = text[elements_start + end..].strip_prefix("])::")?;
    let type_end = after.find("[]")?;
    let to = &after[..type_end];
    let is_type = to.chars().all(|next| next.is_ascii_alphanumeric() || "_ .\"".contains(next));
    if !is_type || to.is_empty() {
        return None;
    }
    let cast: Vec<String> = elements.iter().map(|element| format!("({element})::{to}")).collect();
    Some(format!("{}ARRAY[{}]{}", &text[..start], cast.join(", "), &after[type_end + 2..]))
}

/// Splits `a, b], …` at its top-level commas; returns the elements and where the closing bracket is.
fn split_elements(text: &str) -> Option<(Vec<&str>, usize)> {
    let (mut elements, mut begin, mut depth) = (Vec::new(), 0, 0usize);
    let mut quoted: Option<char> = None;
    for (at, next) in text.char_indices() {
        match (quoted, next) {
            (Some(quote), _) if quote == next => quoted = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quoted = Some(next),
            (None, '(' | '[') => depth += 1,
            (None, ']') if depth == 0 => {
                elements.push(text[begin..at].trim());
                return Some((elements, at));
            }
            (None, ')' | ']') => depth = depth.checked_sub(1)?,
            (None, ',') if depth == 0 => {
                elements.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn a_cast_of_an_array_is_pushed_down_to_its_elements() {
        let stored = "CHECK (((status)::text = ANY ((ARRAY['a'::character varying, 'b,]'::character varying])::text[])))";
        let restored = "CHECK (((status)::text = ANY (ARRAY[('a'::character varying)::text, ('b,]'::character varying)::text])))";
        assert_eq!(canonical(stored), restored);
        assert_eq!(canonical(restored), restored);
    }

    #[test]
    fn everything_else_stays_as_the_server_prints_it() {
        for text in
            ["CHECK ((x > 0))", "(ARRAY[1, 2])", "SELECT '(ARRAY[' AS a", "((ARRAY[1, 2])[1])::text", ""]
        {
            assert_eq!(canonical(text), text);
        }
    }
}
