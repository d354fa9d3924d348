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
