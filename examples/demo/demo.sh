#!/bin/bash
# Shows distguard at work on real nodes: before and after, nothing changed but the environment. See README.md.
#
# Everything happens in namespaces of its own, with a tmpfs for its files: when this script ends, in whatever way,
# nothing of it is left.
set -euo pipefail

readonly WORK=/mnt          # in our own mount namespace; exists everywhere
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly ROOT
readonly BUILD=${BUILD:-$ROOT/build}
readonly EPMD_PORT=4369
readonly ALPHA=10.77.0.1 BETA=10.77.0.2
readonly SHOP=shop@$ALPHA ORDERS=orders@$BETA
readonly MESSAGE=the-safe-opens-with-4711
readonly PATIENCE=${DEMO_PATIENCE:-20}     # seconds that anything here may take

# --- entering -------------------------------------------------------------------------------------------------------

# Runs this script again as PID 1 of new namespaces; the kernel ends all that is in there together with it.
enter() {
    local -a user=()
    [ "$(id -u)" -eq 0 ] || user=(unshare --user --map-root-user --)
    if ! "${user[@]}" unshare --net true 2>/dev/null; then
        echo "demo: this needs root, or unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1," >&2
        echo "      kernel.apparmor_restrict_unprivileged_userns=0); in a container, the right to make namespaces." >&2
        exit 1
    fi
    DEMO_INSIDE=1 "${user[@]}" setpriv --pdeathsig KILL -- \
        unshare --pid --net --mount --uts --ipc --fork --kill-child --mount-proc -- "$BASH" "${BASH_SOURCE[0]}" &
    local inside=$!
    trap 'kill -KILL "$inside" 2>/dev/null; echo "demo: stopped; nothing is left behind" >&2; exit 130' INT TERM HUP
    local status=0
    wait "$inside" || status=$?
    exit "$status"
}

# --- showing --------------------------------------------------------------------------------------------------------

bold='' dim='' green='' red='' plain=''
if [ -t 1 ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

step=0 claims=0 untrue=0

heading() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
step() { printf '\n%s%d. %s%s\n' "$bold" $((++step)) "$1" "$plain"; }
note() { printf '   %s\n' "$@"; }
quote() { sed "s/^/   ${dim}| /; s/\$/${plain}/"; }

# claim TEXT COMMAND...: shows the text, and whether the command finds it true.
claim() {
    local text=$1
    shift
    claims=$((claims + 1))
    if "$@"; then
        printf '   %s[true]%s %s\n' "$green" "$plain" "$text"
    else
        untrue=$((untrue + 1))
        printf '   %s[NOT TRUE]%s %s\n' "$red" "$plain" "$text"
    fi
}

broken() {
    printf '\n%sdemo: %s%s\n' "$red" "$1" "$plain"
    tail -n 20 "$WORK"/*.out "$WORK"/*.log 2>/dev/null || true
    exit 1
}

# await WHAT COMMAND...: until the command succeeds.
await() {
    local what=$1
    shift
    within "$PATIENCE" "$@" >/dev/null 2>&1 || broken "gave up waiting until $what"
}

# soon COMMAND...: whether it succeeds at once or nearly so.
soon() { within 2 "$@"; }

# within SECONDS COMMAND...
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

# --- hosts ----------------------------------------------------------------------------------------------------------

declare -A holder

# host NAME NUMBER: a network, a host name and an address of its own, on the wire.
host() {
    unshare --net --uts -- sleep infinity &
    holder[$1]=$!
    await "the host $1 is there" test "/proc/${holder[$1]}/exe" -ef "$(command -v sleep)"
    ip link add "to-$1" type veth peer name eth0 netns "${holder[$1]}"
    ip link set "to-$1" master wire up
    on "$1" sh -ec "hostname $1; ip link set lo up; ip addr add 10.77.0.$2/24 dev eth0; ip link set eth0 up"
}

on() {
    local name=$1
    shift
    nsenter -t "${holder[$name]}" -n -u -- "$@"
}

# The same in the background; $spawned is the process itself, not a shell around it.
spawn() {
    local name=$1
    shift
    nsenter -t "${holder[$name]}" -n -u -- "$@" &
    spawned=$!
}

lay_wire() {
    mount -t tmpfs -o mode=0755 distguard-demo "$WORK"
    cd "$WORK"
    export HOME=$WORK LC_ALL=C.UTF-8 ERL_CRASH_DUMP_SECONDS=0
    unset LD_PRELOAD DISTGUARD DISTGUARD_CONF DISTGUARD_PROFILE ERL_EPMD_PORT ERL_FLAGS ERL_AFLAGS ERL_ZFLAGS
    ip link set lo up
    ip link add wire type bridge
    ip link set wire up
    host alpha 1
    host beta 2
    host stranger 66
    erlc -o "$WORK" "$ROOT/examples/demo/visit.erl"
}

# --- nodes ----------------------------------------------------------------------------------------------------------

# What a host adds to the environment of its programs: nothing at first.
declare -A environment=([alpha]='' [beta]='')
beam=()

start_nodes() {
    rm -f go
    # shellcheck disable=SC2086 # the environment is a list of words
    spawn beta env ${environment[beta]} erl -name "$ORDERS" -setcookie demo -noinput >orders.out 2>&1
    beam+=("$spawned")
    await 'the second node is registered' registered beta orders
    # shellcheck disable=SC2086
    spawn alpha env ${environment[alpha]} erl -name "$SHOP" -setcookie demo -noinput -pa "$WORK" \
        -s visit start "$ORDERS" "$MESSAGE" "$WORK/go" >shop.out 2>&1
    beam+=("$spawned")
    await 'the first node has sent its message' grep -q 'message echoed' shop.out
}

stop_nodes() {
    kill -KILL "${beam[@]}"
    wait "${beam[@]}" 2>/dev/null || true
    beam=()
    on alpha epmd -kill >/dev/null 2>&1 || true
    on beta epmd -kill >/dev/null 2>&1 || true
    await 'EPMD is gone' not registered beta ''
}

not() { ! "$@"; }

registered() { names 127.0.0.1 "$1" | grep -q "^name $2"; }

show_node_output() { quote <shop.out; }

# --- the stranger ---------------------------------------------------------------------------------------------------

# ask ADDRESS HOST: EPMD's answer to NAMES_REQ, asked from the host. Needs no more than a shell.
ask() {
    on "$2" timeout 2 "$BASH" -c 'exec 3<>/dev/tcp/$0/$1 && printf "\0\1n" >&3 && cat <&3' "$1" "$EPMD_PORT" 2>/dev/null
}

# The names in it; a port of four bytes stands before them.
names() { ask "$1" "$2" | tail -c +5; }

# knock PORT: begins the distribution handshake under a made-up name and shows what comes back.
# Length, 'N', flags (all that a current node asks for), creation, length of the name, name.
knock() {
    on stranger timeout 3 "$BASH" -c '
        exec 3<>"/dev/tcp/$0/$1" || exit 1
        printf "\0\37N\0\0\0\15\7\337\377\275\0\0\0\1\0\20thief@10.77.0.66" >&3
        timeout 1 cat <&3' "$BETA" "$1" >knock.raw || true
    tr -c "[:print:]" . <knock.raw
}

# names_by_tls: what EPMD on beta says to the same request in TLS, from a client without a certificate.
names_by_tls() {
    { printf '\0\1n'; sleep 1; } |
        on stranger timeout 5 openssl s_client -connect "$BETA:$EPMD_PORT" -CAfile pki/ca.pem -quiet -ign_eof 2>/dev/null || true
}

# logged ROLE WORD: whether the log of beta tells that it refused the stranger, for a reason that holds the word.
logged() { refusals "$1" | grep -q "reason=.*$2"; }

show_log() { refusals "$1" | tail -n 1 | quote; }

refusals() { grep -s "event=refused peer=10.77.0.66:.* role=$1 " beta.log || true; }

# --- the wire -------------------------------------------------------------------------------------------------------

start_tap() {
    spawn beta "$ROOT/tests/tools/wiretap" "$WORK/wire.pcap" >tap.out
    tap=$spawned
    await 'the wire is tapped' grep -q listening tap.out
}

# Leaves what was found in the file `seen`.
stop_tap() {
    kill "$tap"
    wait "$tap" || broken 'the tap failed'
    grep -q '^dropped 0$' tap.out || broken 'the tap lost frames'
    "$ROOT/tests/tools/search-capture" wire.pcap "$MESSAGE" "$SHOP" "$ORDERS" >seen
}

seen() { awk -v what="$1" '$1 == "found" && $3 == what || $1 == what { print $2 }' seen; }

show_tapped() {
    note "Of $(seen bytes) bytes in $(seen connections) connections, EPMD's among them, $(($(seen directions) - $(seen not-tls))) of $(seen directions) directions are TLS records from end to end."
    note "Found in clear: the message $(seen "$MESSAGE") times, $SHOP $(seen "$SHOP") times, $ORDERS $(seen "$ORDERS") times."
}

# --- the story ------------------------------------------------------------------------------------------------------

before() {
    heading 'BEFORE: Erlang as it comes'

    step 'Two nodes, two hosts'
    note "alpha ($ALPHA): erl -name $SHOP        beta ($BETA): erl -name $ORDERS"
    start_tap
    start_nodes
    stop_tap
    : >go
    await 'the data is moved' grep -q '^moved' shop.out
    show_node_output
    claim 'the nodes know each other' grep -q 'ping.*pong' shop.out

    step 'A stranger (10.77.0.66) asks EPMD on beta who is there'
    names "$BETA" stranger >names.out || true
    quote <names.out
    claim 'it tells anybody every node and its port' grep -q '^name orders at port' names.out
    local port
    port=$(awk '{ print $5 }' names.out)

    step "The stranger knocks at port $port, under a name it made up"
    knock "$port" >knock.out
    { cat knock.out; echo; } | quote
    claim 'the node answers with a challenge, and its own name' grep -q "sok.*$ORDERS" knock.out

    step 'Somebody listens on the wire'
    show_tapped
    claim 'the message and the names can be read' test "$(seen "$MESSAGE")" -gt 0 -a "$(seen "$SHOP")" -gt 0 -a "$(seen "$ORDERS")" -gt 0
    stop_nodes
}

# policy HOST ADDRESS: its shim.conf. Every key that is not there has a secure default.
policy() {
    cat >"$1.conf" <<END
version = 1;
default_profile = "demo";
profiles: {
  demo: {
    mode = "require";
    distribution: { bind = "$2"; };
    tls: { certificate = "$WORK/pki/$1.pem"; private_key = "$WORK/pki/$1.key"; ca = "$WORK/pki/ca.pem"; };
    log: { target = "$WORK/$1.log"; };
  };
};
END
    environment[$1]="LD_PRELOAD=$BUILD/libdistguard.so DISTGUARD_CONF=$WORK/$1.conf"
}

change_environment() {
    heading 'THE CHANGE: certificates, a policy, and two words in the environment'

    step 'A certificate authority, and a certificate for each host'
    note 'distguard pki init pki' "distguard pki issue pki alpha --dns alpha --ip $ALPHA" \
        "distguard pki issue pki beta --dns beta --ip $BETA"
    "$BUILD/distguard" pki init pki | quote
    "$BUILD/distguard" pki issue pki alpha --dns alpha --ip "$ALPHA" | quote
    "$BUILD/distguard" pki issue pki beta --dns beta --ip "$BETA" | quote

    step 'A policy for each host; this is all of beta.conf'
    policy alpha "$ALPHA"
    policy beta "$BETA"
    quote <beta.conf

    step 'The environment'
    note 'LD_PRELOAD=libdistguard.so DISTGUARD_CONF=beta.conf (on alpha: alpha.conf)'
}

after() {
    heading 'AFTER: the same programs, started with the same commands'

    step 'Two nodes, two hosts'
    note "alpha ($ALPHA): erl -name $SHOP        beta ($BETA): erl -name $ORDERS"
    start_tap
    start_nodes
    stop_tap
    : >go
    await 'the data is moved' grep -q '^moved' shop.out
    show_node_output
    claim 'the nodes know each other' grep -q 'ping.*pong' shop.out
    claim '100 MB went there and back unharmed' grep -q '^moved 100 MB.*every byte as it was' shop.out

    step 'Somebody listens on the wire'
    show_tapped
    claim 'TLS records, and nothing else' test "$(seen connections)" -gt 0 -a "$(seen not-tls)" -eq 0
    claim 'no message, no name' test "$(seen "$MESSAGE")" -eq 0 -a "$(seen "$SHOP")" -eq 0 -a "$(seen "$ORDERS")" -eq 0

    step 'The stranger asks EPMD on beta who is there, as before'
    ask "$BETA" stranger >names.out || true
    note "EPMD answers with $(wc -c <names.out) bytes"
    claim 'it tells the stranger nothing: no name, no port' test ! -s names.out
    claim 'the log says who and why' soon logged epmd plaintext
    show_log epmd

    step 'The stranger asks EPMD with TLS, but without a certificate'
    names_by_tls >names.out
    note "EPMD answers with $(wc -c <names.out) bytes"
    claim 'it tells the stranger nothing' test ! -s names.out
    claim 'the log says who and why' soon logged epmd certificate
    show_log epmd

    step 'Programs of beta itself ask, as ever'
    names 127.0.0.1 beta | quote
    claim 'they are told' registered beta orders
    local port
    port=$(names 127.0.0.1 beta | awk '{ print $5 }')

    step "The stranger knocks at the node's port, $port, which it can only guess now"
    knock "$port" >knock.out
    note "the node answers with $(wc -c <knock.out) bytes"
    claim 'it is hung up on without a word of the handshake' not grep -q "sok\\|$ORDERS" knock.out
    claim 'the log says who and why' soon logged distribution plaintext
    show_log distribution

    step 'The stranger comes with TLS, but without a certificate'
    on stranger timeout 5 openssl s_client -connect "$BETA:$port" -CAfile pki/ca.pem -quiet -ign_eof </dev/null \
        >tls.out 2>&1 || true
    { grep -m 1 alert tls.out || true; } | quote
    claim 'it is turned away with an alert' grep -q alert tls.out
    claim 'the log says who and why' soon logged distribution certificate
    show_log distribution

    step 'Meanwhile the two nodes'
    claim 'are still connected' test "$(established "$port")" -eq 1
    stop_nodes
}

established() { on beta ss -Htn state established "( sport = :$1 )" | grep -c "$ALPHA" || true; }

main() {
    printf '%sdistguard demo%s: three hosts on one wire, alpha, beta and a stranger; real nodes, real EPMD.\n' "$bold" "$plain"
    lay_wire
    before
    change_environment
    after
    heading 'THE END'
    note "$((claims - untrue)) of $claims claims are true. Took $SECONDS s. Nothing is left behind."
    [ "$untrue" -eq 0 ]
}

if [ "${DEMO_INSIDE:-}" != 1 ] || [ $$ -ne 1 ]; then
    enter
fi
unset DEMO_INSIDE
trap 'exit 130' INT TERM HUP
main
