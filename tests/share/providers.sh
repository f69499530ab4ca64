# shellcheck shell=bash
# For the scenes `four` and `die`: four machines that have the same file, each on a line of 100 Mbit/s.

megabytes=${quick:+30}
megabytes=${megabytes:-150}
# What machine $1 sends goes no faster than that; `off`: as fast as it can.
line() {
    case $2 in
        on) ip netns exec "$ns-$1" tc qdisc add dev eth0 root tbf rate 100mbit burst 256kbit latency 50ms ;;
        off) ip netns exec "$ns-$1" tc qdisc del dev eth0 root ;;
    esac
}
# A fetch by $1 with a home of its own is under way: its output is $2.out.
fetch() {
    machines "$1"
    begin "$2" "$1" get "$ticket"
}
# Three more get it from the first, unlimited, and go on running.
four_have_it() {
    local n
    for n in p2 p3 p4; do
        up $n
        run 0 $n-get $n get "$ticket"
    done
    for n in p1 p2 p3 p4; do line $n on; done
}

machines p1 p2 p3 p4
noise "$work/p1/dir/file" "$megabytes"
up p1
run 0 share p1 share file
ticket=$(member share ticket)
