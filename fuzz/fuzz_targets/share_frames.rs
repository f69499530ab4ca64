//! Any bytes are frames of a share's stream or an error; what is read is written back the same.
#![no_main]
use compeer_share::wire::{Ask, Tell, decode, encode};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(ask) = decode::<Ask>(data) {
        assert_eq!(decode::<Ask>(&encode(&ask)[4..]).unwrap(), ask);
    }
    if let Ok(tell) = decode::<Tell>(data) {
        assert_eq!(decode::<Tell>(&encode(&tell)[4..]).unwrap(), tell);
    }
});
