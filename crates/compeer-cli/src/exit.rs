//! How a command ends: the exit codes, and the error that carries one of them to the end of the program.
//!
//! Scripts rely on the codes, so they are few, documented in `compeer --help`, and each has a test on the real
//! binary. An error says what went wrong and, where something can be done, what to type next (`hint`). It crosses
//! the control socket as JSON, because a command that is a client of a running peer must end exactly as it would
//! have ended alone.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::process::ExitCode;

/// The exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    /// 0: what was asked for was done.
    Done,
    /// 1: it was tried and failed; the other side refused it or answered with an error.
    Failed,
    /// 2: the command line makes no sense.
    Usage,
    /// 3: nobody could be reached, or no answer came in time.
    Unreachable,
    /// 4: somebody was reached who is not who he should be.
    Verification,
    /// 130: stopped by ctrl-c or SIGTERM (128 + SIGINT, as shells do).
    Interrupted,
}

impl Exit {
    /// The number the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Verification => 4,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a command did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommandError {
    /// The code the program leaves with.
    pub(crate) exit: Exit,
    /// What went wrong, one sentence without a full stop; may hold several lines.
    pub(crate) message: String,
    /// What to do about it, where something can be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// The same again cannot work.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) for_good: bool,
}

/// What every command returns.
pub(crate) type Outcome<T = ()> = Result<T, CommandError>;

impl CommandError {
    /// An error with the given code.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> CommandError {
        CommandError { exit, message: plain(&message.into()), hint: None, for_good: false }
    }

    /// Exit code 1.
    pub(crate) fn failed(message: impl Into<String>) -> CommandError {
        CommandError::new(Exit::Failed, message)
    }

    /// Exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> CommandError {
        CommandError::new(Exit::Usage, message)
    }

    /// Exit code 3.
    pub(crate) fn unreachable(message: impl Into<String>) -> CommandError {
        CommandError::new(Exit::Unreachable, message)
    }

    /// Exit code 4.
    pub(crate) fn verification(message: impl Into<String>) -> CommandError {
        CommandError::new(Exit::Verification, message)
    }

    /// Exit code 130.
    pub(crate) fn interrupted() -> CommandError {
        CommandError::new(Exit::Interrupted, "interrupted")
    }

    /// The same error, as one that the same command would end with again.
    pub(crate) fn for_good(mut self) -> CommandError {
        self.for_good = true;
        self
    }

    /// The same error, with what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> CommandError {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(out, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CommandError {}

/// What the system says, as a person would: without its numbers, and no pipes where there is a connection.
pub(crate) fn plain(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        for lost in ["Broken pipe", "Connection reset by peer"] {
            if let Some(before) = plain.strip_suffix(lost) {
                plain = format!("{before}the connection was lost");
            }
        }
        plain += part.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_system_are_left_out() {
        let raw = "x: Broken pipe (os error 32); y (No such file or directory (os error 2))";
        let shown = CommandError::failed(raw).message;
        assert_eq!(shown, "x: the connection was lost; y (No such file or directory)");
        assert_eq!(plain("all (is) well"), "all (is) well");
    }
}
