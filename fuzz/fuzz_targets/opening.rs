//! Any bytes open a stream, answer that, or are an error; written again they read the same.
#![no_main]
use compeer_proto::opening::{Answer, Opening};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    Opening::decode(data).iter().for_each(|o| assert_eq!(Opening::decode(&o.encode()[2..]).as_ref(), Ok(o)));
    Answer::decode(data).iter().for_each(|a| assert_eq!(Answer::decode(&a.encode()[2..]).as_ref(), Ok(a)));
});
