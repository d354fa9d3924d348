//! One test, both engines.

/// Makes two tests of each function, `NAME::sqlite` and `NAME::postgres`; each gets a fresh database of its engine.
///
/// ```text
/// both_engines! {
///     fn an_upgrade_keeps_every_row(db: &TestDatabase) { … }
///     async fn a_snapshot_is_of_one_instant(db: &TestDatabase) { … }
/// }
/// ```
macro_rules! both_engines {
    () => {};
    ($(#[$note:meta])* fn $name:ident($db:ident: &TestDatabase) $body:block $($rest:tt)*) => {
        $(#[$note])*
        mod $name {
            #[allow(unused_imports, reason = "not every body needs what is around it")]
            use super::*;
            fn promise($db: &$crate::support::TestDatabase) $body
            #[test]
            fn sqlite() {
                promise(&$crate::support::TestDatabase::start($crate::support::Backend::Sqlite));
            }
            #[test]
            fn postgres() {
                promise(&$crate::support::TestDatabase::start($crate::support::Backend::Postgres));
            }
        }
        $crate::support::both_engines! { $($rest)* }
    };
    ($(#[$note:meta])* async fn $name:ident($db:ident: &TestDatabase) $body:block $($rest:tt)*) => {
        $crate::support::both_engines! {
            $(#[$note])*
            fn $name($db: &TestDatabase) {
                $crate::support::block_on(async { $body })
            }
            $($rest)*
        }
    };
}
pub(crate) use both_engines;

/// Runs a future to its end, with timers and sockets.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be built").block_on(future)
}
