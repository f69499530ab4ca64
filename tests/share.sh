#!/usr/bin/env bash
# Files between machines, as people send them: what it does, and how well.
#
#   tests/share.sh COMPEER [SCENE...]
#
# Runs the given program on machines of its own: network namespaces on one bridge, with no way out, each with a home
# and a directory. Every scene is a file in tests/share/ and says there what it shows; without SCENE all are run. Each
# prints what it measured in one line that begins with its name. SHARE_QUICK=1 takes smaller files, for a quick run;
# TMPDIR says where the files lie. Needs root and iproute2; without namespaces it says so and passes.
set -euo pipefail
export LC_ALL=C

compeer=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
shift
scenes=("$@")
[ $# -gt 0 ] || scenes=(code folder full kill power four die public stranger)
quick=${SHARE_QUICK:-}
work=$(mktemp -d)
ns=share-$$
declare -A anchor=() address=() pid_of=()

kill_9() {
    local name
    for name in "$@"; do
        kill -9 "${pid_of[$name]}" 2>/dev/null || true
        wait "${pid_of[$name]}" 2>/dev/null || true
        unset "pid_of[$name]"
    done
}
end_all() { [ ${#pid_of[@]} = 0 ] || kill_9 "${!pid_of[@]}"; }
cleanup() {
    end_all
    for pid in "${anchor[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for n in "${!anchor[@]}" switch; do ip netns del "$ns-$n" 2>/dev/null || true; done
    umount "$work/small" "$work/b" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'echo "FAILED: ${scene:-}: $BASH_COMMAND" >&2' ERR
trap 'exit 130' INT TERM
die() {
    echo "FAILED: ${scene:-}: $*" >&2
    # What was said last.
    local f
    find "$work" -maxdepth 1 \( -name '*.out' -o -name '*.err' \) -size +0 -printf '%T@ %p\n' | sort -rn | head -n 8 | cut -d' ' -f2- |
        while read -r f; do echo "--- ${f##*/}" && tail -n 6 "$f" | cut -c -400; done >&2
    exit 1
}

if ! ip netns add "$ns-switch" 2>"$work/why"; then
    echo "skipped: no network namespaces here ($(tr '\n' ' ' <"$work/why"))"
    exit 0
fi
ip -n "$ns-switch" link add name br0 type bridge
ip -n "$ns-switch" link set dev br0 up

# What a read waits on when it is to wait: nothing ever comes.
mkfifo "$work/never"
exec {never}<>"$work/never"
pause() { read -rt "${1:-0.02}" -u "$never" || true; }
# Milliseconds since some moment.
now() { clock=$((${EPOCHREALTIME/./} / 1000)); }
# Waits at most $1 seconds for a command to succeed.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        pause
    done
}

# Machines called $@ on the switch, each with an empty home and an empty directory.
machines() {
    local n
    for n in "$@"; do
        if [ -z "${anchor[$n]:-}" ]; then
            ip netns add "$ns-$n"
            ip -n "$ns-$n" link set lo up
            ip -n "$ns-switch" link add name "to-$n" type veth peer name eth0 netns "$ns-$n"
            ip -n "$ns-switch" link set dev "to-$n" master br0 up
            ip -n "$ns-$n" link set eth0 up
            address[$n]=10.78.0.$((${#anchor[@]} + 1))
            ip -n "$ns-$n" addr add "${address[$n]}/24" dev eth0
            # Somebody in there, by whom the counters of its network can be read.
            ip netns exec "$ns-$n" sleep infinity &
            anchor[$n]=$!
            within 5 lives_there "$n" || die "machine $n does not come up"
        fi
        rm -rf "${work:?}/$n"
        mkdir -p "$work/$n/dir"
    done
}
lives_there() { [ "$(readlink "/proc/${anchor[$1]}/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
# Sets $wire to the bytes that machine $1 has received from its network.
received() {
    local name bytes
    while read -r name bytes _; do
        if [ "$name" = eth0: ]; then wire=$bytes && return; fi
    done <"/proc/${anchor[$1]}/net/dev"
    die "no counters of machine $1"
}

# What machine $1 does, in its directory: the rest.
at() {
    local n=$1
    shift
    cd "$work/$n/dir"
    exec ip netns exec "$ns-$n" env HOME="$work/$n" USER="$n" XDG_RUNTIME_DIR= "$@" </dev/null
}
# Each line with the milliseconds when it came.
stamped() {
    local line
    while IFS= read -r line; do now && printf '%s %s\n' "$clock" "$line"; done
    echo end
}
# Starts `compeer $3…` on machine $2 and calls that $1; its events go to $1.out, remarks to $1.err.
begin() {
    local name=$1 n=$2
    shift 2
    : >"$work/$name.out"
    (at "$n" env COMPEER_JSON=1 "$compeer" "$@") > >(stamped >"$work/$name.out") 2>"$work/$name.err" &
    pid_of[$name]=$!
}
# Waits at most $3 seconds for $2 to end, and wants exit code $1 of it.
ended() {
    local code=0
    within "$3" gone "$2" || die "$2 does not end within $3 s"
    wait "${pid_of[$2]}" || code=$?
    unset "pid_of[$2]"
    within 5 has "$2" '^end$' || die "the output of $2 does not end"
    # shellcheck disable=SC2053
    [[ $code == $1 ]] || die "$2 ended with $code, not $1"
}
gone() { ! kill -0 "${pid_of[$1]}" 2>/dev/null; }
# Runs a command to its end and wants exit code $1 of it: events in $2.out, as `begin`.
run() {
    begin "${@:2}"
    ended "$1" "$2" 120
}
# Whether $1.out has a line that matches $2.
has() { grep -qE "$2" "$work/$1.out"; }
wait_for() { within "$3" has "$1" "$2" || die "no line '$2' in $1 within $3 s"; }
# Member $2 of the last line of $1.out that has one; $3 chooses among the lines.
member() { sed -nE "/${3:-.}/s/.*\"$2\":(\"([^\"]*)\"|([0-9]+)).*/\2\3/p" "$work/$1.out" | tail -1; }
stamp_of() { grep -m1 -E "$2" "$work/$1.out" | cut -d' ' -f1; }
# Bytes that have come, as $1 tells.
done_bytes() { [ "$(member "$1" done_bytes '"fetching"')" -ge "$2" ] 2>/dev/null; }
# `up $2…` on machine $1.
up() {
    begin "$1-up" "$1" up "${@:2}"
    wait_for "$1-up" '"event":"up"' 15
}
# Shares $3… on machine $2, `up` or not, as $1; sets $ticket.
share() {
    local name=$1
    shift
    begin "$name" "$1" share "${@:2}"
    wait_for "$name" '"event":"offered"' 60
    ticket=$(member "$name" ticket)
}
# Sets $most to the largest window that a run called get-* has told; told four times a second, so a short run may not
# tell its own.
widest() { most=$(sed -nE 's/.*"window_bytes":([0-9]+).*/\1/p' "$work"/get-*.out | sort -n | tail -1); }
noise() { # FILE MEGABYTES: what no compression and no luck would make
    head -c "$2"000000 /dev/urandom >"$1"
}
seconds() { printf '%d.%03d s' $(($1 / 1000)) $(($1 % 1000)); }
megabytes() { printf '%d.%02d MB' $(($1 / 1000000)) $(($1 / 10000 % 100)); }
hundredths() { printf '%d.%02d' $(($1 / 100)) $(($1 % 100)); }
same() { cmp "$1" "$2" >&2 || die "${2##*/} is not what was sent"; }
# Nothing of a transfer is left on machine $1.
clean() {
    local left
    left=$(find "$work/$1/dir" -name '*.part')
    [ -z "$left" ] || die "left over: $left"
    run 0 left "$1" transfers
    ! has left '"transfer"' || die "a transfer is left on machine $1"
}

for scene in "${scenes[@]}"; do
    [ -r "$here/share/$scene.sh" ] || { echo "no scene $scene" >&2 && exit 2; }
    began=$SECONDS
    # shellcheck source=/dev/null
    . "$here/share/$scene.sh"
    end_all
    rm -f "$work"/*.out "$work"/*.err
    echo "   ($scene: $((SECONDS - began)) s)"
done
