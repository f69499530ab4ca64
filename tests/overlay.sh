#!/usr/bin/env bash
# Peers that were each told of one other only find each other by id.
#
#     tests/overlay.sh PROGRAM [PEERS]
#
# PEERS (default 50) `up --max-peers 8` on loopback, each joined to the one before it. Everybody looks for two
# others by id. Then the first and every third are killed with -9, and those that are left look for each other
# until a minute has passed. Prints how many were found; fails when one of the first is not, or
# more than one in a hundred of the second.
set -euo pipefail
program=$(realpath "$1")
peers=${2:-50}
dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
export COMPEER_NO_DISCOVERY=true XDG_RUNTIME_DIR="$dir"
base=$((20000 + RANDOM % 10000))

at() { # N COMMAND...
    local home=$dir/$1
    shift
    COMPEER_HOME=$home timeout 60 "$program" "$@"
}
ready() { # N
    for _ in $(seq 100); do
        grep -q ' is up$' "$dir/$1.log" 2>/dev/null && return
        sleep 0.1
    done
    echo "peer $1 does not start:" && cat "$dir/$1.log" && exit 1
}

for n in $(seq 0 $((peers - 1))); do
    join=()
    [ "$n" -gt 0 ] && join=(--join "127.0.0.1:$((base + n - 1))")
    COMPEER_HOME=$dir/$n "$program" up --listen "127.0.0.1:$((base + n))" --name "p$n" --max-peers 8 "${join[@]}" \
        >"$dir/$n.log" 2>&1 &
    pids+=($!)
    ready "$n"
done
for n in $(seq 0 $((peers - 1))); do
    ids[n]=$(at "$n" status --json 2>/dev/null | sed 's/.*"peer":"\([a-z2-7]*\)".*/\1/')
done

asked=0 found=0
for n in $(seq 0 $((peers - 1))); do
    for step in 7 $((peers / 2 + 1)); do
        to=$(((n + step) % peers))
        asked=$((asked + 1))
        if at "$n" trace "${ids[to]}" >/dev/null 2>&1; then found=$((found + 1)); else echo "$n does not find $to"; fi
    done
done
echo "$peers peers in a chain: $found of $asked found"
[ "$found" = "$asked" ]

for n in $(seq 0 3 $((peers - 1))); do kill -9 "${pids[n]}"; done
asked=0 found=0 since=$SECONDS
for n in $(seq 0 $((peers - 1))); do
    [ $((n % 3)) = 0 ] && continue
    for step in 4 $((peers / 2 + 1)); do
        to=$(((n + step) % peers))
        [ $((to % 3)) = 0 ] && continue
        asked=$((asked + 1))
        while :; do
            if at "$n" say "${ids[to]}" hello >/dev/null 2>&1; then found=$((found + 1)) && break; fi
            [ $((SECONDS - since)) -lt 60 ] || { echo "$n does not reach $to" && break; }
            sleep 0.5
        done
    done
done
echo "a third killed: $found of $asked reached, all within $((SECONDS - since)) s"
[ $((found * 100)) -ge $((asked * 99)) ]
