//! Any bytes are an extension list or an error, and a list that is written again reads the same.
#![no_main]
use compeer_proto::ext::Ext;

libfuzzer_sys::fuzz_target!(|data: &[u8]| if let Ok(ext) = Ext::decode(data) {
    assert_eq!(Ext::decode(&ext.encode()), Ok(ext));
});
