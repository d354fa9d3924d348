//! The text of an identifier, taken apart.
//!
//! Promises to match the whole text: Alembic matches offsets at the start only, so `aaaa+1junk` runs as `aaaa+1` there.
//! Leaves to `resolve` and `walk` what the parts mean.

/// `[label@][name][±N]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symbol<'a> {
    /// All of it, as written.
    pub(super) text: &'a str,
    pub(super) label: Option<&'a str>,
    /// None only before an offset that counts from where the database is.
    pub(super) name: Option<&'a str>,
    pub(super) offset: Option<Offset<'a>>,
}

/// `+N` or `-N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset<'a> {
    /// As written, with its sign.
    pub(super) text: &'a str,
    pub(super) steps: i64,
}

impl<'a> Symbol<'a> {
    pub(super) fn parse(text: &'a str) -> Symbol<'a> {
        Symbol::relative(text).unwrap_or_else(|| match text.rsplit_once('@') {
            Some((label, name)) => Symbol { text, label: Some(label), name: Some(name), offset: None },
            None => Symbol { text, label: None, name: Some(text), offset: None },
        })
    }

    fn relative(text: &'a str) -> Option<Symbol<'a>> {
        let sign = text.rfind(['+', '-'])?;
        let (before, offset) = text.split_at(sign);
        if offset.len() < 2 || !offset[1..].bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (label, name) = match before.rsplit_once('@') {
            Some(("", _)) => return None,
            Some((label, name)) => (Some(label), name),
            None => (None, before),
        };
        if !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return None;
        }
        // More steps than fit are more than any history has.
        let steps = offset.parse().unwrap_or(if offset.starts_with('-') { i64::MIN } else { i64::MAX });
        let name = (!name.is_empty()).then_some(name);
        Some(Symbol { text, label, name, offset: Some(Offset { text: offset, steps }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_taken_apart_as_a_whole() {
        let cases = [
            ("abcd", (None, Some("abcd"), None)),
            ("net@head", (Some("net"), Some("head"), None)),
            ("+2", (None, None, Some(2))),
            ("-1", (None, None, Some(-1))),
            ("abcd+0", (None, Some("abcd"), Some(0))),
            ("head-12", (None, Some("head"), Some(-12))),
            ("net@-3", (Some("net"), None, Some(-3))),
            ("net@abcd+1", (Some("net"), Some("abcd"), Some(1))),
            ("shopping-cart@head", (Some("shopping-cart"), Some("head"), None)),
            ("shopping-cart@+1", (Some("shopping-cart"), None, Some(1))),
            // Not offsets.
            ("abcd+1junk", (None, Some("abcd+1junk"), None)),
            ("abcd+", (None, Some("abcd+"), None)),
            ("1.2+1", (None, Some("1.2+1"), None)),
            ("@+1", (Some(""), Some("+1"), None)),
            ("", (None, Some(""), None)),
        ];
        for (text, expected) in cases {
            let symbol = Symbol::parse(text);
            let steps = symbol.offset.map(|offset| offset.steps);
            assert_eq!((symbol.label, symbol.name, steps), expected, "{text}");
        }
    }

    #[test]
    fn more_steps_than_can_be_counted_are_still_steps() {
        let steps = |text| Symbol::parse(text).offset.map(|offset| offset.steps);
        assert_eq!(steps("+99999999999999999999"), Some(i64::MAX));
        assert_eq!(steps("-99999999999999999999"), Some(i64::MIN));
    }
}
