//! Names the statements that steer a transaction, so that they can be refused where ripcord owns it.

/// The command by which these first words of a statement begin, end or hand over a transaction, or `None`.
///
/// Savepoints stay inside a transaction and are not reported: `SAVEPOINT`, `RELEASE`, `ROLLBACK TO`.
pub(super) fn transaction_control(leading: &[&str]) -> Option<&'static str> {
    match leading {
        ["begin", ..] => Some("BEGIN"),
        ["start", "transaction", ..] => Some("START TRANSACTION"),
        ["commit", "prepared", ..] => Some("COMMIT PREPARED"),
        ["commit", ..] => Some("COMMIT"),
        ["end", ..] => Some("END"),
        ["abort", ..] => Some("ABORT"),
        ["prepare", "transaction", ..] => Some("PREPARE TRANSACTION"),
        ["rollback", "to", ..] | ["rollback", "work" | "transaction", "to", ..] => None,
        ["rollback", "prepared", ..] => Some("ROLLBACK PREPARED"),
        ["rollback", ..] => Some("ROLLBACK"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn savepoints_are_not_transaction_control() {
        for (text, expected) in [
            ("begin immediate", Some("BEGIN")),
            ("start transaction read only", Some("START TRANSACTION")),
            ("commit", Some("COMMIT")),
            ("commit and chain", Some("COMMIT")),
            ("commit prepared", Some("COMMIT PREPARED")),
            ("end transaction", Some("END")),
            ("abort", Some("ABORT")),
            ("rollback", Some("ROLLBACK")),
            ("rollback transaction", Some("ROLLBACK")),
            ("rollback prepared", Some("ROLLBACK PREPARED")),
            ("prepare transaction", Some("PREPARE TRANSACTION")),
            ("prepare plan as select", None),
            ("rollback to here", None),
            ("rollback work to savepoint here", None),
            ("rollback transaction to here", None),
            ("savepoint here", None),
            ("release savepoint here", None),
            ("create table begin", None),
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(transaction_control(&words), expected, "{text}");
        }
    }
}
