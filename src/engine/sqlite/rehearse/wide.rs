//! Expressions over every column of a table. SQLite gives up on chains of a thousand terms and on two thousand things to
//! group by, and a table may have two thousand columns.

use crate::catalog::quote;

/// So many columns go into one term of a comparison of whole rows, and of more than that a term is one text.
const TOGETHER: usize = 100;
/// Up to so many columns each one is a term by itself, which costs less.
const BY_THEMSELVES: usize = 400;

/// Joins parts so that none stands deep: `((a OR b) OR (c OR d))`. `nothing` is what no parts are.
pub(in super::super) fn joined(parts: &[String], operator: &str, nothing: &str) -> String {
    match parts {
        [] => nothing.to_string(),
        [only] => only.clone(),
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            format!("({} {operator} {})", joined(left, operator, nothing), joined(right, operator, nothing))
        }
    }
}

/// Returns expressions of which, by type and bytes, all are the same only in rows that are the same in all these columns.
pub(in super::super) fn terms(columns: &[String]) -> Vec<String> {
    if columns.len() <= BY_THEMSELVES {
        return columns.iter().map(|name| quote(name)).collect();
    }
    let exact = |chunk: &[String]| chunk.iter().map(|name| exact(&quote(name))).collect::<Vec<_>>();
    columns.chunks(TOGETHER).map(|chunk| joined(&exact(chunk), "||", "''")).collect()
}

/// Returns one text for these expressions, which others have only where each has the same value, by type and bytes.
pub(in super::super) fn text(values: &[String]) -> String {
    joined(&values.iter().map(|value| exact(value)).collect::<Vec<_>>(), "||", "''")
}

/// A value as a text that no other value has, and that ends where it ends.
fn exact(name: &str) -> String {
    format!(
        "CASE typeof({name}) WHEN 'text' THEN 't' || hex({name}) WHEN 'blob' THEN 'b' || hex({name}) ELSE quote({name}) END || ','"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_parts_stand_ten_deep_and_none_is_left_out() {
        let parts: Vec<String> = (0..1000).map(|number| format!("p{number}")).collect();
        let text = joined(&parts, "OR", "0");
        let deepest = text.chars().scan(0i32, |depth, next| {
            *depth += i32::from(next == '(') - i32::from(next == ')');
            Some(*depth)
        });
        assert_eq!(deepest.max(), Some(10));
        assert!(parts.iter().all(|part| text.contains(part.as_str())));
        assert_eq!(
            (joined(&[], "OR", "0"), joined(&parts[..1], "OR", "0")),
            ("0".to_string(), "p0".to_string())
        );
    }
}
