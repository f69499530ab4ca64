//! Where an argument's text comes from: the argument itself, standard input (`-`), or a file (`@FILE`).
//!
//! Everything is read whole and bounded: a message is at most [`MAX_INPUT`] bytes, and a command that silently cut
//! the rest would be worse than one that refuses.

use crate::console::Console;
use crate::exit::{CommandError, Outcome};
use std::io::{BufRead, Read};
use tokio::sync::{mpsc, oneshot};

/// Bytes taken from standard input or a file at most: the largest body a message may have (1 MiB).
pub(crate) const MAX_INPUT: u64 = 1 << 20;

/// The bytes an argument stands for: `-` is standard input, anything else is itself.
///
/// # Errors
///
/// Standard input cannot be read, or is longer than [`MAX_INPUT`].
pub(crate) fn bytes(argument: &str) -> Outcome<Vec<u8>> {
    match argument {
        "-" => bounded(std::io::stdin().lock(), "standard input"),
        text => Ok(text.as_bytes().to_vec()),
    }
}

/// One word: `-` is standard input, `@FILE` the content of a file; white space around it is dropped.
///
/// # Errors
///
/// The source cannot be read, is too long, or holds no text.
pub(crate) fn word(argument: &str) -> Outcome<String> {
    let bytes = match argument.strip_prefix('@') {
        Some(path) => {
            let file = std::fs::File::open(path)
                .map_err(|error| CommandError::usage(format!("cannot read {path}: {error}")))?;
            bounded(file, path)?
        }
        None => bytes(argument)?,
    };
    let text = String::from_utf8(bytes).map_err(|_| CommandError::usage(format!("{argument}: not text")))?;
    match text.trim() {
        "" => Err(CommandError::usage(format!("{argument}: nothing there"))),
        word => Ok(word.to_string()),
    }
}

/// A word that is better not on the command line, where every user of the machine can read it (`ps`): the argument if
/// there is one, else what is typed after the prompt.
///
/// # Errors
///
/// Nobody can be asked, or nothing was typed; those of [`word`].
pub(crate) async fn secret(console: &Console, argument: Option<&str>, what: &str) -> Outcome<String> {
    if let Some(argument) = argument {
        return word(argument);
    }
    if !console.can_ask() {
        return Err(CommandError::usage(format!("which {what}? there is no terminal to ask at"))
            .hint("give it as an argument, as @FILE, or as `-` on standard input"));
    }
    match answer(console, &format!("{what}:")).await {
        Some(word) if !word.is_empty() => Ok(word),
        _ => Err(CommandError::usage(format!("no {what}"))),
    }
}

/// Asks and waits for a line; `None` if there is none.
pub(crate) async fn answer(console: &Console, question: &str) -> Option<String> {
    console.question(question);
    let (sender, line) = oneshot::channel();
    // A thread of its own, as for `lines`; it takes one line only, so that the next question gets the next.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().take(MAX_INPUT).read_line(&mut line);
        // Nobody waits any more when the program ends meanwhile.
        let _ = sender.send(read.ok().filter(|read| *read > 0).map(|_| line));
    });
    line.await.ok().flatten().map(|line| line.trim().to_string())
}

/// The lines of standard input as they are typed. A thread of its own reads them: it cannot be interrupted, so it must
/// not be one that the end of the program waits for.
pub(crate) fn lines() -> mpsc::Receiver<String> {
    let (lines, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match (&mut input).take(MAX_INPUT).read_until(b'\n', &mut line) {
                Ok(read) if read > 0 => {}
                _ => return,
            }
            let line = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_string();
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn bounded(source: impl Read, name: &str) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    source
        .take(MAX_INPUT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CommandError::failed(format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(CommandError::usage(format!(
            "{name} is longer than {MAX_INPUT} bytes, the most one message holds"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_may_come_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ticket");
        std::fs::write(&path, "  peerabc \n").unwrap();
        assert_eq!(word(&format!("@{}", path.display())).unwrap(), "peerabc");
        assert_eq!(word("bob").unwrap(), "bob");
        assert!(word("@/does/not/exist").is_err());
        std::fs::write(&path, " \n").unwrap();
        assert!(word(&format!("@{}", path.display())).is_err());
    }

    #[test]
    fn more_than_a_message_holds_is_refused() {
        assert!(bounded(std::io::repeat(b'x'), "it").is_err());
        assert_eq!(bounded(std::io::repeat(b'x').take(MAX_INPUT), "it").unwrap().len() as u64, MAX_INPUT);
    }
}
