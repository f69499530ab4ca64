//! Any bytes are a list of addresses or an error; what we can use survives being passed on.
#![no_main]
use compeer_proto::addr::{decode_list, encode_list};

libfuzzer_sys::fuzz_target!(|data: &[u8]| if let Ok(addrs) = decode_list(data) {
    assert_eq!(decode_list(&encode_list(&addrs)), Ok(addrs));
});
