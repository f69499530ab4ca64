//! Hops against the number of peers: how far is it to anybody, in networks of 100 peers and more?
//!
//! `cargo run --release -p compeer-sim --example hops -- [MOST] [FILE.svg]` prints a line for each size up to MOST
//! (default: 10000) and draws them. A hundred thousand take 5 GiB and some minutes.

#![expect(clippy::print_stdout, reason = "a program that prints")]

use std::error::Error;

use compeer_sim::Scenario;
use compeer_sim::overlay::World;
use compeer_sim::plot::{Axis, lines};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let most: u32 = arguments.next().unwrap_or_else(|| "10000".to_string()).parse()?;
    let (mut mean, mut p99, mut quarter) = (Vec::new(), Vec::new(), Vec::new());
    let sizes = [100, 316, 1000, 3162, 10_000, 31_623, 100_000, 316_228, 1_000_000];
    for peers in sizes.into_iter().filter(|peers| *peers <= most) {
        // Nobody has others keep where it is: the peer itself has to be found.
        let few = Scenario { settle: 1, duration: 10, lookups: 5000, publish: false, ..Scenario::default() };
        let summary = World::new(&Scenario { peers, ..few })?.run();
        let (x, hops) = (f64::from(peers).log2(), summary.hops);
        println!(
            "{peers} peers: log2 {x:.1}, hops {:.2} on average, 99 of 100 within {}, found {} of {}",
            hops.mean, hops.p99, summary.found, summary.lookups
        );
        mean.push((x, hops.mean));
        p99.push((x, hops.p99));
        quarter.push((x, x / 4.0));
    }
    if let Some(file) = arguments.next() {
        let x = Axis { name: "log₂ of the number of peers", from: 6.0, to: 20.0 };
        let y = Axis { name: "hops", from: 0.0, to: 6.0 };
        let series = [("mean", mean), ("99 of 100 within", p99), ("a quarter of log₂", quarter)];
        std::fs::write(file, lines("Hops to a peer drawn at random", x, y, &series))?;
    }
    Ok(())
}
