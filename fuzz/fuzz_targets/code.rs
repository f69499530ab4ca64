//! Any text is a code or an error, and can be completed.
#![no_main]
use compeer_share::code::{Code, complete};

libfuzzer_sys::fuzz_target!(|text: &str| {
    complete(text);
    if let Ok(code) = text.parse::<Code>() {
        assert_eq!(code.to_string().parse(), Ok(code));
    }
});
