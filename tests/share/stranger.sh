# shellcheck shell=bash
# Who knows the root of a private share and not its secret gets the answer for unknown content, byte for byte, and in
# the same time: prints both. Needs cargo; STRANGER names the built example instead.

if [ -n "${STRANGER:-}" ]; then
    stranger=("$STRANGER")
elif command -v cargo >/dev/null; then
    stranger=(cargo run --quiet --manifest-path "$here/../Cargo.toml" -p compeer-share --example stranger --)
else
    echo "stranger: skipped: no cargo here, and STRANGER names no example"
    return 0
fi
timeout 300 "${stranger[@]}" ${quick:+200} || die "the stranger learnt something"
