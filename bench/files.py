"""The measuring of files.sh: what is run, the clock, the comparison, the table and the bars.

Every round of every program starts from nothing: new homes, an empty target, written data synced away. The clock runs
from the start of the sending program (its start-up and hashing count) to the exit of the receiving one; daemons (sshd,
rsync, croc's relay) are up before. In the row of one small file it runs from the start of the receiver. Then the output
is compared, byte by byte, and only then is the round a figure. Programs take turns within a round.
"""
import argparse, contextlib, ctypes, filecmp, json, os, re, shutil, signal, socket, statistics, subprocess, sys, threading, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
LIMIT = 90  # seconds for one round of one program; a third of it with --quick
TRIES = 2  # failures in a row until a program is left out of a row

def read(path, pattern):
    """The first group of a pattern in a file, or None."""
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return None
    return found and found[1]

class Failed(Exception):
    """A round that gave no figure, with the reason."""

class Round:
    """One run of one program: its processes, its clock, its time on a core, its memory."""

    def __init__(self, row, top):
        self.row, self.dir, self.out, self.home = row, top, top / "out", top / "home"
        for path in (self.out, self.home):
            path.mkdir(parents=True)
        self.began = self.seconds = None
        self.cpu, self.deadline, self.over = 0.0, time.monotonic() + ARGS.limit, threading.Event()
        self.living, self.texts, self.codes, self.sides = {}, {}, {}, {}  # by process id
        self.peaks = {}  # side -> bytes of anonymous memory
        threading.Thread(target=self._watch, daemon=True).start()

    def spawn(self, argv, side=None, cwd=None, **env):
        argv = [str(a) for a in argv]
        base = {k: v for k, v in os.environ.items() if not k.startswith(("COMPEER_", "XDG_", "CROC_"))}
        base |= {"HOME": str(self.home)} | {k: str(v) for k, v in env.items()}
        try:
            child = subprocess.Popen(argv, cwd=cwd or self.dir, env=base, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except OSError as error:
            raise Failed(f"`{argv[0]}`: {error.strerror}") from None
        pid, child.returncode = child.pid, 0  # reaped here, by wait4, not by Popen
        self.living[pid], self.texts[pid], self.sides[pid] = argv, "", side
        threading.Thread(target=self._drain, args=(pid, child.stdout), daemon=True).start()
        return pid

    def _drain(self, pid, pipe):
        while data := os.read(pipe.fileno(), 65536):
            self.texts[pid] = (self.texts[pid] + data.decode(errors="replace"))[-MIB:]
        pipe.close()

    def _watch(self):
        """Samples anonymous memory of the named sides; ends everything at the deadline."""
        while not self.over.wait(0.01):
            for pid, side in [(p, s) for p, s in list(self.sides.items()) if s]:
                found = read(f"/proc/{pid}/status", r"RssAnon:\s+(\d+)")
                self.peaks[side] = max(self.peaks.get(side, 0), int(found or 0) * 1024)
            if time.monotonic() > self.deadline:
                return self.signal(signal.SIGKILL)

    def send(self, argv, **env):
        self.began = time.monotonic()
        return self.spawn(argv, "send", **env)

    def get(self, argv, side="get", **more):
        """The last program of a round, to its exit; the clock starts here if nothing started it before."""
        if self.began is None or self.row.from_get:
            self.began = time.monotonic()
        self.wait(self.spawn(argv, side, **more))
        self.seconds = time.monotonic() - self.began

    def _reap(self, options):
        pid, status, usage = os.wait4(-1, options)
        if pid:
            self.cpu += usage.ru_utime + usage.ru_stime
            self.codes[pid] = os.waitstatus_to_exitcode(status)
            self.living.pop(pid, None)
            self.sides.pop(pid, None)
        return pid

    def last_words(self, pid):
        time.sleep(0.05)  # for them to be read; no figure comes of this round
        return " / ".join(re.split(r"[\r\n]+", self.texts[pid].strip())[-2:])[-160:]

    def wait(self, pid):
        """Until it has exited, with code 0."""
        argv = self.living.get(pid)
        while pid not in self.codes:
            self._reap(0)
        if self.codes[pid] != 0:
            late = f" at the limit of {ARGS.limit} s" if time.monotonic() > self.deadline else ""
            raise Failed(f"`{Path(argv[0]).name}` exit {self.codes[pid]}{late}: {self.last_words(pid)}")

    def until(self, pid, ready):
        """What `ready` gives, once it gives something; Failed if the process ends before."""
        while not (got := ready()):
            self._reap(os.WNOHANG)
            if pid in self.codes:
                raise Failed(f"exit {self.codes[pid]} before it was ready: {self.last_words(pid)}")
            time.sleep(0.0005)
        return got

    def find(self, pid, pattern):
        return self.until(pid, lambda: re.search(pattern, self.texts[pid]))[1]

    def up(self, pid, *numbers):
        for port in numbers:
            self.until(pid, lambda port=port: socket.socket().connect_ex(("127.0.0.1", port)) == 0)

    def signal(self, number):
        """To all that was started, and to orphans of theirs that came to us."""
        orphans = read(f"/proc/self/task/{os.getpid()}/children", "(.*)") or ""
        for pid in {*self.living, *map(int, orphans.split())}:
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def end(self):
        """Ends what still runs, by its id, and counts the time on a core of all of it, descendants too."""
        began, patience = time.monotonic(), 2 if self.seconds else 0  # a sender may see for itself that all is done
        steps = [(patience, signal.SIGTERM), (patience + 4, signal.SIGKILL)]
        try:
            while (waited := time.monotonic() - began) < 15:
                if self._reap(os.WNOHANG):
                    continue
                if not any(self.sides.values()):
                    waited += patience
                while steps and waited >= steps[0][0]:
                    self.signal(steps.pop(0)[1])
                time.sleep(0.002)
            raise Failed("its processes do not end")
        except ChildProcessError:
            self.over.set()

# ---- the programs ----

def ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    numbers = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return numbers

def compeer(r):
    send = r.send([ARGS.compeer, "send", "--listen", "127.0.0.1:0", r.row.source], COMPEER_HOME=r.dir / "send")
    ticket = r.find(send, r"\b(share[a-z2-7]{20,})")
    r.get([ARGS.compeer, "get", ticket, "-o", r.out], COMPEER_HOME=r.dir / "get")

def ssh_up(r):
    """A private sshd with keys of its own; gives the options of a client."""
    key, host, [port] = r.home / "key", r.home / "host", ports(1)
    for path in (key, host):
        subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", path], check=True)
    (r.home / "sshd").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host}\nAuthorizedKeysFile {key}.pub\nPidFile none\nStrictModes no\n"
        "UsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nSubsystem sftp internal-sftp\nLogLevel ERROR\n")
    (r.home / "ssh").write_text(
        f"Host *\nPort {port}\nIdentityFile {key}\nIdentitiesOnly yes\nBatchMode yes\nStrictHostKeyChecking no\n"
        "UserKnownHostsFile /dev/null\nGlobalKnownHostsFile /dev/null\nLogLevel ERROR\nCompression no\n"
        "Ciphers aes128-gcm@openssh.com\n")
    sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin") or "sshd"
    r.up(r.spawn([sshd, "-D", "-e", "-f", r.home / "sshd"]), port)
    return r.home / "ssh"

def scp(r):
    config = ssh_up(r)
    r.get(["scp", "-q", "-r", "-F", config, "-c", "aes128-gcm@openssh.com", r.row.source, f"127.0.0.1:{r.out}"], None)

def rsync_ssh(r):
    config = ssh_up(r)
    r.get(["rsync", "-a", "-e", f"ssh -F {config}", r.row.source, f"127.0.0.1:{r.out}/"], None)

def rsync_daemon(r):
    [port], config = ports(1), r.home / "rsyncd"
    user = "uid = 0\ngid = 0\n" if os.getuid() == 0 else ""
    config.write_text(f"address = 127.0.0.1\nport = {port}\nuse chroot = no\npid file = {r.home}/pid\n{user}"
                      f"[out]\npath = {r.out}\nread only = no\n")
    r.up(r.spawn(["rsync", "--daemon", "--no-detach", f"--config={config}"]), port)
    r.get(["rsync", "-a", r.row.source, f"rsync://127.0.0.1:{port}/out/"], None)

def croc(r, flags=(), send_flags=(), **env):
    numbers = ports(5)
    relay, code = f"127.0.0.1:{numbers[0]}", f"7123-bench-{os.urandom(6).hex()}"
    relayed = ["croc", "relay", "--host", "127.0.0.1", "--ports", ",".join(map(str, numbers))]
    r.up(r.spawn(relayed, **env), *numbers)
    common = ["croc", *flags, "--relay", relay, "--pass", "pass123", "--ignore-stdin"]
    send = r.send([*common, "send", *send_flags, r.row.source], CROC_SECRET=code, **env)
    r.find(send, "(Code is)")
    if r.row.from_get:
        time.sleep(1)  # it prints the code before it can be reached
    r.get([*common, "--yes", "--out", r.out], CROC_SECRET=code, **env)

def sendme(r):
    common = ["--no-progress", "--relay", "disabled"]
    send = r.send(["sendme", "send", *common, "--ticket-type", "addresses", r.row.source])
    ticket = r.find(send, r"sendme receive (\S+)")
    r.get(["sendme", "receive", *common, ticket], cwd=r.out)

def croc_tuned(r):
    """What of its options and of Go's helped here: no compression, a hash of samples only, a lazy garbage collector."""
    croc(r, ["--no-compress"], ["--hash", "imohash"], GOGC=1000)

PROGRAMS = {"compeer": compeer, "scp": scp, "rsync-ssh": rsync_ssh, "rsync-daemon": rsync_daemon, "croc-tuned": croc_tuned,
            "croc": croc, "sendme": sendme}

# ---- the rows ----

class Row:
    """A size and number of files in one place, and what each program made of it."""

    def __init__(self, name, top, files, size, rounds, from_get=False):
        self.name, self.top, self.files, self.size, self.rounds, self.from_get = name, top, files, size, rounds, from_get
        self.source = top / "source" / ("many" if files > 1 else "one")
        self.results = {}  # program -> list of Round or str

    def title(self):
        size = f"{self.size // MIB} MiB" if self.size >= MIB else f"{self.size // 1024} KiB"
        since = ", from the start of the receiver" if self.from_get else ""
        return f"{self.name}: {self.files:,} × {size}{since}, {self.rounds} rounds"

    def make(self):
        for n in range(self.files):
            path = self.source / f"{n // 100:02}" / f"file-{n:05}.bin" if self.files > 1 else self.source
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as file:
                for at in range(0, self.size, MIB):
                    file.write(os.urandom(min(MIB, self.size - at)))
        for n in range(4 if self.files > 1 else 0):  # past inodes that an earlier run freed, see `run`
            shutil.copytree(self.source, self.top / f"before-{n}")
        sync(self.top)

    def run(self, program, log):
        top = self.top / f"round-{sum(map(len, self.results.values()))}"
        r = Round(self, top)
        try:
            try:
                PROGRAMS[program](r)
            finally:
                r.end()
            r.synced = sync(top)
            compare(self.source, r.out / self.source.name)
            result, shown = r, f"{r.seconds:.3f} s, {r.cpu:.2f} s on a core"
        except Failed as error:
            result, shown = str(error), f"failed: {error}"
        log(f"{self.name} {program}: {shown}")
        self.results.setdefault(program, []).append(result)
        if self.files == 1:  # thousands stay to the end of the row: ext4 searches long past inodes that were just freed
            shutil.rmtree(top)
        sync(self.top)

def sync(path):
    """Seconds until what was written to this file system is on it."""
    began, handle = time.monotonic(), os.open(path, os.O_RDONLY)
    ctypes.CDLL(None).syncfs(handle)
    os.close(handle)
    return time.monotonic() - began

def compare(source, got):
    """Every file there and equal to the last byte, or Failed."""
    names = lambda top: sorted(p.relative_to(top) for p in top.rglob("*") if p.is_file()) if top.is_dir() else [Path()]
    top = [p.name for p in got.parent.iterdir()]
    if top != [source.name] or names(source) != names(got):
        raise Failed(f"other files arrived than were sent: {top[:5]}")
    for name in names(source):
        if not filecmp.cmp(source / name, got / name, shallow=False):
            raise Failed(f"{name}: not what was sent")

# ---- what is printed ----

def figures(row, program, what):
    return [what(r) for r in row.results.get(program, []) if isinstance(r, Round)]

def median(row, program, what=lambda r: r.seconds):
    values = figures(row, program, what)
    return statistics.median(values) if values else None

def table(row):
    print(f"\n{row.title()}\n")
    head = ["program", "s, median", "min to max", "MB/s", "compeer is faster by", "CPU s", "sync after, s", "anonymous MiB, send / get", "rounds"]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    ours = median(row, "compeer")
    for program, results in row.results.items():
        failures = [r for r in results if isinstance(r, str)]
        count = f"{len(results) - len(failures)} of {len(results)}"
        if len(failures) == len(results):
            print(f"| {program} | failed | | | | | | | {count} |")
        else:
            times, mid = figures(row, program, lambda r: r.seconds), median(row, program)
            peak = lambda side: max(figures(row, program, lambda r: r.peaks.get(side, 0)))
            memory = f"{peak('send') / MIB:.1f} / {peak('get') / MIB:.1f}" if peak("get") else ""
            print(f"| {program} | {mid:.3f} | {min(times):.3f} to {max(times):.3f} | {row.files * row.size / mid / 1e6:.0f} | "
                  f"{f'{mid / ours:.2f} ×' if ours else ''} | {median(row, program, lambda r: r.cpu):.2f} | "
                  f"{median(row, program, lambda r: r.synced):.2f} | {memory} | {count} |")
        for reason in dict.fromkeys(failures):
            print(f"|   failed {failures.count(reason)} × | {reason.replace('|', '/')} | | | | | | | |")

def bars(rows, tls):
    """The bars of DESIGN §7 on files."""
    print("\n| bar (DESIGN §7) | figure | |\n|---|---|---|")

    def bar(text, figure, met, form="{:.2f}"):
        shown, verdict = ("not measured", "") if figure is None else (form.format(figure), "met" if met(figure) else "MISSED")
        print(f"| {text} | {shown} | {verdict} |")

    def ratio(row, other):
        ours, theirs = median(row, "compeer"), median(row, other)
        return theirs / ours if ours and theirs else None
    for row in rows:
        if row.name == "big-tmpfs":
            speed = median(row, "compeer", lambda r: row.size / r.seconds / 1e6)
            bar(f"{row.name}: ≥ 0.65 × plain TLS over two streams, {tls or 0:.0f} MB/s", speed and tls and speed / tls, lambda x: x >= 0.65)
            bar(f"{row.name}: the absolute figure there, ≈ 800 MB/s", speed, lambda x: x >= 800, "{:.0f}")
            for other, least in (("scp", 1.4), ("croc-tuned", 1.5), ("croc", 2), ("sendme", 4)):
                bar(f"{row.name}: ≥ {least} × {other}", ratio(row, other), lambda x, least=least: x >= least)
            ours, theirs = (median(row, p, lambda r: r.cpu) for p in ("compeer", "scp"))
            bar(f"{row.name}: CPU seconds below scp's", ours and theirs and ours / theirs, lambda x: x < 1, "{:.2f} of them")
        if row.name.startswith("big"):
            for side in ("send", "get"):
                peak = figures(row, "compeer", lambda r: r.peaks.get(side, 0) / MIB)
                bar(f"{row.name}: anonymous memory of `{side}` ≤ 32 MiB", max(peak) if peak else None, lambda x: x <= 32, "{:.1f}")
        if row.name.startswith("many"):
            bar(f"{row.name}: no slower than rsync over ssh", ratio(row, "rsync-ssh"), lambda x: x >= 1)
        if row.from_get:
            bar(f"{row.name}: no slower than sendme", ratio(row, "sendme"), lambda x: x >= 1)

def plain_tls():
    """MB/s of plain TLS over two streams, memory to memory, by the other program of this directory if it is built."""
    argv = [ARGS.bench, "two-streams", "--two-processes", "--json", "--rounds", "1"]
    try:
        lines = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout.splitlines()
        with contextlib.suppress(ChildProcessError):
            os.wait4(-1, 0)  # its serving half came to us; no round is to be charged with it
        return [next(v["median"] for v in map(json.loads, lines) if "tokio-rustls" in v.get("what", ""))]
    except (OSError, subprocess.SubprocessError, StopIteration, ValueError, KeyError) as error:
        print(f"plain TLS over two streams: not measured ({error})", file=sys.stderr)
        return []

def machine():
    cpu, memory = read("/proc/cpuinfo", r"model name\s*: (.*)"), int(read("/proc/meminfo", r"MemTotal:\s+(\d+)")) >> 20
    print(f"{cpu}, {os.cpu_count()} cores, {memory} GiB, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}")
    for program, flag in ((ARGS.compeer, "--version"), ("ssh", "-V"), ("rsync", "--version"), ("croc", "--version"), ("sendme", "--version")):
        try:
            done = subprocess.run([program, flag], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
            print(f"  {(done.stdout.strip().splitlines() or ['?'])[0]}")
        except (OSError, subprocess.SubprocessError) as error:
            print(f"  `{program} {flag}`: {error}")

def main():
    global ARGS
    names = ["big-tmpfs", "big-disk", "many-tmpfs", "many-disk", "one-tmpfs"]
    parse = argparse.ArgumentParser(prog="files.sh", description="File to file, beside scp, rsync, croc and sendme.")
    parse.add_argument("--quick", action="store_true", help="64 MiB, 300 files, two rounds")
    parse.add_argument("--rounds", type=int, help="of each program and row (default 5; one-tmpfs three times as many)")
    parse.add_argument("--rows", default=",".join(names), help="default: %(default)s")
    parse.add_argument("--programs", default=",".join(PROGRAMS), help="default: %(default)s")
    parse.add_argument("--compeer", default=HERE.parent / "target/release/compeer", help="the program (default: %(default)s)")
    parse.add_argument("--bench", default=HERE / "target/release/bench", help="for plain TLS (default: %(default)s)")
    parse.add_argument("--minutes", type=float, default=60, help="no round is begun after so many (default: %(default)s)")
    parse.add_argument("--tmpfs-dir", type=Path, required=True, help=argparse.SUPPRESS)
    parse.add_argument("--disk-dir", type=Path, required=True, help=argparse.SUPPRESS)
    ARGS = parse.parse_args()
    for given, known in ((ARGS.rows, names), (ARGS.programs, PROGRAMS)):
        if unknown := [x for x in given.split(",") if x not in known]:
            parse.error(f"no such row or program: {', '.join(unknown)}; there are {', '.join(known)}")
    ARGS.limit = LIMIT // 3 if ARGS.quick else LIMIT
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans of a round are counted too
    started, rounds = time.monotonic(), ARGS.rounds or (2 if ARGS.quick else 5)
    machine()
    tls, rows = [], []
    for name in ARGS.rows.split(","):
        top = (ARGS.tmpfs_dir if name.endswith("tmpfs") else ARGS.disk_dir) / name
        files, size = {"big": (1, (64 if ARGS.quick else 1024) * MIB), "many": (300 if ARGS.quick else 5000, 4096), "one": (1, 10240)}[name.split("-")[0]]
        row = Row(name, top, files, size, rounds * 3 if name.startswith("one") else rounds, name.startswith("one"))
        row.make()
        rows.append(row)
        order = ARGS.programs.split(",")
        for n in range(row.rounds):
            tls += plain_tls() if name == "big-tmpfs" else []
            for program in order:
                last = row.results.get(program, [])[-TRIES:]
                if len(last) == TRIES and all(isinstance(r, str) for r in last):
                    continue
                if time.monotonic() - started < ARGS.minutes * 60:
                    row.run(program, lambda text: print(f"[{n + 1}/{row.rounds}] {text}", file=sys.stderr, flush=True))
            order = order[1:] + order[:1]  # nobody always comes first
        table(row)
        shutil.rmtree(top)
    bars(rows, statistics.median(tls) if tls else None)
    if time.monotonic() - started >= ARGS.minutes * 60:
        print(f"\nstopped after {ARGS.minutes:g} minutes; rounds are missing")

main()
