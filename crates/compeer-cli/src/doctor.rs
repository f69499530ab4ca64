//! What may be wrong with a peer's machine, its network, or the way to another peer; one line each, and what to do.
//!
//! A check looks at one thing and gives [`Finding`]s: fine, worth knowing, or a problem. It guesses nothing that it cannot
//! see: what may not be read is said to be unread. The checks are in files of their own, sorted by what they look at:
//! `doctor/machine.rs` (descriptors, clock, IPv6, processor), `doctor/network.rs` (ports, who is near), `doctor/firewall.rs`
//! (rules that keep others out), `doctor/way.rs` (the way to one peer).

pub(crate) mod firewall;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod way;

use crate::console::Report;
use crate::exit::plain;
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// As it is meant to be; others may expect something else.
    Note,
    /// Worth knowing; something may not work.
    Warning,
    /// Something does not work.
    Problem,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    event: &'static str,
    /// What was looked at.
    pub(crate) check: &'static str,
    pub(crate) level: Level,
    /// Ready for the screen.
    pub(crate) message: String,
    /// What to do about it.
    #[serde(rename = "do")]
    pub(crate) remedy: Option<String>,
}

impl Finding {
    fn new(level: Level, check: &'static str, message: impl Into<String>, remedy: Option<String>) -> Finding {
        Finding { event: "finding", check, level, message: plain(&message.into()), remedy }
    }

    /// As it should be.
    pub(crate) fn ok(check: &'static str, message: impl Into<String>) -> Finding {
        Finding::new(Level::Ok, check, message, None)
    }

    /// As it is meant to be, and how to have it otherwise.
    pub(crate) fn note(
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding::new(Level::Note, check, message, Some(remedy.into()))
    }

    /// Worth knowing.
    pub(crate) fn warning(
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding::new(Level::Warning, check, message, Some(remedy.into()))
    }

    /// Something does not work.
    pub(crate) fn problem(
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding::new(Level::Problem, check, message, Some(remedy.into()))
    }
}

impl Report for Finding {
    fn prose(&self) -> bool {
        true
    }

    fn human(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Problem => "problem",
        };
        let line = format!("{level:<8} {:<11} {}", self.check, self.message);
        match &self.remedy {
            Some(remedy) => format!("{line}\n{:<20} what to do: {remedy}", ""),
            None => line,
        }
    }
}

/// What a program of the system prints; `None` if it is not there or fails.
fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = std::process::Command::new(program);
    // Where the tools of an administrator are, which are not on everybody's path.
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .env_remove(crate::input::PASSPHRASE);
    let output = command.args(arguments).stdin(std::process::Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
