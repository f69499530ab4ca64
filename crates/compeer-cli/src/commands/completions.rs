//! `compeer completions SHELL`: what a shell needs to complete commands and options.
//!
//! Made from the same definition that reads the command line, so it cannot fall behind. It touches no home.

use crate::cli::Cli;
use crate::console::Report;
use crate::context::Context;
use crate::exit::Outcome;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde::Serialize;

/// Print the completions of a shell, to be kept where that shell looks for them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer completions bash > ~/.local/share/bash-completion/completions/compeer
  compeer completions zsh > ~/.zfunc/_compeer      with fpath+=~/.zfunc before compinit
  compeer completions fish > ~/.config/fish/completions/compeer.fish")]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "compeer", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        context.console.show(&Script { event: "completions", shell: self.shell.to_string(), script });
        Ok(())
    }
}

#[derive(Serialize)]
struct Script {
    event: &'static str,
    shell: String,
    script: String,
}

impl Report for Script {
    fn human(&self) -> String {
        self.script.trim_end().to_string()
    }
}
