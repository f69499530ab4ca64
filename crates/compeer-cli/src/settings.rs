//! What a person sets once: `config.toml` in the home, or the file that `--config` names.
//!
//! A setting *is* an option: its key is the option's long name, and its value becomes the option's default before the
//! command line is read a second time. So an option on the command line wins over its variable, and that over the file, by
//! clap's own rules, and a new setting is one entry in [`SETTINGS`]. Which commands have the option is found by its
//! variable `COMPEER_…`, which is the same in all of them.
//!
//! A file that cannot be read as a whole counts for nothing: all that is wrong with it is told at once, with the lines, and
//! no command goes on with half of it. Nothing but `compeer config` writes it (`settings/edit.rs`).

pub(crate) mod edit;
#[cfg(test)]
mod tests;

use crate::cli::{Cli, Command, Global};
use crate::exit::{CommandError, Outcome};
use crate::node::{classic, listen};
use crate::{home, names, size};
use clap::{Arg, CommandFactory, FromArgMatches};
use compeer_share::globs::Globs;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item, Value};

/// The name of the file in a home.
const FILE: &str = "config.toml";

/// How alike two keys must be for one to be proposed for the other, from 0 to 1. A guess that fits the tests; a key within
/// another is as alike as can be.
const ALIKE: f64 = 0.7;

/// Says what is wrong with a value.
type Check = fn(&str) -> Result<(), String>;

/// One setting.
pub(crate) struct Setting {
    /// Its key: the long name of the option.
    pub(crate) key: &'static str,
    /// What its value looks like.
    pub(crate) shape: Shape,
}

/// What a value looks like.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// `"text"`.
    Text(Check),
    /// `["one", "two"]`, or one text alone.
    List(Check),
    /// `20`, not negative.
    Number,
    /// `true` or `false`.
    Switch,
    /// `"/a/path"` of a file, or `"~/path"`.
    File,
    /// The same of a directory.
    Directory,
}

/// Every setting, in the order in which they are listed.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { key: "name", shape: Shape::Text(names::check_nickname) },
    Setting { key: "listen", shape: Shape::List(|text| told(listen::parse(text))) },
    Setting { key: "advertise", shape: Shape::List(address) },
    Setting { key: "join", shape: Shape::List(|_| Ok(())) },
    Setting { key: "classic", shape: Shape::List(|text| told(classic::parse(text))) },
    Setting { key: "max-peers", shape: Shape::Number },
    Setting { key: "no-discovery", shape: Shape::Switch },
    Setting { key: "no-overlay", shape: Shape::Switch },
    Setting { key: "output", shape: Shape::Directory },
    Setting { key: "limit", shape: Shape::Text(|text| size::parse_rate(text).map(drop)) },
    Setting { key: "exclude", shape: Shape::List(pattern) },
    Setting { key: "qr", shape: Shape::Switch },
    Setting { key: "log", shape: Shape::File },
];

fn address(text: &str) -> Result<(), String> {
    text.parse::<compeer::Addr>().map(drop).map_err(|error| error.to_string())
}

fn pattern(text: &str) -> Result<(), String> {
    Globs::new(&[text]).map(drop).map_err(|error| error.to_string())
}

fn told<T>(outcome: Outcome<T>) -> Result<(), String> {
    outcome.map(drop).map_err(|error| error.message)
}

impl Setting {
    /// The setting of a key.
    ///
    /// # Errors
    ///
    /// There is none; names the key that was meant, most likely.
    pub(crate) fn of(key: &str) -> Result<&'static Setting, String> {
        SETTINGS.iter().find(|setting| setting.key == key).ok_or_else(|| {
            let typed = key.to_lowercase();
            let alike = |setting: &&Setting| match typed.contains(setting.key) || setting.key.contains(&typed)
            {
                true => 1.0,
                false => strsim::jaro_winkler(&typed, setting.key),
            };
            let nearest = SETTINGS.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
            let meant = nearest.filter(|nearest| alike(nearest) >= ALIKE);
            let meant = meant.map_or_else(
                || "`compeer config` lists them".to_string(),
                |nearest| format!("did you mean {}?", nearest.key),
            );
            format!("there is no setting {key:?}; {meant}")
        })
    }

    /// The variable of the option.
    pub(crate) fn variable(&self) -> String {
        format!("COMPEER_{}", self.key.to_uppercase().replace('-', "_"))
    }

    /// Whether an option of some command is this setting.
    pub(crate) fn is(&self, arg: &Arg) -> bool {
        arg.get_env().is_some_and(|variable| *variable == *self.variable())
    }

    /// What the value is to look like.
    pub(crate) fn expected(&self) -> &'static str {
        match self.shape {
            Shape::Text(_) => "a text: \"…\"",
            Shape::List(_) => "a list of texts: [\"…\", \"…\"]",
            Shape::Number => "a whole number from 0 on, without quotes",
            Shape::Switch => "true or false, without quotes",
            Shape::File => "the path of a file: \"/…\" or \"~/…\"",
            Shape::Directory => "the path of a directory: \"/…\" or \"~/…\"",
        }
    }

    /// The value as the option takes it.
    ///
    /// # Errors
    ///
    /// Says what it should be.
    fn read(&self, item: &Item) -> Result<Vec<String>, String> {
        let wrong = || format!("{} must be {}, not {}", self.key, self.expected(), kind_of(item));
        let text = |value: &Value| value.as_str().map(str::to_string).ok_or_else(wrong);
        let value = item.as_value().ok_or_else(wrong)?;
        let texts = match (self.shape, value) {
            (Shape::List(_), Value::Array(list)) => list.iter().map(text).collect::<Result<Vec<_>, _>>()?,
            (Shape::Number, value) => {
                let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
                vec![number.ok_or_else(wrong)?.to_string()]
            }
            (Shape::Switch, value) => vec![value.as_bool().ok_or_else(wrong)?.to_string()],
            (_, value) => vec![text(value)?],
        };
        texts.into_iter().map(|text| self.check(text)).collect()
    }

    /// The same text, or the whole path for one that begins with `~`.
    fn check(&self, text: String) -> Result<String, String> {
        let wrong = |why: String| format!("{}: {why}", self.key);
        match self.shape {
            Shape::Text(check) | Shape::List(check) => check(&text).map_err(wrong).map(|()| text),
            Shape::Number | Shape::Switch => Ok(text),
            Shape::File | Shape::Directory => {
                let path = match text.strip_prefix("~/").map(|rest| (rest, etcetera::home_dir())) {
                    Some((rest, Ok(home))) => home.join(rest),
                    _ => PathBuf::from(&text),
                };
                let path = path.to_str().filter(|_| path.is_absolute()).ok_or_else(|| {
                    wrong(format!("{text:?} must begin with / or ~/: commands run in any directory"))
                })?;
                // With this end it can only be a directory, there or not.
                let end = if matches!(self.shape, Shape::Directory) { "/" } else { "" };
                Ok(format!("{}{end}", path.trim_end_matches('/')))
            }
        }
    }
}

fn kind_of(item: &Item) -> String {
    match item.type_name() {
        "integer" if item.as_integer().is_some_and(|number| number < 0) => "a negative number".to_string(),
        "table" | "array of tables" => "a table".to_string(),
        name @ ("array" | "inline table" | "integer") => format!("an {name}"),
        name => format!("a {name}"),
    }
}

/// What one file sets.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    entries: BTreeMap<&'static str, Entry>,
}

/// One line of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As the option takes it.
    pub(crate) values: Vec<String>,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// Which file it is, and whether the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    named: bool,
}

impl Place {
    /// Where the settings of this command line are.
    ///
    /// # Errors
    ///
    /// The user's directory is not known.
    pub(crate) fn of(global: &Global) -> Outcome<Place> {
        match &global.config {
            Some(path) => Ok(Place { path: path.clone(), named: true }),
            None => Ok(Place { path: home::place(global.home.as_deref())?.join(FILE), named: false }),
        }
    }

    /// The text of the file; `None` if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read, or anybody may write it.
    pub(crate) fn text(&self) -> Outcome<Option<String>> {
        let path = self.path.display();
        let unreadable =
            |error: std::io::Error| CommandError::failed(format!("cannot read the settings {path}: {error}"));
        match fs::read_to_string(&self.path) {
            Ok(text) => {
                if fs::metadata(&self.path).map_err(unreadable)?.permissions().mode() & 0o002 != 0 {
                    return Err(CommandError::failed(format!("anybody may write the settings {path}"))
                        .hint(format!("look through them, then type: chmod o-w {path}")));
                }
                Ok(Some(text))
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// What the file sets; nothing if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`text`](Place::text); everything that is wrong in it; a file the user named is not there.
    pub(crate) fn read(&self) -> Outcome<Settings> {
        match self.text()? {
            Some(text) => Settings::parse(&text, &self.path),
            None if self.named => {
                Err(CommandError::usage(format!("there are no settings {}", self.path.display()))
                    .hint("`compeer config set KEY VALUE` makes the file; or leave out --config"))
            }
            None => Ok(Settings::default()),
        }
    }
}

impl Settings {
    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, with the lines.
    pub(crate) fn parse(text: &str, path: &Path) -> Outcome<Settings> {
        let document = parsed(text, path)?;
        let (mut entries, mut wrong) = (BTreeMap::new(), Vec::new());
        for (name, item) in document.iter() {
            let span = document.get_key_value(name).and_then(|(key, _)| key.span()).or_else(|| item.span());
            let line = line_of(text, span.map_or(0, |span| span.start));
            match Setting::of(name).and_then(|setting| Ok((setting.key, setting.read(item)?))) {
                Ok((key, values)) => drop(entries.insert(key, Entry { values, line })),
                Err(why) => wrong.push((line, why)),
            }
        }
        wrong.sort();
        match wrong.is_empty() {
            true => Ok(Settings { entries }),
            false => {
                let told: Vec<_> = wrong
                    .into_iter()
                    .map(|(line, why)| format!("{}:{line}: {why}", path.display()))
                    .collect();
                Err(CommandError::usage(told.join("\n"))
                    .hint("nothing was changed; mend the file, or type: compeer config unset KEY"))
            }
        }
    }

    /// What is set under a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// How many keys are set.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The first value set under a key.
    pub(crate) fn first(&self, key: &str) -> Option<&String> {
        self.get(key)?.values.first()
    }

    /// Where `compeer up` would listen with these settings and the environment; empty: at the usual port.
    ///
    /// # Errors
    ///
    /// The environment makes no sense.
    pub(crate) fn listen(&self) -> Outcome<Vec<SocketAddr>> {
        let up = self.apply(Cli::command(), false).try_get_matches_from(["compeer", "up"]);
        match up.and_then(|matches| Cli::from_arg_matches(&matches)) {
            Ok(Cli { command: Some(Command::Up(up)), .. }) => listen::parse_all(&up.listen),
            Ok(_) => Ok(Vec::new()),
            Err(error) => Err(CommandError::usage(error.to_string())),
        }
    }

    /// The command line's definition with what is set as its defaults. A throw-away peer has only the options of every
    /// command from it: name, addresses and the like are another peer's.
    fn apply(&self, cli: clap::Command, throw_away: bool) -> clap::Command {
        let with_default = |arg: Arg| {
            let entry =
                SETTINGS.iter().find(|setting| setting.is(&arg)).and_then(|found| self.get(found.key));
            match entry {
                Some(entry) => arg.default_values(entry.values.clone()),
                None => arg,
            }
        };
        let cli = cli.mut_args(with_default);
        if throw_away { cli } else { cli.mut_subcommands(|command| command.mut_args(with_default)) }
    }
}

/// The same command line with what the file sets where it says nothing, and all that the file sets.
///
/// # Errors
///
/// The file cannot be used.
pub(crate) fn applied(line: Cli) -> Outcome<(Cli, Settings)> {
    let throw_away = match &line.command {
        // They must work whatever the file is, or say themselves what is wrong with it.
        Some(Command::Config(_) | Command::Completions(_) | Command::Man(_) | Command::Down(_)) => {
            return Ok((line, Settings::default()));
        }
        Some(Command::Up(up)) => up.temp,
        _ => false,
    };
    let settings = match Place::of(&line.global)?.read() {
        Ok(settings) => settings,
        // It says so as one of its findings.
        Err(_) if matches!(line.command, Some(Command::Doctor(_))) => return Ok((line, Settings::default())),
        Err(error) => return Err(error),
    };
    if settings.len() == 0 {
        return Ok((line, settings));
    }
    let matches = settings.apply(Cli::command(), throw_away).try_get_matches();
    let applied = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    // Each value was checked when it was read.
    let applied = applied.map_err(|error| CommandError::usage(error.to_string()))?;
    Ok((applied, settings))
}

/// Reads TOML.
///
/// # Errors
///
/// It is none; with the line.
fn parsed<'a>(text: &'a str, path: &Path) -> Outcome<Document<&'a str>> {
    Document::parse(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        let why = error.message().trim().replace('\n', ", ");
        CommandError::usage(format!("{}:{line}: this is not TOML: {why}", path.display()))
            .hint("nothing was changed; every line is KEY = VALUE, texts in double quotes")
    })
}

/// The line of a place in a text, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}
