//! Reads source: what is left without comments, texts and tests.

/// One file.
#[derive(Debug)]
pub struct Source {
    /// Its path in the repository.
    pub file: String,
    /// The path of its module below the crate: `["engine", "sqlite"]`; empty for `lib.rs` and `main.rs`.
    pub module: Vec<String>,
    pub lines: usize,
    /// The code, with every text and character literal emptied and every comment gone.
    pub code: String,
}

impl Source {
    pub fn new(file: &str, text: &str) -> Source {
        Source {
            file: file.to_owned(),
            module: module_path(file),
            lines: text.lines().count(),
            code: without_comments_and_texts(text),
        }
    }

    /// The code without its inline test modules.
    pub fn product_code(&self) -> String {
        let mut kept = String::new();
        let mut rest = self.code.as_str();
        while let Some(start) = rest.find("#[cfg(test)]") {
            let (before, marked) = rest.split_at(start);
            kept.push_str(before);
            rest = &marked[end_of_item(marked)..];
        }
        kept + rest
    }
}

fn module_path(file: &str) -> Vec<String> {
    let inner = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs");
    let mut parts: Vec<_> = inner.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod")
        || matches!(parts[..], [ref only] if only == "lib" || only == "main")
    {
        parts.pop();
    }
    parts
}

/// Where the item ends that starts here: after its block, or at its semicolon.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (place, character) in code.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => return place + 1,
            '}' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return place + 1,
            _ => {}
        }
    }
    code.len()
}

fn without_comments_and_texts(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            length_of_comment(rest)
        } else if let Some(length) = length_of_literal(rest, code.chars().next_back()) {
            code.push_str("\"\"");
            length
        } else {
            code.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    code
}

/// Block comments nest.
fn length_of_comment(text: &str) -> usize {
    let (mut place, mut depth) = (0, 0_usize);
    while place < text.len() {
        let step = if text[place..].starts_with("/*") {
            depth += 1;
            2
        } else if text[place..].starts_with("*/") {
            depth -= 1;
            2
        } else {
            text[place..].chars().next().map_or(1, char::len_utf8)
        };
        place += step;
        if depth == 0 {
            break;
        }
    }
    place
}

/// The length of the text or character literal that starts here; `previous` is the character before it.
fn length_of_literal(text: &str, previous: Option<char>) -> Option<usize> {
    if let Some(inner) = text.strip_prefix('"') {
        return Some(1 + length_until_quote(inner, '"'));
    }
    if let Some(inner) = text.strip_prefix('\'') {
        // A lifetime has no closing quote after its one character.
        let mut characters = inner.chars();
        let is_character = characters.next() == Some('\\') || characters.next() == Some('\'');
        return is_character.then(|| 1 + length_until_quote(inner, '\''));
    }
    let starts_a_word = !previous.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let hashes = text.strip_prefix('r').or_else(|| text.strip_prefix("br"))?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    if !starts_a_word || !hashes[count..].starts_with('"') {
        return None;
    }
    let open = text.len() - hashes.len() + count + 1;
    let close = format!("\"{}", "#".repeat(count));
    Some(text[open..].find(&close).map_or(text.len(), |end| open + end + close.len()))
}

/// The length up to and with the closing quote.
fn length_until_quote(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return place + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn literals_and_comments_are_gone_and_lifetimes_stay() {
    let code = without_comments_and_texts(
        r##"fn f<'a>(x: &'a str) { g('"', '\'', b'{', "a \" // b", r#"c " d"#, br"e", 'é') } // end
/* one /* two */ three */ mod r;"##,
    );
    let expected = "fn f<'a>(x: &'a str) { g(\"\", \"\", b\"\", \"\", \"\", \"\", \"\") } \n mod r;";
    assert_eq!(code, expected);
}
