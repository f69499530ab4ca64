"""The file-sharing program as one writes it on the old framework: its handlers, and a line of commands on standard
input. Commands: join HOST PORT, list HOST PORT, find KEY, get NAME HOST PORT, share NAME TEXT, resp HOST PORT NAME
OWNER, peers, quit. Each answers with one line."""

import sys
import threading

sys.path.insert(0, sys.argv[1])
from classic_peer import BTPeer  # noqa: E402


class Filer(BTPeer):
    def __init__(self, maxpeers, serverport):
        BTPeer.__init__(self, maxpeers, serverport, serverhost="127.0.0.1")
        self.files, self.shared, self.news = {}, {}, threading.Condition()
        for kind in ("NAME", "LIST", "JOIN", "QUER", "RESP", "FGET", "QUIT"):
            self.addhandler(kind, getattr(self, "on_" + kind.lower()))
        self.addrouter(lambda peerid: (peerid,) + self.getpeer(peerid) if peerid in self.peers else (None,) * 3)

    def on_name(self, peerconn, data):
        peerconn.senddata("REPL", self.myid)

    def on_list(self, peerconn, data):
        peerconn.senddata("REPL", "%d" % self.numberofpeers())
        for pid in self.getpeerids():
            host, port = self.getpeer(pid)
            peerconn.senddata("REPL", "%s %s %d" % (pid, host, port))

    def on_join(self, peerconn, data):
        if self.maxpeersreached():
            peerconn.senddata("ERRO", "Join: too many peers")
            return
        peerid, host, port = data.split()
        if peerid not in self.getpeerids() and peerid != self.myid:
            self.addpeer(peerid, host, int(port))
            peerconn.senddata("REPL", "Join: peer added: %s" % peerid)
        else:
            peerconn.senddata("ERRO", "Join: peer already inserted %s" % peerid)

    def on_quit(self, peerconn, data):
        peerid = data.lstrip().rstrip()
        if peerid in self.getpeerids():
            self.removepeer(peerid)
            peerconn.senddata("REPL", "Quit: peer removed: %s" % peerid)
        else:
            peerconn.senddata("ERRO", "Quit: peer not found: %s" % peerid)

    def on_quer(self, peerconn, data):
        peerid, key, ttl = data.split()
        peerconn.senddata("REPL", "Query ACK: %s" % key)
        threading.Thread(target=self.process, args=[peerid, key, int(ttl)], daemon=True).start()

    def process(self, peerid, key, ttl):
        for name in self.shared:
            if key in name:
                host, port = peerid.split(":")
                self.connectandsend(host, int(port), "RESP", "%s %s" % (name, self.myid), pid=peerid)
                return
        if ttl > 0:
            for nextpid in self.getpeerids():
                self.sendtopeer(nextpid, "QUER", "%s %s %d" % (peerid, key, ttl - 1))

    def on_resp(self, peerconn, data):
        name, owner = data.split()
        with self.news:
            self.files.setdefault(name, owner)
            self.news.notify_all()

    def on_fget(self, peerconn, data):
        if data in self.shared:
            peerconn.senddata("REPL", self.shared[data])
        else:
            peerconn.senddata("ERRO", "File not found")

    def command(self, words):
        if words[0] == "join":
            host, port = words[1], int(words[2])
            name = self.connectandsend(host, port, "NAME", "")[0][1]
            joined = self.connectandsend(host, port, "JOIN", "%s %s %d" % (self.myid, self.serverhost, self.serverport))
            if joined[0][0] == "REPL":
                self.addpeer(name, host, port)
            return joined[0][1]
        if words[0] == "list":
            return ", ".join(reply[1] for reply in self.connectandsend(words[1], int(words[2]), "LIST", ""))
        if words[0] == "find":
            self.process(self.myid, words[1], 4)
            with self.news:
                self.news.wait_for(lambda: any(words[1] in name for name in self.files), timeout=20)
                return ", ".join("%s at %s" % item for item in self.files.items() if words[1] in item[0])
        if words[0] == "get":
            return "%s %s" % self.connectandsend(words[2], int(words[3]), "FGET", words[1])[0]
        if words[0] == "share":
            self.shared[words[1]] = words[2]
            return "shared"
        if words[0] == "resp":
            return "%s" % self.connectandsend(words[1], int(words[2]), "RESP", " ".join(words[3:]))
        if words[0] == "peers":
            return ", ".join(self.getpeerids()) or "nobody"
        if words[0] == "quit":
            return "%s" % [self.sendtopeer(pid, "QUIT", self.myid)[0][1] for pid in self.getpeerids()]
        return "unknown"


# Any free port, which is known before the program is.
listening = BTPeer.makeserversocket(None, 0)
filer = Filer(int(sys.argv[2]), listening.getsockname()[1])
filer.makeserversocket = lambda port: listening
threading.Thread(target=filer.mainloop, daemon=True).start()
print("filer %s" % filer.myid, flush=True)
for line in sys.stdin:
    print(line.split()[0] + ": " + filer.command(line.split()), flush=True)
