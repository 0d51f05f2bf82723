"""What lies between the TCP connection to a node and the protocol: TLS, compression, the client's address.

One value for all connections to the nodes, made from the settings; proxy.login does what it says.
"""

import ssl
from dataclasses import dataclass
from typing import Final

from config import Cluster
from proxy.tls import client_context
from proxy.wire.compression import Algorithm


@dataclass(frozen=True, slots=True)
class Link:
    """How nodes are connected to."""

    tls: ssl.SSLContext | None = None
    """None: in clear. What is verified is the context's own business."""
    compression: Algorithm | None = None
    """Of the connections that clients' commands go over; a node that does not offer it is used without."""


PLAIN: Final = Link()


def link(cluster: Cluster) -> Link:
    """Raises ValueError for certificates that cannot be used."""
    return Link(
        tls=None
        if cluster.tls == "off"
        else client_context(cluster.tls, cluster.tls_ca, cluster.tls_certificate, cluster.tls_key),
        compression=None if cluster.compression == "none" else Algorithm(cluster.compression),
    )
