"""The handlers of the recorded exchanges, on python/classic_peer.py."""

import sys

sys.path.insert(0, sys.argv[1])
from classic_peer import BTPeer  # noqa: E402


def many(peerconn, data):
    for n in range(int(data)):
        peerconn.senddata("REPL", "m%d" % n)


def rdtw(peerconn, data):
    msgtype, msgdata = peerconn.recvdata()
    while msgtype:
        peerconn.senddata("REPL", "got %s '%s'" % (msgtype, msgdata))
        msgtype, msgdata = peerconn.recvdata()


def boom(peerconn, data):
    peerconn.senddata("REPL", "partial")
    raise RuntimeError("boom")


def unic(peerconn, data):
    peerconn.senddata("AB", "short")
    peerconn.senddata("ABCDEFG", "long")


def echo(peerconn, data):
    peerconn.senddata("REPL", data)


# Any free port.
listening = BTPeer.makeserversocket(None, 0)
peer = BTPeer(0, listening.getsockname()[1], serverhost="127.0.0.1")
peer.makeserversocket = lambda port: listening
for kind, handler in (("ECHO", echo), ("12!\xff", echo), ("MANY", many), ("RDTW", rdtw), ("BOOM", boom),
                      ("UNIC", unic), ("lowr", echo)):
    peer.addhandler(kind, handler)
print(peer.myid, flush=True)
peer.mainloop()
