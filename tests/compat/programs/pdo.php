<?php
// PHP's PDO with pdo_mysql, with and without emulated prepared statements.  php pdo.php [increments CLIENT]
require __DIR__ . '/told.php';

function open(array $options = [], ?string $user = null, ?string $password = null, string $charset = 'utf8mb4'): PDO {
    $where = 'mysql:host=' . env('HOST') . ';port=' . env('PORT') . ';dbname=' . env('SCHEMA') . ";charset=$charset";
    $usual = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_NUM,
        PDO::MYSQL_ATTR_LOCAL_INFILE => true];
    return new PDO($where, $user ?? env('USER'), $password ?? env('PASSWORD'), $options + $usual);
}
const PREPARED = [PDO::ATTR_EMULATE_PREPARES => false];
function rows(PDO $link, string $sql, array $values = []): array {
    $statement = $link->prepare($sql);
    $statement->execute($values);
    return $statement->fetchAll();
}
function facts(Throwable $error): array { return $error->errorInfo; }
function all_results(PDO $link, string $sql): array {
    $statement = $link->query($sql);
    $seen = [];
    do $seen[] = $statement->columnCount() ? $statement->fetchAll() : $statement->rowCount(); while ($statement->nextRowset());
    return $seen;
}
function types(PDO $link): array {
    $seen = [rows($link, 'SELECT * FROM types ORDER BY id'), rows($link, 'SELECT * FROM zeros')];
    foreach (rows(open(), 'SHOW COLUMNS FROM types') as [$column]) $seen[] = rows($link, "SELECT $column FROM types ORDER BY id");
    same((string) $seen[0][1][8], '18446744073709551615');
    return $seen;
}
// A name of its own for each connection: what another one has deleted may be there yet at the node that is asked.
function parameters(PDO $link, string $name): array {
    $bytes = implode('', array_map('chr', range(0, 255)));
    $values = ['18446744073709551615', '-1234567890123456.7891', '9999-12-31 23:59:59.999999', TEXT, $bytes];
    $link->prepare("INSERT INTO people (name, number, amount, born, note, picture) VALUES ('$name', ?, ?, ?, ?, ?)")->execute($values);
    $row = rows($link, "SELECT number, amount, born, note, picture FROM people WHERE name = '$name'")[0];
    $link->exec('DELETE FROM people');
    $row[0] = (string) $row[0];
    same($row, $values);
    return [$row, rows($link, 'SELECT ?, ?, ?', [PHP_INT_MIN, '', null])];
}

if (($argv[1] ?? '') === 'increments') {
    $link = open(PREPARED);
    for ($number = 0; $number < 25; $number++) {
        $link->beginTransaction();
        $link->exec('UPDATE counter SET value = value + 1 WHERE id = 1');
        rows($link, 'INSERT INTO entry (client, number) VALUES (?, ?)', [$argv[2], $number]);
        $link->commit();
    }
    exit(0);
}

echo 'version: PHP ', PHP_VERSION, ' PDO (', open()->getAttribute(PDO::ATTR_CLIENT_VERSION), ")\n";
check('login_native', fn() => rows(open(), 'SELECT 1, DATABASE()'));
check('login_sha2', fn() => rows(open([], env('SHA2_USER'), env('SHA2_PASSWORD')), 'SELECT 1, DATABASE()'));
check('login_refused', fn() => same(raised(fn() => open([], null, 'wrong'))->getCode(), 1045));
check('tls', function () {
    raised(fn() => @open([PDO::MYSQL_ATTR_SSL_CA => env('WRONG_CA')]));
    $link = open([PDO::MYSQL_ATTR_SSL_CA => env('CA')]);
    return [rows($link, 'SELECT 1'), strlen(rows($link, "SELECT REPEAT('x', 3000000)")[0][0])];
});
check('compression', function () {
    $link = open([PDO::MYSQL_ATTR_COMPRESS => true]);
    return [rows($link, "SELECT REPEAT('abc', 100000), ?", [str_repeat('x', 100000)]), rows($link, 'SELECT 1')];
});
check('text_types', fn() => types(open()));
check('prepared_types', fn() => types(open(PREPARED)));
check('parameters', fn() => [parameters(open(), 'text'), parameters(open(PREPARED), 'prepared')]);
check('unicode', fn() => [same(rows(open(), "SELECT ?, 'ü' AS `größe`", [TEXT]), [[TEXT, 'ü']]), same(rows(open(PREPARED), 'SELECT ?', [TEXT]), [[TEXT]])]);
check('charset', fn() => same(rows(open([], null, null, 'latin1'), 'SELECT HEX(?), c_latin FROM types WHERE id = 2', ["gr\xFCn"]), [['6772FC6E', "gr\xFCn"]]));
check('autocommit', function () {
    [$one, $other] = [open(), open()];
    $value = fn() => (int) rows($other, 'SELECT value FROM counter WHERE id = 2')[0][0];
    $one->setAttribute(PDO::ATTR_AUTOCOMMIT, 0);
    $one->exec('UPDATE counter SET value = 5 WHERE id = 2');
    $seen = [eventually($value, 0)];
    $one->commit();
    $one->setAttribute(PDO::ATTR_AUTOCOMMIT, 1);
    $seen[] = eventually($value, 5);
    $one->exec('UPDATE counter SET value = 0 WHERE id = 2');
    $seen[] = eventually($value, 0);
    return same($seen, [0, 5, 0]);
});
check('transactions', function () {
    $link = open();
    $link->beginTransaction();
    $link->exec("INSERT INTO people (name) VALUES ('undone')");
    $link->rollBack();
    $link->beginTransaction();
    $seen = [$link->inTransaction()];
    $link->exec("INSERT INTO people (name) VALUES ('one')");
    $link->exec('SAVEPOINT s');
    $link->exec("INSERT INTO people (name) VALUES ('two')");
    $link->exec('ROLLBACK TO SAVEPOINT s');
    $seen[] = $link->inTransaction();
    $link->commit();
    $seen[] = $link->inTransaction();
    $seen[] = same(rows($link, 'SELECT name FROM people'), [['one']]);
    $link->exec('DELETE FROM people');
    $link->beginTransaction();
    $link->exec('CREATE TABLE made_meanwhile (a INT)');
    $seen[] = $link->inTransaction();
    $link->exec('DROP TABLE made_meanwhile');
    return $seen;
});
check('lock_wait', function () {
    [$one, $other] = [open(), open()];
    $one->beginTransaction();
    rows($one, 'SELECT value FROM counter WHERE id = 2 FOR UPDATE');
    $other->exec('SET innodb_lock_wait_timeout = 1');
    $other->beginTransaction();
    $error = raised(fn() => rows($other, 'SELECT value FROM counter WHERE id = 2 FOR UPDATE'));
    $one->rollBack();
    $seen = rows($other, 'SELECT value FROM counter WHERE id = 2 FOR UPDATE');
    $other->rollBack();
    return [same($error->errorInfo[1], 1205), facts($error), $seen];
});
check('multi_statements', function () {
    $link = open();
    $seen = all_results($link, 'SELECT 1; SET @a = 2; SELECT @a, 3; SELECT n FROM numbers WHERE n < 4');
    $error = raised(fn() => all_results(open(), 'SELECT 1; SELECT nosuch; SELECT 3'));
    return [$seen, facts($error), rows($link, 'SELECT 1')];
});
check('procedures', fn() => [all_results(open(), 'CALL several(3)'), all_results(open(PREPARED), 'CALL several(2)'),
    facts(raised(fn() => all_results(open(), 'CALL fails()')))]);
check('out_parameters', function () {
    $link = open();
    $link->exec('SET @b = 40');
    $link->exec('CALL sums(2, @b, @c)');
    return same(rows($link, 'SELECT @b, @c'), [[42, 'sum 42']]);
});
check('errors', function () {
    $seen = [];
    foreach ([open(), open(PREPARED)] as $link) {
        foreach (ERRORS as $sql) $seen[] = facts(raised(fn() => rows($link, $sql)));
    }
    return $seen;
});
check('warnings', function () {
    $link = open();
    $statement = $link->query("SELECT CAST('x' AS SIGNED), CAST('1y' AS SIGNED)");
    $statement->fetchAll();
    return rows($link, 'SHOW WARNINGS');
});
check('insert_id', function () {
    $link = open();
    $link->exec("INSERT INTO people (name) VALUES ('a')");
    $first = $link->lastInsertId();
    $link->exec("INSERT INTO people (name) VALUES ('b'), ('c')");
    $second = $link->lastInsertId();
    same(rows($link, 'SELECT name FROM people WHERE id IN (?, ?) ORDER BY id', [$first, $second]), [['a'], ['b']]);
    $link->exec('DELETE FROM people');
    return $second > $first;
});
check('affected_rows', function () {
    $link = open();
    return array_map(fn($each) => same($link->exec($each[0]), $each[1]), CHANGES);
});
check('found_rows', fn() => same(open([PDO::MYSQL_ATTR_FOUND_ROWS => true])->exec('UPDATE counter SET value = value WHERE id < 3'), 2));
check('many_statements', function () {
    $link = open(PREPARED);
    $statements = [];
    for ($i = 1; $i <= 40; $i++) $statements[$i] = $link->prepare("SELECT n + $i, ? FROM numbers WHERE n = ?");
    for ($turn = 0; $turn < 2; $turn++) {
        foreach ($statements as $i => $statement) {
            $statement->execute(["t$turn", $i]);
            same($statement->fetchAll(), [[2 * $i, "t$turn"]]);
        }
    }
    return count($statements);
});
check('streaming', function () {
    $link = open([PDO::MYSQL_ATTR_USE_BUFFERED_QUERY => false]);
    $count = 0;
    foreach ($link->query("SELECT a.n, REPEAT('x', 1000) FROM numbers a, numbers b WHERE b.n <= 10") as $row) $count++;
    $half = $link->query('SELECT n FROM numbers ORDER BY n');
    $first = $half->fetch();
    $half->closeCursor();
    return [same($count, 10000), $first, rows($link, 'SELECT 1')];
});
none('no option for it', 'cursor', 'read_timeout');
check('local_infile', function () {
    $link = open();
    $count = $link->exec("LOAD DATA LOCAL INFILE '" . env('FILE') . "' " . LOAD);
    $seen = rows($link, 'SELECT text FROM loaded ORDER BY id');
    $link->exec('DELETE FROM loaded');
    return same([$count, $seen], [3, [['one'], ['grün 🐬'], [null]]]);
});
none('it does not tell its id', 'kill_query', 'kill_connection');
none('it has no such call', 'reset', 'change_user', 'ping');
check('pool', function () {
    $seen = [];
    for ($turn = 0; $turn < 4; $turn++) {
        $link = open([PDO::ATTR_PERSISTENT => true]);
        $seen[] = rows($link, 'SELECT n FROM numbers WHERE n = ?', [$turn + 1]);
        $link = null;
    }
    return $seen;
});
check('big', function () {
    $big = str_repeat(implode('', array_map('chr', range(0, 255))), BIG / 256);
    foreach ([[], PREPARED] as $options) {
        $link = open($options);
        rows($link, "INSERT INTO people (name, picture) VALUES ('big', ?)", [$big]);
        [[$seen, $digest]] = rows($link, 'SELECT picture, SHA2(picture, 256) FROM people');
        $link->exec('DELETE FROM people');
        if ($seen !== $big) throw new Exception('other bytes');
    }
    return $digest;
});
none('an interface without objects', 'models', 'migrations');
