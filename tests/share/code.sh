# shellcheck shell=bash
# Two machines on a cable, no flags: sent and got by a spoken code. A wrong code is refused on both sides and dead.
# Nobody there: says what it looks for.

machines a b
noise "$work/a/dir/report.bin" 50
begin send a send report.bin
wait_for send '"event":"offered"' 10
spoken=$(member send code)
now
typed=$clock
run 0 get b get "$spoken"
first=$(stamp_of get '"phase":"fetching","done_bytes":[1-9]') || die "no progress was told"
same "$work/a/dir/report.bin" "$work/b/dir/report.bin"
ended 0 send 10
clean b
took=$((first - typed))
[ $took -le 5000 ] || die "the first byte took $(seconds $took)"

begin send a send report.bin
wait_for send '"event":"offered"' 10
right=$(member send code)
wrong=${right%-*}-zoo
[ "$wrong" != "$right" ] || wrong=${right%-*}-abandon
run 1 wrong b get "$wrong"
told=$(member wrong message)
[[ $told == *"dead"* ]] || die "the one who guessed is not told"
ended 1 send 10
[[ $(member send message) == *guess* ]] || die "the sender is not told"
run 3 late b get "$right" --timeout 3s

now
from=$clock
run 3 nobody b get 7-lamp-tiger --timeout 3s
now
waited=$((clock - from))
message=$(member nobody message)
[[ $message == *" 7"* ]] || die "it does not say what it looks for"
echo "code: first byte told $(seconds $took) after \`get $spoken\` was started, whole in $(seconds "$(($(stamp_of get '"event":"got"') - typed))"); wrong code: \"$told\", exit 1 on both sides, and the right one is dead (exit 3); nobody there: exit 3 after $(seconds $waited), \"$message\""
