//! The `compeer` program: it reads the command line, runs one command and leaves with its exit code.
//!
//! What is where: [`cli`] is the command line as a whole, [`commands`] has one file per command, [`home`] is the
//! directory a peer lives in (key, lock, control socket), [`settings`] what the user sets once, [`store`] its database, [`console`] the only file that
//! prints, [`exit`] the exit codes. The network is in the `compeer` crate; nothing here opens a socket of its own
//! but the control socket, by which a command reaches the peer that already runs.

mod cli;
mod commands;
mod console;
mod context;
mod control;
mod doctor;
mod duration;
mod exit;
mod gateway;
mod home;
mod input;
mod interrupt;
mod limits;
mod logging;
mod names;
mod node;
mod progress;
mod qr;
mod settings;
mod size;
mod spool;
mod store;
mod target;

use std::process::ExitCode;

fn main() -> ExitCode {
    let line = match cli::parse() {
        Ok(line) => line,
        Err(shown) => return shown.into(),
    };
    let (json, quiet) = (line.global.json, line.global.quiet);
    let (line, settings) = match settings::applied(line) {
        Ok(applied) => applied,
        Err(error) => return console::Console::new(json, quiet).leave(Err(error)).into(),
    };
    let context = match context::Context::new(line.global, settings) {
        Ok(context) => context,
        Err((console, error)) => return console.leave(Err(error)).into(),
    };
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(commands::run(line.command, &context));
            // A thread may still sit in a read of the terminal; it must not hold the program.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(exit::CommandError::failed(format!("cannot start: {error}"))),
    };
    context.console.leave(outcome).into()
}
