//! Any bytes are a manifest or an error, and a manifest is written as it was read: it has one id.
#![no_main]
use compeer_share::Manifest;

libfuzzer_sys::fuzz_target!(|data: &[u8]| if let Ok(manifest) = Manifest::decode(data) {
    assert_eq!(manifest.encode(), data);
});
