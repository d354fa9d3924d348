//! What is wrong with a database although every statement still works.

use super::session::Session;
use crate::base::{counted, one_or_more};
use crate::catalog::{Finding, Severity, TableName};
use crate::engine::Error;

/// Looks for what the server knows to be incomplete or switched off.
pub(super) async fn read(session: &mut Session) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for rule in RULES {
        for row in session.rows(&format!("looking for {}", rule.code), rule.sql).await? {
            findings.push(Finding {
                severity: Severity::Warning,
                code: rule.code.to_string(),
                subject: row.text(0).to_string(),
                detail: row.filled(1).unwrap_or_else(|| rule.detail.to_string()),
            });
        }
    }
    sequences_behind(session, &mut findings).await?;
    orphans(session, &mut findings).await?;
    findings.sort();
    Ok(findings)
}

/// One query for (subject, detail); an empty detail stands for the rule's own.
struct Rule {
    code: &'static str,
    detail: &'static str,
    sql: &'static str,
}

const RULES: [Rule; 4] = [
    Rule {
        code: "invalid-index",
        detail: "the index is not valid: it is not used, and a dump does not hold it",
        sql: "SELECT format('%I.%I', n.nspname, ic.relname), '' FROM pg_index i \
              JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_namespace n ON n.oid = ic.relnamespace \
              WHERE NOT i.indisvalid AND n.nspname !~ '^pg_'",
    },
    Rule {
        code: "not-valid-constraint",
        detail: "the constraint is NOT VALID: rows that were there before it may break it",
        sql: "SELECT format('%I.%I.%I', n.nspname, c.relname, k.conname), '' FROM pg_constraint k \
              JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
              WHERE NOT k.convalidated AND n.nspname !~ '^pg_'",
    },
    Rule {
        code: "disabled-trigger",
        detail: "",
        sql: "SELECT format('%I.%I.%I', n.nspname, c.relname, CASE WHEN g.tgisinternal AND g.tgconstraint <> 0 THEN \
              (SELECT k.conname FROM pg_constraint k WHERE k.oid = g.tgconstraint) ELSE g.tgname END), \
              CASE WHEN g.tgisinternal THEN 'the check of the foreign key is disabled: a dump does not hold this' \
              ELSE 'the trigger is disabled' END FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid \
              JOIN pg_namespace n ON n.oid = c.relnamespace WHERE g.tgenabled = 'D' GROUP BY 1, 2",
    },
    Rule {
        code: "unpopulated-matview",
        detail: "the materialized view was never filled: it cannot be read",
        sql: "SELECT format('%I.%I', n.nspname, c.relname), '' FROM pg_class c \
              JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND NOT c.relispopulated",
    },
];

/// A sequence that would next give a number that is in its column already. The greatest value is asked for only
/// where an index has it at hand.
async fn sequences_behind(session: &mut Session, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let owned = "SELECT sn.nspname, s.relname, tn.nspname, t.relname, quote_ident(a.attname) FROM pg_depend d \
         JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace \
         JOIN pg_sequence q ON q.seqrelid = s.oid AND q.seqincrement > 0 AND NOT q.seqcycle \
         JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid \
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') \
         AND EXISTS (SELECT FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_am m ON m.oid = ic.relam \
         WHERE i.indrelid = t.oid AND i.indkey[0] = a.attnum AND i.indpred IS NULL AND i.indisvalid \
         AND m.amname = 'btree') AND a.atttypid IN (20, 21, 23) AND t.relkind IN ('r', 'p')";
    let listed = session.rows("listing the sequences of columns", owned).await?;
    for part in listed.chunks(100) {
        let queries = part.iter().enumerate().map(|(index, row)| {
            let sequence = TableName::qualified(row.text(0), row.text(1)).sql();
            let table = TableName::qualified(row.text(2), row.text(3)).sql();
            let column = row.text(4);
            format!(
                "SELECT {index}, s.next, m.greatest FROM (SELECT CASE WHEN is_called THEN last_value ELSE \
                 last_value - 1 END AS next FROM {sequence}) s, (SELECT max({column}) AS greatest FROM {table}) m \
                 WHERE m.greatest > s.next"
            )
        });
        let sql = queries.collect::<Vec<_>>().join(" UNION ALL ");
        for behind in session.rows("comparing sequences with their columns", &sql).await? {
            let Some(row) = part.get(behind.number::<usize>(0)) else { continue };
            findings.push(Finding {
                severity: Severity::Warning,
                code: "sequence-behind".to_string(),
                subject: TableName::qualified(row.text(0), row.text(1)).to_string(),
                detail: format!(
                    "it gave out {} last, but {}.{} holds {}",
                    behind.text(1),
                    TableName::qualified(row.text(2), row.text(3)),
                    row.text(4),
                    behind.text(2)
                ),
            });
        }
    }
    Ok(())
}

/// Rows that break a foreign key which was never checked for them (NOT VALID).
async fn orphans(session: &mut Session, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let sql = "SELECT format('%I.%I.%I', n.nspname, c.relname, k.conname), format('SELECT count(*) FROM ONLY %I.%I c \
         WHERE %s AND NOT EXISTS (SELECT FROM %I.%I p WHERE %s)', n.nspname, c.relname, \
         (SELECT string_agg(format('c.%I IS DISTINCT FROM NULL', a.attname), ' AND ') FROM pg_attribute a \
         WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)), fn.nspname, f.relname, \
         (SELECT string_agg(format('p.%I OPERATOR(%I.%s) c.%I', b.attname, e.nspname, o.oprname, a.attname), \
         ' AND ') FROM unnest(k.conkey, k.confkey, k.conpfeqop) AS pair(own, other, equal) \
         JOIN pg_operator o ON o.oid = pair.equal JOIN pg_namespace e ON e.oid = o.oprnamespace \
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.own \
         JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = pair.other)) \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace \
         WHERE k.contype = 'f' AND NOT k.convalidated AND n.nspname !~ '^pg_'";
    for row in session.rows("listing the foreign keys that were never checked", sql).await? {
        let count = session.value("looking for rows without their parent", row.text(1)).await?;
        let count: u64 = count.and_then(|count| count.parse().ok()).unwrap_or_default();
        if count > 0 {
            findings.push(Finding {
                severity: Severity::Warning,
                code: "foreign-key".to_string(),
                subject: row.text(0).to_string(),
                detail: format!(
                    "{} {} to a row that is not there",
                    counted(count, "row"),
                    one_or_more(count, "points", "point")
                ),
            });
        }
    }
    Ok(())
}
