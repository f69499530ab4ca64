//! `bench`: Compeer beside what it is built on and beside its like, in one run
//! on one machine.
//!
//! Each measurement alternates between the baseline, rivals and Compeer, round by
//! round, after a warm-up, and prints medians, the ratio of the two, and the bar
//! of DESIGN §7 where there is one. Both ends are in this process, on one
//! runtime with two workers, or with `--two-processes` the serving end is a
//! child of its own. Everything is on 127.0.0.1, bounded in time, and gone when
//! the run is over.

use std::process::ExitCode;

mod connect;
mod flood;
mod idle;
mod load;
mod plain;
mod report;
mod requests;
mod rivals;
mod server;
mod slow_reader;
mod stats;
mod streams;

use report::Report;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

const USAGE: &str = "\
Compeer beside what it is built on and beside its like, in one run on one machine.

Usage: bench [OPTIONS] <WHAT>...

What:
  streams      one stream, memory to memory, MB/s (*)
  two-streams  two at once, their sum
  requests     a 64-byte echo, one at a time (*)
  load         the same, 512 at a time, and one-way requests (*)
  slow-reader  1,000 requests beside a reply stream read at one message a second
  idle         memory of an idle connection, per side (*)
  connect      a new connection with its first request, and a resumed one
  flood        10,000 idle peers held, and a guest among 1,000 bad callers a second
  all          all of them

(*) beside libp2p (TCP and QUIC) and iroh

Options:
  --rounds N       rounds of each (at least 5 for a figure to keep) [default: 5]
  --two-processes  the serving end in a process of its own
  --json           one line of JSON for each figure
";

/// What was asked for on the command line.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    rounds: usize,
    two_processes: bool,
    json: bool,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        // On a worker: a task polled outside of them would be a third thread.
        Ok(runtime) => {
            runtime.block_on(async { tokio::spawn(run()).await.unwrap_or_else(|e| Err(e.into())) })
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let mut options = Options { rounds: 5, two_processes: false, json: false };
    let mut what = Vec::new();
    let mut args = std::env::args().skip(1).collect::<Vec<_>>().into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => {
                options.rounds = args.next().ok_or("--rounds needs a number")?.parse::<usize>()?.max(1)
            }
            "--two-processes" => options.two_processes = true,
            "--json" => options.json = true,
            "--help" | "-h" => {
                print!("{USAGE}");
                return Ok(());
            }
            // The ends that run as children.
            "serve-rivals" => return rivals::child().await,
            "serve" => return server::child().await,
            "flood-end" => return flood::child(&args.collect::<Vec<_>>()).await,
            "idle-end" => return idle::child(&args.collect::<Vec<_>>()).await,
            _ => what.push(arg),
        }
    }
    if what.is_empty() {
        return Err(USAGE.into());
    }
    let all = ["streams", "two-streams", "requests", "load", "slow-reader", "idle", "connect", "flood"];
    if what == ["all"] {
        what = all.map(str::to_owned).to_vec();
    }
    let mut report = Report::begin(options);
    for what in what {
        match what.as_str() {
            "streams" => streams::run(options, &mut report).await?,
            "two-streams" => streams::two(options, &mut report).await?,
            "requests" => requests::run(options, &mut report).await?,
            "load" => load::run(options, &mut report).await?,
            "slow-reader" => slow_reader::run(options, &mut report).await?,
            "idle" => idle::run(&mut report).await?,
            "connect" => connect::run(options, &mut report).await?,
            "flood" => flood::run(&mut report).await?,
            other => return Err(format!("`{other}` is nothing that can be measured\n\n{USAGE}").into()),
        }
    }
    report.end();
    Ok(())
}
