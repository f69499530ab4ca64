//! The one file that prints. Results go to standard output, remarks to standard error.
//!
//! A command hands over a [`Report`]: a line for people and, with `--json`, the same as one JSON object per line
//! with an `event` member (`docs/json.md` lists them). Remarks (`note`) are for people only and silent under `-q`.
//! Text that came from a peer must pass `compeer::text` before it is put in a line; JSON carries it as it is,
//! since JSON escapes control characters itself. Colours appear on a terminal only, and never under `NO_COLOR`.
//!
//! How far something is stands in one live line on standard error, only where that is a terminal. It is taken away
//! before anything else is printed and put back after. A window may be made narrow meanwhile: terminals then break the
//! line that is there into several, so it is the rows it has *now* that are cleared.
//!
//! A reader that went away (`compeer peers | head -1`) is no error; a full disk is: the first failed write is kept
//! and turns exit code 0 into 1 at the end.

mod wrap;

use crate::exit::{CommandError, Exit, Outcome};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Something a command has to tell.
pub(crate) trait Report: Serialize {
    /// The line or lines for people, without the last newline. Text of a peer is escaped in it.
    fn human(&self) -> String;

    /// Whether its lines may be broken between words where the terminal is narrow.
    fn prose(&self) -> bool {
        false
    }

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
    /// Whether standard error is a terminal on which a line can be taken back.
    live: bool,
    /// Whether standard output is a terminal too, most likely the same one.
    shared: bool,
    /// The live line as it is on the screen; empty: there is none.
    line: Mutex<String>,
    failed: Mutex<Option<io::Error>>,
}

impl Console {
    /// A console on the process's own output.
    pub(crate) fn new(json: bool, quiet: bool) -> Console {
        // https://no-color.org: any value that is not empty counts.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal =
            io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let live = terminal && !json && !quiet;
        Console {
            json,
            quiet,
            colour: terminal && !plain,
            live,
            shared: io::stdout().is_terminal(),
            line: Mutex::default(),
            failed: Mutex::new(None),
        }
    }

    /// Whether somebody sits here who can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        !self.json && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Prints a question on standard error, the cursor behind it.
    pub(crate) fn question(&self, question: &str) {
        self.still();
        let _ = write!(io::stderr().lock(), "{question} ");
    }

    /// Shows a line that the next one replaces: `draw` gives it for a number of columns. Nothing where it cannot be
    /// taken back.
    pub(crate) fn live(&self, draw: impl FnOnce(usize) -> String) {
        if self.live {
            let columns = columns(io::stderr()).unwrap_or(COLUMNS);
            // The last column stays free: a cursor behind it is on the next row in some terminals.
            let line = draw(columns.saturating_sub(1));
            self.replace(&line, columns);
        }
    }

    /// Takes the live line away.
    pub(crate) fn still(&self) {
        if self.live {
            self.replace("", columns(io::stderr()).unwrap_or(COLUMNS));
        }
    }

    fn replace(&self, line: &str, columns: usize) {
        let mut shown = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = io::stderr().lock().write_all(format!("{}{line}", clear(&shown, columns)).as_bytes());
        line.clone_into(&mut shown);
    }

    /// Does something with no live line on the screen.
    fn around<T>(&self, print: impl FnOnce() -> T) -> T {
        if !self.live {
            return print();
        }
        let shown = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let columns = columns(io::stderr()).unwrap_or(COLUMNS);
        let fits = shown.len() < columns;
        let _ = io::stderr().lock().write_all(clear(&shown, columns).as_bytes());
        let done = print();
        // One that is too long now comes back with the next step, shorter.
        if fits {
            let _ = io::stderr().lock().write_all(shown.as_bytes());
        }
        done
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
        } else if report.prose() {
            self.text(&broken(&report.human(), io::stdout()))
        } else {
            self.text(&report.human())
        }
    }

    /// Prints lines of a result for people; nothing under `--json`.
    pub(crate) fn line(&self, line: &str) {
        if !self.json {
            self.text(&broken(line, io::stdout()));
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
            let remark = broken(remark, io::stderr());
            // Nobody can be told that standard error is gone.
            let _ = self.around(|| writeln!(io::stderr().lock(), "{on}{remark}{off}"));
        }
    }

    /// Prints what happens meanwhile: on standard error for people, as an event for programs.
    pub(crate) fn remark(&self, report: &impl Report) {
        if self.json {
            self.event(report);
        } else {
            self.note(&report.human());
        }
    }

    /// Prints a picture made of text on standard error, light on dark where colours are allowed.
    pub(crate) fn picture(&self, lines: &[String]) {
        let (on, off) = if self.colour { ("\x1b[97;40m", "\x1b[0m") } else { ("", "") };
        let all: String = lines.iter().map(|line| format!("{on}{line}{off}\n")).collect();
        let _ = self.around(|| io::stderr().lock().write_all(all.as_bytes()));
    }

    /// Says how a command ended and gives the code to leave with.
    pub(crate) fn leave(&self, outcome: Outcome) -> Exit {
        let outcome = match (outcome, self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()) {
            (Ok(()), Some(error)) => Err(CommandError::failed(format!("cannot write the output: {error}"))),
            (outcome, _) => outcome,
        };
        self.still();
        let Err(error) = outcome else { return Exit::Done };
        if self.json {
            self.event(&Failed { event: "error", code: error.exit.code(), error: &error });
        }
        if error.exit != Exit::Interrupted {
            let (on, off) = if self.colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
            let shown = broken(&format!("error: {error}"), io::stderr());
            let shown = shown.strip_prefix("error:").unwrap_or_default();
            let _ = writeln!(io::stderr().lock(), "{on}error:{off}{shown}");
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
        let print = || {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        };
        match if self.shared { self.around(print) } else { print() } {
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

/// Ends the line that the cursor is in, where a person has just pressed ctrl-c.
pub(crate) fn end_line() {
    if io::stderr().is_terminal() {
        let _ = io::stderr().lock().write_all(b"\n");
    }
}

/// Columns where the terminal does not tell.
const COLUMNS: usize = 80;

/// Columns and rows of the terminal that this is, if it is one and tells.
pub(crate) fn window(at: impl AsFd) -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(at).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((usize::from(size.ws_col), usize::from(size.ws_row)))
}

fn columns(at: impl AsFd) -> Option<usize> {
    window(at).map(|(columns, _)| columns)
}

/// Lines for people as they fit the terminal that this is; as they are where it is none.
fn broken(lines: &str, at: impl AsFd) -> String {
    columns(at).map_or_else(|| lines.to_string(), |columns| wrap::wrapped(lines, columns))
}

/// What takes a line away that was shown, in a window of so many columns. The line is ASCII.
fn clear(shown: &str, columns: usize) -> String {
    match shown.len().saturating_sub(1) / columns {
        _ if shown.is_empty() => String::new(),
        0 => "\r\x1b[J".to_string(),
        rows => format!("\x1b[{rows}A\r\x1b[J"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cleared_with_the_rows_it_has_now() {
        assert_eq!(clear("", 80), "");
        assert_eq!(clear(&"x".repeat(80), 80), "\r\x1b[J");
        assert_eq!(clear(&"x".repeat(81), 80), "\x1b[1A\r\x1b[J");
        assert_eq!(clear(&"x".repeat(79), 20), "\x1b[3A\r\x1b[J");
    }
}
