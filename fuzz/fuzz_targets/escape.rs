//! Nothing unsafe is left in foreign text that was escaped, be it a kind, a line or several.
#![no_main]
use compeer_proto::{Kind, text};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let kind = Kind::new(data).map(|kind| kind.to_string()).unwrap_or_default();
    assert!(!(kind + &text::escape_bytes(data)).contains(text::is_unsafe));
    assert!(!text::escape_bytes_lines(data).replace(['\n', '\t'], "").contains(text::is_unsafe));
});
