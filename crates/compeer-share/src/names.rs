//! What may be the path of a received file: one function that every name of a peer passes.
//!
//! A path of a manifest is text with `/` between its components, relative to the directory where
//! the receiver wants the files. It is foreign text: [`check`] refuses whatever would lead out of
//! that directory, or would deceive who reads it. It is pure, so that the rules of Windows are
//! tested on Linux too; what really keeps a file inside are the directory handles of
//! [`staging`](crate::staging), this is the wall in front of them.
//!
//! On every system: no empty path or component, no `.` or `..`, nothing absolute, no control
//! characters (C0, DEL, C1), no line separators, no bidirectional embeddings, overrides and isolates
//! (UAX #9 §2: they make one name read as another), nothing over-long. The bidirectional *marks*
//! stay: honest Arabic and Hebrew names have them. On Windows also no device names, drives,
//! streams, backslashes, and no trailing dot or space, which Windows silently drops.
//!
//! Names differ by bytes. Two that are one name for a system which folds case or composes letters
//! are found by [`collisions`].

use std::collections::BTreeMap;

use compeer::text::escape;
use unicode_normalization::UnicodeNormalization;

use crate::limits::{MAX_COMPONENT, MAX_DEPTH, MAX_PATH};

/// Whose rules a path has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Any byte but `/` and NUL may stand in a name; we allow a little less.
    Unix,
    /// Those of Unix, and those of Win32 names.
    Windows,
}

/// The rules of the system this runs on.
pub const fn native() -> Rules {
    if cfg!(windows) { Rules::Windows } else { Rules::Unix }
}

/// Why a path is refused. The message shows the name, escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The path has no bytes, or `//` in it, or ends in `/`.
    #[error("the path \"{}\" has an empty part", escape(.0))]
    Empty(String),
    /// The path begins with `/`.
    #[error("the path {} is absolute", escape(.0))]
    Absolute(String),
    /// A component is `.` or `..`.
    #[error("the path {} has a part that is `.` or `..`", escape(.0))]
    Dots(String),
    /// A character that must not stand in a name.
    #[error("the name {} has a character that may not be in a name: U+{:04X}", escape(.name), u32::from(*.character))]
    Character {
        /// The component.
        name: String,
        /// What is wrong in it.
        character: char,
    },
    /// More than [`MAX_COMPONENT`] bytes in a component.
    #[error("a name has more than {MAX_COMPONENT} bytes: {}", escape(.0))]
    LongName(String),
    /// More than [`MAX_PATH`] bytes in all.
    #[error("a path has more than {MAX_PATH} bytes")]
    LongPath,
    /// More than [`MAX_DEPTH`] components.
    #[error("a path is more than {MAX_DEPTH} folders deep")]
    Deep,
    /// Windows has a device of that name.
    #[error("Windows keeps the name {} for a device", escape(.0))]
    Device(String),
    /// Windows would drop the dot or space at the end.
    #[error("Windows allows no dot or space at the end of a name: \"{}\"", escape(.0))]
    Trailing(String),
}

/// Whether `path` may be the path of a received file.
///
/// ```
/// use compeer_share::names::{Rules, check};
///
/// assert!(check("사진/여름 2024/바다.jpg", Rules::Windows).is_ok());
/// assert!(check("photos/../../.bashrc", Rules::Unix).is_err());
/// assert!(check("con.txt", Rules::Unix).is_ok());
/// assert!(check("con.txt", Rules::Windows).is_err());
/// ```
///
/// # Errors
/// The first rule it breaks.
pub fn check(path: &str, rules: Rules) -> Result<(), NameError> {
    if path.len() > MAX_PATH {
        return Err(NameError::LongPath);
    }
    if path.starts_with('/') {
        return Err(NameError::Absolute(path.into()));
    }
    for (depth, name) in path.split('/').enumerate() {
        if depth == MAX_DEPTH {
            return Err(NameError::Deep);
        }
        match name {
            "" => return Err(NameError::Empty(path.into())),
            "." | ".." => return Err(NameError::Dots(path.into())),
            name => check_component(name, rules)?,
        }
    }
    Ok(())
}

fn check_component(name: &str, rules: Rules) -> Result<(), NameError> {
    if name.len() > MAX_COMPONENT {
        // Cut, so that the message stays readable.
        return Err(NameError::LongName(name.chars().take(32).chain(['…']).collect()));
    }
    // Nearly every name is of these, and a manifest has many.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let refused = |&c: &char| match rules {
        Rules::Unix => is_deceiving(c),
        Rules::Windows => is_deceiving(c) || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\\'),
    };
    if !name.bytes().all(plain)
        && let Some(character) = name.chars().find(refused)
    {
        return Err(NameError::Character { name: name.into(), character });
    }
    if rules == Rules::Windows {
        if name.ends_with(['.', ' ']) {
            return Err(NameError::Trailing(name.into()));
        }
        if is_device(name) {
            return Err(NameError::Device(name.into()));
        }
    }
    Ok(())
}

/// Characters that make a name read as something else, on a screen or in a script.
fn is_deceiving(c: char) -> bool {
    // `is_control` is exactly C0, DEL and C1.
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' // line and paragraph separator
            | '\u{202a}'..='\u{202e}' // embeddings and overrides
            | '\u{2066}'..='\u{2069}' // isolates
        )
}

/// The names that Win32 gives to devices, whatever stands after the first dot.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    let mut stem = stem.to_owned();
    stem.make_ascii_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") {
        return true;
    }
    let Some(number) = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")) else {
        return false;
    };
    let mut number = number.chars();
    matches!(number.next(), Some('0'..='9' | '¹' | '²' | '³')) && number.next().is_none()
}

/// Pairs of paths that are one path where case and composition do not count, as on macOS and
/// Windows. `paths` in any order; the pairs are in the order of the folded names.
///
/// Folders that would become one are no collision, they only merge; a file that would become
/// one with a folder is.
///
/// ```
/// use compeer_share::names::collisions;
///
/// let pairs = collisions(["a/Read.me", "a/README", "A/read.ME"].into_iter());
/// assert_eq!(pairs, [("a/Read.me".to_owned(), "A/read.ME".to_owned())]);
/// ```
pub fn collisions<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let mut folded: Vec<(String, &str)> = paths.map(|path| (fold(path), path)).collect();
    // Stable: of two that are one, the first given is named first.
    folded.sort_by(|a, b| a.0.cmp(&b.0));
    let files: BTreeMap<&str, &str> =
        folded.iter().rev().map(|(fold, path)| (fold.as_str(), *path)).collect();
    let mut pairs = Vec::new();
    for (at, (fold, path)) in folded.iter().enumerate() {
        if at > 0 && folded[at - 1].0 == *fold {
            pairs.push((files[fold.as_str()].to_owned(), (*path).to_owned()));
        }
        for (slash, _) in fold.match_indices('/') {
            if let Some(file) = files.get(&fold[..slash]) {
                pairs.push(((*file).to_owned(), (*path).to_owned()));
            }
        }
    }
    pairs
}

/// Case and composition taken away: close to the full case folding of Unicode (upper, then lower
/// case, as in `ß` → `SS` → `ss`), then NFC.
fn fold(path: &str) -> String {
    path.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests;
