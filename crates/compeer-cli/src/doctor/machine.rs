//! The machine itself: file descriptors, the clock, IPv6, and how fast it encrypts and moves bytes.
//!
//! All of it is read from the system, and nobody is asked: whether the clock is right is known to the system or not at all.
//! The speed is that of two peers in this process, with the transport that files go over, so that a slow line can be told from
//! a slow machine.

use super::{Finding, output_of};
use crate::control::status::NodeStatus;
use crate::node::listen;
use crate::node::speed::{self, Speed};
use crate::size;
use compeer::{Peer, limits};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Descriptors below which a peer is in trouble with its first few guests. A guess: sixteen peers with eight streams each.
const FEW_DESCRIPTORS: u64 = 256;
/// Wall time before which a clock is certainly wrong, in seconds since 1970: 2026-01-01.
const LONG_AGO: u64 = 1_767_225_600;
/// A clock set by more than this while the peer ran is worth knowing.
const CLOCK_SET: Duration = Duration::from_secs(2);
/// Bytes per second through the transport on loopback below which the machine is what sets the speed of most networks: a
/// line of 1 Gbit/s.
const SLOW: u64 = 125_000_000;

/// Whether there are descriptors for guests.
pub(crate) fn descriptors(status: &NodeStatus) -> Finding {
    const CHECK: &str = "descriptors";
    let used = status.descriptors;
    let Some(most) = status.descriptor_limit else {
        return Finding::ok(CHECK, format!("{used} in use, any number allowed"));
    };
    let room = most.saturating_sub(used);
    let text = format!("{used} of {most} in use: room for {room} connections and streams");
    let wanted = limits::MAX_CONNECTIONS as u64;
    let remedy =
        format!("type ulimit -n {} before compeer up, or LimitNOFILE= in its systemd unit", wanted + 1000);
    let missed = status.counters.limit_descriptors;
    if missed > 0 {
        Finding::problem(
            CHECK,
            format!("{text}; {missed} times nobody could be let in for want of them"),
            remedy,
        )
    } else if most < FEW_DESCRIPTORS {
        Finding::problem(CHECK, format!("{text}; the limit of {most} file descriptors is too low"), remedy)
    } else {
        Finding::ok(CHECK, text)
    }
}

/// Whether the clock is right, as far as can be told without asking anybody.
pub(crate) fn clock(set_ms: i64) -> Finding {
    const CHECK: &str = "clock";
    const REMEDY: &str = "let the system keep it: timedatectl set-ntp true";
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if now.as_secs() < LONG_AGO {
        return Finding::problem(CHECK, "it is years behind", REMEDY);
    }
    if set_ms.unsigned_abs() > CLOCK_SET.as_millis() as u64 {
        let by = Duration::from_millis(set_ms.unsigned_abs());
        let way = if set_ms < 0 { "back" } else { "forward" };
        let text = format!("it was set {way} by {} since the peer began", crate::duration::show(by));
        return Finding::warning(
            CHECK,
            text,
            "nothing if it is right now; times shown before are off by that",
        );
    }
    match output_of("timedatectl", &["show", "-p", "NTPSynchronized", "--value"]).as_deref().map(str::trim) {
        Some("yes") => Finding::ok(CHECK, "kept by the system, and steady"),
        Some("no") => Finding::warning(CHECK, "the system does not keep it in step with others", REMEDY),
        _ => Finding::ok(CHECK, "steady; whether the system keeps it in step cannot be seen here"),
    }
}

/// Whether there is IPv6.
pub(crate) fn ipv6() -> Finding {
    const CHECK: &str = "IPv6";
    let off = |what: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{what}/disable_ipv6"));
    if !listen::has_ipv6() || off("all").is_ok_and(|off| off.trim() == "1") {
        return Finding::warning(
            CHECK,
            "it is off on this machine: peers that have only IPv6 cannot be reached, nor reach this one",
            "sysctl -w net.ipv6.conf.all.disable_ipv6=0, if your network has it",
        );
    }
    let addresses = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    // The fourth column is the scope: 00 is the whole world.
    let global = addresses.lines().filter(|line| line.split_whitespace().nth(3) == Some("00")).count();
    match global {
        0 => Finding::ok(CHECK, "on; your network gives no address of it"),
        1 => Finding::ok(CHECK, "on, with an address for the world"),
        many => Finding::ok(CHECK, format!("on, with {many} addresses for the world")),
    }
}

/// How fast bytes go through the real transport within this machine, for so long.
pub(crate) async fn speed(time: Duration) -> Finding {
    const CHECK: &str = "this machine";
    let measured = match loopback(time).await {
        Ok(Some(speed)) => speed,
        Ok(None) => return Finding::problem(CHECK, "two peers within it could not measure", "try again"),
        Err(why) => {
            return Finding::problem(
                CHECK,
                format!("two peers within it cannot talk: {why}"),
                "is a firewall in the way of 127.0.0.1? are there file descriptors left?",
            );
        }
    };
    let text = format!("encrypts and moves {} over loopback, both ends here", size::rate(measured.rate));
    match measured.rate < SLOW {
        true if cfg!(debug_assertions) => Finding::warning(
            CHECK,
            text,
            "this program was built without optimisation: cargo build --release",
        ),
        true => {
            Finding::warning(CHECK, text, "nothing, if it is a small machine; else see what else runs on it")
        }
        false => Finding::ok(CHECK, text),
    }
}

async fn loopback(time: Duration) -> Result<Option<Speed>, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let near = Peer::builder().spawn().await.map_err(|error| told(&error))?;
    let far = Peer::builder().listen("127.0.0.1:0").know(near.id());
    let far = speed::register(far, |_| true).spawn().await;
    let far = far.map_err(|error| told(&error))?;
    let measured = speed::measure(&near, far.addr(), false, time).await.map_err(|error| told(&error));
    near.shutdown().await;
    far.shutdown().await;
    measured
}
