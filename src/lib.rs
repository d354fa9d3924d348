//! ripcord, a parachute for database migrations.

pub mod history;
pub mod runner;
