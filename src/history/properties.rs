//! What holds for every history: random graphs.
