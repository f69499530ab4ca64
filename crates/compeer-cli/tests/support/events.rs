//! `docs/json.md`, read as a table: which command prints which event with which members.
//!
//! A page that programs rely on must not drift from what the program prints; so its tables are data here.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The events of the page.
pub(crate) struct Page {
    /// By command and event: each member, and whether it is there always.
    rows: BTreeMap<(String, String), BTreeMap<String, bool>>,
    seen: BTreeSet<(String, String)>,
}

impl Page {
    /// Reads the page.
    pub(crate) fn read() -> Page {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.md");
        let text = std::fs::read_to_string(path).unwrap();
        let mut rows = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [commands, event, members, ..] = cells[..] else { continue };
            let Some(event) = event.strip_prefix('`') else { continue };
            let members = members.split(", ").filter(|member| !member.is_empty());
            let members: BTreeMap<_, _> = members.map(member).collect();
            for command in commands.split(", ") {
                let key = (command.trim_matches('`').to_string(), event.trim_matches('`').to_string());
                assert!(rows.insert(key, members.clone()).is_none(), "twice: {line}");
            }
        }
        assert!(rows.len() > 20, "the tables are not where they were");
        Page { rows, seen: BTreeSet::new() }
    }

    /// Holds a line that a command printed against the page.
    #[track_caller]
    pub(crate) fn check(&mut self, command: &str, line: &str) -> Value {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let name = event["event"].as_str().unwrap_or_else(|| panic!("no event: {line}"));
        let row = |command: &str| (command.to_string(), name.to_string());
        let key = [row(command), row("any")].into_iter().find(|key| self.rows.contains_key(key));
        let key = key.unwrap_or_else(|| panic!("{command} prints an event the page does not know: {line}"));
        let members = &self.rows[&key];
        for found in event.as_object().unwrap().keys().filter(|found| *found != "event") {
            assert!(members.contains_key(found), "{command}: the page does not know `{found}` of {line}");
        }
        for (member, always) in members {
            assert!(!always || event.get(member).is_some(), "{command}: `{member}` is missing in {line}");
        }
        self.seen.insert(key);
        event
    }

    /// The same for each line of an output.
    #[track_caller]
    pub(crate) fn check_all<'a>(
        &mut self,
        command: &str,
        lines: impl IntoIterator<Item = &'a str>,
    ) -> Vec<Value> {
        lines.into_iter().map(|line| self.check(command, line)).collect()
    }

    /// Fails if the page has an event that was not seen; one that several commands print need be seen of one only.
    #[track_caller]
    pub(crate) fn all_seen(&self, except: &[&str]) {
        let seen = |(_, event): &(String, String)| {
            self.rows
                .iter()
                .any(|(key, row)| key.1 == *event && self.seen.contains(key) && *row == self.rows[key])
        };
        let unseen = self.rows.keys().filter(|key| !self.seen.contains(key) && !seen(key));
        let unseen: Vec<_> = unseen.filter(|key| !except.contains(&key.1.as_str())).collect();
        assert!(unseen.is_empty(), "on the page but not seen: {unseen:?}");
    }
}

fn member(cell: &str) -> (String, bool) {
    let always = !cell.ends_with('?');
    (cell.trim_end_matches('?').trim_matches('`').to_string(), always)
}
