#!/usr/bin/env bash
# Two machines on one switch and nothing else: what a person does, for real.
#
#   tests/netns.sh COMPEER [SECONDS]
#
# Makes two network namespaces on a bridge, with no default route, and runs the
# given program in both, without flags: the line that one prints is typed on the
# other; they are paired by a spoken code, right and wrong. Then the other side
# is killed, stopped, and cut off: each must be noticed within 15 s, and be back
# afterwards. All the while tcpdump listens: no packet may go to an address
# nobody named, multicast DNS apart. SECONDS (default 5) is how long
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

# A code that a command printed: $1 is its output.
code_in() {
    local deadline=$((SECONDS + 10))
    until grep -oE '[0-9]+-[a-z]+-[a-z]+' "$1" 2>/dev/null | head -1 | grep .; do
        [ $SECONDS -lt $deadline ] || die "no code in $1"
        sleep 0.05
    done
}
# Runs the rest of its arguments on machine $2, wants exit code $1, keeps what it said in $work/said.
ends_with() {
    local want=$1 n=$2 got=0
    shift 2
    cli "$n" "$@" >"$work/said" 2>&1 || got=$?
    [ "$got" = "$want" ] || die "compeer $* ended with $got, not $want: $(cat "$work/said")"
}

for n in a b; do
    touch "$work/$n.out"
    ip netns exec "$ns-$n" tcpdump -i any -n -q -U -w "$work/$n.pcap" 2>/dev/null &
    pids+=($!)
done
until [ -s "$work/a.pcap" ] && [ -s "$work/b.pcap" ]; do sleep 0.1; done

echo "== paired by a spoken code, with nothing running on either machine"
for n in a b; do mkdir -p "$work/$n"; done
rm -f "$work/code.out"
cli a pair >"$work/code.out" 2>&1 &
pids+=($!)
offering=$!
code=$(code_in "$work/code.out")
from=$(date +%s%N)
ends_with 0 b pair "$code"
took=$((($(date +%s%N) - from) / 1000000))
wait "$offering" || die "the side that made the code failed: $(cat "$work/code.out")"
echo "   $code: $took ms"
[ "$took" -lt 5000 ] || die "that took too long"
for n in a b; do
    ends_with 0 "$n" peers --json
    grep -q '"paired":true' "$work/said" || die "$n is not paired: $(cat "$work/said")"
    other=$(sed -n 's/.*"name":"\([^"]*\)".*/\1/p' "$work/said" | head -1)
    ends_with 0 "$n" peers --forget "$other"
done

echo "== a wrong code: told to both, and dead"
rm -f "$work/code.out"
cli a pair >"$work/code.out" 2>&1 &
pids+=($!)
offering=$!
code=$(code_in "$work/code.out")
wrong=${code%-*}-zoo
[ "$wrong" = "$code" ] && wrong=${code%-*}-abandon
ends_with 1 b pair "$wrong"
grep -q 'it is dead now' "$work/said" || die "the one who guessed is not told: $(cat "$work/said")"
wait "$offering" && die "the side that made the code ended well"
grep -q 'it is dead now' "$work/code.out" || die "the one who made it is not told: $(cat "$work/code.out")"
ends_with 3 b pair "$code" --timeout 1s
grep -q "nobody on this network offers code ${code%%-*}" "$work/said" || die "it does not say what it looks for: $(cat "$work/said")"
echo "   and nobody there: exit 3 and what was looked for"

echo "== by its address, without looking around"
rm -f "$work/code.out"
cli a pair --no-discovery >"$work/code.out" 2>&1 &
pids+=($!)
offering=$!
code=$(code_in "$work/code.out")
ends_with 3 b pair "$code" --timeout 1s
ends_with 0 b pair "$code" --no-discovery --from 10.77.0.1
wait "$offering" || die "the side that made the code failed: $(cat "$work/code.out")"
for n in a b; do
    ends_with 0 "$n" peers --json
    other=$(sed -n 's/.*"name":"\([^"]*\)".*/\1/p' "$work/said" | head -1)
    ends_with 0 "$n" peers --forget "$other"
done

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

echo "== who is near"
ends_with 0 a peers
grep -q '^b ' "$work/said" || die "b is not near: $(cat "$work/said")"

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
# Whatever went anywhere: only the two addresses, multicast DNS at its groups and
# port, and the kernel's own ARP, neighbour discovery and multicast reports,
# which carry no name and leave no switch. The two may speak at their link-local
# addresses too: those are what they announced.
mdns='(udp and src port 5353 and dst port 5353 and (dst host 224.0.0.251 or dst host ff02::fb))'
kernel='(arp or icmp6 or igmp or (ip6 and multicast and not udp))'
between='((host 10.77.0.1 and host 10.77.0.2) or (tcp and src net fe80::/10 and dst net fe80::/10))'
loopback='((src host 127.0.0.1 and dst host 127.0.0.1) or (src host ::1 and dst host ::1))'
for n in a b; do
    ip netns exec "$ns-$n" tcpdump -n -q -r "$work/$n.pcap" 2>/dev/null \
        "not $mdns and not $kernel and not $between and not $loopback" >"$work/$n.strange" || true
    if [ -s "$work/$n.strange" ]; then
        head "$work/$n.strange" >&2
        die "packets to addresses nobody named"
    fi
    packets() { tcpdump -n -r "$work/$n.pcap" "$@" 2>/dev/null | wc -l; }
    echo "== machine $n: $(packets) packets, $(packets "$mdns") of multicast DNS, none to an address nobody named"
done
