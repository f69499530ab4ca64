//! What `-v` and `--log FILE` do: diagnostics of the libraries, apart from what a command prints.
//!
//! `-v` shows what happens, `-vv` every step, both on standard error; `--log FILE` appends the same to a file
//! (every step, unless `-v` says otherwise). Keys, tickets of shares and bodies of messages are never logged.

use crate::exit::{CommandError, Outcome};
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::filter::LevelFilter;

/// Starts the log, once per process. Nothing happens without `-v` or `--log`.
///
/// # Errors
///
/// The log file cannot be opened.
pub(crate) fn start(verbose: u8, file: Option<&Path>, colour: bool) -> Outcome {
    let level = match (verbose, file) {
        (0, None) => return Ok(()),
        (1, _) => LevelFilter::INFO,
        (0 | 2, _) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_target(false);
    match file {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                CommandError::usage(format!("cannot write the log {}: {error}", path.display()))
            })?;
            log.with_ansi(false).with_writer(Mutex::new(file)).init();
        }
        None => log.with_ansi(colour).with_writer(std::io::stderr).init(),
    }
    Ok(())
}
