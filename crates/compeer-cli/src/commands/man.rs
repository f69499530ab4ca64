//! `compeer man [DIR]`: the manual pages, made from the help texts.
//!
//! Without DIR the first page goes to standard output, for `man -l -`; with it, each command has a page of its own there.

use crate::cli::Cli;
use crate::console::Report;
use crate::context::Context;
use crate::exit::{CommandError, Outcome};
use clap::{Args, CommandFactory};
use clap_mangen::Man as Page;
use serde::Serialize;
use std::path::PathBuf;

/// Print the manual page, or write one per command to DIR.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer man | man -l -
  compeer man ~/.local/share/man/man1              then: man compeer-send")]
pub(crate) struct Man {
    /// Where to write compeer.1, compeer-up.1 and so on; made if it is not there
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            let rendered = Page::new(Cli::command()).render(&mut page);
            rendered.map_err(|error| CommandError::failed(format!("cannot make the page: {error}")))?;
            let page = String::from_utf8_lossy(&page).into_owned();
            context.console.show(&Printed { event: "man", page });
            return Ok(());
        };
        let written =
            std::fs::create_dir_all(&dir).and_then(|()| clap_mangen::generate_to(Cli::command(), &dir));
        written
            .map_err(|error| CommandError::failed(format!("cannot write to {}: {error}", dir.display())))?;
        context.console.show(&Written { event: "man_pages", path: dir });
        Ok(())
    }
}

#[derive(Serialize)]
struct Printed {
    event: &'static str,
    page: String,
}

impl Report for Printed {
    fn human(&self) -> String {
        self.page.trim_end().to_string()
    }
}

#[derive(Serialize)]
struct Written {
    event: &'static str,
    path: PathBuf,
}

impl Report for Written {
    fn human(&self) -> String {
        format!("written to {}", self.path.display())
    }

    fn chatty(&self) -> bool {
        true
    }
}
