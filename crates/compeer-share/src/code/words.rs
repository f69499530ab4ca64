//! The words of codes: reading them as they were typed, completing them, and which one was meant.
//!
//! The list is that of BIP-39 in English, made for being read out and typed: words of three to eight letters, told
//! apart by their first four.

use bip39::Language;
use compeer::text;

use super::CodeError;

/// From so many letters on, the beginning of a word stands for it.
const PREFIX: usize = 4;

/// Longest word that others are compared with. Unit: characters. The longest of the list has eight.
const COMPARED: usize = 16;

/// What may stand between the parts of a code.
pub(super) fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '_' | '.' | ',' | '\u{2010}'..='\u{2015}')
}

/// The word of this number, counted around.
pub(super) fn at(number: usize) -> &'static str {
    let list = Language::English.word_list();
    list[number % list.len()]
}

/// The word that was typed.
pub(super) fn read(typed: &str) -> Result<&'static str, CodeError> {
    let lower = typed.to_ascii_lowercase();
    if let Some(number) = Language::English.find_word(&lower) {
        return Ok(at(usize::from(number)));
    }
    match beginning_with(&lower) {
        [word] if lower.len() >= PREFIX => Ok(word),
        _ => Err(CodeError::Word { word: shown(typed), nearest: nearest(&lower) }),
    }
}

fn beginning_with(prefix: &str) -> &'static [&'static str] {
    // The list is in order.
    let list: &'static [&'static str] = Language::English.word_list();
    let rest = &list[list.partition_point(|word| *word < prefix)..];
    &rest[..rest.partition_point(|word| word.starts_with(prefix))]
}

fn shown(typed: &str) -> String {
    let cut: String = typed.chars().take(COMPARED).collect();
    text::escape(&cut).into_owned()
}

/// The word that differs in the fewest letters, if it is still like it.
fn nearest(typed: &str) -> Option<&'static str> {
    let typed: Vec<char> = typed.chars().collect();
    if typed.is_empty() || typed.len() > COMPARED {
        return None;
    }
    let list = Language::English.word_list().iter();
    // Of those as near, the one that begins as it was typed.
    let best = list.map(|word| {
        let letters: Vec<char> = word.chars().collect();
        let common = letters.iter().zip(&typed).take_while(|(a, b)| a == b).count();
        ((distance(&typed, &letters), usize::MAX - common), *word)
    });
    let ((slips, _), word) = best.min()?;
    (slips <= 1 + typed.len() / 3).then_some(word)
}

/// How many letters are to be added, left out, exchanged, or swapped with the next.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = [vec![0; b.len() + 1], (0..=b.len()).collect(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        rows[2][0] = i;
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[1][j] + 1).min(rows[2][j - 1] + 1).min(rows[1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[0][j - 2] + 1);
            }
            rows[2][j] = least;
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

/// What a code that is being typed may go on to be, for the Tab key: each the whole text so far with its last word
/// complete. Empty while the number is typed.
///
/// ```
/// use compeer_share::code::complete;
/// assert_eq!(complete("7-lam"), ["7-lamp-"]);
/// assert_eq!(complete("7-lamp-tig"), ["7-lamp-tiger"]);
/// assert!(complete("7").is_empty() && complete("7-lamp-tiger-").is_empty());
/// ```
pub fn complete(typed: &str) -> Vec<String> {
    let parts: Vec<&str> = typed.trim_start().split(is_separator).collect();
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (before, last, after) = match parts.as_slice() {
        [n, last] if number(n) => (format!("{n}-"), last, "-"),
        [n, first, last] if number(n) => match read(first) {
            Ok(first) => (format!("{n}-{first}-"), last, ""),
            Err(_) => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    let words = beginning_with(&last.to_ascii_lowercase()).iter();
    words.map(|word| format!("{before}{word}{after}")).collect()
}
