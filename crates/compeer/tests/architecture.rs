//! The map (`ARCHITECTURE.md`) shows what is there: every file it names exists,
//! and every file of the framework's first storey is on it.

use std::collections::BTreeSet;
use std::path::Path;

const MAP: &str = include_str!("../../../ARCHITECTURE.md");

/// The names of Rust files that the map mentions, as written.
fn named() -> BTreeSet<&'static str> {
    MAP.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") && !name.contains(' ')).collect()
}

#[test]
fn every_file_on_the_map_exists() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let places: Vec<_> = ["compeer-proto", "compeer", "compeer-share", "compeer-sim", "compeer-cli"]
        .iter()
        .flat_map(|name| [crates.join(name), crates.join(name).join("src")])
        .chain([crates.to_owned(), crates.parent().unwrap().to_owned()])
        .collect();
    for name in named() {
        let found = places.iter().any(|place| place.join(name).is_file());
        assert!(found, "the map names {name}, which is not there");
    }
}

#[test]
fn the_frameworks_files_are_on_the_map() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let named = named();
    // What needs no word on a map: small types that explain themselves.
    let small = ["addrs.rs", "error.rs", "event.rs", "identity.rs", "lib.rs"];
    for entry in std::fs::read_dir(src).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let on_the_map = named.contains(format!("src/{file}").as_str());
        assert!(
            on_the_map || !file.ends_with(".rs") || small.contains(&file.as_str()),
            "{file} is not on the map"
        );
    }
}
