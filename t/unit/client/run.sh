#!/bin/bash
# The client against real servers: TAP, exit code 1 if anything fails.
#
#   t/unit/client/run.sh [SCENARIO...]
#
# NGX_BIN    the nginx to load into, /usr/sbin/nginx
# NGX_TREE   its configured sources, build/release/nginx-src
# RF_CFLAGS  more for the compiler: -fsanitize=address
# RF_RUN     what to run nginx under: valgrind ...
# RF_EVENTS  "use poll;" and the like

cd "$(dirname "$0")/../../.." || exit 1
NGX_BIN=${NGX_BIN:-/usr/sbin/nginx}
NGX_TREE=${NGX_TREE:-build/release/nginx-src}
HERE=t/unit/client
DIR=$(mktemp -d /tmp/rf_client.XXXXXX)
OUT=$DIR/out
ONLY=" $* "
SANITIZE=
case "$RF_CFLAGS$RF_RUN" in *sanitize*|*valgrind*) SANITIZE=1;; esac

chmod 755 "$DIR"
: > "$OUT"

finish()
{
    kill_redis
    [ -n "$HOLE" ] && kill "$HOLE"
    [ -n "$BOGUS" ] && kill "$BOGUS"
    [ -n "$KEEP" ] || rm -rf "$DIR"
}
trap finish EXIT

say() { echo "$1" | tee -a "$OUT"; }
check() { if eval "$2"; then say "ok - $1"; else say "not ok - $1"; fi; }

# below those that the kernel gives to clients: one of them that tries a server
# that is down might get the server's port, and be connected to itself

port() { python3 -c 'import random, socket
while True:
    p = random.randrange(10000, 32768)
    try: socket.socket().bind(("127.0.0.1", p))
    except OSError: continue
    print(p)
    break'; }

cc -shared -fPIC -g -O1 -Wall -Wextra -Wno-unused-parameter -Werror \
    $RF_CFLAGS -o "$DIR/rf_client.so" \
    -I"$NGX_TREE"/src/core -I"$NGX_TREE"/src/event -I"$NGX_TREE"/src/os/unix \
    -I"$NGX_TREE"/src/event/modules -I"$NGX_TREE"/objs \
    -Ingx_http_redis_fallback_module -I$HERE $HERE/*.c \
    ngx_http_redis_fallback_module/ngx_rf_{redis,conn,conn_write,pipeline,handshake}.c \
    ngx_http_redis_fallback_module/ngx_rf_{resp,resolve,socket,log}.c \
    -lhiredis || exit 1

PORT=$(port)
SOCK=$DIR/redis.sock

# the hook that scenarios call

cat > "$DIR/hook" <<END
#!/bin/bash
pid=\$(cat $DIR/redis.pid 2>/dev/null)
case \$1 in
stop) kill -STOP \$pid ;;
cont) kill -CONT \$pid ;;
kill) kill -KILL \$pid
      # gone, or a zombie without other threads: they have its port
      while [ "\$(echo /proc/\$pid/task/*)" != "/proc/\$pid/task/\$pid" ] \\
            && [ -d /proc/\$pid ] \\
            || grep -qs '^State:.[^Z]' /proc/\$pid/status; do
          sleep 0.01
      done
      rm -f $DIR/redis.pid ;;
start) rm -f $DIR/redis.pid
      redis-server $DIR/redis.conf > $DIR/redis.out 2>&1 ;;
esac
true
END
chmod +x "$DIR/hook"

kill_redis()
{
    [ -f "$DIR/redis.pid" ] || return
    "$DIR/hook" kill
}

start_redis()       # more configuration
{
    kill_redis
    cat > "$DIR/redis.conf" <<END
bind 127.0.0.1 -::1
port $PORT
unixsocket $SOCK
dir $DIR
save ""
daemonize yes
pidfile $DIR/redis.pid
logfile $DIR/redis.log
$1
END
    "$DIR/hook" start
    for _ in $(seq 200); do
        (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && [ -s "$DIR/redis.pid" ] && return
        sleep 0.02
    done
    say "not ok - redis starts"
}

config()        # title, scenario, settings...
{
    local title=$1 scenario=$2
    shift 2
    {
        echo "load_module $DIR/rf_client.so;"
        echo "daemon off; pid $DIR/nginx.pid;"
        echo "error_log $DIR/error.log ${LEVEL:-info};"
        echo "${MASTER:-master_process off;}"
        echo "events { $RF_EVENTS }"
        echo "rf title '$title';"
        echo "rf scenario $scenario;"
        echo "rf hook $DIR/hook;"
        [ -z "$RF_EVENTS" ] && echo "rf threads on;"
        [ -n "$SANITIZE" ] && echo "rf sanitize 1;"
        for s in "$@"; do echo "rf $s;"; done
    } > "$DIR/nginx.conf"
    : > "$DIR/error.log"
}

wanted() { [ "$ONLY" = "  " ] || [[ "$ONLY" == *" $1 "* ]]; }

launch()
{
    ASAN_OPTIONS=detect_odr_violation=0:detect_leaks=${LEAKS:-0}:exitcode=99:log_path=$DIR/asan \
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=0:log_path=$DIR/asan \
    exec $RF_RUN "$NGX_BIN" -p "$DIR/" -c "$DIR/nginx.conf" -e "$DIR/error.log"
}

judge()         # title, exit code
{
    check "$1: nginx ends well" "[ $2 = 0 ]"
    check "$1: no alert" "! grep -E '\[(alert|emerg)\]' $DIR/error.log >&2"
    for f in "$DIR"/asan.*; do
        [ -f "$f" ] && { say "not ok - $1: sanitizer"; cat "$f" >&2; rm "$f"; }
    done
}

run()           # title, scenario, settings...
{
    wanted "$2" || return
    config "$@"
    (launch) > "$DIR/tap" 2>> "$DIR/stderr"
    local rc=$?
    tee -a "$OUT" < "$DIR/tap"
    judge "$1" $rc
}

errors() { grep -c '\[error\]' "$DIR/error.log"; }

# each address family

start_redis
run "tcp" hello "server 127.0.0.1:$PORT"
run "unix" hello "server unix:$SOCK"
run "ipv6" hello "server [::1]:$PORT"
run "name" hello "server localhost:$PORT"

start_redis "requirepass sesame"
run "database" database "server 127.0.0.1:$PORT" "database 3" \
    "password sesame"
LEVEL=debug run "wrong password" refuse "server 127.0.0.1:$PORT" \
    "password open-barley" "expect 'AUTH: WRONGPASS'"
wanted refuse && check "no secret in a debug log" \
    "! grep -q -e open-barley -e sesame $DIR/error.log"
run "no password" refuse "server 127.0.0.1:$PORT" "expect NOAUTH"
run "no such database" refuse "server 127.0.0.1:$PORT" "password sesame" \
    "database 77" "expect 'SELECT: ERR DB index'"

start_redis "user bob on >pw ~* +@all -info -dbsize -client"
run "user" noperm "server 127.0.0.1:$PORT" "user bob" "password pw"
run "password for nothing" refuse "server 127.0.0.1:$PORT" \
    "password open-barley" "expect 'AUTH'"
start_redis "rename-command AUTH XAUTH"
LEVEL=debug run "unknown AUTH" refuse "server 127.0.0.1:$PORT" \
    "password open-barley" "expect 'AUTH: ERR'"
wanted refuse && check "no secret in a debug log" \
    "! grep -q -e open-barley $DIR/error.log"
start_redis "replicaof 127.0.0.1 1
replica-serve-stale-data no"
run "stale replica" refuse "server 127.0.0.1:$PORT" "expect MASTERDOWN"
start_redis "maxclients 1"
run "maxclients" maxclients "server 127.0.0.1:$PORT" \
    "expect 'max number of clients'"
start_redis "requirepass sesame
maxclients 1"
run "maxclients, AUTH" maxclients "server 127.0.0.1:$PORT" "password sesame" \
    "expect 'max number of clients'"

if wanted refuse; then
    start_redis "enable-debug-command yes"
    redis-cli -p "$PORT" debug populate 3000 key 500 > /dev/null
    redis-cli -p "$PORT" save > /dev/null
    start_redis "key-load-delay 1000
loading-process-events-interval-bytes 1024"
    run "loading" refuse "server 127.0.0.1:$PORT" "expect LOADING"
    kill_redis
    rm "$DIR/dump.rdb"
fi

# servers that are none

bogus()             # mode, expected failure
{
    wanted bogus || return
    rm -f "$DIR/bogus"
    python3 $HERE/bogus.py "$1" "$DIR/bogus" &
    BOGUS=$!
    while [ ! -f "$DIR/bogus" ]; do sleep 0.02; done
    run "bogus, $1" bogus "server 127.0.0.1:$(cat "$DIR/bogus")" "expect '$2'"
    kill $BOGUS
    wait $BOGUS 2>/dev/null
    BOGUS=
}

bogus early "nobody asked for"
bogus garbage "rotocol error"
bogus half "closed the connection"
bogus huge "o"
bogus silent "timed out"
bogus mute "timed out"
bogus drip "timed out"
bogus reset "failed (104"

# traffic

start_redis
run "turn" turn "server 127.0.0.1:$PORT"
run "turn, unix" turn "server unix:$SOCK"
run "soon" soon "server 127.0.0.1:$PORT"
run "hold" hold "server 127.0.0.1:$PORT" "timeout 10000" "max_retries 30"
start_redis
run "hold, unix" hold "server unix:$SOCK" "timeout 10000" "max_retries 30"
start_redis
run "values" values "server 127.0.0.1:$PORT" "timeout 10000"
start_redis
run "cut" cut "server 127.0.0.1:$PORT" "timeout 10000"
run "cut, unix" cut "server unix:$SOCK" "timeout 10000"
run "idle" idle "server 127.0.0.1:$PORT"
wanted idle && check "an idle connection is closed without [error]" \
    "[ $(errors) = 0 ]"
run "unasked" unasked "server 127.0.0.1:$PORT"
run "slept" slept "server 127.0.0.1:$PORT"

# outages

start_redis
run "killed" killed "server 127.0.0.1:$PORT" "max_retries 30"
start_redis
run "stopped" stopped "server 127.0.0.1:$PORT"
start_redis
run "nested" nest "server 127.0.0.1:$PORT" "max_retries 5"
start_redis
run "nested, name" nest "server localhost:$PORT" "max_retries 5"
run "restarted" restarted "server 127.0.0.1:$PORT"
FREE=$(port)
run "refused" refused "server 127.0.0.1:$FREE"
wanted refused && check "an outage is one [error]" "[ $(errors) = 1 ]"
wanted refused && check "the line says it all" "grep -q 'connect() failed \
(111: Connection refused) while connecting to redis, store \"app\", peer: \
127.0.0.1:$FREE' $DIR/error.log"
run "refused, unix" refused "server unix:$DIR/none"
run "refused, name" refused "server localhost:$FREE"
[ -z "$RF_EVENTS" ] && run "unknown name" refuse "server no-such-host.invalid:1" \
    "connect_timeout 9000" "expect 'n'"
run "failures" failures "server 127.0.0.1:$FREE"
run "failures, name" failures "server localhost:$FREE"

python3 - "$DIR/hole" <<'END' &
import socket, sys, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(0)
full = []
for i in range(4):
    c = socket.socket()
    c.setblocking(False)
    c.connect_ex(s.getsockname())
    full.append(c)
open(sys.argv[1] + ".new", "w").write(str(s.getsockname()[1]))
import os
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
END
HOLE=$!
while [ ! -f "$DIR/hole" ]; do sleep 0.05; done
run "black hole" hole "server 127.0.0.1:$(cat "$DIR/hole")"

# several links

start_redis
run "links" links "server 127.0.0.1:$PORT" "connections 4"
run "hold, 4 links" hold_links "server 127.0.0.1:$PORT" "timeout 10000" \
    "connections 4"
run "links, name" links "server localhost:$PORT" "connections 4"
run "nested, 4 links" nest "server 127.0.0.1:$PORT" "max_retries 5" \
    "connections 4"
run "refused, 4 links" refused "server 127.0.0.1:$FREE" "connections 4"
wanted refused && check "an outage of 4 links is one [error]" \
    "[ $(errors) = 1 ]"
wanted refused && check "and 4 links try no more often than one, twice 3 times" \
    "[ $(grep -c 'connect() failed' "$DIR/error.log") = 6 ]"
run "black hole, 4 links" hole "server 127.0.0.1:$(cat "$DIR/hole")" \
    "connections 4"
run "calls, 4 links" millions "server 127.0.0.1:$PORT" "timeout 5000" \
    "connections 4"
run "destroyed, 4 links" destroys "server 127.0.0.1:$PORT" "connections 4"

# growth

start_redis
run "reconnects" reconnects "server 127.0.0.1:$PORT" "cycles 4000"
run "reconnects, name" reconnects "server localhost:$PORT" "cycles 1500"
run "calls" millions "server 127.0.0.1:$PORT" "timeout 5000"
run "destroyed" destroys "server 127.0.0.1:$PORT"
run "destroyed, name" destroys "server localhost:$PORT"

# exits

run "exit with calls" leave "server 127.0.0.1:$PORT"

pid() { cat "$DIR/nginx.pid"; }

if wanted exit; then
    MASTER="worker_processes 1;" config "reload" ping \
        "server 127.0.0.1:$PORT" "stay 1"
    (launch) > "$DIR/tap" 2>> "$DIR/stderr" &
    job=$!
    sleep "${SANITIZE:+3}.5"
    worker=$(pgrep -P "$(pid)")
    kill -HUP "$(pid)"
    sleep "${SANITIZE:+3}.7"
    check "reload: a worker with an idle connection goes at once" \
        "! kill -0 $worker 2>/dev/null"
    began=$(date +%s%N)
    kill -QUIT "$(pid)"
    wait $job
    rc=$?
    took=$((($(date +%s%N) - began) / 1000000))
    tee -a "$OUT" < "$DIR/tap"
    check "reload: quit took $took ms" "[ $took -lt ${SANITIZE:+4}500 ]"
    judge "reload" $rc

    MASTER="worker_processes 1;" config "quit" quit \
        "server 127.0.0.1:$PORT" "stay 1"
    (launch) > "$DIR/tap" 2>> "$DIR/stderr" &
    job=$!
    sleep "${SANITIZE:+3}.3"
    kill -QUIT "$(pid)"
    wait $job
    rc=$?
    tee -a "$OUT" < "$DIR/tap"
    judge "quit" $rc

    # the worker tells its master, too

    MASTER="worker_processes 1; user $(id -un) $(id -gn);" config "quit in a hold" \
        hold_quit "server 127.0.0.1:$PORT" "stay 1"
    (launch) > "$DIR/tap" 2>> "$DIR/stderr" &
    job=$!
    for _ in $(seq 200); do
        kill -0 $job 2>/dev/null || break
        sleep 0.05
    done
    kill -QUIT $job 2>/dev/null
    wait $job
    rc=$?
    tee -a "$OUT" < "$DIR/tap"
    check "quit in a hold: all were answered" "grep -q replies $DIR/tap"
    judge "quit in a hold" $rc
fi

echo "1..$(grep -cE '^(not )?ok' "$OUT")"
failed=$(grep -c '^not ok' "$OUT")
[ "$failed" = 0 ] || { grep '^not ok' "$OUT" >&2; exit 1; }
