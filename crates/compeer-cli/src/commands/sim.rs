//! `compeer sim SCENARIO.toml`: a network of thousands of peers in virtual time, to see what it does.
//!
//! Nothing of this machine's peer takes part, and nothing goes over the network: the machines of the overlay run
//! in this process, as the file says (`compeer_sim`). A run is the same for the same file and seed, which its trace hash
//! shows; how much memory it took is measured, and is not.

use crate::console::Report;
use crate::context::Context;
use crate::exit::{CommandError, Outcome};
use crate::interrupt;
use crate::progress::clock;
use crate::size;
use clap::Args;
use compeer_sim::overlay::{Spread, Summary, World};
use compeer_sim::{Scenario, ScenarioError, plot};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much virtual time goes by between two looks at ctrl-c and the screen.
const SLICE: Duration = Duration::from_millis(200);

/// Simulate thousands of peers and see whether they find each other.
///
/// SCENARIO is a TOML file: how many peers, their latency, who fails, leaves or means harm, and what is expected to come
/// out; docs/simulation.md lists its keys. The same file and seed give the same run and the same trace hash. What was expected
/// and did not come out is exit code 1.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  compeer sim scenarios/kademlia.toml
  compeer sim scenarios/churn.toml --peers 500 --seed 7
  compeer sim scenarios/partition.toml --svg found.svg      found over time, as a picture")]
pub(crate) struct Sim {
    /// The scenario
    #[arg(value_name = "SCENARIO")]
    file: PathBuf,
    /// So many peers instead
    #[arg(long, hide_env_values = true, env = "COMPEER_PEERS", value_name = "N")]
    peers: Option<u32>,
    /// This seed instead
    #[arg(long, hide_env_values = true, env = "COMPEER_SEED", value_name = "N")]
    seed: Option<u64>,
    /// Draw how many look-ups found, over time, to FILE
    #[arg(long, hide_env_values = true, env = "COMPEER_SVG", value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Sim {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let text =
            std::fs::read_to_string(&self.file).map_err(|error| trouble("read", &self.file, &error))?;
        let wrong = |error: ScenarioError| CommandError::usage(format!("{}: {error}", self.file.display()));
        let mut scenario: Scenario = text.parse().map_err(wrong)?;
        scenario.peers = self.peers.unwrap_or(scenario.peers);
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        let mut world = World::new(&scenario).map_err(|error| CommandError::usage(error.to_string()))?;
        while world.advance(SLICE) {
            let at = world.progress();
            context.console.live(|columns| {
                let (now, end) = (clock(at.seconds as u64), clock(at.of as u64));
                let line = format!(
                    "{now} of {end}  {} peers  found {} of {} look-ups",
                    at.live, at.found, at.lookups
                );
                line.chars().take(columns).collect()
            });
            tokio::select! {
                biased;
                () = interrupt::wait() => return Err(CommandError::interrupted()),
                () = tokio::task::yield_now() => {}
            }
        }
        context.console.still();
        let summary = world.summary();
        if let Some(path) = &self.svg {
            let drawn = plot::found_over_time(&scenario, &summary);
            std::fs::write(path, drawn).map_err(|error| trouble("write", path, &error))?;
        }
        let misses = summary.misses(&scenario.expect);
        context.console.show(&Simulated { event: "simulated", summary, memory: memory() });
        if misses.is_empty() {
            return Ok(());
        }
        Err(CommandError::failed(format!("not as the scenario expects: {}", misses.join(", "))))
    }
}

fn trouble(what: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::failed(format!("cannot {what} {}: {error}", path.display()))
}

/// The most memory this process had, in bytes, where the system tells.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok().map(|kib: u64| kib * 1024)
}

#[derive(Serialize)]
struct Simulated {
    event: &'static str,
    #[serde(flatten)]
    summary: Summary,
    memory: Option<u64>,
}

impl Report for Simulated {
    fn human(&self) -> String {
        let Summary { peers, live, seed, seconds, lookups, found, left_out, .. } = &self.summary;
        let mut lines = vec![
            format!(
                "{peers} peers, {live} at the end, seed {seed}, {} of virtual time",
                clock(*seconds as u64)
            ),
            format!("found     {found} of {lookups} look-ups, {:.2} %", self.summary.share() * 100.0),
        ];
        if *left_out > 0 {
            lines.push(format!("          {left_out} more not counted: one of the two had left"));
        }
        lines.push(format!("hops      {}", spread(&self.summary.hops, 2, "")));
        lines.push(format!("queries   {}", spread(&self.summary.queries, 1, "")));
        lines.push(format!("time      {}", spread(&self.summary.time, 2, " s")));
        let (messages, lost) = (self.summary.messages, self.summary.undelivered);
        lines.push(format!("messages  {messages}, {lost} did not arrive"));
        let (table, records) = (self.summary.table, self.summary.records);
        lines.push(format!("each      knows {table:.0} peers, keeps {records:.0} records"));
        if let Some(memory) = self.memory {
            let each = size::show(memory / u64::from((*peers).max(1)));
            lines.push(format!("memory    {} at most, {each} for each peer", size::show(memory)));
        }
        lines.push(format!("trace     {}", self.summary.trace_hash));
        lines.join("\n")
    }
}

fn spread(of: &Spread, digits: usize, unit: &str) -> String {
    let show = |number: f64| format!("{number:.digits$}{unit}");
    let (mean, half, most, max) = (show(of.mean), show(of.p50), show(of.p99), show(of.max));
    format!("{mean} on average, half within {half}, 99 of 100 within {most}, all within {max}")
}
