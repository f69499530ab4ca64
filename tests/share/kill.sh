# shellcheck shell=bash
# The fetcher is killed (kill -9) at 20 random points, and the same command or `transfers --resume` goes on, in turns: the
# file is equal, and what came over the wire, by the counters of the network, is no more than its size and 20 windows.
# Once with a sender that limits itself, once as fast as it goes. Then a folder, killed at random moments of the whole
# run, the placing of files among them. SHARE_SEED gives the same points again.

RANDOM=${SHARE_SEED:-$$}
seed=${SHARE_SEED:-$$}

# KILLS MEGABYTES SHARE-FLAGS...
killed() {
    local kills=$1 size=${2}000000 how=${*:3} i sum=0 parts=() before start this most id=
    local command
    machines a b
    noise "$work/a/dir/file" "$2"
    share share a file "${@:3}"
    # The run between two kills is a random part of the file; all together are a little less than it.
    for ((i = 0; i <= kills; i++)); do parts+=($((RANDOM + 1000))) && sum=$((sum + parts[i])); done
    received b
    start=$wire
    for ((i = 0; i < kills; i++)); do
        received b
        before=$wire
        command=(get "$ticket")
        [ $((i % 2)) = 0 ] || [ -z "$id" ] || command=(transfers --resume "$id")
        begin get-$i b "${command[@]}"
        this=$((parts[i] * (size / 1000) / sum * 1000))
        until received b && [ $((wire - before)) -ge $this ]; do
            ! gone get-$i || die "run $i ended by itself after $((wire - before)) of $this bytes"
            pause 0.002
        done
        kill_9 get-$i
        within 5 has get-$i '^end$' || die "the output of run $i does not end"
        id=$(member get-$i transfer)
    done
    run 0 get-last b get "$ticket"
    widest
    received b
    same "$work/a/dir/file" "$work/b/dir/file"
    clean b
    end_all
    local all=$((wire - start))
    echo "kill: $kills kills of ${how:-full speed}, seed $seed: equal; received on the wire in all runs $(megabytes $all) for $(megabytes "$size"); largest window $(megabytes $most), so size + $kills windows = $(megabytes $((size + kills * most))); $(megabytes $(((all - size) / kills))) lost per kill, TLS and proofs included"
    [ $all -le $((size + kills * most)) ] || die "that is more than size and windows"
}

# ROUNDS: a folder is fetched that often, and each time killed three times.
killed_placing() {
    local rounds=$1 i round took
    machines a b
    for ((i = 0; i < 2000; i++)); do
        [ $((i % 100)) != 0 ] || mkdir -p "$work/a/dir/album/$((i / 100))"
        printf '%*d' $((i % 3000 + 1)) "$i" >"$work/a/dir/album/$((i / 100))/$i"
    done
    share share a album
    now
    took=$clock
    run 0 whole b get "$ticket"
    now
    took=$((clock - took))
    for ((round = 0; round < rounds; round++)); do
        machines b
        for i in 1 2 3; do
            begin get b get "$ticket"
            pause "$(printf '%d.%03d' $((took * (RANDOM % 100) / 100 / 1000)) $((took * (RANDOM % 100) / 100 % 1000)))"
            kill_9 get
        done
        run 0 last b get "$ticket"
        diff -r "$work/a/dir/album" "$work/b/dir/album" >&2 || die "the folder is not what was shared"
        clean b
    done
    echo "kill: 2000 files killed 3 times at random moments of a run of $(seconds $took), placing included, $rounds times over: equal each time, nothing left"
    end_all
}

if [ -n "$quick" ]; then
    killed 5 60 --limit 40M
    killed_placing 2
else
    killed 20 200 --limit 40M
    killed 20 3000
    killed_placing 20
fi
