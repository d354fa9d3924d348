//! Numbers with their nouns.

/// Returns a number with its noun, in the plural where it needs one: `1 table`, `2 tables`.
pub fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Returns one word for one and another one for any other number: `has`, `have`.
pub fn one_or_more<'w>(number: u64, one: &'w str, more: &'w str) -> &'w str {
    if number == 1 { one } else { more }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_everything_else_is_many() {
        let said = |number| format!("{} {}", counted(number, "row"), one_or_more(number, "is", "are"));
        assert_eq!([said(0), said(1), said(2)], ["0 rows are", "1 row is", "2 rows are"]);
    }
}
