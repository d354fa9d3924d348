//! Privileges and parameters of a database, and how they are said to a server again.

use crate::engine::postgres::names::{identifier, literal};
use serde::{Deserialize, Serialize};

/// One privilege on the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine::postgres) struct Grant {
    /// `None` is everybody.
    pub(super) to: Option<String>,
    pub(super) privilege: String,
    pub(super) grantable: bool,
}

/// One `ALTER DATABASE … SET`, or `ALTER ROLE … IN DATABASE … SET`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine::postgres) struct Parameter {
    pub(super) role: Option<String>,
    pub(super) name: String,
    pub(super) value: String,
}

/// Parameters whose stored value is a list of quoted names; the list must be taken apart to be said again.
/// (`GUC_LIST_QUOTE` in the server's table of parameters.)
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

impl Grant {
    /// Returns the statement that grants it.
    pub(super) fn spoken(&self, name: &str) -> String {
        let option = if self.grantable { " WITH GRANT OPTION" } else { "" };
        format!("GRANT {} ON DATABASE {name} TO {}{option}", self.privilege, whom(&self.to))
    }
}

pub(super) fn whom(role: &Option<String>) -> String {
    role.as_ref().map_or("PUBLIC".to_string(), |role| identifier(role))
}

/// Returns a statement that does nothing instead of failing, where it names what is not there or is not allowed.
pub(super) fn if_allowed(statement: &str) -> String {
    let block = format!(
        "BEGIN EXECUTE {}; EXCEPTION WHEN insufficient_privilege OR undefined_object THEN NULL; END",
        literal(statement)
    );
    format!("DO {}", literal(&block))
}

impl Parameter {
    /// Tells whether both set the same, to whatever.
    pub(super) fn is_same(&self, other: &Parameter) -> bool {
        (&self.role, &self.name) == (&other.role, &other.name)
    }

    /// Returns the beginning of the statement that changes it.
    pub(super) fn whose(&self, name: &str) -> String {
        match &self.role {
            Some(role) => format!("ALTER ROLE {} IN DATABASE {name}", identifier(role)),
            None => format!("ALTER DATABASE {name}"),
        }
    }

    pub(super) fn written(&self) -> String {
        self.name.split('.').map(identifier).collect::<Vec<_>>().join(".")
    }

    /// Returns the statement that sets it.
    pub(super) fn spoken_of(&self, name: &str) -> String {
        format!("{} SET {} TO {}", self.whose(name), self.written(), self.spoken())
    }

    /// Returns the value as `SET` takes it.
    fn spoken(&self) -> String {
        if !LISTS.contains(&self.name.as_str()) {
            return literal(&self.value);
        }
        let names: Vec<String> = split_names(&self.value).iter().map(|name| literal(name)).collect();
        if names.is_empty() { "''".to_string() } else { names.join(", ") }
    }
}

/// Splits `"$user", public` into names, without their quotes.
fn split_names(list: &str) -> Vec<String> {
    let (mut names, mut name, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = list.chars().peekable();
    while let Some(next) = characters.next() {
        match next {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            ' ' if !quoted => {}
            other => name.push(other),
        }
    }
    if !name.is_empty() || !names.is_empty() || list.contains('"') {
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_of_names_is_no_name() {
        assert_eq!(split_names(""), Vec::<String>::new());
        assert_eq!(split_names("\"\""), [""]);
        assert_eq!(split_names("a, \"b\"\"c\""), ["a", "b\"c"]);
    }
}
