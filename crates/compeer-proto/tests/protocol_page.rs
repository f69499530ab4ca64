//! `docs/protocol.md` says what the code does: its examples are the golden bytes, its tables name
//! the numbers of the code.
//!
//! A block marked `frame` is one line of `golden/frames.txt`; one marked `bytes` is a value
//! somewhere in the golden files. On each line, hex stands before the first two spaces in a row.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use compeer_proto::circuit::Why;
use compeer_proto::limits;
use compeer_proto::session::{GoodbyeReason, Outcome};

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page() -> String {
    read("../../docs/protocol.md")
}

/// The blocks of this mark, each as one run of hex.
fn blocks(mark: &str) -> Vec<String> {
    let page = page();
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line == format!("```{mark}") {
            let inside = lines.by_ref().take_while(|line| *line != "```");
            let hex = inside.map(|line| line.split("  ").next().unwrap_or("").replace(' ', ""));
            found.push(hex.collect());
        }
    }
    found
}

#[test]
fn every_frame_is_shown_as_it_is_pinned() {
    let golden: Vec<String> = read("tests/golden/frames.txt").lines().map(str::to_owned).collect();
    assert_eq!(blocks("frame"), golden);
}

#[test]
fn other_examples_are_pinned_too() {
    let golden: String = ["ids", "addrs", "ext", "tickets", "opening", "circuit", "overlay"]
        .map(|f| read(&format!("tests/golden/{f}.txt")))
        .concat();
    let values: Vec<&str> =
        golden.lines().filter_map(|line| line.rsplit_once(": ")).map(|(_, value)| value).collect();
    let shown = blocks("bytes");
    assert_eq!(shown.len(), 13);
    for hex in shown.iter().chain(&blocks("text")).filter(|block| !block.starts_with("caller")) {
        assert!(values.contains(&hex.as_str()), "{hex} is in no golden file");
    }
    assert!(values.contains(&"25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena"));
}

/// Rows `| a | b |` of the page, in order.
fn rows() -> Vec<(String, String)> {
    let page = page();
    let cells = |line: &str| {
        let (first, rest) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        Some((first.trim_matches('`').to_owned(), rest.to_owned()))
    };
    page.lines().filter_map(cells).collect()
}

#[test]
fn limits_are_those_of_the_code() {
    let code: BTreeMap<&str, u64> = [
        ("DEFAULT_PORT", u64::from(limits::DEFAULT_PORT)),
        ("MAX_FRAME", limits::MAX_FRAME as u64),
        ("MAX_FRAME_BODY", limits::MAX_FRAME_BODY as u64),
        ("MAX_BODY", u64::from(limits::MAX_BODY)),
        ("MAX_KIND_LEN", limits::MAX_KIND_LEN as u64),
        ("MAX_AGENT", limits::MAX_AGENT as u64),
        ("MAX_NAME_LEN", limits::MAX_NAME_LEN as u64),
        ("MAX_TEXT", limits::MAX_TEXT as u64),
        ("MAX_ADDRS", limits::MAX_ADDRS as u64),
        ("MAX_ADDR_BYTES", limits::MAX_ADDR_BYTES as u64),
        ("MAX_HOST_LEN", limits::MAX_HOST_LEN as u64),
        ("MAX_EXT_ENTRIES", limits::MAX_EXT_ENTRIES as u64),
        ("MAX_EXT_BYTES", limits::MAX_EXT_BYTES as u64),
        ("MAX_TICKET_PEERS", limits::MAX_TICKET_PEERS as u64),
        ("MAX_TICKET_TEXT_LEN", limits::MAX_TICKET_TEXT_LEN as u64),
        ("MESSAGE_OVERHEAD", u64::from(limits::MESSAGE_OVERHEAD)),
        ("MIN_WINDOW", u64::from(limits::MIN_WINDOW)),
        ("MIN_NOTIFY_WINDOW", u64::from(limits::MIN_NOTIFY_WINDOW)),
        ("MIN_FRAGMENT", limits::MIN_FRAGMENT as u64),
        ("CANCEL_ANSWERED_WITHIN", limits::CANCEL_ANSWERED_WITHIN.as_secs()),
        ("MAX_REQUESTS", u64::from(limits::MAX_REQUESTS)),
        ("WINDOW", u64::from(limits::WINDOW)),
        ("NOTIFY_WINDOW", u64::from(limits::NOTIFY_WINDOW)),
        ("CONNECTION_BUDGET", limits::CONNECTION_BUDGET as u64),
        ("PROCESS_BUDGET", limits::PROCESS_BUDGET as u64),
        ("PING_AFTER", limits::PING_AFTER.as_secs()),
        ("PONG_WITHIN", limits::PONG_WITHIN.as_secs()),
        ("PONG_WITHIN_CARRIED", limits::PONG_WITHIN_CARRIED.as_secs()),
        ("MAX_CIRCUIT_HOPS", limits::MAX_CIRCUIT_HOPS as u64),
        ("MAX_CIRCUIT_TRIES", u64::from(limits::MAX_CIRCUIT_TRIES)),
        ("MAX_CIRCUIT_DATA", limits::MAX_CIRCUIT_DATA as u64),
        ("MAX_CIRCUIT_CONTROL", limits::MAX_CIRCUIT_CONTROL as u64),
    ]
    .into();
    let is_limit =
        |name: &str| name.contains('_') && name.chars().all(|c| c == '_' || c.is_ascii_uppercase());
    let shown: Vec<(String, String)> =
        rows().into_iter().filter(|(name, _)| is_limit(name) || name == "WINDOW").collect();
    assert_eq!(shown.len(), code.len());
    for (name, value) in shown {
        let value: u64 = value.replace(',', "").parse().unwrap_or_else(|_| panic!("{name}: {value}"));
        assert_eq!(code.get(name.as_str()), Some(&value), "{name}");
    }
}

#[test]
fn statuses_and_reasons_are_those_of_the_code() {
    let rows = rows();
    let table = |head: &str| {
        let start =
            rows.iter().position(|(first, rest)| first == head && rest == "means").expect("the table");
        let numbered =
            rows[start + 1..].iter().map_while(|(n, means)| Some((n.parse::<u8>().ok()?, means.clone())));
        numbered.collect::<Vec<_>>()
    };
    let first_word =
        |text: &str| text.split(|c: char| !c.is_alphabetic()).next().unwrap_or("").to_lowercase();
    let statuses = table("status");
    assert_eq!(statuses.len(), 8);
    for (number, means) in statuses {
        let outcome = Outcome::from_wire(number, b"");
        assert_eq!(outcome.status(), number);
        let name = format!("{outcome:?}").to_lowercase();
        assert!(name.starts_with(&first_word(&means)), "{number}: {means}, but {name}");
    }
    let reasons = table("reason");
    assert_eq!(reasons.len(), 9);
    for (number, means) in reasons {
        let name = format!("{:?}", GoodbyeReason::from_code(number)).to_lowercase();
        let said = means
            .to_lowercase()
            .replace("your key", "keyrunstwice")
            .replace("breach of the protocol", "protocol");
        assert!(name.starts_with(&first_word(&said)), "{number}: {means}, but {name}");
    }
    let whys = table("why");
    assert_eq!(whys.len(), 13);
    for (number, means) in whys {
        let name = format!("{:?}", Why::from_code(number)).to_lowercase();
        assert_eq!(name, first_word(&means), "{number}: {means}");
    }
}
