"""The hold that a session has of a backend: taken, kept between two commands as long as something is left there, and
given back in one of three ways.

    give_back   to whoever wants it next     recycle   reset first     drop   never used again

It must not know what the session runs, nor what makes it keep or leave a backend: that is `proxy.relay`.
"""

from proxy.backend import Backend, Sink
from proxy.cluster import Cluster
from proxy.frontend import Frontend
from router.membership import Node


class Leaseholder(Sink):
    """A session, as far as backends are concerned. A base class, so that both are one object: see `Sink`."""

    __slots__ = ("closed", "cluster", "frontend", "homes", "lease", "lingering", "node", "warned")

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.frontend: Frontend = None  # type: ignore[assignment]  # set before the first command
        self.closed = False  # it asks for nothing any more
        self.lease: Backend | None = None
        self.node: Node | None = None  # where it was last
        self.homes: dict[str, Backend] = {}  # node -> the backend it used last there
        self.lingering = False  # the lease is only kept because the client may ask for warnings
        self.warned = False  # the lease holds warnings, or an error, that it may ask for

    def home(self, node: Node) -> Backend | None:
        """The backend that this session used last on a node, unless another has used it since and may ask it."""
        backend = self.homes.get(node.name)
        return backend if backend is not None and backend.last_user is self else None

    def hold(self, backend: Backend) -> None:
        """Make a backend this session's lease."""
        node = backend.pool.node
        if backend.last_user is not self or self.node is not node:
            backend.diagnostics = 0  # what is there is others', or from before this session's last statement
        self.lease = backend
        self.node = node
        self.homes[node.name] = backend
        backend.holder = self
        backend.last_user = self
        node.outstanding += 1

    def unhold(self) -> Backend | None:
        """It is not this session's any more; the caller gives it to the pool."""
        backend, self.lease = self.lease, None
        if backend is None:
            return None
        backend.holder = None
        self.warned = False
        backend.pool.node.outstanding -= 1
        if self.lingering:
            self.end_lingering(backend)
        if self.frontend.paused:
            backend.resume()
        return backend

    @property
    def one_shot_waits(self) -> bool:
        """A SET TRANSACTION was sent to the lease that may still wait for its transaction."""
        return self.lease is not None and self.lease.one_shot

    def give_back(self, now: float | None = None) -> None:
        """Nothing is due on it, and its state is known. `now`: the time, if it has just been asked for."""
        lease = self.lease  # without the property: this is on the path of every query
        if lease is not None and lease.one_shot:
            self.recycle()
            return
        backend = self.unhold()
        if backend is not None:
            backend.pool.release(backend, now)

    def recycle(self) -> None:
        """It may hold an open transaction or session state: it is reset before anybody else gets it."""
        backend = self.unhold()
        if backend is not None:
            backend.pool.recycle(backend)

    def drop(self) -> None:
        """It must not be used again."""
        backend = self.unhold()
        if backend is not None:
            backend.pool.discard(backend)

    def linger(self, backend: Backend) -> None:
        """Keep the lease while the client may ask for the warnings of its last statement."""
        self.lingering = True
        self.cluster.lingering[backend.pool.node.name][self] = self.part

    def end_lingering(self, backend: Backend) -> None:
        """Nothing may be asked any more of what ran there."""
        self.lingering = False
        self.cluster.lingering[backend.pool.node.name].pop(self, None)

    def part(self) -> None:
        """Somebody else needs the lease that is only kept for what may be asked: give it up soon."""
