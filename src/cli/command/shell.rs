//! `completions` and `man`: both are made from the same definition as the help.

use crate::cli::args::{Cli, Completions};
use crate::cli::render::Ending;
use crate::report::Failure;
use clap::CommandFactory;

pub(super) fn completions(args: &Completions) -> Result<Ending, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ripcord", &mut text);
    Ok(text_ending(&text))
}

pub(super) fn man() -> Result<Ending, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text).map_err(Failure::refused)?;
    Ok(text_ending(&text))
}

fn text_ending(text: &[u8]) -> Ending {
    let text = String::from_utf8_lossy(text).trim_end().to_string();
    let json = serde_json::json!({ "text": text });
    Ending::said(text, json)
}
