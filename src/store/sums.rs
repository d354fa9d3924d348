//! The text of `SHA256SUMS`, as `sha256sum` of GNU coreutils writes and checks it. Pure.
//!
//! One line a file: 64 hexadecimal digits, two spaces, the name relative to the folder. A name with a backslash has it
//! doubled and its line begins with a backslash
//! (<https://www.gnu.org/software/coreutils/manual/html_node/cksum-output-modes.html>). Names with control characters
//! never get here: they are refused when a backup is sealed.

use std::collections::BTreeMap;

/// Name to SHA-256.
pub(super) type Sums = BTreeMap<String, String>;

/// Returns the text, sorted by name.
pub(super) fn text(sums: &Sums) -> String {
    sums.iter()
        .map(|(name, sha256)| match name.contains('\\') {
            true => format!("\\{sha256}  {}\n", name.replace('\\', "\\\\")),
            false => format!("{sha256}  {name}\n"),
        })
        .collect()
}

/// Reads what `text` or `sha256sum` wrote, or says which line it does not understand.
pub(super) fn parse(text: &str) -> Result<Sums, String> {
    let mut sums = Sums::new();
    for (index, line) in text.lines().enumerate() {
        let (name, sha256) = entry(line).ok_or_else(|| format!("line {}", index + 1))?;
        if sums.insert(name.clone(), sha256).is_some() {
            return Err(format!("{name} is in it twice"));
        }
    }
    Ok(sums)
}

fn entry(line: &str) -> Option<(String, String)> {
    let (escaped, line) = match line.strip_prefix('\\') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (sha256, rest) = line.split_at_checked(64)?;
    // The second character is a space for text mode and an asterisk for binary mode; on Unix both are the same.
    let name = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
    let name = if escaped { name.replace("\\\\", "\\") } else { name.to_string() };
    (is_sha256(sha256) && !name.is_empty()).then(|| (name, sha256.to_string()))
}

/// Tells whether a text is a SHA-256 as this program writes it.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::sha256_hex;
    use crate::base::{Cancel, Tool, fs};
    use proptest::prelude::*;

    #[tokio::test]
    async fn sha256sum_accepts_what_is_written_even_for_a_name_with_a_backslash() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = ["manifest.json", "with space", "back\\slash", "ünïcode"];
        let mut sums = Sums::new();
        for name in names {
            fs::write_durable(&folder.path().join(name), name.as_bytes()).expect("written");
            sums.insert(name.to_string(), sha256_hex(name));
        }
        fs::write_durable(&folder.path().join("SHA256SUMS"), text(&sums).as_bytes()).expect("written");
        let check = Tool::new("sha256sum").args(["--strict", "-c", "SHA256SUMS"]).current_dir(folder.path());
        let said = check.run(&Cancel::new()).await.expect("every name is found and matches").stdout;
        assert_eq!(said.lines().filter(|line| line.ends_with(": OK")).count(), names.len(), "{said}");
    }

    #[test]
    fn a_line_that_is_no_checksum_is_named() {
        let good = format!("{}  a\n", sha256_hex("a"));
        assert_eq!(parse(&format!("{good}nonsense\n")), Err("line 2".to_string()));
        assert_eq!(parse(&format!("{good}{good}")), Err("a is in it twice".to_string()));
        assert_eq!(parse(&good.to_uppercase()), Err("line 1".to_string()));
    }

    proptest! {
        #[test]
        fn any_names_can_be_read_back(names in proptest::collection::btree_set("[^\\p{Cc}]{1,9}", 0..6)) {
            let sums: Sums = names.into_iter().map(|name| (name.clone(), sha256_hex(name))).collect();
            prop_assert_eq!(parse(&text(&sums)), Ok(sums));
        }
    }
}
