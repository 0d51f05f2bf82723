<?php
// PHP's mysqli.  php mysqli.php [increments CLIENT | later SQL]
require __DIR__ . '/told.php';
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

function open(array $given = []): mysqli {
    $link = mysqli_init();
    foreach ($given['options'] ?? [] as $option => $value) $link->options($option, $value);
    $link->options(MYSQLI_OPT_LOCAL_INFILE, 1);
    $flags = $given['flags'] ?? 0;
    if (isset($given['ca'])) {
        $link->ssl_set(null, null, $given['ca'], null, null);
        $flags |= MYSQLI_CLIENT_SSL;
    }
    $link->real_connect(env('HOST'), $given['user'] ?? env('USER'), $given['password'] ?? env('PASSWORD'), env('SCHEMA'),
        (int) env('PORT'), null, $flags);
    $link->set_charset($given['charset'] ?? 'utf8mb4');
    return $link;
}
function rows(mysqli $link, string $sql): array|int {
    $result = $link->query($sql);
    return $result === true ? $link->affected_rows : $result->fetch_all();
}
function prepared(mysqli $link, string $sql, string $types = '', mixed ...$values): array|int {
    $statement = $link->prepare($sql);
    if ($types !== '') $statement->bind_param($types, ...$values);
    $statement->execute();
    $result = $statement->get_result();
    $seen = $result === false ? $statement->affected_rows : $result->fetch_all();
    $statement->close();
    return $seen;
}
function facts(Throwable $error): array { return [$error->getCode(), $error->getSqlState(), $error->getMessage()]; }
function all_results(mysqli $link, string $sql): array {
    $seen = [];
    $link->multi_query($sql);
    do {
        $result = $link->store_result();
        $seen[] = $result === false ? $link->affected_rows : $result->fetch_all();
    } while ($link->more_results() && $link->next_result());
    return $seen;
}
function types(callable $ask): array {
    $seen = [$ask('SELECT * FROM types ORDER BY id'), $ask('SELECT * FROM zeros')];
    foreach (rows(open(), 'SHOW COLUMNS FROM types') as [$column]) $seen[] = $ask("SELECT $column FROM types ORDER BY id");
    same((string) $seen[0][1][8], '18446744073709551615');
    return $seen;
}

if (($argv[1] ?? '') === 'later') {
    $link = open();
    usleep(700000);
    $link->query($argv[2]);
    exit(0);
}
if (($argv[1] ?? '') === 'increments') {
    $link = open();
    for ($number = 0; $number < 25; $number++) {
        $link->begin_transaction();
        $link->query('UPDATE counter SET value = value + 1 WHERE id = 1');
        prepared($link, 'INSERT INTO entry (client, number) VALUES (?, ?)', 'si', $argv[2], $number);
        $link->commit();
    }
    exit(0);
}

echo 'version: PHP ', PHP_VERSION, ' mysqli (', mysqli_get_client_info(), ")\n";
check('login_native', fn() => rows(open(), 'SELECT 1, DATABASE()'));
check('login_sha2', fn() => rows(open(['user' => env('SHA2_USER'), 'password' => env('SHA2_PASSWORD')]), 'SELECT 1, DATABASE()'));
check('login_refused', fn() => same(raised(fn() => open(['password' => 'wrong']))->getCode(), 1045));
check('tls', function () {
    raised(fn() => @open(['ca' => env('WRONG_CA')]));
    $link = open(['ca' => env('CA')]);
    return [rows($link, 'SELECT 1'), strlen(rows($link, "SELECT REPEAT('x', 3000000)")[0][0])];
});
check('compression', function () {
    $link = open(['flags' => MYSQLI_CLIENT_COMPRESS]);
    return [rows($link, "SELECT REPEAT('abc', 100000), '" . str_repeat('x', 100000) . "'"), rows($link, 'SELECT 1')];
});
check('text_types', function () { $link = open(); return types(fn($sql) => rows($link, $sql)); });
check('prepared_types', function () { $link = open(); return types(fn($sql) => prepared($link, $sql)); });
check('parameters', function () {
    $link = open();
    $bytes = implode('', array_map('chr', range(0, 255)));
    $values = ['18446744073709551615', '-1234567890123456.7891', '9999-12-31 23:59:59.999999', TEXT, $bytes];
    prepared($link, "INSERT INTO people (name, number, amount, born, note, picture) VALUES ('limits', ?, ?, ?, ?, ?)", 'sssss', ...$values);
    $row = rows($link, "SELECT number, amount, born, note, picture FROM people WHERE name = 'limits'")[0];
    rows($link, 'DELETE FROM people');
    same($row, $values);
    return [$row, prepared($link, 'SELECT ?, ?, ?, ?', 'idsi', PHP_INT_MIN, 1.5, '', null)];
});
check('unicode', function () {
    $link = open();
    $seen = rows($link, "SELECT '" . $link->real_escape_string(TEXT) . "', 'ü' AS `größe`");
    return same($seen, [[TEXT, 'ü']]);
});
check('charset', fn() => same(rows(open(['charset' => 'latin1']), "SELECT HEX('gr\xFCn'), c_latin FROM types WHERE id = 2"), [['6772FC6E', "gr\xFCn"]]));
check('autocommit', function () {
    [$one, $other] = [open(), open()];
    $value = fn() => (int) rows($other, 'SELECT value FROM counter WHERE id = 2')[0][0];
    $one->autocommit(false);
    rows($one, 'UPDATE counter SET value = 5 WHERE id = 2');
    $seen = [eventually($value, 0)];
    $one->autocommit(true);
    $seen[] = eventually($value, 5);
    rows($one, 'UPDATE counter SET value = 0 WHERE id = 2');
    $seen[] = eventually($value, 0);
    return same($seen, [0, 5, 0]);
});
check('transactions', function () {
    $link = open();
    $link->begin_transaction();
    rows($link, "INSERT INTO people (name) VALUES ('undone')");
    $link->rollback();
    $link->begin_transaction();
    rows($link, "INSERT INTO people (name) VALUES ('one')");
    $link->savepoint('s');
    rows($link, "INSERT INTO people (name) VALUES ('two')");
    rows($link, 'ROLLBACK TO SAVEPOINT s');
    $link->commit();
    $link->begin_transaction(MYSQLI_TRANS_START_READ_ONLY);
    $error = raised(fn() => rows($link, 'DELETE FROM people'));
    $link->rollback();
    $seen = same(rows($link, 'SELECT name FROM people'), [['one']]);
    rows($link, 'DELETE FROM people');
    return [$seen, facts($error)];
});
check('lock_wait', function () {
    [$one, $other] = [open(), open()];
    $one->begin_transaction();
    rows($one, 'SELECT value FROM counter WHERE id = 2 FOR UPDATE');
    rows($other, 'SET innodb_lock_wait_timeout = 1');
    $other->begin_transaction();
    $error = raised(fn() => rows($other, 'SELECT value FROM counter WHERE id = 2 FOR UPDATE'));
    $one->rollback();
    $seen = rows($other, 'SELECT value FROM counter WHERE id = 2 FOR UPDATE');
    $other->rollback();
    return [same($error->getCode(), 1205), facts($error), $seen];
});
check('multi_statements', function () {
    $link = open();
    $seen = all_results($link, 'SELECT 1; SET @a = 2; SELECT @a, 3; SELECT n FROM numbers WHERE n < 4');
    $error = raised(fn() => all_results($link, 'SELECT 1; SELECT nosuch; SELECT 3'));
    return [$seen, facts($error), rows($link, 'SELECT 1')];
});
check('procedures', function () {
    $link = open();
    $seen = all_results($link, 'CALL several(3)');
    $error = raised(fn() => all_results($link, 'CALL fails()'));
    while ($link->more_results()) $link->next_result();
    $statement = $link->prepare('CALL several(?)');
    $most = 2;
    $statement->bind_param('i', $most);
    $statement->execute();
    do {
        $result = $statement->get_result();
        $seen[] = $result === false ? $statement->affected_rows : $result->fetch_all();
    } while ($statement->more_results() && $statement->next_result());
    return [$seen, facts($error), rows($link, 'SELECT 1')];
});
check('out_parameters', function () {
    $link = open();
    rows($link, 'SET @b = 40');
    rows($link, 'CALL sums(2, @b, @c)');
    return same(rows($link, 'SELECT @b, @c'), [['42', 'sum 42']]);
});
check('errors', function () {
    $link = open();
    $seen = [];
    foreach (ERRORS as $sql) {
        $seen[] = facts(raised(fn() => rows($link, $sql)));
        $seen[] = facts(raised(fn() => prepared($link, $sql)));
    }
    return $seen;
});
check('warnings', function () {
    $link = open();
    rows($link, "SELECT CAST('x' AS SIGNED), CAST('1y' AS SIGNED)");
    $seen = [same($link->warning_count, 2)];
    $warning = $link->get_warnings();
    do $seen[] = [$warning->errno, $warning->sqlstate, $warning->message]; while ($warning->next());
    return $seen;
});
check('insert_id', function () {
    $link = open();
    rows($link, "INSERT INTO people (name) VALUES ('a')");
    $first = $link->insert_id;
    rows($link, "INSERT INTO people (name) VALUES ('b'), ('c')");
    $second = $link->insert_id;
    same(rows($link, 'SELECT LAST_INSERT_ID()'), [[(string) $second]]);
    same(rows($link, "SELECT name FROM people WHERE id IN ($first, $second) ORDER BY id"), [['a'], ['b']]);
    rows($link, 'DELETE FROM people');
    return $second > $first;
});
check('affected_rows', function () {
    $link = open();
    $seen = [];
    foreach (CHANGES as [$sql, $count]) $seen[] = [same(rows($link, $sql), $count), $link->info];
    return $seen;
});
check('found_rows', fn() => same(rows(open(['flags' => MYSQLI_CLIENT_FOUND_ROWS]), 'UPDATE counter SET value = value WHERE id < 3'), 2));
check('many_statements', function () {
    $link = open();
    $statements = [];
    for ($i = 1; $i <= 40; $i++) $statements[$i] = $link->prepare("SELECT n + $i, ? FROM numbers WHERE n = ?");
    for ($turn = 0; $turn < 2; $turn++) {
        foreach ($statements as $i => $statement) {
            $text = "t$turn";
            $statement->bind_param('si', $text, $i);
            $statement->execute();
            same($statement->get_result()->fetch_all(), [[2 * $i, $text]]);
        }
    }
    return count($statements);
});
check('streaming', function () {
    $link = open();
    $count = 0;
    $result = $link->query("SELECT a.n, REPEAT('x', 1000) FROM numbers a, numbers b WHERE b.n <= 10", MYSQLI_USE_RESULT);
    while ($result->fetch_row()) $count++;
    $half = $link->query('SELECT n FROM numbers ORDER BY n', MYSQLI_USE_RESULT);
    $first = $half->fetch_row();
    $half->free();
    return [same($count, 10000), $first, rows($link, 'SELECT 1')];
});
check('cursor', function () {
    $link = open();
    $statement = $link->prepare('SELECT n, ? FROM numbers ORDER BY n');
    $statement->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
    $statement->attr_set(MYSQLI_STMT_ATTR_PREFETCH_ROWS, 1);
    $text = 'c';
    $statement->bind_param('s', $text);
    $statement->execute();
    $statement->bind_result($n, $c);
    $sum = 0;
    while ($statement->fetch()) $sum += $n;
    $statement->close();
    return [same($sum, 500500), rows($link, 'SELECT 1')];
});
check('local_infile', function () {
    $link = open();
    $count = rows($link, "LOAD DATA LOCAL INFILE '" . env('FILE') . "' " . LOAD);
    $seen = rows($link, 'SELECT text FROM loaded ORDER BY id');
    rows($link, 'DELETE FROM loaded');
    return same([$count, $seen], [3, [['one'], ['grün 🐬'], [null]]]);
});
check('kill_query', function () {
    $link = open();
    $process = later("KILL QUERY {$link->thread_id}");
    $begun = microtime(true);
    try {
        $seen = rows($link, 'SELECT SLEEP(20) FROM counter WHERE id = 1');
    } catch (mysqli_sql_exception $error) {
        $seen = facts($error);
    }
    proc_close($process);
    if (microtime(true) - $begun > 10) throw new Exception('not interrupted');
    return [$seen, rows($link, 'SELECT 1')];
});
check('kill_connection', function () {
    $link = open();
    $process = later("KILL {$link->thread_id}");
    @raised(fn() => rows($link, 'SELECT SLEEP(20) FROM counter WHERE id = 1'));
    proc_close($process);
    @raised(fn() => rows($link, 'SELECT 1'));
    return rows(open(), 'SELECT 1');
});
check('read_timeout', function () {
    $link = open(['options' => [MYSQLI_OPT_READ_TIMEOUT => 1]]);
    @raised(fn() => rows($link, 'SELECT SLEEP(20) FROM counter WHERE id = 1'));
    return rows(open(), 'SELECT 1');
});
none('it has no such call', 'reset');
check('change_user', function () {
    $link = open();
    rows($link, 'SET @left = 1');
    $link->change_user(env('SECOND_USER'), env('SECOND_PASSWORD'), env('SCHEMA'));
    return same(rows($link, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1), @left"), [[env('SECOND_USER'), null]]);
});
check('ping', function () { $link = open(); return [$link->ping(), rows($link, 'SELECT 1')]; });
check('pool', function () {
    // A persistent connection that comes back is changed to its own user again.
    $open = fn() => new mysqli('p:' . env('HOST'), env('USER'), env('PASSWORD'), env('SCHEMA'), (int) env('PORT'));
    $seen = [];
    for ($turn = 0; $turn < 4; $turn++) {
        $link = $open();
        $seen[] = rows($link, 'SELECT @left, DATABASE()');
        rows($link, "SET @left = $turn");
        $link->close();
    }
    return same(array_unique($seen, SORT_REGULAR), [[[null, env('SCHEMA')]]]);
});
check('big', function () {
    $link = open();
    $big = str_repeat(implode('', array_map('chr', range(0, 255))), BIG / 256);
    prepared($link, "INSERT INTO people (name, picture) VALUES ('big', ?)", 's', $big);
    $statement = $link->prepare("INSERT INTO people (name, picture) VALUES ('long', ?)");
    $null = null;
    $statement->bind_param('b', $null);
    foreach (str_split($big, 1 << 20) as $part) $statement->send_long_data(0, $part);
    $statement->execute();
    $seen = rows($link, "SELECT picture, SHA2(picture, 256) FROM people WHERE name IN ('big', 'long')");
    rows($link, 'DELETE FROM people');
    if ($seen[0][0] !== $big || $seen[1][0] !== $big) throw new Exception('other bytes');
    return $seen[0][1];
});
none('an interface without objects', 'models', 'migrations');
