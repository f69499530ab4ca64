//! The way to one peer: how it is reached, how long a round trip takes, how fast it is each way and what sets that.
//!
//! A speed by itself helps nobody. It is set by the processor of the one side or the other, or else by what is between them:
//! told apart by what both processes used of their processors meanwhile, and what others left them of it.

use super::{Finding, Level};
use crate::control::doctor::Way;
use crate::exit::{CommandError, Outcome};
use crate::node::speed::{Speed, Use};
use crate::{duration, size};
use std::time::Duration;

/// Processors used by a process that has no more to give: the work on one stream is mostly one thread's.
const BUSY: f64 = 0.8;
/// The same where other programs leave next to nothing idle.
const BUSY_AMONG_OTHERS: f64 = 0.25;
/// The part of all processors that is next to nothing.
const NEXT_TO_NOTHING: f64 = 0.1;
/// A round trip that is felt when one types.
const FELT: Duration = Duration::from_millis(300);
/// Bytes per second below which a line is slow for files. A guess: 25 Mbit/s.
const SLOW: u64 = 3_000_000;

/// What was found of it.
pub(crate) fn findings(asked: Outcome<Way>) -> Vec<Finding> {
    match asked {
        Err(error) => vec![unreached(error)],
        Ok(way) if way.itself => vec![Finding::ok("way", "that is this peer itself")],
        Ok(way) => {
            let mut findings = vec![reached(&way)];
            findings.extend(way.rtt_us.map(|rtt| round_trip(Duration::from_micros(rtt))));
            findings.push(speed(format!("to {}", way.name), &way.there));
            findings.push(speed(format!("from {}", way.name), &way.back));
            findings
        }
    }
}

fn unreached(error: CommandError) -> Finding {
    let remedy = error.hint.unwrap_or_else(|| "is `compeer up` running there?".to_string());
    Finding::problem("way", error.message, remedy)
}

fn reached(way: &Way) -> Finding {
    let at = way.addr.as_ref().map_or("a connection of its own".to_string(), ToString::to_string);
    let who = if way.dialled { "called from here" } else { "which called us" };
    let took = duration::show(Duration::from_millis(way.connected_ms.max(1)));
    Finding::ok("way", format!("{} is at {at}, {who}, directly; found within {took}", way.name))
}

fn round_trip(rtt: Duration) -> Finding {
    let text = format!("{} (the middle one of several)", duration::show(rtt));
    match rtt > FELT {
        true => Finding::warning(
            "round trip",
            text,
            "a far way, or a line that is full: is something else loading it?",
        ),
        false => Finding::ok("round trip", text),
    }
}

fn speed(way: String, measured: &Result<Speed, String>) -> Finding {
    let speed = match measured {
        Ok(speed) => speed,
        Err(why) => {
            let why = compeer::text::escape(why);
            return Finding::warning("speed", format!("{way}: not measured: {why}"), "try again in a minute");
        }
    };
    let percent = |used: Use| format!("{:.0} %", used.cpu * 100.0);
    let there = speed.there.map_or("unknown".to_string(), percent);
    let (limit, remedy) = limit(speed);
    let text = format!(
        "{way}: {}; {limit} sets it (processor here {}, there {there})",
        size::rate(speed.rate),
        percent(speed.here)
    );
    let level = if speed.rate < SLOW { Level::Warning } else { Level::Ok };
    Finding::new(level, "speed", text, (level != Level::Ok).then(|| remedy.to_string()))
}

const THERE: (&str, &str) = ("the processor there", "see what else runs on the other machine");

/// What sets the speed, and what can be done about it.
fn limit(speed: &Speed) -> (&'static str, &'static str) {
    let busy =
        |used: &Use| used.cpu >= BUSY || (used.cpu >= BUSY_AMONG_OTHERS && used.idle < NEXT_TO_NOTHING);
    match (busy(&speed.here), speed.there.filter(busy)) {
        (false, None) => ("the link", "use a cable, another network, or a better place for the wireless"),
        (true, Some(there)) if there.cpu > speed.here.cpu => THERE,
        (true, _) => ("the processor here", "see what else runs on this machine"),
        (false, Some(_)) => THERE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(rate: u64, here: (f64, f64), there: Option<(f64, f64)>) -> Finding {
        let used = |(cpu, idle)| Use { cpu, idle };
        speed("to bob".into(), &Ok(Speed { rate, here: used(here), there: there.map(used) }))
    }

    #[test]
    fn says_what_sets_the_speed() {
        for (here, there, limit) in [
            ((0.1, 0.9), Some((0.1, 0.9)), "the link"),
            ((0.1, 0.9), None, "the link"),
            ((0.1, 0.0), Some((0.1, 0.0)), "the link"),
            ((0.9, 0.5), Some((0.5, 0.5)), "the processor here"),
            ((0.5, 0.5), Some((1.2, 0.3)), "the processor there"),
            ((0.3, 0.0), Some((0.1, 0.9)), "the processor here"),
            ((0.9, 0.0), Some((1.0, 0.0)), "the processor there"),
        ] {
            let found = measured(500_000_000, here, there);
            assert_eq!(found.level, Level::Ok);
            assert!(found.message.contains(&format!("500 MB/s; {limit} sets it")), "{}", found.message);
        }
        let slow = measured(1_200_000, (0.05, 0.9), Some((0.04, 0.9)));
        assert_eq!(slow.level, Level::Warning);
        assert!(slow.remedy.unwrap().contains("cable"));
        assert!(measured(0, (0.0, 1.0), None).message.contains("0 B/s"));
    }
}
