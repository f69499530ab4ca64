//! Tests of `text`: nothing a terminal obeys comes through, and nothing else changes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[test]
fn harmless_text_is_borrowed() {
    for text in ["", "hello", "안녕하세요", "👨‍👩‍👧", r"C:\new", "a b"] {
        assert!(matches!(escape(text), Cow::Borrowed(same) if same == text));
    }
}

#[test]
fn controls_become_visible() {
    assert_eq!(escape("\u{1b}]0;title\u{7}"), r"\u{1b}]0;title\u{7}");
    assert_eq!(escape("\r\n\t\0\u{7f}"), r"\r\n\t\u{0}\u{7f}");
    assert_eq!(escape("\u{9b}31m"), r"\u{9b}31m");
    assert_eq!(escape("a\u{2028}b"), r"a\u{2028}b");
}

#[test]
fn every_bidirectional_control_becomes_visible() {
    let controls = [0x61c, 0x200e, 0x200f].into_iter().chain(0x202a..=0x202e).chain(0x2066..=0x2069);
    for code in controls {
        let text = char::from_u32(code).unwrap().to_string();
        assert_eq!(escape(&text), format!("\\u{{{code:x}}}"));
    }
}

#[test]
fn lines_stay_lines_where_wanted() {
    assert_eq!(escape_lines("a\n\tb\r\u{1b}"), "a\n\tb\\r\\u{1b}");
    assert_eq!(escape_bytes_lines(b"a\n\xff\x07"), "a\n\u{fffd}\\u{7}");
    assert!(matches!(escape_lines("a\nb"), Cow::Borrowed(_)));
}

proptest! {
    #[test]
    fn nothing_unsafe_is_left(text in any::<String>()) {
        prop_assert!(!escape(&text).chars().any(is_unsafe));
        prop_assert!(!escape_lines(&text).chars().any(|c| is_unsafe(c) && c != '\n' && c != '\t'));
        // What is shown is fit to be shown again.
        let shown = escape(&text);
        prop_assert_eq!(escape(&shown), shown.clone());
    }

    #[test]
    fn any_bytes_can_be_shown(bytes in vec(any::<u8>(), 0..64)) {
        prop_assert!(!escape_bytes(&bytes).chars().any(is_unsafe));
        let _ = escape_bytes_lines(&bytes);
    }
}
