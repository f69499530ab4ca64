//! Rules of this machine's firewall that keep others from our port, as far as they may be read.
//!
//! Only root may read them, so mostly this says that they are unread; that our own addresses answer (`doctor/network.rs`) is
//! the better sign. What can be read is followed as the kernel does: the chains where packets come in, rule by rule, jumps
//! too, until one decides. A rule that asks for more than the port (an interface, a state, a sender, a rate) may or may not hold,
//! and is passed over. Read are `nft -j list ruleset` and `iptables-save`, both of which must be there for that.

use super::{Finding, output_of};
use serde_json::Value;
use std::collections::BTreeMap;

/// Jumps followed. Netfilter's own bound is 16.
const MAX_JUMPS: usize = 16;

/// A rule that drops or rejects what comes to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Where it stands.
    pub(crate) place: String,
    /// What it is: the rule, or the end of a chain.
    pub(crate) what: String,
}

/// The rules that keep others from a TCP port; `None` if they may not be read or there is no tool to.
pub(crate) fn against(port: u16) -> Option<Vec<Rule>> {
    let nft = output_of("nft", &["-j", "list", "ruleset"]);
    let saved: Vec<_> = [("iptables-save", "IPv4"), ("ip6tables-save", "IPv6")]
        .iter()
        .filter_map(|(tool, family)| Some((*family, output_of(tool, &[])?)))
        .collect();
    if nft.is_none() && saved.is_empty() {
        return None;
    }
    let mut rules = nft.map_or_else(Vec::new, |json| of_nft(&json, port));
    rules.extend(saved.iter().filter_map(|(family, text)| of_iptables(family, text, port)));
    Some(rules)
}

/// How to let a port in, with the tool that is there.
pub(crate) fn let_in(port: u16) -> String {
    let there = |tool: &str| {
        ["/usr/sbin", "/sbin", "/usr/bin"].iter().any(|dir| std::path::Path::new(dir).join(tool).exists())
    };
    if there("ufw") {
        format!("ufw allow {port}/tcp")
    } else if there("firewall-cmd") {
        format!("firewall-cmd --add-port={port}/tcp")
    } else {
        format!("iptables -I INPUT -p tcp --dport {port} -j ACCEPT, or the same in nftables")
    }
}

/// What is to be said of them. `silent`: an address of ours did not answer.
pub(crate) fn findings(rules: Option<Vec<Rule>>, port: u16, silent: bool) -> Vec<Finding> {
    const CHECK: &str = "firewall";
    match rules {
        None if silent => Vec::new(),
        None => vec![Finding::ok(CHECK, "its rules can be read by root alone, or there is none")],
        Some(rules) if rules.is_empty() => {
            vec![Finding::ok(CHECK, format!("no rule keeps others from TCP port {port}"))]
        }
        Some(rules) => rules
            .into_iter()
            .map(|rule| {
                let text = format!("{} keeps others from TCP port {port}: {}", rule.place, rule.what);
                Finding::problem(CHECK, text, let_in(port))
            })
            .collect(),
    }
}

/// Parts of a rule of nftables by which it holds for some packets and not for others that are alike: what it keeps out is
/// a flood, not a peer.
const SOMETIMES: [&str; 4] = ["limit", "quota", "ct count", "meter"];

/// What becomes of a packet in a chain.
enum Fate {
    In,
    /// And the rule that says so.
    Out(String),
    /// No rule decided.
    Open,
}

/// A chain of nftables.
#[derive(Default)]
struct Chain {
    /// It is where packets come in; and what becomes of those that no rule decides.
    hook: bool,
    drops: bool,
    rules: Vec<Value>,
}

/// By family and table, then by name.
type Chains = BTreeMap<(String, String), BTreeMap<String, Chain>>;

fn of_nft(json: &str, port: u16) -> Vec<Rule> {
    let Ok(all) = serde_json::from_str::<Value>(json) else { return Vec::new() };
    let text = |value: &Value, member: &str| value[member].as_str().unwrap_or_default().to_string();
    let mut tables = Chains::new();
    for entry in all["nftables"].as_array().into_iter().flatten() {
        let (chain, rule) = (&entry["chain"], &entry["rule"]);
        if chain.is_object() {
            let table = tables.entry((text(chain, "family"), text(chain, "table"))).or_default();
            let known = table.entry(text(chain, "name")).or_default();
            known.hook = chain["hook"] == "input" && chain["type"] == "filter";
            known.drops = chain["policy"] == "drop";
        } else if rule.is_object() {
            let table = tables.entry((text(rule, "family"), text(rule, "table"))).or_default();
            table.entry(text(rule, "chain")).or_default().rules.push(rule["expr"].clone());
        }
    }
    let mut found = Vec::new();
    for ((family, table), chains) in &tables {
        for (name, chain) in chains.iter().filter(|(_, chain)| chain.hook) {
            let place = format!("the chain {name} of the nftables table {family} {table}");
            match fate(chains, name, port, MAX_JUMPS) {
                Fate::Out(what) => found.push(Rule { place, what }),
                Fate::Open if chain.drops => {
                    found.push(Rule { place, what: "what no rule lets in is dropped".into() })
                }
                Fate::In | Fate::Open => {}
            }
        }
    }
    found
}

fn fate(chains: &BTreeMap<String, Chain>, name: &str, port: u16, jumps: usize) -> Fate {
    let Some(chain) = chains.get(name).filter(|_| jumps > 0) else { return Fate::Open };
    for rule in &chain.rules {
        let parts = rule.as_array().map(Vec::as_slice).unwrap_or_default();
        if !parts.iter().filter(|part| part["match"].is_object()).all(|part| asks_for(&part["match"], port)) {
            continue;
        }
        let sometimes = parts.iter().any(holds_sometimes);
        for part in parts.iter().filter_map(Value::as_object) {
            let target = ["jump", "goto"].iter().find_map(|verb| part.get(*verb)?["target"].as_str());
            if let Some(target) = target {
                match fate(chains, target, port, jumps - 1) {
                    Fate::Open => {}
                    Fate::Out(_) if sometimes => {}
                    decided => return decided,
                }
            }
            if part.contains_key("accept") {
                return Fate::In;
            }
            if part.contains_key("return") {
                return Fate::Open;
            }
            let out = ["drop", "reject"].into_iter().find(|verb| part.contains_key(*verb));
            if let Some(verb) = out.filter(|_| !sometimes) {
                return Fate::Out(format!("a rule says {verb}"));
            }
        }
    }
    Fate::Open
}

/// Whether a part of a rule is one of [`SOMETIMES`], or adds to a set under such a condition. A set alone only takes note.
fn holds_sometimes(part: &Value) -> bool {
    let mut of_set = part["set"]["stmt"].as_array().into_iter().flatten();
    SOMETIMES.iter().any(|word| !part[*word].is_null()) || of_set.any(holds_sometimes)
}

/// Whether a match asks for nothing but TCP and this port.
fn asks_for(wanted: &Value, port: u16) -> bool {
    let (left, right) = (&wanted["left"], &wanted["right"]);
    let is = |value: &Value| value == "tcp" || value == 6;
    if left["meta"]["key"] == "l4proto" || left["payload"]["field"] == "protocol" {
        return wanted["op"] != "!=" && one_of(right, &is);
    }
    let payload = &left["payload"];
    let ours = payload["field"] == "dport" && (payload["protocol"] == "tcp" || payload["protocol"] == "th");
    let holds = one_of(right, &|value: &Value| match value["range"].as_array().map(Vec::as_slice) {
        Some([from, to]) => (from.as_u64()..=to.as_u64()).contains(&Some(u64::from(port))),
        _ => *value == port,
    });
    ours && holds != (wanted["op"] == "!=")
}

/// Whether a value, or one of a set of values, is such.
fn one_of(value: &Value, such: &dyn Fn(&Value) -> bool) -> bool {
    match value["set"].as_array() {
        Some(set) => set.iter().any(such),
        None => such(value),
    }
}

fn of_iptables(family: &str, saved: &str, port: u16) -> Option<Rule> {
    // Only the table `filter` keeps packets out in practice.
    let filter = saved.split("*filter").nth(1)?.split("COMMIT").next()?;
    let mut chains: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut drops = false;
    for line in filter.lines() {
        if let Some(policy) = line.strip_prefix(":INPUT ") {
            drops = policy.starts_with("DROP");
        } else if let Some((chain, rule)) = line.strip_prefix("-A ").and_then(|rest| rest.split_once(' ')) {
            chains.entry(chain).or_default().push(rule);
        }
    }
    let place = format!("the chain INPUT of iptables ({family})");
    match fate_of_iptables(&chains, "INPUT", port, MAX_JUMPS) {
        Fate::Out(what) => Some(Rule { place, what }),
        Fate::Open if drops => Some(Rule { place, what: "what no rule lets in is dropped".into() }),
        Fate::In | Fate::Open => None,
    }
}

fn fate_of_iptables(chains: &BTreeMap<&str, Vec<&str>>, name: &str, port: u16, jumps: usize) -> Fate {
    let Some(rules) = chains.get(name).filter(|_| jumps > 0) else { return Fate::Open };
    for rule in rules {
        let Some(target) = target_of(rule, port) else { continue };
        match target {
            "ACCEPT" => return Fate::In,
            "RETURN" => return Fate::Open,
            "DROP" | "REJECT" => return Fate::Out(format!("-A {name} {rule}")),
            chain => match fate_of_iptables(chains, chain, port, jumps - 1) {
                Fate::Open => {}
                decided => return decided,
            },
        }
    }
    Fate::Open
}

/// Where a rule of iptables sends what comes to a port; `None` if it asks for anything else too.
fn target_of(rule: &str, port: u16) -> Option<&str> {
    let mut words = rule.split_whitespace();
    let mut target = None;
    while let Some(word) = words.next() {
        match (word, words.next()?) {
            ("-p", "tcp" | "6")
            | ("-m", "tcp" | "multiport" | "comment")
            | ("--reject-with" | "--comment", _) => {}
            ("--dport" | "--dports", ports) => {
                let holds = |one: &str| match one.split_once(':') {
                    Some((from, to)) => (from.parse().ok()..=to.parse().ok()).contains(&Some(port)),
                    None => one.parse() == Ok(port),
                };
                if !ports.split(',').any(holds) {
                    return None;
                }
            }
            ("-j" | "-g", to) => target = Some(to),
            _ => return None,
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `nft -j list ruleset` has it; `rules` stand in a chain `input` with this policy.
    fn nft(policy: &str, rules: &str) -> Vec<Rule> {
        let json = format!(
            r#"{{"nftables": [{{"metainfo": {{"version": "1.0.6"}}}},
            {{"table": {{"family": "inet", "name": "filter"}}}},
            {{"chain": {{"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "{policy}"}}}},
            {{"chain": {{"family": "inet", "table": "filter", "name": "other"}}}}{rules}]}}"#
        );
        of_nft(&json, 26673)
    }

    fn rule(chain: &str, expr: &str) -> String {
        format!(
            r#", {{"rule": {{"family": "inet", "table": "filter", "chain": "{chain}", "expr": [{expr}]}}}}"#
        )
    }

    fn dport(right: &str) -> String {
        format!(
            r#"{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "tcp", "field": "dport"}}}}, "right": {right}}}}}"#
        )
    }

    #[test]
    fn rules_of_nftables_are_followed() {
        const STATE: &str =
            r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "established"}}"#;
        let (drop, accept) = (r#"{"drop": null}"#, r#"{"accept": null}"#);
        assert_eq!(nft("accept", ""), []);
        assert_eq!(nft("drop", "")[0].what, "what no rule lets in is dropped");
        for right in [
            "26673",
            r#"{"set": [80, 26673]}"#,
            r#"{"range": [20000, 30000]}"#,
            r#"{"set": [{"range": [1, 65535]}]}"#,
        ] {
            let dropped = nft("accept", &rule("input", &format!("{}, {drop}", dport(right))));
            assert_eq!(dropped[0].what, "a rule says drop", "{right}");
            let let_in = nft("drop", &rule("input", &format!("{}, {accept}", dport(right))));
            assert_eq!(let_in, [], "{right}");
        }
        assert_eq!(nft("accept", &rule("input", &format!("{}, {drop}", dport("80")))), []);
        assert_eq!(nft("accept", &rule("input", &format!("{STATE}, {drop}"))), [], "it may not hold");
        assert_eq!(nft("drop", &rule("input", &format!("{STATE}, {accept}"))).len(), 1);
        for limit in [
            r#"{"limit": {"rate": 10, "burst": 5, "per": "second", "inv": true}}"#,
            r#"{"ct count": {"val": 10, "inv": true}}"#,
            r#"{"set": {"op": "add", "elem": 1, "set": "@flood", "stmt": [{"limit": {"rate": 1, "per": "second"}}]}}"#,
        ] {
            let dropped = format!("{}, {limit}, {drop}", dport("26673"));
            assert_eq!(nft("accept", &rule("input", &dropped)), [], "{limit}");
            let jump = format!(r#"{limit}, {{"jump": {{"target": "other"}}}}"#);
            assert_eq!(nft("accept", &(rule("input", &jump) + &rule("other", drop))), [], "{limit}");
            let let_in = format!("{}, {limit}, {accept}", dport("26673"));
            assert_eq!(nft("drop", &rule("input", &let_in)), [], "{limit}");
            // What stands behind it decides.
            assert_eq!(nft("accept", &(rule("input", &dropped) + &rule("input", drop))).len(), 1);
        }
        for note in ["", r#", "stmt": []"#, r#", "stmt": [{"counter": {"packets": 0, "bytes": 0}}]"#] {
            let noted = format!(r#"{{"set": {{"op": "add", "elem": 1, "set": "@seen"{note}}}}}"#);
            let dropped = format!("{}, {noted}, {drop}", dport("26673"));
            assert_eq!(nft("accept", &rule("input", &dropped)).len(), 1, "{noted}");
        }
        let jump = rule("input", r#"{"jump": {"target": "other"}}"#)
            + &rule("other", r#"{"reject": {"type": "tcp reset"}}"#);
        assert_eq!(nft("accept", &jump)[0].what, "a rule says reject");
        let circle = rule("input", r#"{"jump": {"target": "input"}}"#);
        assert_eq!(nft("accept", &circle), []);
        assert_eq!(of_nft("no json", 1), []);
    }

    #[test]
    fn rules_of_iptables_are_followed() {
        let saved = |policy: &str, rules: &str| {
            let text =
                format!("*nat\n-A INPUT -j DROP\nCOMMIT\n*filter\n:INPUT {policy} [0:0]\n{rules}\nCOMMIT\n");
            of_iptables("IPv4", &text, 26673).map(|rule| rule.what)
        };
        assert_eq!(saved("ACCEPT", ""), None);
        assert_eq!(saved("DROP", ""), Some("what no rule lets in is dropped".into()));
        assert_eq!(saved("DROP", "-A INPUT -p tcp -m tcp --dport 26673 -j ACCEPT"), None);
        assert!(saved("DROP", "-A INPUT -i lo -j ACCEPT").is_some());
        let rule = "-A INPUT -p tcp -m multiport --dports 80,26000:27000 -j REJECT --reject-with tcp-reset";
        assert_eq!(saved("ACCEPT", rule), Some(rule.into()));
        assert_eq!(saved("ACCEPT", "-A INPUT -p tcp -m tcp --dport 80 -j DROP"), None);
        assert_eq!(saved("ACCEPT", "-A INPUT -p udp -m udp --dport 26673 -j DROP"), None);
        assert_eq!(saved("ACCEPT", "-A INPUT -j ours\n-A ours -j DROP"), Some("-A ours -j DROP".into()));
        assert_eq!(saved("ACCEPT", "-A INPUT -j ours\n-A ours -j RETURN"), None);
    }
}
