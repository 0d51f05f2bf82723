"""The command line client of MariaDB or MySQL.  python cli.py PROGRAM KIND [increments CLIENT]

KIND is mariadb or mysql: their options for TLS differ.
"""

import hashlib
import re
import subprocess
import sys
import threading
import time
from typing import Any

import told
from told import check, none, same

PROGRAM, KIND = sys.argv[1].split(" "), sys.argv[2]
PLAIN = ("--skip-ssl",) if KIND == "mariadb" else ("--ssl-mode=DISABLED", "--get-server-public-key")
# MySQL's has its own commands, \G among them, only when asked for.
COMMANDS = () if KIND == "mariadb" else ("--commands",)


def run(statements: str, *options: str, user: tuple[str, str] = told.USER, tls: tuple[str, ...] = PLAIN) -> Any:
    where = ["--no-defaults", "--protocol=tcp", f"-h{told.HOST}", f"-P{told.PORT}", f"-u{user[0]}", f"-p{user[1]}"]
    what = ["--default-character-set=utf8mb4", "-B", "--local-infile=1", "--max-allowed-packet=64M"]
    command = [*PROGRAM, *where, *what, *COMMANDS, *tls, *options, told.SCHEMA]
    done = subprocess.run(command, input=statements.encode(), capture_output=True, timeout=60)
    noise = rb"(mysql: )?\[Warning\] Using a password.*\n"
    return done.returncode, done.stdout.decode(errors="replace"), re.sub(noise, b"", done.stderr).decode()


def out(statements: str, *options: str, **given: Any) -> str:
    status, seen, errors = run(statements, *options, **given)
    assert status == 0, errors
    return str(seen)


def login_refused() -> Any:
    status, _, error = run("SELECT 1", user=(told.USER[0], "wrong"))
    assert "ERROR 1045 (28000)" in error, error
    return status


def tls() -> Any:
    verify = ("--ssl", "--ssl-verify-server-cert") if KIND == "mariadb" else ("--ssl-mode=VERIFY_CA",)
    status, seen, _ = run("SELECT 1", tls=(*verify, f"--ssl-ca={told.WRONG_CA}"))
    assert status != 0, seen
    return out("SELECT 1, REPEAT('x', 3000000)", tls=(*verify, f"--ssl-ca={told.CA}"))


def text_types() -> Any:
    return out(
        "SELECT * FROM types ORDER BY id\\G SELECT * FROM zeros; DESCRIBE types;", "--column-type-info", "-vvv"
    ).split(" sec)")[-1]


def errors() -> Any:
    wrong = "SELEC 1; SELECT * FROM nosuch; SELECT nosuch FROM numbers; INSERT INTO numbers VALUES (1); CALL nosuch();"
    seen = run(wrong, "--force")
    assert seen[2].count("ERROR") == 5, seen
    return seen


def warnings() -> Any:
    return out("SELECT CAST('x' AS SIGNED); SELECT CAST('1y' AS SIGNED); SHOW WARNINGS; SELECT 1;", "--show-warnings")


def affected_rows() -> Any:
    sql = """INSERT INTO people (name, number) VALUES ('p', 1), ('q', 1);
        UPDATE people SET number = 1 WHERE name IN ('p', 'q'); UPDATE people SET number = 2 WHERE name IN ('p', 'q');
        REPLACE INTO people (name) VALUES ('p'); DELETE FROM people WHERE name IN ('p', 'q');"""
    return re.sub(r"[\d.]+ sec", "", out(sql, "-vvv"))


def transactions() -> Any:
    sql = """BEGIN; INSERT INTO people (name) VALUES ('undone'); ROLLBACK;
        BEGIN; INSERT INTO people (name) VALUES ('one'); SAVEPOINT s; INSERT INTO people (name) VALUES ('two');
        ROLLBACK TO s; COMMIT; SELECT name FROM people; DELETE FROM people;"""
    return same(out(sql), "name\none\n")


def procedures() -> Any:
    sql = """DELIMITER $$
        CREATE PROCEDURE made() BEGIN SELECT 'grün 🐬'; SELECT 2; END$$
        DELIMITER ;
        CALL made(); DROP PROCEDURE made; CALL several(3); CALL fails();"""
    return run(sql, "--force")


def local_infile() -> Any:
    load = f"LOAD DATA LOCAL INFILE '{told.FILE}' INTO TABLE loaded CHARACTER SET utf8mb4;"
    seen = out(f"{load} SELECT * FROM loaded ORDER BY id; DELETE FROM loaded;", "-N")
    return same(seen, "1\tone\n2\tgrün 🐬\n3\tNULL\n")


def kill_query() -> Any:
    """As Ctrl-C does: the client opens a second connection and sends KILL QUERY with its id from the greeting."""
    where = [f"-h{told.HOST}", f"-P{told.PORT}", f"-u{told.USER[0]}", f"-p{told.USER[1]}", "--protocol=tcp", *PLAIN]
    sql = "SELECT SLEEP(20) FROM counter WHERE id = 1; SELECT 7"
    command = [*PROGRAM, "--no-defaults", *where, "-N", "-B", "--unbuffered", "--force", told.SCHEMA, "-e", sql]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    threading.Timer(1.5, process.send_signal, (2,)).start()
    begun = time.monotonic()
    seen, _ = process.communicate(timeout=40)
    assert time.monotonic() - begun < 12, "not interrupted"
    return "7" in seen.split() or process.returncode


def kill_connection() -> Any:
    return run("KILL CONNECTION_ID(); SELECT 1;", "--reconnect")[1:2]


def big() -> Any:
    text = "0123456789abcdef" * (told.BIG // 16)
    sql = (
        f"INSERT INTO people (name, picture) VALUES ('big', '{text}'); SELECT picture FROM people; DELETE FROM people;"
    )
    seen = out(sql, "-N", "--quick").strip()
    assert seen == text, f"{len(seen)} characters"
    return hashlib.md5(seen.encode()).hexdigest()


def checks() -> None:
    shown = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(?:from |Distrib |Ver )(\d+\.\d+\.\d+\S*?)[-, ]", shown)
    told.version(f"{KIND} {found[1] if found else shown}")
    if KIND == "mariadb":
        check("login_native", lambda: out("SELECT 1, DATABASE()"))
    else:
        none("it knows caching_sha2_password only", "login_native")
    check("login_sha2", lambda: out("SELECT 1", "--default-auth=caching_sha2_password", user=told.SHA2))
    check("login_refused", login_refused)
    check("tls", tls)
    compress = "--compress" if KIND == "mariadb" else "--compression-algorithms=zlib"
    check("compression", lambda: out("SELECT REPEAT('abc', 100000)", compress))
    check("text_types", text_types)
    check("unicode", lambda: same(out("SELECT 'grün 東京 🐬' AS t, 'ü' AS `größe`"), "t\tgröße\ngrün 東京 🐬\tü\n"))
    check("charset", lambda: out("SELECT HEX('gr\u00fcn'), @@character_set_client", "--default-character-set=latin1"))
    check("transactions", transactions)
    check("multi_statements", lambda: out("SELECT 1; SET @a = 2; SELECT @a, 3; USE mysql; SELECT DATABASE(), @a;"))
    check("procedures", procedures)
    check("out_parameters", lambda: same(out("SET @b = 40; CALL sums(2, @b, @c); SELECT @b, @c", "-N"), "42\tsum 42\n"))
    check("errors", errors)
    check("warnings", warnings)
    check("affected_rows", affected_rows)
    check("streaming", lambda: len(out("SELECT REPEAT('x', 1000) FROM numbers a, numbers b WHERE b.n < 9", "--quick")))
    check("local_infile", local_infile)
    check("kill_query", kill_query)
    check("kill_connection", kill_connection)
    check("ping", lambda: re.findall(r"^Server version|via TCP/IP", out("STATUS"), re.MULTILINE))
    none("it has none of it", "prepared_types", "parameters", "many_statements", "cursor", "pool", "reset")
    none("an interface without objects", "models", "migrations")
    check("big", big)


def increments(client: str) -> None:
    update = "BEGIN; UPDATE counter SET value = value + 1 WHERE id = 1"
    insert = "INSERT INTO entry (client, number) VALUES"
    out("\n".join(f"{update}; {insert} ('{client}', {n}); COMMIT;" for n in range(told.INCREMENTS)))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        increments(sys.argv[4])
    else:
        checks()
