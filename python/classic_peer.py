"""The classic peer-to-peer framework of 2007, for Python 3: one file, standard library only.

Written from the protocol, with the method names that old programs use, so that their handlers run as they are beside
`compeer up --classic`. A frame is four bytes of type, four of length (big-endian) and the payload; a connection carries
one request and its replies, and its end ends them. Nothing is encrypted and nobody proves who he is: use it among
friends, and see Compeer for the rest.

Types and payloads are str, one character for each byte (Latin-1), as in Python 2; what is sent may be bytes too.
"""
import socket
import struct
import threading
import time
import traceback

def _bytes(text):
    if isinstance(text, (bytes, bytearray)):
        return bytes(text)
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")


class BTPeerConnection:
    """A connection with a peer: one that is there already (sock), or a new one to host and port."""
    def __init__(self, peerid, host, port, sock=None, debug=False):
        self.id, self.debug = peerid, debug
        self.s = sock or socket.create_connection((host, int(port)))

    def makemsg(self, msgtype, msgdata):
        """A frame: a shorter type is padded with NUL, a longer one cut."""
        data = _bytes(msgdata)
        return struct.pack("!4sL", _bytes(msgtype), len(data)) + data

    def senddata(self, msgtype, msgdata):
        """Sends a frame, in one write; whether that worked."""
        try:
            self.s.sendall(self.makemsg(msgtype, msgdata))
            return True
        except OSError:
            return False

    def recvdata(self):
        """The next frame as (type, payload); (None, None) when there is none, or not all of it."""
        try:
            header = self.__exactly(8)
            msgtype, length = struct.unpack("!4sL", header)
            return msgtype.decode("latin-1"), self.__exactly(length).decode("latin-1")
        except (OSError, EOFError):
            return None, None

    def __exactly(self, length):
        parts, left = [], length
        while left:
            part = self.s.recv(min(left, 65536))
            if not part:
                raise EOFError("the connection ended")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def close(self):
        self.s.close()

class BTPeer:
    """A peer: handlers by type, a bounded list of other peers, a router, stabilizers."""
    def __init__(self, maxpeers, serverport, myid=None, serverhost=None):
        self.debug = 0
        self.maxpeers = int(maxpeers)  # 0: no limit
        self.serverport = int(serverport)
        self.serverhost = serverhost or self.__ownhost()
        self.myid = myid or "%s:%d" % (self.serverhost, self.serverport)
        self.peerlock = threading.Lock()  # for handlers: old ones take it around what they do with peers
        self.peers = {}
        self.shutdown = False
        self.handlers = {}
        self.router = None

    @staticmethod
    def __ownhost():
        # The address this machine would send from; no packet leaves for it.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))
                return probe.getsockname()[0]
            except OSError:
                return "127.0.0.1"

    def addhandler(self, msgtype, handler):
        """handler(peerconn, msgdata) is called for this type, which is four characters; a later one replaces it."""
        self.handlers[msgtype] = handler

    def addrouter(self, router):  # router(peerid): (next id, host, port) or (None, None, None)
        self.router = router

    def addpeer(self, peerid, host, port):
        """Whether it was added: it may be there already, or there may be no room."""
        added = peerid not in self.peers and not self.maxpeersreached()
        if added:
            self.peers[peerid] = (host, int(port))
        return added

    def getpeer(self, peerid):
        return self.peers[peerid]

    def removepeer(self, peerid):
        self.peers.pop(peerid, None)

    def addpeerat(self, loc, peerid, host, port):
        self.peers[loc] = (peerid, host, int(port))

    def getpeerat(self, loc):
        return self.peers.get(loc)

    def removepeerat(self, loc):
        self.removepeer(loc)

    def getpeerids(self):
        return list(self.peers)

    def numberofpeers(self):
        return len(self.peers)

    def maxpeersreached(self):
        return self.maxpeers > 0 and len(self.peers) >= self.maxpeers

    def startstabilizer(self, stabilizer, delay):
        """Runs it at once, and again after every delay in seconds."""
        def run():
            while not self.shutdown:
                stabilizer()
                time.sleep(delay)

        threading.Thread(target=run, daemon=True).start()

    def sendtopeer(self, peerid, msgtype, msgdata, waitreply=True):
        """Sends by way of the router; the replies, or None when there is no way."""
        nextpid, host, port = self.router(peerid) if self.router else (None, None, None)
        if not nextpid:
            return None
        return self.connectandsend(host, port, msgtype, msgdata, pid=nextpid, waitreply=waitreply)

    def connectandsend(self, host, port, msgtype, msgdata, pid=None, waitreply=True):
        """The replies as a list of (type, payload), as far as they came."""
        replies = []
        try:
            peerconn = BTPeerConnection(pid, host, port, debug=self.debug)
            peerconn.senddata(msgtype, msgdata)
            reply = peerconn.recvdata() if waitreply else (None, None)
            while reply != (None, None):
                replies.append(reply)
                reply = peerconn.recvdata()
            peerconn.close()
        except OSError:
            pass
        return replies

    def checklivepeers(self):
        """Forgets the peers with whom no connection comes about."""
        for pid in self.getpeerids():
            try:
                host, port = self.getpeer(pid)
                peerconn = BTPeerConnection(pid, host, port, debug=self.debug)
                peerconn.senddata("PING", "")
                peerconn.close()
            except (KeyError, OSError):
                self.removepeer(pid)

    def makeserversocket(self, port, backlog=128):
        return socket.create_server(("", port), backlog=backlog)

    def __handlepeer(self, clientsock):
        peerconn = BTPeerConnection(None, *clientsock.getpeername(), sock=clientsock)
        try:
            msgtype, msgdata = peerconn.recvdata()
            handler = msgtype and self.handlers.get("".join(c.upper() if c < "\x80" else c for c in msgtype))
            if handler:
                handler(peerconn, msgdata)
        except Exception:
            if self.debug:
                traceback.print_exc()
        finally:
            peerconn.close()

    def mainloop(self):
        """Serves until shutdown is set, each connection in a thread."""
        with self.makeserversocket(self.serverport) as s:
            s.settimeout(2)
            while not self.shutdown:
                try:
                    clientsock, _ = s.accept()
                    clientsock.settimeout(None)
                    threading.Thread(target=self.__handlepeer, args=[clientsock], daemon=True).start()
                except KeyboardInterrupt:
                    self.shutdown = True
                except OSError:
                    continue
