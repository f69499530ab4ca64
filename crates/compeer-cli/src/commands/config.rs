//! `compeer config`: what is set, where it comes from, and setting it.
//!
//! It starts no node and makes no home unless something is set. A file that is wrong is told as every command tells it;
//! `set` and `unset` work as long as it is TOML, so that they can mend it.

use crate::cli::Cli;
use crate::console::Report;
use crate::context::Context;
use crate::exit::Outcome;
use crate::settings::{Place, SETTINGS, Setting, Settings, Shape, edit};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, CommandFactory, Subcommand};
use compeer::text;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

/// Show what is set and where it comes from, or set it once and for all.
///
/// Every setting is an option of the same name. The option on the command line wins over its variable COMPEER_…, and that
/// over the file: config.toml in the home, or the one that --config names. What is true there is turned off by =false, as in
/// --qr=false.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer config                       every setting, its value and where it comes from
  compeer config set name bob
  compeer config set listen 0.0.0.0:4000 [::]:4000
  compeer config set output ~/Downloads
  compeer config unset name
  compeer config path                  the file, for an editor")]
pub(crate) struct Config {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Set KEY in the file; comments and order stay
    Set {
        /// A key, as `compeer config` lists them
        key: String,
        /// Its value; several for a list
        #[arg(required = true)]
        value: Vec<String>,
    },
    /// Take KEY out of the file
    Unset {
        /// A key, also one that should not be there
        key: String,
    },
    /// Print where the file is
    Path,
}

impl Config {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let place = Place::of(&context.global)?;
        match self.what {
            None => list(context, &place),
            Some(What::Path) => {
                context.console.show(&File { event: "config", path: place.path });
                Ok(())
            }
            Some(What::Set { key, value }) => {
                if context.global.config.is_none() {
                    context.home()?;
                }
                let wrong = edit::set(&place, &key, &value)?;
                changed(context, &place, key, true, wrong);
                Ok(())
            }
            Some(What::Unset { key }) => {
                let (was_there, wrong) = edit::unset(&place, &key)?;
                changed(context, &place, key, was_there, wrong);
                Ok(())
            }
        }
    }
}

/// Says what was done, and what holds now.
fn changed(
    context: &Context,
    place: &Place,
    key: String,
    changed: bool,
    wrong: Option<crate::exit::CommandError>,
) {
    if let Some(wrong) = wrong {
        context.console.note(&wrong.to_string());
    }
    if let Ok(setting) = Setting::of(&key)
        && std::env::var_os(setting.variable()).is_some()
    {
        context.console.note(&format!("{} is set too and wins", setting.variable()));
    }
    context.console.show(&Changed { event: "config_changed", key, changed, path: place.path.clone() });
}

fn list(context: &Context, place: &Place) -> Outcome {
    let settings = place.read()?;
    let matches = Cli::command().get_matches();
    let mut cli = Cli::command();
    cli.build();
    for setting in SETTINGS {
        let mut args =
            std::iter::once(&cli).chain(cli.get_subcommands()).flat_map(clap::Command::get_arguments);
        // The options of a setting say the same of it.
        if let Some(arg) = args.find(|arg| setting.is(arg)) {
            context.console.show(&Row::new(setting, arg, &matches, &settings, place));
        }
    }
    Ok(())
}

/// One setting.
#[derive(Serialize)]
struct Row {
    event: &'static str,
    key: &'static str,
    value: Value,
    /// `flag`, `environment`, `file` or `default`.
    source: &'static str,
    variable: String,
    file: Option<PathBuf>,
    line: Option<usize>,
    about: String,
    /// What holds where nothing is set.
    default: String,
}

impl Row {
    fn new(
        setting: &'static Setting,
        arg: &Arg,
        matches: &ArgMatches,
        settings: &Settings,
        place: &Place,
    ) -> Row {
        let (about, default) = about(arg);
        let mut row = Row {
            event: "setting",
            key: setting.key,
            value: Value::Null,
            source: "default",
            variable: setting.variable(),
            file: None,
            line: None,
            about,
            default,
        };
        let id = arg.get_id().as_str();
        let typed =
            matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine);
        let of_environment =
            std::env::var_os(&row.variable).map(|value| value.to_string_lossy().into_owned());
        if typed {
            let raw =
                matches.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy().into_owned());
            let values: Vec<_> = raw.collect();
            (row.value, row.source) = (value_of(setting, &values), "flag");
        } else if let Some(text) = of_environment {
            let values = match arg.get_value_delimiter() {
                Some(delimiter) => text.split(delimiter).map(str::to_string).collect(),
                None => vec![text],
            };
            (row.value, row.source) = (value_of(setting, &values), "environment");
        } else if let Some(entry) = settings.get(setting.key) {
            (row.value, row.source) = (value_of(setting, &entry.values), "file");
            (row.file, row.line) = (Some(place.path.clone()), Some(entry.line));
        }
        row
    }
}

/// What an option is, and its default, from its help text.
fn about(arg: &Arg) -> (String, String) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let of_clap = || {
        let values: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        match (values.is_empty(), arg.get_action().takes_values()) {
            (false, true) => values.join(", "),
            (_, true) => "none".to_string(),
            (_, false) => "false".to_string(),
        }
    };
    match help.split_once(" [default: ") {
        Some((about, default)) => (about.to_string(), default.trim_end_matches(']').to_string()),
        None => (help, of_clap()),
    }
}

/// A value as the file would have it.
fn value_of(setting: &Setting, values: &[String]) -> Value {
    let first = values.first().cloned().unwrap_or_default();
    match setting.shape {
        Shape::List(_) => values.into(),
        Shape::Number => first.parse::<u64>().map_or_else(|_| first.clone().into(), Value::from),
        Shape::Switch => {
            Value::Bool(!matches!(first.as_str(), "" | "n" | "no" | "f" | "false" | "off" | "0"))
        }
        Shape::Text(_) | Shape::File | Shape::Directory => first.into(),
    }
}

impl Report for Row {
    fn prose(&self) -> bool {
        true
    }

    fn human(&self) -> String {
        let value = match &self.value {
            Value::Null => self.default.clone(),
            value => text::escape(&value.to_string()).into_owned(),
        };
        let source = match (self.source, &self.file) {
            ("flag", _) => format!("--{}", self.key),
            ("environment", _) => self.variable.clone(),
            (_, Some(file)) => format!("{}:{}", file.display(), self.line.unwrap_or_default()),
            _ => "default".to_string(),
        };
        format!("{:<12}  {value}  ({source})", self.key)
    }
}

/// Where the file is.
#[derive(Serialize)]
struct File {
    event: &'static str,
    path: PathBuf,
}

impl Report for File {
    fn human(&self) -> String {
        self.path.display().to_string()
    }
}

/// What was done to the file.
#[derive(Serialize)]
struct Changed {
    event: &'static str,
    key: String,
    changed: bool,
    path: PathBuf,
}

impl Report for Changed {
    fn human(&self) -> String {
        match self.changed {
            true => format!(
                "{}: {} changed; a running peer has it after its next start",
                self.key,
                self.path.display()
            ),
            false => format!("{} was not set", self.key),
        }
    }

    fn chatty(&self) -> bool {
        true
    }
}
