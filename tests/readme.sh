#!/usr/bin/env bash
# The README cannot lie: runs every command of its console blocks and compares.
#
#   tests/readme.sh [PAGE]
#
# In a block marked `console`, a line `$ command` is run in the root of the
# repository; `one$ command` and `two$ command` on two machines, which are network
# namespaces with the addresses 192.168.1.20 and 192.168.1.21 on one cable, each
# with a home of its own. What follows is the expected output, standard error
# included: `...` stands for anything within a line, and alone for any lines. Ids
# and process numbers differ with each run and are not compared.
# `compeer send photo.jpg` and `compeer on` run on as `up` does, and 7-lamp-tiger stands for the code it prints.
# `one| text` is a line that the `compeer up` of machine one prints meanwhile.
# Programs go to a temporary directory. A command listed in README_DONE (one per
# line) was run before and is left out. Without root or namespaces the two
# machines are left out, saying so.
set -euo pipefail
cd "$(dirname "$0")/.."
page=${1:-README.md}
work=$(mktemp -d)
ns=compeer-readme-$$
export CARGO_INSTALL_ROOT=$work PATH=$work/bin:$PATH
declare -A machine=([one]=alice [two]=bob) seen=() ups=()
ran=0 left_out=0

cleanup() {
    for pid in "${ups[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for name in one two; do ip netns del "$ns-$name" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
die() {
    echo "$page is wrong: $1" >&2
    shift
    printf '%s\n' "$@" >&2
    exit 1
}

# Two machines on one cable, and nothing else.
machines=yes
if ! ip netns add "$ns-one" 2>"$work/why"; then
    machines="no network namespaces here: $(tr '\n' ' ' <"$work/why")"
else
    ip netns add "$ns-two"
    ip -n "$ns-one" link add name eth0 type veth peer name eth0 netns "$ns-two"
    ip -n "$ns-one" addr add 192.168.1.20/24 dev eth0
    ip -n "$ns-two" addr add 192.168.1.21/24 dev eth0
    for name in one two; do
        ip -n "$ns-$name" link set lo up
        ip -n "$ns-$name" link set eth0 up
        mkdir "$work/$name" && touch "$work/$name.up"
    done
fi
at() { # MACHINE COMMAND: a shell on that machine
    cd "$work/$1"
    exec ip netns exec "$ns-$1" env HOME="$work/$1" USER="${machine[$1]}" XDG_RUNTIME_DIR= bash -c "$2"
}

# Takes out what differs with each run.
same() { sed -E -e 's/\b[0-9]{1,3}-[a-z]+-[a-z]+\b/CODE/g' -e 's/code [0-9]{1,3}/code N/g' -e 's/\b[a-z2-7]{52}\b/ID/g' -e 's/(\(|  )[a-z2-7]{8}(\)|  )/\1id\2/g' -e 's/process [0-9]+/process N/g'; }
# Whether a line is as expected.
like() { # LINE EXPECTED
    local glob
    glob=$(same <<<"$2" | sed -e 's/[][\\*?]/\\&/g' -e 's/\.\.\./*/g')
    # shellcheck disable=SC2053
    [[ $(same <<<"$1") == $glob ]]
}
# Whether all lines are as expected.
compare() { # FILE COMMAND EXPECTED...
    local file=$1 command=$2 any=no line
    shift 2
    mapfile -t lines <"$file"
    local at=0
    for line in "$@"; do
        if [ "$line" = "..." ]; then any=yes && continue; fi
        while [ $at -lt ${#lines[@]} ] && ! like "${lines[$at]}" "$line"; do
            [ $any = yes ] || die "'$command' printed" "${lines[@]}" "where it says" "$@"
            at=$((at + 1))
        done
        [ $at -lt ${#lines[@]} ] || die "'$command' printed" "${lines[@]}" "without '$line'"
        at=$((at + 1)) any=no
    done
    [ $at -eq ${#lines[@]} ] || [ $any = yes ] || die "'$command' printed more:" "${lines[@]:$at}"
}
# Waits for a line of the `up` of a machine, behind those waited for before.
wait_for() { # MACHINE LINE
    local deadline=$((SECONDS + 20)) number
    while :; do
        mapfile -t lines <"$work/$1.up"
        for ((number = seen[$1]; number < ${#lines[@]}; number++)); do
            if like "${lines[$number]}" "$2"; then
                seen[$1]=$((number + 1))
                return
            fi
        done
        [ $SECONDS -lt $deadline ] || die "no line '$2' on machine $1, only" "${lines[@]}"
        read -rt 0.1 <> <(:) || true
    done
}

run() { # MACHINE COMMAND EXPECTED...
    local name=$1 command=${2//7-lamp-tiger/$code}
    shift 2
    if grep -qxF -- "$command" <<<"${README_DONE:-}"; then
        echo "left out (run before): $command"
        left_out=$((left_out + 1))
        return
    fi
    if [ -n "$name" ] && [ "$machines" != yes ]; then
        left_out=$((left_out + 1))
        return
    fi
    echo "$name\$ $command"
    ran=$((ran + 1))
    if [ -z "$name" ]; then
        bash -c "$command" </dev/null >"$work/out" 2>&1 || die "'$command' failed:" "$(cat "$work/out")"
        compare "$work/out" "$command" "$@"
    elif [[ $command == "compeer up"* || $command == "compeer send photo.jpg" || $command == "compeer on "* ]]; then
        # A machine may have an `up` and an `on`; a `send` comes before its `up`.
        local what=$name
        [[ $command != "compeer on "* ]] || what=$name.on
        seen[$what]=0
        : >"$work/$what.up"
        (at "$name" "$command" </dev/null >"$work/$what.up" 2>&1) &
        ups[$what]=$!
        for line in "$@"; do [ "$line" = "..." ] || wait_for "$what" "$line"; done
        [ "$what" = "$name" ] || return 0
        code=$(grep -oEm1 '[0-9]+-[a-z]+-[a-z]+$' "$work/$name.up" || true)
    else
        (at "$name" "$command" </dev/null >"$work/out" 2>&1) || die "'$command' failed:" "$(cat "$work/out")"
        compare "$work/out" "$command" "$@"
    fi
}

name='' command='' code='' expected=() console=no
flush() {
    # A blank line before the next command is for the reader.
    while [ ${#expected[@]} -gt 0 ] && [ -z "${expected[-1]}" ]; do unset 'expected[-1]'; done
    [ -z "$command" ] || run "$name" "$command" "${expected[@]}"
    command='' expected=()
}
while IFS= read -r line <&3; do
    if [ $console = no ]; then
        [ "$line" != '```console' ] || console=yes
    elif [ "$line" = '```' ]; then
        flush
        console=no
    elif [[ $line =~ ^(one|two|)\$\ (.*)$ ]]; then
        flush
        name=${BASH_REMATCH[1]} command=${BASH_REMATCH[2]}
    elif [[ $line =~ ^(one|two)\|\ (.*)$ ]]; then
        who=${BASH_REMATCH[1]} text=${BASH_REMATCH[2]}
        flush
        [ "$machines" != yes ] || wait_for "$who" "$text"
    else
        expected+=("$line")
    fi
done 3<"$page"
[ "$machines" = yes ] || echo "left out: what is typed on two machines ($machines)"
echo "$page: $ran commands run and compared, $left_out left out"
[ $ran -gt 0 ] || die "no commands found"
