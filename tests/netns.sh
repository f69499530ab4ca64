#!/usr/bin/env bash
# Two machines on one switch and nothing else: what a person does, for real.
#
#   tests/netns.sh COMPEER [SECONDS]
#
# Makes two network namespaces on a bridge, with no default route, and runs the
# given program in both, without flags: the line that one prints is typed on the
# other. Then the other side is killed, stopped, and cut off: each must be
# noticed within 15 s, and be back afterwards. All the while tcpdump listens:
# no packet may go to an address nobody named. SECONDS (default 5) is how long
# the two are left alone in between. Needs root, iproute2 and tcpdump; without
# namespaces it says so and passes.
set -euo pipefail

compeer=$(realpath "$1")
alone=${2:-5}
work=$(mktemp -d)
ns=compeer-$$
pids=()

cleanup() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for n in a b s; do ip netns del "$ns-$n" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
die() { echo "FAILED: $*" >&2; for f in "$work"/*.out; do echo "--- $f"; cat "$f"; done >&2; exit 1; }

if ! ip netns add "$ns-s" 2>"$work/why"; then
    echo "skipped: no network namespaces here ($(cat "$work/why"))"
    exit 0
fi
command -v tcpdump >/dev/null || { echo "skipped: no tcpdump here"; exit 0; }

# A switch of its own, two machines, no way out.
ip -n "$ns-s" link add name br0 type bridge
ip -n "$ns-s" link set dev br0 up
for n in a b; do
    ip netns add "$ns-$n"
    ip -n "$ns-$n" link set lo up
    ip -n "$ns-s" link add name "to-$n" type veth peer name eth0 netns "$ns-$n"
    ip -n "$ns-s" link set dev "to-$n" master br0 up
    ip -n "$ns-$n" link set eth0 up
done
ip -n "$ns-a" addr add 10.77.0.1/24 dev eth0
ip -n "$ns-b" addr add 10.77.0.2/24 dev eth0
[ -z "$(ip -n "$ns-a" route show default)" ] || die "there is a default route"

at() { local n=$1; shift; ip netns exec "$ns-$n" env HOME="$work/$n" XDG_RUNTIME_DIR= "$@"; }
cli() { local n=$1; shift; at "$n" "$compeer" "$@"; }

# Starts `up` without flags on machine $1; its output goes to $1.out.
up() {
    local n=$1
    mkdir -p "$work/$n"
    at "$n" env USER="$n" "$compeer" up >>"$work/$n.out" 2>&1 &
    pids+=($!)
    last=$!
}
# Waits at most $3 seconds for a line matching $2 behind line $4 of $1.out.
wait_for() {
    local file="$work/$1.out" deadline=$((SECONDS + $3)) from=${4:-0}
    until tail -n "+$((from + 1))" "$file" 2>/dev/null | grep -qE "$2"; do
        [ $SECONDS -lt $deadline ] || die "no line '$2' in $1 within $3 s"
        sleep 0.1
    done
}
lines() { wc -l <"$work/$1.out"; }

for n in a b; do
    touch "$work/$n.out"
    ip netns exec "$ns-$n" tcpdump -i any -n -q -U -w "$work/$n.pcap" 2>/dev/null &
    pids+=($!)
done
until [ -s "$work/a.pcap" ] && [ -s "$work/b.pcap" ]; do sleep 0.1; done

up a
up b
b_pid=$last
wait_for a 'compeer say' 5
wait_for b 'compeer say' 5

echo "== the line that one prints, typed on the other"
line=$(grep -oE 'compeer say 10\.77\.0\.1.*' "$work/a.out")
echo "   $line"
# shellcheck disable=SC2086
cli b ${line#compeer } >"$work/say.out" 2>&1 || die "saying failed: $(cat "$work/say.out")"
wait_for a 'b: hello' 5
ticket=$(cli a ticket 2>/dev/null)
cli b call "$ticket" ECHO "by ticket" 2>/dev/null | grep -qx 'by ticket' || die "the ticket does not work"

echo "== pairing, by both"
cli a pair 10.77.0.2 >"$work/pair.out" 2>&1 || die "pairing failed: $(cat "$work/pair.out")"
cli b pair 10.77.0.1 >"$work/pair.out" 2>&1 || die "pairing failed: $(cat "$work/pair.out")"
cli a say b "by name" >/dev/null 2>&1 || die "the name does not suffice"
wait_for b 'a: by name' 5

echo "== left alone for $alone s"
sleep "$alone"

# $1: what was done; the doing; then how it is undone.
gone_and_back() {
    local what=$1 from took
    from=$(lines a)
    took=$SECONDS
    "$2"
    wait_for a '^\* b left' 15 "$from"
    echo "== $what: noticed after $((SECONDS - took)) s"
    "$3"
    wait_for a '^\* b connected' 45 "$from"
    cli a say b "back" >/dev/null 2>&1 || die "$what: the name does not work afterwards"
    echo "   and back $((SECONDS - took)) s after it began"
}
kill_b() { b_inner=$(pgrep -P "$b_pid" || echo "$b_pid"); kill -9 $b_inner "$b_pid" 2>/dev/null || true; }
stop_b() { b_inner=$(pgrep -P "$b_pid" || echo "$b_pid"); kill -STOP $b_inner; }
cont_b() { kill -CONT $b_inner; }
up_b() { up b; b_pid=$last; }
cut_b() { ip -n "$ns-s" link set dev to-b down; }
mend_b() { ip -n "$ns-s" link set dev to-b up; }
gone_and_back "killed (kill -9)" kill_b up_b
gone_and_back "stopped (kill -STOP)" stop_b cont_b
gone_and_back "cut off" cut_b mend_b

echo "== petnames after all that"
cli a peers 2>/dev/null | tee "$work/peers.out"
grep -q '^b ' "$work/peers.out" || die "the petname is lost"

cli a down >/dev/null 2>&1
cli b down >/dev/null 2>&1
# Whatever went anywhere: only the two addresses, and the kernel's own ARP,
# neighbour discovery and multicast reports, which carry no name and leave no
# switch.
for n in a b; do
    ip netns exec "$ns-$n" tcpdump -n -q -r "$work/$n.pcap" 2>/dev/null \
        'not arp and not icmp6 and not (ip6 and multicast) and not (host 10.77.0.1 and host 10.77.0.2) and not (src host 127.0.0.1 and dst host 127.0.0.1)' >"$work/$n.strange" || true
    if [ -s "$work/$n.strange" ]; then
        head "$work/$n.strange" >&2
        die "packets to addresses nobody named"
    fi
    echo "== machine $n: $(tcpdump -n -r "$work/$n.pcap" 2>/dev/null | wc -l) packets, none to an address nobody named"
done
