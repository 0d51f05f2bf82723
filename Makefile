# One command each, the same here and in continuous integration. A second run of anything does only what has changed.

VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.installed-locked
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
COMPILED := build/compiled/.built
FUZZER := $(VENV)/.installed-fuzz
PIP := $(BIN)/pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --annotation-style=line

.PHONY: help install demo test chaos mysql compat differential fuzz bench profile instructions check lock clean compiled

help:
	@echo "make install   .venv with the multiwriter command, compiled where there is a C compiler"
	@echo "make demo      a Galera cluster of three on this machine with the proxy in front (DEMO=\"--port 3307\" for options)"
	@echo "make test      every test, against real clusters (TESTS=\"tests/wire -k framing\" for some)"
	@echo "make mysql     the tests against real clusters once more, on MySQL 9 with Group Replication (MYSQL_TESTS=... for some)"
	@echo "make chaos     200 nodes and connections lost under load, commits marked (FAULTS=40 SEED=7 for others)"
	@echo "make compat    the clients of other languages, directly and through the proxy (CLIENTS=\"-k Ruby\" for some)"
	@echo "make differential   10,000 random sessions, through the proxy and directly, byte by byte (SESSIONS=500 SEED=7 for others)"
	@echo "make fuzz      bytes that nobody would send, guided by coverage, a minute a target (FUZZ=\"clients -s 600\" for one)"
	@echo "make bench     what the proxy costs, beside HAProxy and ProxySQL (BENCH=\"--only point-select\" for some, --list)"
	@echo "make profile   where the proxy's time goes under a load (PROFILE=\"--work oltp_read_write --clients 64\")"
	@echo "make instructions   count the relay's instructions and record them, after a change that is meant to cost some"
	@echo "make check     style, types, layers, locks, and that the relay takes no more instructions than recorded"
	@echo "make compiled  build/compiled, in which what every query passes through is compiled"
	@echo "make lock      pin the dependencies anew"
	@echo "make clean     remove what these made in this directory"

# An environment with the tools for tests runs this tree as it stands; otherwise what is installed is a wheel of it.
READY := $(if $(wildcard $(DEV)),$(DEV),$(RUN))
SOURCES := setup.py pyproject.toml $(shell find config proxy router -name '*.py')

# Byte code ahead, since it is not to be relied on that the first start may write next to the sources. It is half of what a
# start takes, and tests start hundreds of processes.
BYTE_CODE := $(BIN)/python -m compileall -q
install: $(READY)
	@$(BYTE_CODE) config proxy router

# The newest of the usual names would do; the first that can make a virtual environment is taken. What the goal needs
# besides is installed along with it. An environment whose pip does not work was interrupted, or lost its Python.
$(LOCKED): requirements.lock
	@find_python() { for python in python3 python3.14 python3.13 python3.12 python3.11; do \
		$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return; done; false; }; \
	$(BIN)/pip --version >/dev/null 2>&1 || { \
		find_python || deploy/install-packages python $(PACKAGES) || exit; \
		find_python || { echo "Python 3.11 or newer with its venv module is needed, but python3 is" \
			"$$(python3 --version 2>&1) and there is no python3.11 to 3.14" >&2; exit 1; }; \
		echo "making $(VENV) with $$($$python --version)"; \
		$$python -m venv --clear $(VENV); }
	@echo "installing the locked dependencies"
	@$(PIP) install --require-hashes --requirement requirements.lock
	@touch $@

# A compiler that cannot compile it is no reason to have nothing.
$(RUN): $(LOCKED) $(SOURCES)
	@echo "installing the proxy, compiled if there is a C compiler: that takes a minute or two"
	@install="$(PIP) install --no-deps --no-build-isolation --force-reinstall ."; \
	$$install || { echo "it cannot be compiled here and is installed uncompiled" >&2; MULTIWRITER_PURE=1 $$install; }
	@touch $@
	@echo "the command is $(BIN)/multiwriter, or multiwriter after \`. $(BIN)/activate\`: $$($(BIN)/multiwriter --version)"

$(DEV): requirements-dev.lock pyproject.toml $(LOCKED)
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@rm -f $(RUN)
	@deploy/install-packages demo test bench
	@echo "installing the locked tools and drivers for tests"
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@touch $@

# This tree as a wheel has it: the modules that every query passes through are compiled (see setup.py).
compiled: $(COMPILED)

# Anything beginning with AS_COMPILED runs that, with the tests of this tree.
AS_COMPILED := PYTHONPATH=build/compiled:. $(BIN)/python -P
$(COMPILED): $(DEV) $(SOURCES)
	@echo "compiling what every query passes through: that takes a minute or two"
	@mkdir -p build && rm -rf build/compiled
	@nice -n 15 $(BIN)/python setup.py --quiet build --build-base build/compiling --build-lib build/compiled
	@$(BYTE_CODE) build/compiled
	@touch $@

demo: PACKAGES := demo
demo: $(READY)
	@deploy/install-packages demo
	@exec $(BIN)/multiwriter demo up $(DEMO)

test mysql chaos compat differential fuzz bench profile instructions check compiled: PACKAGES := demo test bench

# The whole in two lanes: while tests on a cluster wait for its nodes, those that need none have the processors. Behind
# them come what holds conversations in memory once more, of this tree compiled, and the rest of those on a cluster, on
# another one. Loads take their full time only where TESTS names them.
ON_CLUSTERS := tests/integration tests/differential tests/compat tests/chaos tests/bench
OTHERS := $(patsubst %,tests/integration/test_%.py,accounts demo takeover workers) $(filter-out tests/integration,$(ON_CLUSTERS))
CONVERSATIONS := relay matrix replay dispatch commit any_conversation frontend backend ahead places commons kept failure \
	holding prepared flavors pool parked low_water auth channel compression handshake login_clients proxied vanishing
CONTENTION := contention ownership lines leases
ALSO_COMPILED := tests/test_compiled.py $(CONVERSATIONS:%=tests/proxy/test_%.py) $(CONTENTION:%=tests/router/test_%.py)
.PHONY: tests-on-clusters tests-alone tests-compiled tests-on-others
test: $(DEV)
	@$(BYTE_CODE) config proxy router
ifeq ($(TESTS),)
	@$(MAKE) --no-print-directory --keep-going --jobs 2 tests-on-clusters tests-alone tests-compiled tests-on-others
else
	$(BIN)/pytest $(TESTS)
endif

tests-on-clusters: $(DEV)
	MULTIWRITER_SECONDS=5 $(BIN)/pytest --durations 15 tests/integration $(OTHERS:%=--ignore %)

# Said at once, as the dots of two would be one another's.
tests-on-others: $(DEV)
	@mkdir -p build
	@MULTIWRITER_SECONDS=5 $(BIN)/pytest $(OTHERS) >build/others.log 2>&1 || { cat build/others.log; exit 1; }
	@echo "tests on another cluster: $$(tail -1 build/others.log)"

tests-alone: $(DEV)
	@mkdir -p build
	@nice -n 15 $(BIN)/pytest $(ON_CLUSTERS:%=--ignore %) >build/alone.log 2>&1 || { cat build/alone.log; exit 1; }
	@echo "tests without a cluster: $$(tail -1 build/alone.log)"

tests-compiled: $(COMPILED)
	@nice -n 15 env $(AS_COMPILED) -m pytest --override-ini pythonpath="build/compiled ." $(ALSO_COMPILED) >build/conversations.log 2>&1 \
		|| { cat build/conversations.log; exit 1; }
	@echo "conversations, compiled: $$(tail -1 build/conversations.log)"
	@$(AS_COMPILED) -m tests.bench.instructions

# A MySQL server and client beside what is installed, in a directory of their own; 700 MB, downloaded once.
MYSQL := .mysql9
MYSQL_TESTS := tests/integration tests/differential

$(MYSQL)/.installed:
	@tests/support/install-mysql $(MYSQL)

mysql: $(DEV) $(MYSQL)/.installed
	MULTIWRITER_FLAVOR=group-replication MULTIWRITER_MYSQL=$(MYSQL) $(BIN)/pytest $(MYSQL_TESTS)

# Nodes and connections lost under load, with the commit marker on: half an hour.
FAULTS := 200
chaos: $(DEV)
	MULTIWRITER_FAULTS=$(FAULTS) MULTIWRITER_SEED=$(SEED) $(BIN)/pytest -s tests/chaos/faults_under_load.py

# Random sessions still find differences now and then; those that were explained are kept as tests of every run. Files are
# named one by one: pytest 9 takes a file given together with its directory for one of those that it finds there.
SESSIONS := 10000
SEED := 0
differential: $(DEV)
	MULTIWRITER_SESSIONS=$(SESSIONS) MULTIWRITER_SEED=$(SEED) $(BIN)/pytest -s tests/differential/random_sessions.py \
		$(wildcard tests/differential/test_*.py)

# The fuzzer has its own lock: it exists for fewer versions of Python than the product runs on.
$(FUZZER): requirements-fuzz.lock $(DEV)
	@$(PIP) install --require-hashes --requirement requirements-fuzz.lock
	@touch $@

fuzz: $(FUZZER)
	$(BIN)/python -m tests.fuzz $(FUZZ)

# ProxySQL and MaxScale are measured, too, where their binaries are given: make bench PROXYSQL=/usr/bin/proxysql
bench: $(COMPILED)
	PROXYSQL=$(PROXYSQL) MAXSCALE=$(MAXSCALE) $(AS_COMPILED) -m tests.bench $(BENCH)

profile: $(DEV)
	$(BIN)/python -m tests.bench.profile $(PROFILE)

# Recorded figures are those of one build of Python: compare before and after a change on the same machine.
instructions: $(DEV)
	$(BIN)/python -m tests.bench.instructions --record

CLIENTS :=
compat: $(DEV) $(MYSQL)/.installed
	@tests/compat/prepare
	MULTIWRITER_MYSQL=$(MYSQL) $(BIN)/pytest -rA --show-capture=stdout tests/compat/all_clients.py tests/compat/driver_suites.py $(CLIENTS)

check: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/test_lock.py
	$(BIN)/python -m tests.bench.instructions

lock:
	$(COMPILE) --all-build-deps --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	$(COMPILE) --extra fuzz --constraint requirements-dev.lock --output-file requirements-fuzz.lock pyproject.toml
	$(COMPILE) --constraint requirements-dev.lock --output-file tests/compat/requirements.lock tests/compat/requirements.in

clean:
	rm -rf $(VENV) $(MYSQL) .demo .compat .bench .fuzz build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
