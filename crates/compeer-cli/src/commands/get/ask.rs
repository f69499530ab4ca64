//! The questions of `get`: whether to fetch it at all, and what to do with names that are taken.
//!
//! Asked only where somebody sits; Enter means what harms nothing. Without a terminal, fetching is what the command
//! line said already, and a name that is taken is an error that names the flags.

use super::How;
use crate::console::Console;
use crate::control::get::{Found, Taken};
use crate::exit::{CommandError, Outcome};
use crate::input;
use crate::size;
use compeer::text;

/// What the person said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Go(Taken),
    No,
}

/// Asks what has to be asked.
pub(super) async fn decide(console: &Console, how: How, found: &Found) -> Outcome<Answered> {
    let asks = console.can_ask();
    if asks && !how.yes && found.wanted_files > 0 {
        let yes = input::answer(console, &format!("{} Fetch it? [Y/n]", question(found))).await;
        if !yes.is_some_and(|yes| ["", "y", "yes"].contains(&yes.to_lowercase().as_str())) {
            return Ok(Answered::No);
        }
    }
    if found.taken_files == 0 {
        return Ok(Answered::Go(Taken::Refuse));
    }
    match (how.overwrite, how.rename) {
        (true, _) => Ok(Answered::Go(Taken::Overwrite)),
        (_, true) => Ok(Answered::Go(Taken::Rename)),
        _ if asks => taken(console, found).await,
        _ => Err(refusal(found)),
    }
}

/// What it is, with what matters for the answer.
fn question(found: &Found) -> String {
    let mut lines = found.summary();
    if found.wanted_bytes != found.bytes {
        lines += &format!(" ({} to fetch)", size::show(found.wanted_bytes));
    }
    if let Some(target) = &found.target {
        lines += &format!(", to {}", text::escape(target));
    }
    lines + "."
}

async fn taken(console: &Console, found: &Found) -> Outcome<Answered> {
    let question = format!("{} Overwrite, rename the new, quit? [o/r/Q]", names(found));
    let answer = input::answer(console, &question).await.unwrap_or_default();
    Ok(match answer.to_lowercase().as_str() {
        "o" | "overwrite" => Answered::Go(Taken::Overwrite),
        "r" | "rename" => Answered::Go(Taken::Rename),
        _ => Answered::No,
    })
}

/// Which names are taken.
fn names(found: &Found) -> String {
    let shown: Vec<_> = found.taken.iter().map(|path| text::escape(path).into_owned()).collect();
    let more = found.taken_files - shown.len() as u64;
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (verb, differ) = if found.taken_files == 1 { ("is", "differs") } else { ("are", "differ") };
    format!("{}{rest} {verb} there already and {differ}.", shown.join(", "))
}

fn refusal(found: &Found) -> CommandError {
    let names = names(found);
    CommandError::failed(names.trim_end_matches('.'))
        .hint("nothing was fetched; use --overwrite, --rename, or another place with -o DIR")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(taken: &[&str], taken_files: u64) -> Found {
        Found {
            event: "found".into(),
            content: String::new(),
            name: "al\u{1b}bum".into(),
            files: 12,
            bytes: 5_000_000,
            wanted_files: 10,
            wanted_bytes: 4_000_000,
            peers: vec!["alice".into()],
            target: Some("/tmp/x".into()),
            same_files: 2,
            taken_files,
            taken: taken.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn questions_say_what_matters() {
        let shown = question(&found(&[], 0));
        assert_eq!(shown, "al\\u{1b}bum (12 files, 5.00 MB), from alice (4.00 MB to fetch), to /tmp/x.");
        assert_eq!(names(&found(&["a"], 1)), "a is there already and differs.");
        assert_eq!(names(&found(&["a", "b\n"], 7)), "a, b\\n and 5 more are there already and differ.");
    }

    #[tokio::test]
    async fn without_a_terminal_flags_decide() {
        let console = Console::new(true, false);
        let how = How { overwrite: false, rename: false, yes: false };
        assert_eq!(decide(&console, how, &found(&[], 0)).await, Ok(Answered::Go(Taken::Refuse)));
        let error = decide(&console, How { yes: true, ..how }, &found(&["a"], 1)).await.unwrap_err();
        assert!(error.hint.unwrap().contains("--overwrite"));
        let over = decide(&console, How { overwrite: true, ..how }, &found(&["a"], 1)).await;
        assert_eq!(over, Ok(Answered::Go(Taken::Overwrite)));
        let rename = decide(&console, How { rename: true, ..how }, &found(&["a"], 1)).await;
        assert_eq!(rename, Ok(Answered::Go(Taken::Rename)));
    }
}
