//! What the real binary promises, module by module.

#![allow(clippy::disallowed_methods, reason = "tests may start tools and write files as they like")]

#[path = "../support/mod.rs"]
mod support;

mod backup;
mod backup_on_disk;
mod consent;
mod export;
mod few_sessions;
mod inheritance;
mod interrupts;
mod json_contract;
mod locked_out;
mod log_tells;
mod meanwhile;
mod merge_back;
mod no_secret_is_printed;
mod on_a_terminal;
mod output_golden;
mod plan_handed_back;
mod promise;
mod reading_leaves_no_trace;
mod recover_with_nothing_to_do;
mod recover_without_backup;
mod rehearse;
mod restore;
mod restore_broken;
mod restore_elsewhere;
mod restore_meanwhile;
mod restore_table;
mod revisions;
mod rights;
mod rows_of_others;
mod salvage;
mod support_works;
mod upgrade_keeps_data;
mod upgrade_refuses;
mod upgrade_rehearses;
mod verify_finds;
