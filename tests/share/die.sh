# shellcheck shell=bash
# Three of the four from whom it is fetched are killed half-way, the sharer among them: it completes.

. "$here/share/providers.sh"
four_have_it
fetch f get
within 60 done_bytes get "$((megabytes * 500000))" || die "it does not get half-way"
half=$(member get done_bytes '"fetching"')
connected=$(member get sources '"fetching"')
kill_9 p1-up p2-up p3-up
ended 0 get 120
same "$work/p1/dir/file" "$work/f/dir/file"
for n in p1 p2 p3 p4; do line $n off; done
echo "die: three of $connected sources killed (kill -9) at $(megabytes "$half") of $megabytes MB, the sharer among them: complete and equal, $(megabytes "$(member get received_bytes)") received, in $(seconds "$(member get took_ms)")"
