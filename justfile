# Short names for what is done often. `just` alone lists them.

[private]
default:
    @just --list --unsorted

# Build and run all tests.
test:
    cargo test --workspace

# What the compiler and clippy have to say.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# The library's documentation, in a browser.
doc:
    cargo doc --workspace --no-deps --open

# The tour: real peers on this machine.
try:
    cargo run --release -- try

# Licences, banned crates, sources.
deny:
    cargo deny --offline check licenses bans sources

# Every fuzz target for so many seconds.
fuzz seconds="60":
    fuzz/run.sh {{seconds}}

# Two machines on one switch (root).
netns:
    cargo build --release
    tests/netns.sh target/release/compeer

# Machines with something wrong, and what doctor says of them (root).
doctor:
    cargo build --release
    tests/doctor.sh target/release/compeer

# Files between machines, with figures (root); scenes by name, else all.
scenes *names:
    cargo build --release
    tests/share.sh target/release/compeer {{names}}

# The program and its checksum in dist/, to be copied to other machines.
dist:
    cargo build --release --locked
    mkdir -p dist
    install -m 755 "${CARGO_TARGET_DIR:-target}/release/compeer" dist/compeer
    cd dist && sha256sum compeer > compeer.sha256 && ls -l

# How much faster four peers are than one.
spread:
    cargo build --release
    tests/spread.sh target/release/compeer

# Every command of the README.
readme:
    tests/readme.sh

# All checks, as on a clean clone.
ci:
    .ci/run

# Fifty peers in a chain that find each other by id, also when a third is killed.
overlay:
    cargo build --release
    tests/overlay.sh target/release/compeer 50
