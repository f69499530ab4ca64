#!/bin/sh
# Runs every fuzz target for SECONDS each (default 60), one after the other.
#
#     fuzz/run.sh [SECONDS [TARGET...]]
#
# Needs a nightly toolchain and cargo-fuzz; without them it says so and succeeds, so that it can
# stand in a list of checks on any machine. A finding stops it, and the input is in artifacts/.
# An input worth keeping is moved to corpus/TARGET/ and committed; nothing else there is.
set -eu
cd "$(dirname "$0")"
seconds=${1:-60}
[ $# -gt 0 ] && shift

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: skipped: no nightly toolchain (rustup toolchain install nightly)"
    exit 0
fi
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "fuzz: skipped: no cargo-fuzz (cargo install cargo-fuzz --locked)"
    exit 0
fi

# The sanitizer takes a constant of SQLite for defined twice and stops before the first input.
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_odr_violation=0"

cargo +nightly fuzz build
for target in ${*:-$(cargo +nightly fuzz list)}; do
    # What the fuzzer learns goes to a scratch directory; the committed corpus is only read.
    learnt=target/corpus/$target
    mkdir -p "$learnt" "corpus/$target"
    # A long list of operations goes deep at once; grown from nothing it would take hours.
    case $target in session_* | plan | pending | links | circuit | overlay)
        for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            [ -e "$learnt/random$n" ] || head -c 1500 /dev/urandom >"$learnt/random$n"
        done ;;
    esac
    echo "fuzz: $target for $seconds s"
    cargo +nightly fuzz run "$target" "$learnt" "corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -len_control=0 -print_final_stats=1 2>&1 |
        tee "target/$target.log" | grep -E 'ERROR|panicked|SUMMARY|stat::(number_of_executed_units|peak_rss_mb)|DONE' || true
    if ! tail -n 20 "target/$target.log" | grep -q 'stat::number_of_executed_units' ||
        grep -q 'SUMMARY: ' "target/$target.log"; then
        echo "fuzz: $target found something: see fuzz/target/$target.log"
        exit 1
    fi
    rmdir "corpus/$target" corpus 2>/dev/null || true
done
