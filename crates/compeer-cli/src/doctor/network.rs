//! The network: whether our port answers, and whether those near can hear of us.
//!
//! An address of our own that does not answer is the sign of a firewall that everybody may see. What comes from this machine
//! goes over loopback, though: a rule for one interface, and all that stands between machines, is not seen from here.

use super::firewall::{self, Rule};
use super::{Finding, Level};
use crate::control::doctor::{Answer, Ports};
use crate::control::status::NodeStatus;
use crate::node::Role;
use compeer::discovery::{Discovery, Settings};
use compeer::{Addr, PeerId};
use std::time::Duration;

/// How long our own announcement is listened for: who has answered somebody else a moment before does so again after a second
/// (RFC 6762 §6), and is asked once more.
const LISTEN: Duration = Duration::from_secs(3);

/// `IFF_UP`, `IFF_LOOPBACK` and `IFF_MULTICAST` of Linux.
const UP: u32 = 0x1;
const LOOPBACK: u32 = 0x8;
const MULTICAST: u32 = 0x1000;

/// Whether a peer is up, and where.
pub(crate) fn listening(status: &NodeStatus) -> Vec<Finding> {
    const CHECK: &str = "port";
    let name = compeer::text::escape(&status.name);
    let mut findings = vec![match status.role {
        Role::Up => Finding::ok("peer", format!("{name} is up (process {})", status.pid)),
        Role::Alone => Finding::warning(
            "peer",
            "no `compeer up` runs in this home: nobody can call; the checks below are of a peer for this moment",
            "compeer up, or compeer up --detach",
        ),
    }];
    findings.push(match (status.listening.is_empty(), status.taken_port) {
        (true, _) => Finding::problem(CHECK, "it listens nowhere", "see `compeer config` for listen"),
        (_, Some(taken)) => Finding::warning(
            CHECK,
            format!("another program has port {taken}: listens on {} instead", status.listening.join(", ")),
            "nothing, if others have your ticket; addresses you gave away before need the port behind them now",
        ),
        _ => Finding::ok(CHECK, format!("listens on {}", status.listening.join(", "))),
    });
    findings
}

/// Whether our own addresses answer, and rules that keep others out.
pub(crate) fn ports(status: &NodeStatus, ports: &Ports, rules: Option<Vec<Rule>>) -> Vec<Finding> {
    let Some(port) = status.port() else { return Vec::new() };
    let mut findings: Vec<_> = ports.called.iter().map(|(addr, answer)| reach(addr, answer, port)).collect();
    if status.addrs.is_empty() {
        findings.push(Finding::warning(
            "reach",
            "this machine has no address that others can reach",
            "connect it to a network; or is `listen` set to loopback? see `compeer config`",
        ));
    }
    let silent = findings.iter().any(|finding| finding.level == Level::Problem);
    findings.extend(firewall::findings(rules, port, silent));
    findings
}

fn reach(addr: &Addr, answer: &Answer, port: u16) -> Finding {
    const CHECK: &str = "reach";
    let let_in = format!("let TCP port {port} in: {}", firewall::let_in(port));
    match answer {
        Answer::Ourselves => Finding::ok(CHECK, format!("{addr} answers, and it is this peer")),
        Answer::Silence => {
            let text = format!("{addr} does not answer: a firewall swallows what comes to TCP port {port}");
            Finding::problem(CHECK, text, let_in)
        }
        Answer::Refused(why) => {
            let text = format!("{addr} does not let us in ({why}): a firewall, or no such address any more");
            Finding::problem(CHECK, text, let_in)
        }
        Answer::Another => Finding::problem(
            CHECK,
            format!("another peer answers at {addr}"),
            "if that address is another machine's by now, start this peer again; see --advertise",
        ),
    }
}

/// Whether multicast goes, and our own announcement is heard.
pub(crate) async fn near(settings: Option<Settings>, own: PeerId, ports: &Ports) -> Vec<Finding> {
    const CHECK: &str = "near";
    const BY_ADDRESS: &str = "others can name this machine by its address instead: compeer say ADDRESS hello";
    let Some(settings) = settings else {
        return vec![Finding::ok(CHECK, "not looked for and not told: --no-discovery is set")];
    };
    let interfaces = multicast_interfaces(settings.loopback);
    let mut findings = vec![match interfaces.is_empty() {
        true => Finding::warning(
            CHECK,
            "no interface is up that carries multicast: nobody near is found",
            BY_ADDRESS,
        ),
        false => Finding::ok(CHECK, format!("multicast on {}", interfaces.join(", "))),
    }];
    let discovery = match Discovery::start(settings) {
        Ok(discovery) => discovery,
        Err(error) => {
            findings.push(Finding::problem(
                CHECK,
                error.to_string(),
                "does another program have UDP port 5353 for itself?",
            ));
            return findings;
        }
    };
    let mut changes = discovery.changes();
    let heard = async {
        while changes.next().await.is_some() {
            if ports.announced && discovery.nearby().iter().any(|nearby| nearby.peer.id == own) {
                return;
            }
        }
    };
    let heard = tokio::time::timeout(LISTEN, heard).await.is_ok();
    let others = discovery.nearby().iter().filter(|nearby| nearby.peer.id != own).count();
    // A peer that is up has looked around for longer.
    let others = match others.max(ports.near) {
        0 => "no others are near".to_string(),
        1 => "another peer is near".to_string(),
        others => format!("{others} others are near"),
    };
    discovery.leave().await;
    findings.push(match (ports.announced, heard) {
        (true, true) => Finding::ok(CHECK, format!("our own announcement is heard; {others}")),
        (true, false) => Finding::warning(
            CHECK,
            format!(
                "our own announcement is not heard, and so not by others: UDP port 5353 is kept out; {others}"
            ),
            BY_ADDRESS,
        ),
        (false, _) => Finding::note(
            CHECK,
            format!("this peer does not announce itself; {others}"),
            "to be found by others near, start `compeer up` where they can reach it; a code of `send` or `pair` is announced while it is offered",
        ),
    });
    findings
}

/// The interfaces that are up and carry multicast, loopback left out unless it is all there is to look at.
fn multicast_interfaces(loopback: bool) -> Vec<String> {
    let Ok(all) = std::fs::read_dir("/sys/class/net") else { return Vec::new() };
    let carries = |name: &String| {
        let flags = std::fs::read_to_string(format!("/sys/class/net/{name}/flags")).unwrap_or_default();
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
        let right =
            if loopback { flags & LOOPBACK != 0 } else { flags & (MULTICAST | LOOPBACK) == MULTICAST };
        flags & UP != 0 && right
    };
    let names = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(carries).collect();
    names.sort();
    names
}
