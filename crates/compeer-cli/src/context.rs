//! What every command is given: the flags all commands share, the console, and the home.
//!
//! It is made once, before anything else, so that even the first error is told as the flags want it. The home is
//! looked up only when a command asks for it: `compeer try` touches none of the user's.

use crate::cli::Global;
use crate::console::Console;
use crate::exit::{CommandError, Outcome};
use crate::home::Home;
use crate::logging;
use crate::settings::Settings;
use compeer::discovery;
use std::sync::Arc;

/// The surroundings of a command.
pub(crate) struct Context {
    /// The flags of every command.
    pub(crate) global: Global,
    /// What the settings file says; the options have it already.
    pub(crate) settings: Settings,
    /// Where output goes.
    pub(crate) console: Arc<Console>,
}

impl Context {
    /// Prepares the console and the log.
    ///
    /// # Errors
    ///
    /// The log cannot be written; the console to say so comes with the error.
    pub(crate) fn new(global: Global, settings: Settings) -> Result<Context, (Arc<Console>, CommandError)> {
        let console = Arc::new(Console::new(global.json, global.quiet));
        match logging::start(global.verbose, global.log.as_deref(), console.colour_on_stderr()) {
            Ok(()) => Ok(Context { global, settings, console }),
            Err(error) => Err((console, error)),
        }
    }

    /// Where to tell others near and to hear of them; `None`: not at all.
    pub(crate) fn discovery(&self) -> Option<discovery::Settings> {
        let wanted = || match self.global.discovery_port {
            Some(port) => discovery::Settings { port, loopback: true },
            None => discovery::Settings::default(),
        };
        (!self.global.no_discovery).then(wanted)
    }

    /// The home this command works in, created if it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be created or used.
    pub(crate) fn home(&self) -> Outcome<Home> {
        Home::open(self.global.home.as_deref())
    }
}
