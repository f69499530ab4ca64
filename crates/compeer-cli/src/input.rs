//! Where an argument's text comes from: the argument itself, standard input (`-`), or a file (`@FILE`).
//!
//! Everything is read whole and bounded: a message is at most [`MAX_INPUT`] bytes, and a command that silently cut
//! the rest would be worse than one that refuses.

use crate::console::Console;
use crate::exit::{CommandError, Outcome};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{BufRead, Read};
use std::os::fd::AsFd;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

/// Bytes taken from standard input or a file at most: the largest body a message may have (1 MiB).
pub(crate) const MAX_INPUT: u64 = 1 << 20;

/// The bytes an argument stands for: `-` is standard input, anything else is itself.
///
/// # Errors
///
/// Standard input cannot be read, or is longer than [`MAX_INPUT`].
pub(crate) fn bytes(argument: &str) -> Outcome<Vec<u8>> {
    match argument {
        "-" => bounded(std::io::stdin().lock(), "standard input", MAX_INPUT),
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
            bounded(file, path, MAX_INPUT)?
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

/// A line of standard input, as bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Without its line break.
    Whole(Vec<u8>),
    /// It is longer than a message, and was skipped.
    TooLong,
}

/// The lines of standard input as bytes. The last one may be an error: standard input cannot be read. Read by a thread of its
/// own, as [`lines`].
pub(crate) fn byte_lines() -> mpsc::Receiver<Outcome<Line>> {
    let (lines, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        while let Some(line) = byte_line(&mut input).transpose() {
            let line =
                line.map_err(|error| CommandError::failed(format!("cannot read standard input: {error}")));
            let last = line.is_err();
            if lines.blocking_send(line).is_err() || last {
                return;
            }
        }
    });
    receiver
}

fn byte_line(input: &mut impl BufRead) -> std::io::Result<Option<Line>> {
    let mut line = Vec::new();
    // One byte more than fits, and the line break.
    let read = input.by_ref().take(MAX_INPUT + 2).read_until(b'\n', &mut line)?;
    let ended = line.pop_if(|last| *last == b'\n').is_some();
    match line.len() as u64 > MAX_INPUT {
        true if ended => Ok(Some(Line::TooLong)),
        true => input.skip_until(b'\n').map(|_| Some(Line::TooLong)),
        false => Ok((read > 0).then_some(Line::Whole(line))),
    }
}

/// All that a source has.
///
/// # Errors
///
/// It cannot be read, or has more than `most` bytes.
pub(crate) fn bounded(source: impl Read, name: &str, most: u64) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    source
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CommandError::failed(format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > most {
        return Err(CommandError::usage(format!(
            "{name} is longer than {most} bytes, the most there may be"
        )));
    }
    Ok(bytes)
}

/// A passphrase: from @FILE, standard input (`-`) or the variable COMPEER_PASSPHRASE, else typed unseen, twice when it is a
/// new one. One that stands on the command line itself is refused. Whatever held it here is wiped.
///
/// # Errors
///
/// The source cannot be read, nobody can be asked, nothing or two different things were typed.
pub(crate) async fn passphrase(
    console: &Console,
    given: Option<&str>,
    new: bool,
) -> Outcome<Zeroizing<String>> {
    if let Some(given) = given {
        if given == "-" {
            return whole_secret(unbuffered_stdin()?, "standard input");
        }
        if let Some(path) = given.strip_prefix('@') {
            let file = File::open(path)
                .map_err(|error| CommandError::usage(format!("cannot read {path}: {error}")))?;
            return whole_secret(file, path);
        }
        // Clap does not tell whether a value was typed or comes from the variable.
        let variable = Zeroizing::new(std::env::var(PASSPHRASE).unwrap_or_default());
        if *variable != given {
            return Err(CommandError::usage(
                "a passphrase on the command line can be read by every user of this machine",
            )
            .hint(format!(
                "put it in a file (--passphrase @FILE) or into {PASSPHRASE}, or be asked for it"
            )));
        }
        return Ok(Zeroizing::new(given.trim().to_string()));
    }
    if !console.can_ask() {
        return Err(CommandError::usage("which passphrase? there is no terminal to ask at")
            .hint(format!("put it in a file (--passphrase @FILE) or into {PASSPHRASE}")));
    }
    let first = unseen(console, "passphrase:").await?;
    if new && unseen(console, "once more:").await? != first {
        return Err(CommandError::usage("the two passphrases typed are not the same; nothing was done"));
    }
    Ok(first)
}

/// The variable that may hold a passphrase. No process that is started here inherits it.
pub(crate) const PASSPHRASE: &str = "COMPEER_PASSPHRASE";

/// Bytes of the longest passphrase: more than anybody types, and what a password manager makes many times over.
const MAX_SECRET: usize = 4096;

/// Standard input without a buffer, which would keep a copy.
fn unbuffered_stdin() -> Outcome<File> {
    let own = std::io::stdin().as_fd().try_clone_to_owned();
    own.map(File::from).map_err(|error| CommandError::failed(format!("cannot read standard input: {error}")))
}

/// All that a source has, as a secret.
fn whole_secret(source: impl Read, name: &str) -> Outcome<Zeroizing<String>> {
    let bytes = read_secret(source, false)
        .map_err(|error| CommandError::failed(format!("cannot read {name}: {error}")))?;
    if bytes.len() > MAX_SECRET {
        return Err(CommandError::usage(format!(
            "{name} is longer than {MAX_SECRET} bytes, the most there may be"
        )));
    }
    match str::from_utf8(&bytes).map(str::trim) {
        Ok("") => Err(CommandError::usage(format!("{name}: nothing there"))),
        Ok(text) => Ok(Zeroizing::new(text.to_string())),
        Err(_) => Err(CommandError::usage(format!("{name}: not text"))),
    }
}

/// A line, or all there is; one byte more than a secret may have at most. In one piece of memory: one that grows would
/// leave copies behind.
fn read_secret(mut source: impl Read, line: bool) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; MAX_SECRET + 1]);
    let mut read = 0;
    while read < bytes.len() && !(line && bytes[..read].ends_with(b"\n")) {
        // A terminal gives a line at a time, anything else may hold what comes after it.
        let until = if line { read + 1 } else { bytes.len() };
        match source.read(&mut bytes[read..until]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// What is typed without being shown.
async fn unseen(console: &Console, question: &str) -> Outcome<Zeroizing<String>> {
    let _hidden = Hidden::new();
    console.question(question);
    let stdin = unbuffered_stdin()?;
    let (sender, line) = oneshot::channel();
    // A thread of its own, as for `lines`.
    std::thread::spawn(move || {
        // Nobody waits any more when the program ends meanwhile.
        let _ = sender.send(read_secret(stdin, true));
    });
    let typed = tokio::select! {
        biased;
        () = crate::interrupt::wait() => return Err(CommandError::interrupted()),
        typed = line => typed.ok().and_then(Result::ok),
    };
    // The end of the line was not shown either.
    console.note("");
    match typed.as_ref().map(|typed| str::from_utf8(typed).map(str::trim)) {
        Some(Ok(text)) if !text.is_empty() && text.len() <= MAX_SECRET => {
            Ok(Zeroizing::new(text.to_string()))
        }
        _ => Err(CommandError::usage("no passphrase")),
    }
}

/// A terminal that does not show what is typed, until dropped.
struct Hidden(Option<Termios>);

impl Hidden {
    fn new() -> Hidden {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(mut modes) = before.clone() {
            modes.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &modes);
        }
        Hidden(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
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
    fn lines_are_bytes_without_their_break() {
        let mut input = std::io::Cursor::new(b"one\r\n\n\xff last".to_vec());
        let mut next = || byte_line(&mut input).unwrap();
        for line in [&b"one\r"[..], b"", b"\xff last"] {
            assert_eq!(next(), Some(Line::Whole(line.to_vec())));
        }
        assert_eq!(next(), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_no_other() {
        let most = vec![b'x'; MAX_INPUT as usize];
        let [too_long, endless] = [1, 3_000_000].map(|more| vec![b'x'; MAX_INPUT as usize + more]);
        let text = [&most[..], &too_long, &endless, b"next", &endless].join(&b'\n');
        let mut input = text.as_slice();
        let mut next = || byte_line(&mut input).unwrap();
        assert_eq!(next(), Some(Line::Whole(most)));
        assert_eq!((next(), next()), (Some(Line::TooLong), Some(Line::TooLong)));
        assert_eq!(next(), Some(Line::Whole(b"next".to_vec())));
        assert_eq!((next(), next()), (Some(Line::TooLong), None));
    }

    #[test]
    fn a_secret_is_a_line_or_all_there_is() {
        assert_eq!(*whole_secret(&b" four words \n"[..], "it").unwrap(), "four words");
        assert_eq!(**read_secret(&b"one\ntwo\n"[..], true).unwrap(), *b"one\n");
        assert!(whole_secret(&b" \n"[..], "it").is_err());
        assert!(whole_secret(&b"\xff"[..], "it").is_err());
        assert!(whole_secret(std::io::repeat(b'x').take(MAX_SECRET as u64), "it").is_ok());
        assert!(whole_secret(std::io::repeat(b'x'), "it").is_err());
    }

    #[test]
    fn more_than_a_message_holds_is_refused() {
        assert!(bounded(std::io::repeat(b'x'), "it", MAX_INPUT).is_err());
        assert_eq!(
            bounded(std::io::repeat(b'x').take(MAX_INPUT), "it", MAX_INPUT).unwrap().len() as u64,
            MAX_INPUT
        );
    }
}
