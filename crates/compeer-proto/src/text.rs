//! Showing text that came from somebody else.
//!
//! What a peer says is stored and forwarded as it came, and made harmless at the moment it is
//! shown. A terminal obeys control characters: they move the cursor, change the title, answer
//! questions nobody asked. Bidirectional controls reorder what stands around them, so that a
//! name reads as another name. Both become visible here, as `\n` or `\u{1b}`.
//!
//! What this is not: quoting. A backslash stays a backslash, so the result cannot be turned
//! back; and it says nothing about look-alike letters, which no escape can cure.
//!
//! Covered: C0 and DEL (ASCII), C1 (ECMA-48), the line and paragraph separators, and the
//! bidirectional controls of Unicode UAX #9 §2 and UTR #36.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Makes one line of foreign text harmless: line breaks and tabs become visible too.
///
/// Borrows when there is nothing to escape, which is nearly always.
///
/// ```
/// use compeer_proto::text::escape;
/// assert_eq!(escape("안녕, bob"), "안녕, bob");
/// assert_eq!(escape("two\nlines\u{1b}[2J"), r"two\nlines\u{1b}[2J");
/// assert_eq!(escape("\u{202e}txt.exe"), r"\u{202e}txt.exe");
/// ```
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_where(text, is_unsafe)
}

/// Makes foreign text of several lines harmless: `\n` and `\t` stay, all else is as in [`escape`].
///
/// A `\r` before a `\n` is escaped like any other: alone it would overwrite the line.
///
/// ```
/// use compeer_proto::text::escape_lines;
/// assert_eq!(escape_lines("a\tb\nc\r"), "a\tb\nc\\r");
/// ```
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_where(text, |c| is_unsafe(c) && c != '\n' && c != '\t')
}

/// [`escape`] for bytes that should be UTF-8: what is not becomes U+FFFD.
///
/// ```
/// use compeer_proto::text::escape_bytes;
/// assert_eq!(escape_bytes(b"ok\x07"), r"ok\u{7}");
/// assert_eq!(escape_bytes(b"\xff"), "\u{fffd}");
/// ```
pub fn escape_bytes(bytes: &[u8]) -> Cow<'_, str> {
    owned_where_needed(String::from_utf8_lossy(bytes), escape)
}

/// [`escape_lines`] for bytes that should be UTF-8: what is not becomes U+FFFD.
pub fn escape_bytes_lines(bytes: &[u8]) -> Cow<'_, str> {
    owned_where_needed(String::from_utf8_lossy(bytes), escape_lines)
}

/// True for a character that must not reach a terminal as it is.
///
/// ```
/// use compeer_proto::text::is_unsafe;
/// assert!(is_unsafe('\u{9b}') && is_unsafe('\u{2066}') && is_unsafe('\n'));
/// assert!(!is_unsafe('é') && !is_unsafe('\\'));
/// ```
pub fn is_unsafe(c: char) -> bool {
    // `is_control` is exactly C0, DEL and C1.
    c.is_control()
        || matches!(
            c,
            '\u{061c}' // Arabic letter mark
            | '\u{200e}' | '\u{200f}' // left-to-right and right-to-left mark
            | '\u{2028}' | '\u{2029}' // line and paragraph separator
            | '\u{202a}'..='\u{202e}' // embeddings and overrides
            | '\u{2066}'..='\u{2069}' // isolates
        )
}

fn escape_where(text: &str, unsafe_here: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(&unsafe_here) else {
        return Cow::Borrowed(text);
    };
    let mut shown = String::with_capacity(text.len() + 16);
    let (clean, rest) = text.split_at(first);
    shown.push_str(clean);
    for c in rest.chars() {
        match c {
            c if !unsafe_here(c) => shown.push(c),
            '\n' => shown.push_str(r"\n"),
            '\r' => shown.push_str(r"\r"),
            '\t' => shown.push_str(r"\t"),
            c => {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(shown)
}

fn owned_where_needed(text: Cow<'_, str>, escape: fn(&str) -> Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => escape(text),
        Cow::Owned(text) => Cow::Owned(escape(&text).into_owned()),
    }
}

#[cfg(test)]
mod tests;
