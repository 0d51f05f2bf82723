"""What workers bring, and how soon the proxy serves after it was started."""

import time
from collections.abc import Callable

import pymysql

from proxy.demo.processes import StartError
from tests.bench.clients import LIMITS, before_fakes
from tests.bench.endpoints import Endpoint, Multiwriter, merged
from tests.bench.programs import FAKED, FakeNode, queries
from tests.bench.setting import Setting
from tests.bench.share import Unlimited, limited
from tests.bench.usage import cpu_seconds, family

DEPTH = 32
SHARE = 0.4  # of a processor: two workers leave more than half of two to clients and nodes
CLIENTS = 64  # the kernel spreads them by chance: of fewer, one worker would have too many


def workers(setting: Setting) -> None:
    """One worker and two, before nodes that answer at once.

    Clients and nodes have to run on the same processors, and take from two workers what one leaves to them. So clients
    send many commands at a time, which costs them little; the proxy takes them one by one all the same. And, where that
    can be set, each worker gets no more than a share of a processor, so that nothing but the workers is the limit. What
    they could do with a processor for each is `capacity_per_s`.
    """
    endpoints = {count: before_fakes(setting, 2, process={"workers": count}) for count in (1, 2)}
    for depth in (1, DEPTH):
        setting.alternate(
            "workers",
            {_workers(count): _capacity(setting, endpoint, count, depth) for count, endpoint in endpoints.items()},
            {"clients": CLIENTS, "depth": depth},
        )
    try:
        with limited(family(pid for endpoint in endpoints.values() for pid in endpoint.pids), SHARE):
            setting.alternate(
                "workers",
                {_workers(count): _capacity(setting, endpoint, count, 1) for count, endpoint in endpoints.items()},
                {"clients": CLIENTS, "depth": 1, "share": SHARE},
            )
    except Unlimited as unlimited:
        setting.say(f"workers with a share of a processor are not measured: {unlimited}")


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count > 1 else ''}"


def _capacity(setting: Setting, endpoint: Endpoint, count: int, depth: int) -> Callable[[], dict[str, float]]:
    measure = queries(
        setting.directory, endpoint, clients=CLIENTS, active=CLIENTS, seconds=setting.options.seconds, depth=depth
    )

    def measured() -> dict[str, float]:
        figures = measure()
        return figures | {"capacity_per_s": count * 1e6 / figures["cpu_us"]}

    return measured


def start(setting: Setting) -> None:
    """From the start of the process to the answer to a client's first query."""
    node = FakeNode(setting.directory)
    setting.ends(node.stop)

    def measure() -> dict[str, float]:
        setting.started += 1
        directory = setting.directory / f"start-{setting.started}"
        endpoint = Multiwriter(directory, [node.address], merged(FAKED, LIMITS))
        began = time.monotonic()
        endpoint.proxy.start(wait=False)
        try:
            while not _answered(endpoint):
                if time.monotonic() - began > 60:
                    raise StartError(f"nothing is answered\n{endpoint.proxy.log_text()}")
                time.sleep(0.005)
            return {"first_query_s": time.monotonic() - began, "cpu_s": cpu_seconds(endpoint.pids)}
        finally:
            endpoint.stop()

    setting.alternate("start", {"multiwriter": measure})


def _answered(endpoint: Multiwriter) -> bool:
    try:
        connection = pymysql.connect(host=endpoint.host, port=endpoint.port, user="app", password="app")
    except pymysql.MySQLError:
        return False
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT c FROM t")
        return bool(cursor.fetchall())
