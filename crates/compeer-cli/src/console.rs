//! The one file that prints. Results go to standard output, remarks to standard error.
//!
//! A command hands over a [`Report`]: a line for people and, with `--json`, the same as one JSON object per line
//! with an `event` member (`docs/json.md` lists them). Remarks (`note`) are for people only and silent under `-q`.
//! Text that came from a peer must pass `compeer::text` before it is put in a line; JSON carries it as it is,
//! since JSON escapes control characters itself. Colours appear on a terminal only, and never under `NO_COLOR`.
//!
//! A reader that went away (`compeer peers | head -1`) is no error; a full disk is: the first failed write is kept
//! and turns exit code 0 into 1 at the end.

use crate::exit::{CommandError, Exit, Outcome};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Something a command has to tell.
pub(crate) trait Report: Serialize {
    /// The line or lines for people, without the last newline. Text of a peer is escaped in it.
    fn human(&self) -> String;

    /// Whether `-q` leaves it out.
    fn chatty(&self) -> bool {
        false
    }
}

/// Where output goes.
pub(crate) struct Console {
    json: bool,
    quiet: bool,
    colour: bool,
    failed: Mutex<Option<io::Error>>,
}

impl Console {
    /// A console on the process's own output.
    pub(crate) fn new(json: bool, quiet: bool) -> Console {
        // https://no-color.org: any value that is not empty counts.
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colour = wanted && io::stderr().is_terminal();
        Console { json, quiet, colour, failed: Mutex::new(None) }
    }

    /// Whether remarks may be coloured.
    pub(crate) fn colour_on_stderr(&self) -> bool {
        self.colour
    }

    /// Whether output is JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Prints a result; whether it was written, or left out because the user wants it left out.
    pub(crate) fn show(&self, report: &impl Report) -> bool {
        if self.json {
            self.event(report)
        } else if self.quiet && report.chatty() {
            true
        } else {
            self.text(&report.human())
        }
    }

    /// Prints lines of a result for people; nothing under `--json`.
    pub(crate) fn line(&self, line: &str) {
        if !self.json {
            self.text(line);
        }
    }

    /// Prints the bytes of a result exactly; whether they were written.
    pub(crate) fn raw(&self, bytes: &[u8]) -> bool {
        self.write(bytes)
    }

    /// Prints a remark on standard error.
    pub(crate) fn note(&self, remark: &str) {
        if !self.quiet {
            let (on, off) = if self.colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
            // Nobody can be told that standard error is gone.
            let _ = writeln!(io::stderr().lock(), "{on}{remark}{off}");
        }
    }

    /// Says how a command ended and gives the code to leave with.
    pub(crate) fn leave(&self, outcome: Outcome) -> Exit {
        let outcome = match (outcome, self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()) {
            (Ok(()), Some(error)) => Err(CommandError::failed(format!("cannot write the output: {error}"))),
            (outcome, _) => outcome,
        };
        let Err(error) = outcome else { return Exit::Done };
        if self.json {
            self.event(&Failed { event: "error", code: error.exit.code(), error: &error });
        }
        if error.exit != Exit::Interrupted {
            let (on, off) = if self.colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
            let _ = writeln!(io::stderr().lock(), "{on}error:{off} {error}");
        }
        error.exit
    }

    /// Prints an event that is for programs only: nothing without `--json`.
    pub(crate) fn event(&self, event: &impl Serialize) -> bool {
        if !self.json {
            return true;
        }
        match serde_json::to_string(event) {
            Ok(line) => self.text(&line),
            Err(error) => self.keep(io::Error::other(error)),
        }
    }

    fn text(&self, line: &str) -> bool {
        self.write(format!("{line}\n").as_bytes())
    }

    /// One write and one flush per line, so that lines of several tasks never mix and a pipe sees each at once.
    fn write(&self, bytes: &[u8]) -> bool {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => true,
            Err(error) => self.keep(error),
        }
    }

    fn keep(&self, error: io::Error) -> bool {
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        false
    }

    /// Keeps standard output, if it is the file at `log`, from growing without end: beyond `most` bytes its content goes to
    /// `log` with `.1` at the end, in place of what was there.
    ///
    /// # Errors
    ///
    /// The file cannot be read or copied; it goes on growing.
    pub(crate) fn rotate(&self, log: &Path, most: u64) -> io::Result<()> {
        let out = io::stdout().lock();
        if std::fs::metadata(log)?.len() <= most {
            return Ok(());
        }
        let mut old = log.as_os_str().to_owned();
        old.push(".1");
        std::fs::copy(log, old)?;
        Ok(rustix::fs::ftruncate(&out, 0)?)
    }
}

/// The last event of a command that failed.
#[derive(Serialize)]
struct Failed<'a> {
    event: &'static str,
    code: u8,
    #[serde(flatten)]
    error: &'a CommandError,
}
