//! Any text is an address or an error, and an address reads as it is shown.
#![no_main]
use compeer_proto::Addr;

libfuzzer_sys::fuzz_target!(|text: &str| if let Ok(addr) = text.parse::<Addr>() {
    assert_eq!(addr.to_string().parse(), Ok(addr));
});
