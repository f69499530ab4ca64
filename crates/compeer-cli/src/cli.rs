//! The command line as a whole: the flags every command has, and the list of commands.
//!
//! Each command's own arguments stand in its file under [`crate::commands`]. Every flag has a variable
//! `COMPEER_…` of the same name; the flag wins. The texts here are what `--help` shows, and a test pins them.

use crate::commands;
use crate::exit::Exit;
use crate::target;
use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use std::path::PathBuf;

/// Talk with other machines and exchange files, directly, with no server between.
///
/// Without a command: says whether a peer runs here, who is near, and what to type next.
#[derive(Debug, Parser)]
#[command(name = "compeer", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  compeer send report.pdf              on machine one: prints the line to type on the other
  compeer get 7-lamp-tiger             on machine two: fetches it
  compeer up                           on machine one: prints the line to type on the other
  compeer say 192.168.1.20 \"hello\"     on machine two: machine one shows it
  compeer try                          a tour with real peers on this machine alone

PEER, where a command wants one, is one of
  bob                   the name you gave a peer by `compeer pair`
  192.168.1.20[:port]   an address or host name; its key is learnt once and must stay the same
  peer…                 a ticket, as `compeer ticket` prints it (`-` reads it from standard input,
                        @FILE from a file)
  52 letters, or 8 and more of a paired peer's id

Every option has a variable: COMPEER_ and its name, as in COMPEER_MAX_PEERS=20; the option wins.
`compeer config` lists those that a file can set too; the variable wins over it.

Exit codes:
  0 done   1 failed   2 usage   3 unreachable or timed out   4 verification failed
  130 interrupted";

/// The flags of every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Print one JSON event per line
    #[arg(long, global = true, hide_env_values = true, env = "COMPEER_JSON", value_parser = BoolishValueParser::new())]
    pub(crate) json: bool,
    /// The directory of this peer: its key, names and control socket [default: compeer/ in the user's data directory]
    #[arg(long, global = true, hide_env_values = true, env = "COMPEER_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// The settings file [default: config.toml in the home]
    #[arg(long, global = true, hide_env_values = true, env = "COMPEER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print results only
    #[arg(short, long, global = true, hide_env_values = true, env = "COMPEER_QUIET", value_parser = BoolishValueParser::new())]
    pub(crate) quiet: bool,
    /// Tell on standard error what happens; twice: every step
    #[arg(short, long, global = true, hide_env_values = true, env = "COMPEER_VERBOSE", action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Neither tell others on this network of this peer nor look for them
    #[arg(
        long,
        global = true,
        hide_env_values = true,
        env = "COMPEER_NO_DISCOVERY",
        value_name = "BOOL",
        value_parser = BoolishValueParser::new(),
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true
    )]
    pub(crate) no_discovery: bool,
    /// Take no part in the overlay, by which peers find each other by id
    #[arg(
        long,
        global = true,
        hide_env_values = true,
        env = "COMPEER_NO_OVERLAY",
        value_name = "BOOL",
        value_parser = BoolishValueParser::new(),
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true
    )]
    pub(crate) no_overlay: bool,
    /// For tests: look within this machine alone, at this port.
    #[arg(long, global = true, hide = true, env = "COMPEER_DISCOVERY_PORT")]
    pub(crate) discovery_port: Option<u16>,
    /// Append diagnostics to FILE
    #[arg(long, global = true, hide_env_values = true, env = "COMPEER_LOG", value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}

/// The commands, in the order in which a newcomer meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(commands::up::Up),
    Send(commands::send::Send),
    Get(commands::get::GetCommand),
    Share(commands::share::Share),
    Find(commands::find::FindCommand),
    Transfers(commands::transfers::Transfers),
    Say(commands::say::Say),
    Chat(commands::chat::Chat),
    Call(commands::call::Call),
    On(commands::on::On),
    Ticket(commands::ticket::Ticket),
    Peers(commands::peers::Peers),
    Trace(commands::trace::Trace),
    Pair(commands::pair::Pair),
    Block(commands::block::Block),
    Status(commands::status::Status),
    Try(commands::r#try::Try),
    Down(commands::down::Down),
    Doctor(commands::doctor::Doctor),
    Sim(commands::sim::Sim),
    Config(commands::config::Config),
    Identity(commands::identity::Identity),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
}

/// Reads the command line. What clap has to say (help, version, a mistake) is printed here; then the code to leave
/// with is the error.
pub(crate) fn parse() -> Result<Cli, Exit> {
    Cli::try_parse().map_err(|error| {
        let error = if error.use_stderr() { told_better(error) } else { error };
        // Nothing better can be done when the terminal is gone.
        let _ = error.print();
        if error.use_stderr() { Exit::Usage } else { Exit::Done }
    })
}

/// The same mistake, with what clap leaves out: the command that was meant, and how to use it whatever variables are set.
fn told_better(error: clap::Error) -> clap::Error {
    let mut cli = Cli::command();
    cli.build();
    let usages: Vec<_> = cli.get_subcommands().map(|sub| (sub.get_name().to_string(), usage(sub))).collect();
    // Options that are given by a variable would stand in the usage as if they had to be given.
    for (name, usage) in usages {
        cli = cli.mut_subcommand(name, |sub| sub.override_usage(usage));
    }
    let mut error = cli.clone().try_get_matches().err().unwrap_or(error);
    if let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand)
        && error.get(ContextKind::SuggestedSubcommand).is_none()
        && let Some(meant) = target::meant(typed, cli.get_subcommands().map(clap::Command::get_name))
    {
        let meant = ContextValue::Strings(vec![meant.to_string()]);
        error.insert(ContextKind::SuggestedSubcommand, meant);
    }
    error
}

/// How to use a command, without the word before it.
fn usage(command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.trim_start_matches("Usage:").trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable_of_its_name() {
        let mut cli = Cli::command();
        cli.build();
        for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
            for arg in command.get_arguments() {
                let Some(long) = arg.get_long() else { continue };
                if ["help", "version"].contains(&long) || arg.is_hide_set() {
                    continue;
                }
                let own_name = command.get_name() == "up";
                let wanted = match long {
                    // COMPEER_NAME is what the peer is called; what it shares has names of its own.
                    "name" if !own_name => "COMPEER_SHARE_NAME".to_string(),
                    // COMPEER_CLASSIC is where old programs are listened for.
                    "classic" if command.get_name() == "on" => "COMPEER_ON_CLASSIC".to_string(),
                    long => format!("COMPEER_{}", long.to_uppercase().replace('-', "_")),
                };
                let found = arg.get_env().map(|name| name.to_string_lossy().into_owned());
                assert_eq!(found.as_deref(), Some(wanted.as_str()), "{} --{long}", command.get_name());
            }
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("compeer {}", command.get_name())), "{}", command.get_name());
        }
    }
}
