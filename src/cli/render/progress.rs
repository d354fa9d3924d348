//! Progress bars on a terminal: bytes, rows and the time left of long steps.

use crate::report::Amount;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Mutex;
use std::time::Duration;

/// One bar at the bottom of the terminal, or none.
pub(super) struct Bars {
    enabled: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Bars {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled, bar: Mutex::new(None) }
    }

    /// A step begins: shows a spinner until there are figures.
    pub(super) fn start(&self, step: &str) {
        if !self.enabled {
            return;
        }
        self.begin(&mut self.lock(), step);
    }

    fn begin(&self, slot: &mut Option<ProgressBar>, step: &str) {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(style("{spinner} {prefix:<10} {wide_msg} {elapsed}"));
        bar.set_prefix(step.to_string());
        bar.enable_steady_tick(Duration::from_millis(200));
        if let Some(old) = slot.replace(bar) {
            old.finish_and_clear();
        }
    }

    /// A step has come this far. What is no step of an operation begins with its first figures.
    pub(super) fn at(&self, step: &str, done: Amount, total: Option<Amount>, what: &str) {
        let mut guard = self.lock();
        if self.enabled && guard.is_none() {
            self.begin(&mut guard, step);
        }
        let Some(bar) = guard.as_ref() else { return };
        bar.set_prefix(step.to_string());
        // Bytes are the better measure of time where both are known.
        match total {
            Some(total) if total.bytes > 0 => {
                bar.set_style(style(
                    "{spinner} {prefix:<10} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left  {wide_msg}",
                ));
                bar.set_length(total.bytes);
                bar.set_position(done.bytes);
            }
            Some(total) if total.rows > 0 => {
                bar.set_style(style(
                    "{spinner} {prefix:<10} [{bar:24}] {human_pos}/{human_len} rows {eta} left  {wide_msg}",
                ));
                bar.set_length(total.rows);
                bar.set_position(done.rows);
            }
            _ if done.rows > 0 && done.bytes > 0 => {
                bar.set_style(style("{spinner} {prefix:<10} {human_pos} rows, {msg} {elapsed}"));
                bar.set_position(done.rows);
                bar.set_message(format!("{}  {what}", super::words::bytes(done.bytes)));
                return;
            }
            _ => {
                bar.set_style(style("{spinner} {prefix:<10} {human_pos} rows {elapsed}  {wide_msg}"));
                bar.set_position(done.rows.max(done.bytes));
            }
        }
        bar.set_message(what.to_string());
    }

    /// The step is over.
    pub(super) fn stop(&self) {
        if let Some(bar) = self.lock().take() {
            bar.finish_and_clear();
        }
    }

    /// Prints something above the bar, so that the two do not mix.
    pub(super) fn above(&self, print: impl FnOnce()) {
        match self.lock().as_ref() {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Bars {
    /// Whatever a command ends with, it is not printed over a bar.
    fn drop(&mut self) {
        self.stop();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
