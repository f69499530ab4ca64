//! `docs/json.md` is what the commands print with `--json`: every event, every member, nothing else.

#[path = "support/events.rs"]
mod events;
#[path = "support/peers.rs"]
mod support;

use events::Page;
use support::{Home, Running, nobody, until};

/// Events that take a stolen key, an hour, or a peer that lies or dies at the right moment. They are of one type with
/// others that are seen here.
const RARE: &[&str] = &[
    "wrong_key",
    "key_runs_twice",
    "trouble",
    "code_expired",
    "liar",
    "source_lost",
    "waiting",
    "source_changed",
];

/// Runs commands and holds all they print against the page.
struct Checked {
    page: Page,
}

impl Checked {
    #[track_caller]
    fn run(&mut self, home: &Home, arguments: &[&str]) -> Vec<serde_json::Value> {
        self.pipe(home, arguments, "")
    }

    #[track_caller]
    fn pipe(&mut self, home: &Home, arguments: &[&str], input: &str) -> Vec<serde_json::Value> {
        let all: Vec<_> = ["--json"].iter().chain(arguments).copied().collect();
        let ended = home.pipe(&all, input);
        self.page.check_all(arguments.first().unwrap_or(&"none"), ended.out.lines())
    }

    #[track_caller]
    fn end(&mut self, command: &str, running: Running) {
        let (_, lines) = running.end();
        self.page.check_all(command, lines.iter().map(String::as_str));
    }
}

#[test]
fn the_page_is_what_is_printed() {
    let mut checked = Checked { page: Page::read() };
    talk(&mut checked);
    files(&mut checked);
    checked.page.all_seen(RARE);
}

fn talk(checked: &mut Checked) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut up = alice.up(&["--json"]);
    let mut bob_up = bob.up(&["--json", "--join", &nobody()]);
    bob_up.sees("retrying");
    checked.run(&bob, &["say", &up.address, "hello"]);
    checked.run(&bob, &["say", &nobody(), "hello"]);
    checked.run(&bob, &["call", &up.address, "ECHO", "hello"]);
    shell(checked, &alice, &bob, &up.address);
    checked.run(&bob, &["ticket", "--advertise", "host.example"]);
    checked.run(&alice, &["peers"]);
    checked.run(&alice, &["peers", "--map"]);
    let id = bob.id();
    until("alice knows where bob is", || {
        checked.run(&alice, &["trace", &id]).iter().any(|event| event["event"] == "step")
    });
    checked.run(&bob, &["pair", &up.address]);
    up.sees("pair_asked");
    checked.run(&alice, &["pair", &bob.id()]);
    bob_up.sees("paired_back");
    checked.run(&bob, &["status"]);
    checked.run(&bob, &["doctor"]);
    checked.run(&bob, &["config", "path"]);
    checked.run(&bob, &["config", "set", "qr", "true"]);
    checked.run(&bob, &["config", "unset", "qr"]);
    checked.run(&bob, &["config"]);
    let small = bob.temp().join("small.toml");
    std::fs::write(&small, "peers = 20\nlookups = 5\nsettle = 1\nduration = 1").unwrap();
    checked.run(&bob, &["sim", small.to_str().unwrap()]);
    checked.run(&bob, &["completions", "bash"]);
    checked.run(&bob, &["man"]);
    let secret = bob.temp().join("secret");
    std::fs::write(&secret, "four words of mine").unwrap();
    let secret = format!("@{}", secret.display());
    let exported = checked.run(&bob, &["identity", "export", "--passphrase", &secret]);
    let key = exported[0]["text"].as_str().unwrap();
    checked.pipe(&Home::new("attic"), &["identity", "import", "-", "--passphrase", &secret], key);
    checked.run(&bob, &["man", bob.empty("man").to_str().unwrap()]);
    checked.run(&bob, &[]);
    checked.run(&bob, &["try"]);
    checked.pipe(&bob, &["chat", "alice"], "one\n");
    checked.run(&alice, &["peers", "--forget", "bob"]);
    checked.run(&alice, &["block", &bob.id()]);
    up.sees("\"left\"");
    checked.run(&alice, &["block", &bob.id(), "--off"]);
    checked.run(&alice, &["down"]);
    checked.run(&bob, &["down"]);
    checked.end("up", up);
    checked.end("up", bob_up);
}

fn shell(checked: &mut Checked, alice: &Home, bob: &Home, address: &str) {
    let mut print = alice.start(&["--json", "on", "LOG", "--print", "--anyone"]);
    checked.page.check("on", &print.sees("handling"));
    checked.run(bob, &["call", address, "LOG", "hello"]);
    checked.page.check("on", &print.sees("\"request\""));
    let mut even = alice.start(&["--json", "on", "EVEN", "--exec", "read n; exit $((n % 2))", "--anyone"]);
    checked.page.check("on", &even.sees("handling"));
    let results = checked.pipe(bob, &["call", "--spread", "EVEN", "-", "--to", address], "1\n2\n");
    assert_eq!(results.len(), 3);
    checked.page.check("on", &even.sees("\"failed\""));
}

fn files(checked: &mut Checked) {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let up = alice.up(&[]);
    let mut bob_up = bob.up(&["--json"]);
    alice.run(&["pair", &bob_up.address]).code(0);
    bob.run(&["pair", &alice.id()]).code(0);
    let mut pair = alice.start(&["--json", "pair"]);
    let offered = checked.page.check("pair", &pair.sees("pair_code"));
    let from = up.address.as_str();
    checked.run(&carol, &["pair", offered["code"].as_str().unwrap(), "--from", from]);
    checked.end("pair", pair);

    let slow = alice.file("slow", 5_000_000);
    let (slow, to) = (slow.to_str().unwrap(), bob.empty("to"));
    let to = to.to_str().unwrap();
    let mut send = alice.start(&["--json", "send", "--to", "bob", slow, "--limit", "2M"]);
    checked.page.check("send", &send.sees("\"offered\""));
    bob_up.sees("files_offered");
    let mut get = bob.start(&["--json", "get", "alice", "-o", to]);
    let fetching = checked.page.check("get", &get.sees("\"fetching\""));
    let id = fetching["transfer"].as_str().unwrap().to_string();
    while checked.page.check("get", &get.sees("\"progress\""))["done_bytes"] == 0 {}
    get.signal("INT");
    checked.end("get", get);
    send.sees("receiver_left");
    checked.run(&bob, &["transfers"]);
    checked.run(&bob, &["transfers", "--resume", &id]);
    checked.end("send", send);

    let small = alice.file("small", 1000);
    let shared = checked.run(&alice, &["share", small.to_str().unwrap(), "--to", "bob"]);
    let ticket = shared.iter().find(|event| event["event"] == "offered").unwrap()["ticket"].clone();
    let ticket = ticket.as_str().unwrap();
    checked.run(&alice, &["share"]);
    checked.run(&bob, &["get", ticket, "--list"]);
    checked.run(&carol, &["get", ticket]);
    std::fs::write(&small, "something else").unwrap();
    checked.run(&bob, &["get", ticket, "-o", to]);
    for left in checked.run(&bob, &["transfers"]) {
        checked.run(&bob, &["transfers", "--discard", left["id"].as_str().unwrap()]);
    }
    checked.run(&alice, &["share", "--stop", "small"]);

    let mut send = alice.start(&["--json", "send", small.to_str().unwrap()]);
    let offered = checked.page.check("send", &send.sees("\"offered\""));
    std::fs::write(&small, "something else again").unwrap();
    checked.run(&bob, &["get", offered["ticket"].as_str().unwrap(), "-o", to]);
    checked.page.check("send", &send.sees("\"changed\""));
    checked.page.check("send", &send.sees("\"renewed\""));
    drop(send);

    checked.run(&bob, &["pair", "alice", "--accept", to]);
    let mut send = alice.start(&["--json", "send", "--to", "bob", small.to_str().unwrap()]);
    bob_up.sees("files_came");
    send.sees("\"received\"");

    let mut send = alice.start(&["--json", "send", slow]);
    let offered = checked.page.check("send", &send.sees("\"offered\""));
    let number = offered["code"].as_str().unwrap().split('-').next().unwrap();
    checked.run(&carol, &["get", &format!("{number}-lamp-tiger"), "--from", from]);
    checked.end("send", send);

    let big = alice.sparse("big", 80 << 20);
    let mut send = alice.start(&["--json", "send", big.to_str().unwrap()]);
    assert_eq!(checked.page.check("send", &send.sees("\"offered\""))["hashed"], false);
    checked.page.check("send", &send.sees("\"event\":\"hashed\""));
    drop(send);

    alice.run(&["share", "--public", slow]).code(0);
    checked.run(&bob, &["find", "slow"]);
    let old = Home::new("old");
    let mut old_up = old.up(&["--classic", "127.0.0.1:0"]);
    let at = old_up.sees("old programs").rsplit(' ').next().unwrap().to_string();
    let mut joined = carol.up(&["--json", "--classic", "127.0.0.1:0", "--join", &format!("classic:{at}")]);
    joined.sees("classic_joined");
    checked.run(&carol, &["peers"]);
    checked.run(&carol, &["call", &format!("classic:{at}"), "NAME"]);
    let mut fact = old.start(&["--json", "on", "FACT", "--print", "--classic"]);
    checked.page.check("on", &fact.sees("handling"));
    checked.run(&carol, &["call", &format!("classic:{at}"), "FACT", "6"]);
    checked.page.check("on", &fact.sees("\"addr\""));
    drop(fact);
    joined.signal("INT");
    checked.end("up", joined);
    bob_up.signal("INT");
    checked.end("up", bob_up);
}
