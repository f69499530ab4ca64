//! A name that passes stays beneath its directory, whatever the path library makes of it; one for Windows is one for Unix.
#![no_main]
use std::path::{Component, Path};

use compeer_share::names::{Rules, check, collisions};

libfuzzer_sys::fuzz_target!(|name: &str| {
    if check(name, Rules::Unix).is_ok() {
        assert!(Path::new(name).components().all(|part| matches!(part, Component::Normal(_))));
        assert_eq!(Path::new(name).components().count(), name.split('/').count());
    } else {
        assert!(check(name, Rules::Windows).is_err());
    }
    assert!(!collisions([name, name].into_iter()).is_empty());
});
