//! Where an argument's text comes from: the argument itself, standard input (`-`), or a file (`@FILE`).
//!
//! Everything is read whole and bounded: a message is at most [`MAX_INPUT`] bytes, and a command that silently cut
//! the rest would be worse than one that refuses.

use crate::exit::{CommandError, Outcome};
use std::io::{BufRead, Read};
use tokio::sync::mpsc;

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
