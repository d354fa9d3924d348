//! What every layer may lean on and nothing that is ripcord: durable files, child processes, time, ids,
//! secrets, cancellation and the crash checkpoints.

pub mod cancel;
pub mod checkpoint;
pub mod clock;
pub mod counted;
pub mod editor;
pub mod fs;
pub mod hash;
pub mod ids;
pub mod secret;
pub mod shell;
pub mod tool;
pub mod visible;

pub use cancel::Cancel;
pub use clock::{Clock, FixedClock, SystemClock};
pub use counted::{counted, one_or_more};
pub use secret::Secret;
pub use shell::shell_word;
pub use tool::{Tool, ToolError, ToolOutput};
pub use visible::{visible, visible_lines};
