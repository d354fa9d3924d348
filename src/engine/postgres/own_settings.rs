//! The settings that a user has without us.
//!
//! The driver asks for `TimeZone = UTC` and an ISO `DateStyle` when it connects. For a migration that would be wrong:
//! `ALTER COLUMN at TYPE timestamptz` and a literal such as `01/02/2026` mean something else than they do for the same
//! user in `psql`. The server does not say what it would have been, so `psql` is asked; where there is none, what the
//! database and the role are set to has to do.

use super::PostgresDatabase;
use super::child::Children;
use super::names::literal;
use super::session::Session;
use crate::engine::Error;

/// What the driver sets for itself.
const OVERRIDDEN: [&str; 2] = ["TimeZone", "DateStyle"];
const DOING: &str = "looking up the user's own settings";

/// Settings by their names.
pub(super) type OwnSettings = Vec<(&'static str, String)>;

impl PostgresDatabase {
    /// Gives a session the settings that its user has without us.
    pub(super) async fn give_own_settings(&self, session: &mut Session) -> Result<(), Error> {
        for (name, value) in self.own_settings().await? {
            session.run(DOING, &format!("SET {name} TO {}", literal(value))).await?;
        }
        Ok(())
    }

    /// Returns those that the driver overrides.
    pub(super) async fn own_settings(&self) -> Result<&OwnSettings, Error> {
        self.own_settings.get_or_try_init(|| self.look_up()).await
    }

    async fn look_up(&self) -> Result<OwnSettings, Error> {
        match self.ask_psql().await {
            Ok(settings) => Ok(settings),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => {
                tracing::debug!(%error, "psql does not say what the user's settings are");
                self.ask_catalog().await
            }
        }
    }

    async fn ask_psql(&self) -> Result<OwnSettings, Error> {
        let tools = self.tools().await?;
        let name = self.application();
        let children = Children::new(&self.server, tools, &self.options.work_dir, &name)?;
        let columns = OVERRIDDEN.map(|name| format!("pg_catalog.current_setting('{name}')")).join(", ");
        let psql = children
            .tool("psql", &self.id.name)
            // One value a line: neither of them can hold a newline.
            .args(["-X", "-q", "-A", "-t", "-w", "-F", "\n", "-c", &format!("SELECT {columns}")]);
        let printed = psql.timeout(self.server.patience()).run(&self.options.cancel).await?.stdout;
        let values: Vec<&str> = printed.lines().collect();
        if values.len() != OVERRIDDEN.len() {
            let detail = format!("psql printed {printed:?}");
            return Err(Error::Driver { doing: DOING.to_string(), detail });
        }
        Ok(OVERRIDDEN.into_iter().zip(values.into_iter().map(str::to_string)).collect())
    }

    /// The precedence of `ALTER ROLE … IN DATABASE`, `ALTER ROLE`, `ALTER DATABASE` and `ALTER ROLE ALL`.
    async fn ask_catalog(&self) -> Result<OwnSettings, Error> {
        let mut session = self.reading_session().await?;
        let sql = "SELECT c.one FROM pg_db_role_setting s, unnest(s.setconfig) AS c(one) \
             WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
             AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user)) \
             ORDER BY s.setrole <> 0 AND s.setdatabase <> 0 DESC, s.setrole <> 0 DESC, s.setdatabase <> 0 DESC";
        let rows = session.rows(DOING, sql).await?;
        session.give_back().await;
        let value = |wanted: &str| {
            let pairs = rows.iter().filter_map(|row| row.text(0).split_once('='));
            pairs
                .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.to_string())
                .next()
        };
        Ok(OVERRIDDEN.into_iter().filter_map(|name| Some((name, value(name)?))).collect())
    }
}
