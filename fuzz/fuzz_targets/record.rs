//! Any bytes, signed or not, are a provider record or an error; what is read is kept as it came.
#![no_main]
use compeer_share::ProviderRecord;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let signature = compeer::Identity::from_seed(&[1; 32]).sign("compeer/1 provider", data);
    for bytes in [data, &[data, &signature].concat()] {
        if let Ok(record) = ProviderRecord::read(bytes) {
            assert_eq!(record.bytes(), bytes);
            assert!(record.is_current(record.issued()) || record.issued() == record.expires());
        }
    }
});
