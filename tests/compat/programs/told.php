<?php
// What the PHP programs share: the environment, and the lines they print.
const TEXT = "grün 東京 🐬 '\"\\%_\n\0end";
const BIG = 20 << 20;
const ERRORS = ['SELEC 1', 'SELECT * FROM nosuch', 'SELECT nosuch FROM numbers', 'INSERT INTO numbers VALUES (1)',
    'INSERT INTO numbers VALUES (NULL)', 'SELECT 1 FROM nosuch.t', 'CALL nosuch()', 'DROP TABLE nosuch'];
const CHANGES = [
    ["INSERT INTO people (name, number) VALUES ('p', 1), ('q', 1)", 2],
    ["UPDATE people SET number = 1 WHERE name IN ('p', 'q')", 0],
    ["UPDATE people SET number = 2 WHERE name IN ('p', 'q')", 2],
    ["REPLACE INTO people (name) VALUES ('p')", 2],
    ["DELETE FROM people WHERE name IN ('p', 'q')", 2],
];
const LOAD = 'INTO TABLE loaded CHARACTER SET utf8mb4';

function env(string $name): string { return getenv("COMPAT_$name"); }
function shown(mixed $value): string {
    $text = var_export($value, true);
    return strlen($text) > 20000 ? strlen($text) . ' ' . md5($text) : $text;
}
function line(string $text): string { return preg_replace('/\s+/', ' ', $text); }
function check(string $name, callable $run): void {
    try {
        $seen = $run();
        echo "ok $name\t", line(shown($seen)), "\n";
    } catch (Throwable $error) {
        echo "not ok $name\t", line(get_class($error) . ' ' . $error->getMessage() . ' at ' . $error->getLine()), "\n";
    }
}
function none(string $why, string ...$names): void {
    foreach ($names as $name) echo "none $name\t$why\n";
}
function same(mixed $seen, mixed $wanted): mixed {
    if ($seen !== $wanted) throw new Exception(shown($seen) . ' instead of ' . shown($wanted));
    return $seen;
}
/** Asks until the answer is $wanted: another session's commit may be on its way to the node that is asked. */
function eventually(callable $ask, mixed $wanted): mixed {
    for ($tries = 0; $tries < 100 && $ask() !== $wanted; $tries++) usleep(50000);
    return same($ask(), $wanted);
}
function raised(callable $run): Throwable {
    try {
        $run();
    } catch (Throwable $error) {
        return $error;
    }
    throw new Exception('no error');
}
/** Runs $sql in another process after 0.7 s, which has a connection of its own. */
function later(string $sql): mixed {
    $process = proc_open([PHP_BINARY, __DIR__ . '/mysqli.php', 'later', $sql], [1 => STDERR, 2 => STDERR], $pipes);
    if ($process === false) throw new Exception('no process');
    return $process;
}
