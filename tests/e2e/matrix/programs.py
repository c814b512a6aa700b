"""The programs of the matrix, as data: how each is served, loaded, damaged, asked and ended.

Every command is for `sh -c` in the program's container, as the container's user. `driver.py` says what is done with
them, `docs/compatibility.md` what came of it.
"""

from typing import Final, NamedTuple

PACKAGES: Final = (
    "redis-server,postgresql,nginx,wrk,mariadb-server,memcached,nodejs,openjdk-17-jdk-headless,python3,"
    "python3-psycopg2,tmux,openssh-server,openssh-client,procps,iproute2"
)
# What those need that run with each change; the rest takes minutes to install on a new machine.
FEW_PACKAGES: Final = "redis-server,nginx,wrk,netbase,python3,tmux,procps,iproute2"


class Program(NamedTuple):
    """One line of the matrix."""

    name: str  # of the container, and by which the load reaches it
    what: str  # for the table
    packages: tuple[str, ...]  # whose versions the table gives
    argv: tuple[str, ...]
    options: tuple[str, ...] = ()  # of `create`
    files: tuple[str, ...] = ()  # from inside/, copied to /srv before it starts
    ready: str = "true"  # succeeds once it serves
    prepare: str = ""  # data, before the load
    before_commit: str = ""  # what has to be under way when the commit is made
    load: tuple[str, ...] = ()  # in a container beside it; it lasts some seconds and has to end with `load_status`
    load_options: tuple[str, ...] = ()
    load_files: tuple[str, ...] = ()
    load_status: int = 0
    load_says: str = ""  # a pattern that the load's output must have
    load_never_says: str = "$^"  # and one that it must not have
    progress: str = ""  # a number that grows under the load
    state: str = ""  # what has to be the same in all that come from one commit
    sound: str = ""  # the program's own tools: succeeds if its data is whole
    terminal_shows: str = ""  # what somebody who attaches to its terminal sees
    alive: str = ""  # succeeds if what goes on by itself goes on
    damage: str = ""
    stop_signal: str = "TERM"
    stop_status: int = 0
    logs_say: str = ""  # a pattern of what the program says at its end
    slow: bool = False
    unchecked: bool = False  # not held against a full copy (docs/adr/0032): that walks every page that is reserved


def _http(path: str) -> str:
    return f"""python3 -c 'import urllib.request as r; print(r.urlopen("http://127.0.0.1{path}").read().decode())'"""


def _bank(sql: str) -> str:
    return f"mariadb --batch --skip-column-names -e '{sql}' bank"


SECONDS: Final = "SECONDS"  # stands in a load for how long it lasts

# redis: two numbers that grow together in one transaction, and a file that is written a second later.
_ADD: Final = "redis.call('incr', 'total') return redis.call('incr', 'part:' .. ARGV[1])"
_FILL: Final = "for i = 1, 20000 do redis.call('set', 'filler:' .. i, string.rep('x', 2000)) end"
_SUM: Final = (
    "local sum = 0 for _, key in ipairs(redis.call('keys', 'part:*')) do sum = sum + redis.call('get', key) end "
    "return sum - redis.call('get', 'total')"
)
_REDIS: Final = (
    *("redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--enable-debug-command", "local"),
    *("--dir", "/var/lib/redis", "--appendonly", "yes", "--save", ""),
)
_REDIS_LOAD: Final = (
    *("timeout", SECONDS, "redis-benchmark", "-h", "redis", "-c", "20", "-l", "-r", "20000"),
    *("eval", _ADD, "0", "__rand_int__"),
)
_REDIS_SOUND: Final = (
    f'test "$(redis-cli eval "{_SUM}" 0)" = 0 && before=$(redis-cli debug digest) && '
    'test "$(redis-cli debug loadaof)" = OK && test "$(redis-cli debug digest)" = "$before"'
)

_POSTGRES: Final = (
    "sh",
    "-c",
    "echo 'host all all all trust' >>/etc/postgresql/15/main/pg_hba.conf; "
    "exec /usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main "
    "-c config_file=/etc/postgresql/15/main/postgresql.conf -c external_pid_file=/tmp/pid -c listen_addresses=* "
    '-c unix_socket_directories=/tmp "$@"',
    "postgres",
)
_PSQL: Final = "psql -h /tmp -qAtc"
_POSTGRES_STATE: Final = (
    f"{_PSQL} 'select count(*), sum(delta), md5(string_agg(h::text, $$;$$ order by h::text)) from pgbench_history h'"
)
# What pgbench adds to an account, a teller and a branch is in its history; every index has every row, by amcheck.
_POSTGRES_SOUND: Final = (
    f'test "$({_PSQL} "select (select sum(abalance) from pgbench_accounts) = sum(delta) and '
    "(select sum(tbalance) from pgbench_tellers) = sum(delta) and "
    '(select sum(bbalance) from pgbench_branches) = sum(delta) from pgbench_history")" = t && '
    "/usr/lib/postgresql/15/bin/pg_amcheck -h /tmp --install-missing --heapallindexed postgres"
)


def _postgres(name: str, what: str, scale: int, *more: str, slow: bool = False, prepare: str = "true") -> Program:
    return Program(
        name=name,
        what=what,
        packages=("postgresql-15",),
        argv=(*_POSTGRES, *more),
        options=("-u", "postgres", "--shm-size", "256m"),
        ready=f"{_PSQL} 'select 1'",
        prepare=f"pgbench -h /tmp -i -q -s {scale} postgres && {prepare}",
        load=("pgbench", "-n", "-h", name, "-c", "4", "-T", SECONDS, "postgres"),
        load_options=("-u", "postgres"),
        load_says=r"number of failed transactions: 0 \(",
        progress=f"{_PSQL} 'select count(*) from pgbench_history'",
        state=_POSTGRES_STATE,
        sound=_POSTGRES_SOUND,
        damage=f"{_PSQL} 'truncate pgbench_history'",
        stop_signal="INT",
        logs_say="database system is shut down",
        slow=slow,
    )


_NGINX_COUNT: Final = _http("/status") + " | awk 'NR == 3 { print $3 }'"

_BANK: Final = "mariadb --batch --skip-column-names bank --execute"
_BANK_SUMS: Final = (
    "select (select sum(balance) from account) = 1000000 and not exists (select 1 from account left join "
    "(select id, sum(d) as moved from (select source as id, -delta as d from history union all "
    "select target, delta from history) as both_ways group by id) as moves using (id) "
    "where balance <> 1000 + coalesce(moved, 0))"
)
_SSH: Final = ("ssh", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR")
_TMUX: Final = "tmux -S /tmp/tmux"


def _counter(
    name: str, what: str, packages: tuple[str, ...], file: str, argv: tuple[str, ...], **more: bool
) -> Program:
    return Program(
        name=name,
        what=what,
        packages=packages,
        argv=argv,
        files=(file,),
        ready=_http(":8000/ticks"),
        load=("wrk", "--timeout", "60", "-t", "1", "-c", "8", "-d", SECONDS, f"http://{name}:8000/add"),
        load_says=r"requests in ",
        load_never_says=r"Non-2xx|Socket errors",
        progress=_http(":8000/state") + " | cut -d' ' -f1",
        state=_http(":8000/state"),
        sound=_http(":8000/state") + " | grep True",
        alive=f'before=$({_http(":8000/ticks")}); sleep 0.5; test "$({_http(":8000/ticks")})" -gt "$((before + 5))"',
        damage="for i in 1 2 3; do " + _http(":8000/add") + "; done",
        stop_status=37,
        logs_say="ended",
        **more,
    )


PROGRAMS: Final = (
    Program(
        name="redis",
        what="redis, append-only file, under redis-benchmark",
        packages=("redis-server",),
        argv=_REDIS,
        ready="redis-cli ping | grep PONG",
        load=_REDIS_LOAD,
        load_status=124,  # it went on until its time was over: it ends by itself at the first error
        progress="redis-cli get total",
        state="redis-cli debug digest",
        sound=_REDIS_SOUND,
        damage="redis-cli flushall",
        logs_say="Redis is now ready to exit",
    ),
    Program(
        name="redis",
        what="redis during a background save, under redis-benchmark",
        packages=("redis-server",),
        argv=(*_REDIS, "--rdb-key-save-delay", "200"),
        ready="redis-cli ping | grep PONG",
        prepare=f'redis-cli eval "{_FILL}" 0',
        before_commit="redis-cli bgsave && redis-cli info persistence | grep rdb_bgsave_in_progress:1",
        load=_REDIS_LOAD,
        load_status=124,
        progress="redis-cli get total",
        state="redis-cli debug digest",
        sound=(
            "n=0; while redis-cli info persistence | grep -q rdb_bgsave_in_progress:1; do sleep 0.2; n=$((n + 1)); "
            "test $n -lt 150 || exit 1; done; redis-cli info persistence | grep rdb_last_bgsave_status:ok && "
            f"redis-check-rdb /var/lib/redis/dump.rdb && {_REDIS_SOUND}"
        ),
        damage="redis-cli flushall",
        slow=True,
        logs_say="Redis is now ready to exit",
    ),
    # With each change PostgreSQL goes the thin path, and nginx has what loads this Python program.
    _postgres("postgres", "PostgreSQL, under pgbench", 2, slow=True),
    _postgres(
        "postgres-large",
        "PostgreSQL with 1 GB of shared buffers in use, under pgbench",
        40,
        *("-c", "shared_buffers=1GB"),
        slow=True,
        prepare=(
            f"{_PSQL} 'create extension pg_prewarm' "
            "-c 'select sum(pg_prewarm(oid)) from pg_class where relkind = $$r$$'"
        ),
    ),
    Program(
        name="nginx",
        what="nginx with two workers, under wrk",
        packages=("nginx", "wrk"),
        argv=("nginx", "-c", "/srv/nginx.conf"),
        files=("nginx.conf",),
        ready=_http("/status"),
        prepare="head -c 100000 /dev/urandom >/srv/page",
        load=("wrk", "--timeout", "60", "-t", "1", "-c", "16", "-d", SECONDS, "http://nginx/page"),
        load_says=r"requests in ",
        load_never_says=r"Non-2xx|Socket errors",
        progress=_NGINX_COUNT,
        state="sha256sum /srv/page",
        sound=f"counted=$({_NGINX_COUNT}); sleep 0.3; test $(wc -l </var/log/nginx/access.log) = $counted",
        damage="rm /srv/page",
        stop_signal="QUIT",
        logs_say="exit",
    ),
    _counter(
        "python",
        "Python with threads and asyncio, under wrk",
        ("python3",),
        "counter.py",
        ("python3", "/srv/counter.py"),
        slow=True,
    ),
    _counter(
        "node",
        "node with a worker thread and timers, under wrk",
        ("nodejs",),
        "counter.js",
        ("node", "/srv/counter.js"),
        slow=True,
    ),
    _counter(
        "jvm",
        "a JVM with threads, timers and garbage, under wrk",
        ("openjdk-17-jre-headless",),
        "Counter.java",
        ("java", "-Xmx256m", "/srv/Counter.java"),
        slow=True,
    ),
    Program(
        name="mariadb",
        what="MariaDB with InnoDB, under mariadb-slap",
        packages=("mariadb-server",),
        argv=(
            *("sh", "-c", 'install -d -o mysql /run/mysqld; exec mariadbd --user=mysql "$@"', "mariadbd"),
            *("--bind-address=0.0.0.0", "--skip-name-resolve"),
        ),
        files=("bank.sql",),
        ready="mariadb --execute 'select 1'",
        prepare="mariadb </srv/bank.sql",
        load=(
            *("timeout", SECONDS, "mariadb-slap", "-h", "mariadb", "-u", "teller", "--create-schema=bank"),
            *("--no-drop", "--concurrency=4", "--number-of-queries=10000000", "--query=call transfer()"),
        ),
        load_status=124,
        load_never_says="Error",
        progress=f"{_BANK} 'select count(*) from history'",
        state=f"{_BANK} 'checksum table account, history extended'",
        sound=f"mysqlcheck --extended bank && test \"$({_BANK} '{_BANK_SUMS}')\" = 1",
        damage=f"{_BANK} 'update account set balance = 0'",
        logs_say="Shutdown complete",
        slow=True,
        unchecked=True,  # it reserves 8 TB
    ),
    Program(
        name="memcached",
        what="memcached with four threads, under sets, gets and counts",
        packages=("memcached",),
        argv=("memcached", "-v", "-u", "memcache", "-l", "0.0.0.0", "-t", "4"),
        files=("memcached_state.py", "memcached_ask.py"),
        ready="python3 /srv/memcached_ask.py version",
        prepare="python3 /srv/memcached_ask.py set total 0 0 1",
        load=("python3", "/srv/memcached_load.py", "memcached", SECONDS),
        load_files=("memcached_load.py",),
        load_says="wrong answers: 0",
        progress="python3 /srv/memcached_ask.py incr total 0",
        state="python3 /srv/memcached_state.py",
        damage="python3 /srv/memcached_ask.py incr total 1000000",
        logs_say="Exiting normally",
        slow=True,
    ),
    Program(
        name="tmux",
        what="a shell in tmux on the container's terminal, with a program in another window",
        packages=("tmux", "bash"),
        argv=("tmux", "-S", "/tmp/tmux", "new-session", "-s", "main", "sh", "/srv/live_session.sh", "100000"),
        options=("-i", "-t", "-e", "TERM=xterm"),
        files=("live_session.sh",),
        ready=f"test -e /tmp/session && {_TMUX} list-windows",
        prepare=(
            f"{_TMUX} new-window -d -n shell 'PS1=ready: bash --norc' && sleep 1 && "
            f"{_TMUX} send-keys -t main:shell 'kept=of-the-shell' Enter"
        ),
        progress="cat /tmp/session",
        state=(
            f"{_TMUX} clear-history -t main:shell; {_TMUX} send-keys -t main:shell 'echo $kept $$ >/tmp/kept' Enter; "
            "sleep 0.5; cat /tmp/kept"
        ),
        terminal_shows="round ",
        sound=f"{_TMUX} capture-pane -p -t main:0 | grep 'round '",
        alive="before=$(cat /tmp/session); sleep 1; test $(cat /tmp/session) -gt $before",
        damage=f"{_TMUX} send-keys -t main:shell 'kept=otherwise' Enter",
        stop_status=1,
        logs_say="terminated",
    ),
    Program(
        name="sshd",
        what="sshd with a live session on a terminal",
        packages=("openssh-server",),
        argv=(
            *("sh", "-c", 'passwd -d root; mkdir -p /run/sshd; exec /usr/sbin/sshd -D -e "$@"', "sshd"),
            *("-o", "PermitRootLogin=yes", "-o", "PermitEmptyPasswords=yes", "-o", "UsePAM=no"),
        ),
        files=("live_session.sh",),
        ready="ssh-keyscan -t ed25519 127.0.0.1 | grep ssh-",
        prepare="echo sound >/srv/note",
        load=(*_SSH, "-tt", "root@sshd", "sh", "/srv/live_session.sh", SECONDS),
        load_says="all rounds gone",
        progress="cat /tmp/session 2>/dev/null || echo 0",
        state="cat /srv/note",
        sound=f'test "$({" ".join(_SSH)} root@127.0.0.1 cat /srv/note)" = sound',
        damage="echo damaged >/srv/note",
        logs_say="Received signal 15; terminating",
        slow=True,
    ),
)

# A whole Debian: its init, its own services, and one whose numbers can be checked. The image has no other programs than
# `template build` gives it.
_ASK: Final = "perl /srv/notary_ask.pl 127.0.0.1 look"
_SERVICES: Final = "notary dbus systemd-journald"
SYSTEM: Final = Program(
    name="machine",
    what="a Debian with systemd and its services, under requests to one of them",
    packages=("systemd", "dbus"),
    argv=(),
    options=("--init", "-m", "512m"),
    files=("notary.pl", "notary.service", "notary_ask.pl"),
    ready="test $(systemctl is-system-running) = running",
    prepare="systemctl enable --now /srv/notary.service && until " + _ASK + "; do sleep 1; done",
    load=("perl", "/srv/notary_ask.pl", "machine", "count", SECONDS),
    load_files=("notary_ask.pl",),
    load_says="wrong answers: 0",
    progress=f"{_ASK} | cut -d ' ' -f 1",
    state=f"{_ASK}; systemctl show --property MainPID --value {_SERVICES}",
    sound=(
        f"{_ASK} | grep sound && test $(systemctl is-system-running) = running && journalctl --verify --quiet && "
        "systemd-run --wait --quiet true"
    ),
    damage="systemctl stop notary && rm /var/lib/notary",
    stop_signal="RTMIN+3",
    logs_say="",
)
