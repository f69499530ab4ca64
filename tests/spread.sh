#!/usr/bin/env bash
# How much faster four peers are than one: `call --spread` over work that needs no processor.
#
#   tests/spread.sh COMPEER [LINES]
#
# Starts four peers on loopback, each with a home of its own, which answer WORK by `sleep 0.05`, one request at a
# time; has LINES lines (160) worked on by one of them and then by all four; checks that each came back once and in
# order; and prints the seconds and their ratio.
set -euo pipefail
compeer=$(realpath "$1")
lines=${2:-160}
work=$(mktemp -d)
export COMPEER_NO_DISCOVERY=1 XDG_RUNTIME_DIR="$work"
pids=()
cleanup() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
die() {
    echo "FAILED: $*" >&2
    exit 1
}

job='read n; sleep 0.05; echo "$n"' dir=$work addresses=()
for peer in 1 2 3 4; do
    COMPEER_HOME=$dir/$peer "$compeer" on WORK --exec "$job" --anyone --jobs 1 --listen 127.0.0.1:0 \
        >"$dir/$peer.out" 2>"$dir/$peer.err" &
    pids+=($!)
done
for peer in 1 2 3 4; do
    for _ in $(seq 200); do
        address=$(sed -n 's/^ *compeer call \([^ ]*\) .*/\1/p' "$dir/$peer.out" | head -n 1)
        [ -z "$address" ] || break
        sleep 0.05
    done
    [ -n "$address" ] || die "peer $peer did not start: $(cat "$dir/$peer.err")"
    addresses+=(--to "$address")
done

seq "$lines" >"$dir/lines"
seconds() { # COMMAND...: how long it takes; its input are the lines, its output has to be the same
    local from=$EPOCHREALTIME
    "$@" <"$dir/lines" >"$dir/out" 2>"$dir/err" || die "$* failed: $(cat "$dir/err")"
    local to=$EPOCHREALTIME
    cmp -s "$dir/lines" "$dir/out" || die "$*: lines are missing, or out of order"
    echo "$((${to/[.,]/} - ${from/[.,]/}))"
}
in_shell() { while read -r n; do sh -c "$job" <<<"$n"; done; }
spread() { COMPEER_HOME=$dir/caller "$compeer" call --spread WORK - "$@"; }
show() { awk -v what="$1" -v us="$2" -v one="$3" 'BEGIN { printf "%-22s %6.2f s  %5.2f times\n", what, us / 1e6, one / us }'; }

loop=$(seconds in_shell)
one=$(seconds spread "${addresses[@]:0:2}")
four=$(seconds spread "${addresses[@]}")
echo "spread: $lines lines of 0.05 s, $(nproc) cores"
show "a loop in the shell" "$loop" "$one"
show "one peer" "$one" "$one"
show "four peers" "$four" "$one"
