# shellcheck shell=bash
# What is shared with everybody is found two hops away, by somebody connected with a neighbour alone, and fetched by its
# number; one peer's list can be asked for. What is private is in neither.

machines a m c
mkdir "$work/a/dir/Holiday Photos"
noise "$work/a/dir/Holiday Photos/beach.jpg" 3
noise "$work/a/dir/holiday diary" 1
export COMPEER_NO_DISCOVERY=1
for n in a m c; do
    case $n in
        a) up a ;;
        m) up m --join "${address[a]}" && wait_for m-up '"event":"connected"' 10 ;;
        c) up c --join "${address[m]}" && wait_for c-up '"event":"connected"' 10 ;;
    esac
done
run 0 public a share "Holiday Photos" --public
run 0 private a share "holiday diary"

[ "$(grep -c '"event":"connected"' "$work/c-up.out")" = 1 ] || die "c is connected with more than its neighbour"
now
from=$clock
run 0 find c find holiday
now
took=$((clock - from))
[ "$(grep -c '"event":"hit"' "$work/find.out")" = 1 ] || die "not the one public share was found"
[ "$(member find name)" = "Holiday Photos" ] || die "another was found"
has find '"complete":true' || die "it does not say that it is complete"
asked=$(member find asked) answered=$(member find answered)
run 0 get c get "$(member find number)"
diff -r "$work/a/dir/Holiday Photos" "$work/c/dir/Holiday Photos" >&2 || die "it is not what was shared"
run 0 none c find diary
! has none '"event":"hit"' || die "a private share was found"

run 0 browse c find --on "${address[a]}"
[ "$(grep -c '"event":"hit"' "$work/browse.out")" = 1 ] || die "the list of a is not its one public share"
run 0 fetch c get "$(member browse number)" -o again/
diff -r "$work/a/dir/Holiday Photos" "$work/c/dir/again/Holiday Photos" >&2 || die "it is not what was shared"
unset COMPEER_NO_DISCOVERY
echo "public: found two hops away in $(seconds $took), complete ($answered of $asked asked answered), fetched by number, equal; find --on lists it and get takes it from there; the private one is in neither"
