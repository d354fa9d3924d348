//! The graph of revisions: pure, no database.
