//! Checks the page for people who come from BTPeer: it leaves out no name, and
//! every line in its tables stands in one of its programs.
//!
//! The programs themselves are doc tests of the crate (see the end of `lib.rs`).

const PAGE: &str = include_str!("../../../docs/from-btpeer.md");

/// Every name of the framework's page, and of what programs rely on.
const NAMES: &[&str] = &[
    "BTPeer(maxpeers, serverport, myid, serverhost)",
    "maxpeers",
    "serverport",
    "myid",
    "serverhost",
    "__initserverhost()",
    "peers",
    "debug",
    "__debug(msg)",
    "shutdown",
    "handlers",
    "router",
    "makeserversocket(port, backlog)",
    "mainloop()",
    "__handlepeer(clientsock)",
    "addrouter(router)",
    "sendtopeer(peerid, msgtype, msgdata)",
    "connectandsend(host, port, msgtype, msgdata)",
    "startstabilizer(stabilizer, delay)",
    "addhandler(msgtype, handler)",
    "addpeer(peerid, host, port)",
    "getpeer(peerid)",
    "removepeer(peerid)",
    "addpeerat(loc, peerid, host, port)",
    "getpeerat(loc)",
    "removepeerat(loc)",
    "getpeerids()",
    "numberofpeers()",
    "maxpeersreached()",
    "checklivepeers()",
    "BTPeerConnection(peerid, host, port, sock)",
    "senddata(msgtype, msgdata)",
    "recvdata()",
    "close()",
];

/// The rows of the tables that translate: left and right cell.
fn rows() -> Vec<(&'static str, &'static str)> {
    let translating = PAGE.split("\n## Left out").next().unwrap();
    let rows = translating.lines().filter_map(|line| {
        let (left, right) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        (left != "BTPeer").then_some((left, right))
    });
    rows.collect()
}

/// What stands between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn no_name_is_left_out() {
    let rows = rows();
    for name in NAMES {
        let found = rows.iter().any(|(left, _)| quoted(left).any(|quoted| quoted == *name));
        assert!(found, "{name} stands in no table");
    }
}

#[test]
fn every_line_of_a_table_stands_in_a_program() {
    let programs: String = PAGE.split("```").skip(1).step_by(2).collect();
    assert!(rows().len() > 30, "the tables are not where they were");
    for (left, right) in rows() {
        for line in quoted(right) {
            assert!(programs.contains(line), "{left}: `{line}` stands in no program");
        }
    }
}
