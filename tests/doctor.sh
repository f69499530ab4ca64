#!/usr/bin/env bash
# `compeer doctor` on machines that have something wrong with them, for real.
#
#   tests/doctor.sh COMPEER
#
# Two network namespaces on one cable. In turn: nothing is wrong; a firewall drops
# what comes to the port; IPv6 is off; a peer has 64 file descriptors; the cable is
# slow. Each time the cause must be named, and the exit code say whether it is a
# problem. Needs root, iproute2 and nftables or iptables; without namespaces it says
# so and passes.
set -euo pipefail

compeer=$(realpath "$1")
work=$(mktemp -d)
ns=compeer-doctor-$$
pids=()

cleanup() {
    # That they are killed is nobody's news.
    exec 2>/dev/null
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for n in a b; do ip netns del "$ns-$n" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
die() { echo "FAILED: $*" >&2; for f in "$work"/*.out "$work/said"; do echo "--- $f"; cat "$f"; done >&2 2>/dev/null; exit 1; }

if ! ip netns add "$ns-a" 2>"$work/why"; then
    echo "skipped: no network namespaces here ($(cat "$work/why"))"
    exit 0
fi
ip netns add "$ns-b"
ip -n "$ns-a" link add eth0 type veth peer name eth0 netns "$ns-b"
for n in a b; do
    ip -n "$ns-$n" link set lo up
    ip -n "$ns-$n" link set eth0 up
    mkdir -p "$work/$n"
done
ip -n "$ns-a" addr add 10.78.0.1/24 dev eth0
ip -n "$ns-b" addr add 10.78.0.2/24 dev eth0

at() { local n=$1; shift; ip netns exec "$ns-$n" env HOME="$work/$n" XDG_RUNTIME_DIR= USER="$n" "$@"; }
# The same for the background, in place of the shell: whose id is then that of the program.
exec_at() { local n=$1; shift; exec ip netns exec "$ns-$n" env HOME="$work/$n" XDG_RUNTIME_DIR= USER="$n" "$@"; }

# Starts `up` on machine $1, behind the command in the rest of the arguments, and waits until it is there.
up() {
    local n=$1 deadline=$((SECONDS + 10))
    shift
    : >"$work/$n.out"
    exec_at "$n" "$@" "$compeer" up >>"$work/$n.out" 2>&1 &
    pids+=($!)
    until grep -q 'compeer say' "$work/$n.out"; do
        [ $SECONDS -lt $deadline ] || die "$n does not come up"
        sleep 0.05
    done
}
down() { at "$1" "$compeer" down >/dev/null 2>&1 || die "$1 does not go down"; }

# Examines machine $1 with the arguments from $3 on, and wants exit code $2.
doctor() {
    local n=$1 want=$2 got=0
    shift 2
    at "$n" "$compeer" doctor "$@" >"$work/said" 2>&1 || got=$?
    [ "$got" = "$want" ] || die "doctor on $n ended with $got, not $want"
}
says() { grep -qE "$1" "$work/said" || die "it does not say '$1'"; }
shows() { grep -E "$1" "$work/said" | sed 's/^/   /'; }
never() { ! grep -qE "$1" "$work/said" || die "it says '$1'"; }

up a
up b

echo "== nothing is wrong"
doctor a 0 10.78.0.2
never '^problem'
says '^ok +reach +10\.78\.0\.1:26673 answers'
says '^ok +near +multicast on eth0'
says '^ok +near +our own announcement is heard; another peer is near'
says '^ok +way +b is at 10\.78\.0\.2:26673, called from here, directly'
says '^ok +round trip'
shows '^[a-z]+ +(this machine|speed|round trip|IPv6)'

echo "== a firewall drops what comes to the port"
if at a nft add table inet guard 2>/dev/null; then
    at a nft add chain inet guard input '{ type filter hook input priority 0; }'
    at a nft add rule inet guard input tcp dport 26673 drop
    rule='the chain input of the nftables table inet guard keeps others'
    undo() { at a nft delete table inet guard; }
elif at a iptables -A INPUT -p tcp --dport 26673 -j DROP 2>/dev/null; then
    rule='the chain INPUT of iptables \(IPv4\) keeps others'
    undo() { at a iptables -F INPUT; }
else
    rule=
fi
if [ -n "$rule" ]; then
    doctor a 1
    says '^problem +reach +10\.78\.0\.1:26673 does not answer: a firewall swallows'
    says "^problem +firewall +$rule"
    says 'what to do: .*26673'
    shows '^problem'
    # From the other side it is the way that is the problem.
    down b
    up b
    doctor b 1 10.78.0.1
    says '^problem +way +cannot reach 10\.78\.0\.1'
    undo
    doctor a 0
    never '^problem'
else
    echo "   left out: neither nft nor iptables works here"
fi

echo "== IPv6 is off"
for n in a b; do at "$n" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6'; done
down a
up a
doctor a 0
says '^warning +IPv6 +it is off on this machine'
shows '^warning +IPv6'

echo "== 64 file descriptors"
down a
up a sh -c 'ulimit -n 64; exec "$0" "$@"'
doctor a 1
says '^problem +descriptors +.* of 64 in use'
says 'what to do: type ulimit -n'
shows '^problem'
down a
echo "   and alone, with 64 of its own"
got=0
at a sh -c 'ulimit -n 64; exec "$0" doctor' "$compeer" >"$work/said" 2>&1 || got=$?
[ $got = 1 ] || die "it ended with $got"
says '^problem +descriptors +.* of 64 in use'

echo "== the cable is slow: 10 Mbit/s"
up a
for n in a b; do ip netns exec "$ns-$n" tc qdisc add dev eth0 root tbf rate 10mbit burst 32kbit latency 50ms; done
doctor a 0 10.78.0.2
says '^warning +speed +to b: .*; the link sets it'
says '^warning +speed +from b: .*; the link sets it'
says 'what to do: use a cable'
shows '^warning +speed'
rates=$(grep -cE 'speed +(to|from) b: (9[0-9]{2} kB|1\.[0-3][0-9]? MB)/s' "$work/said" || true)
[ "$rates" = 2 ] || die "that is not the speed of the cable"

echo "doctor: every cause was named"
