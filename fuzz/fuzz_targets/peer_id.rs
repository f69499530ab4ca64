//! Any text is a PeerId or an error, and one reads as it is shown.
#![no_main]
use compeer_proto::PeerId;

libfuzzer_sys::fuzz_target!(|text: &str| if let Ok(id) = text.parse::<PeerId>() {
    assert_eq!(id.to_string().parse(), Ok(id));
});
