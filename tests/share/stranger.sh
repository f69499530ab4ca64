# shellcheck shell=bash
# Who knows the root of a private share and not its secret gets the answer for unknown content, byte for byte, and in
# the same time: prints both. What counts is the time of a release build; a quick run takes another. Needs cargo;
# STRANGER names the built example instead.

if [ -n "${STRANGER:-}" ]; then
    stranger=("$STRANGER")
elif [ -n "$quick" ] && command -v cargo >/dev/null; then
    stranger=(cargo run --quiet --manifest-path "$here/../Cargo.toml" -p compeer-share --example stranger --)
elif command -v cargo >/dev/null; then
    stranger=(cargo run --quiet --release --manifest-path "$here/../Cargo.toml" -p compeer-share --example stranger --)
else
    echo "stranger: skipped: no cargo here, and STRANGER names no example"
    return 0
fi
times=${quick:+200}
times=${times:-1000}
timeout 600 "${stranger[@]}" "$times" || die "the stranger learnt something"
