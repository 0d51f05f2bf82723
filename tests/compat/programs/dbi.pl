# Perl's DBI with DBD::mysql or DBD::MariaDB.  perl dbi.pl mysql|MariaDB [increments CLIENT]
use strict;
use warnings;
use utf8;
use DBI;
use Digest::MD5 'md5_hex';
use Encode;
binmode STDOUT, ':utf8';

my ($driver, $mode, $argument) = @ARGV;
my $maria = $driver eq 'MariaDB';
my $prefix = $maria ? 'mariadb' : 'mysql';
my $text = "grün 東京 🐬 '\"\\%_\n\0end";

my @opened;
sub open_ {
    my (%given) = @_;
    my $more = delete $given{more} // '';
    my $user = delete $given{user} // $ENV{COMPAT_USER};
    my $password = delete $given{password} // $ENV{COMPAT_PASSWORD};
    my $where = "DBI:$driver:host=$ENV{COMPAT_HOST};port=$ENV{COMPAT_PORT};database=$ENV{COMPAT_SCHEMA};${prefix}_local_infile=1$more";
    my $link = DBI->connect($where, $user, $password, { RaiseError => 1, PrintError => 0, AutoCommit => 1, %given });
    $link->{mysql_enable_utf8mb4} = 1 if !$maria;
    $link->do('SET NAMES utf8mb4') if !$maria;
    push @opened, $link;
    return $link;
}
my %prepared = ("${prefix}_server_prepare" => 1);

sub shown {
    my ($value) = @_;
    return '(' . join(', ', map { shown($_) } @$value) . ')' if ref $value;
    return 'NULL' if !defined $value;
    my $bytes = encode('utf-8', $value);
    return length($value) > 300 ? substr($value, 0, 30) . '...' . length($value) . ' ' . md5_hex($bytes) : "'$value'";
}
sub line { my ($text) = @_; $text =~ s/\s+/ /g; $text =~ s/([^[:print:]])/sprintf '\\x{%x}', ord $1/ge; return $text }
sub check {
    my ($name, $run) = @_;
    my $seen = eval { [$run->()] };
    $_->disconnect for splice @opened;
    print $seen ? "ok $name\t" . line(shown($seen)) : "not ok $name\t" . line($@), "\n";
}
sub none { my ($why, @names) = @_; print "none $_\t$why\n" for @names }
sub same { my ($seen, $wanted) = @_; die shown($seen) . ' instead of ' . shown($wanted) if shown($seen) ne shown($wanted); return $seen }
sub raised { my ($run) = @_; eval { $run->(); 1 } and die 'no error'; return [$DBI::err, $DBI::state, $DBI::errstr] }
sub rows { my ($link, $sql, @values) = @_; return $link->selectall_arrayref($sql, undef, @values) }
# Another session's commit may be on its way to the node that is asked.
sub eventually { my ($ask, $wanted) = @_; for (1 .. 100) { last if shown($ask->()) eq shown($wanted); select undef, undef, undef, 0.05 } return same($ask->(), $wanted) }

sub types {
    my ($link) = @_;
    my @seen = (rows($link, 'SELECT * FROM types ORDER BY id'), rows($link, 'SELECT * FROM zeros'));
    push @seen, rows($link, "SELECT $_->[0] FROM types ORDER BY id") for @{ rows(open_(), 'SHOW COLUMNS FROM types') };
    same($seen[0][1][8], '18446744073709551615');
    return \@seen;
}
# A name of its own for each connection: what another one has deleted may be there yet at the node that is asked.
sub parameters {
    my ($link, $name) = @_;
    my $bytes = join '', map { chr } 0 .. 255;
    my $statement = $link->prepare("INSERT INTO people (name, number, amount, born, note, picture) VALUES ('$name', ?, ?, ?, ?, ?)");
    my @values = ('18446744073709551615', '-1234567890123456.7891', '9999-12-31 23:59:59.999999', $text);
    $statement->bind_param($_ + 1, $values[$_]) for 0 .. 3;
    $statement->bind_param(5, $bytes, DBI::SQL_BLOB());
    $statement->execute;
    my $row = rows($link, "SELECT number, amount, born, note, HEX(picture) FROM people WHERE name = '$name'");
    $link->do('DELETE FROM people');
    same($row, [[@values, uc unpack 'H*', $bytes]]);
    return [$row, rows($link, 'SELECT ?, ?, ?', -9223372036854775807, '', undef)];
}
sub all_results {
    my ($link, $sql) = @_;
    my $statement = $link->prepare($sql);
    $statement->execute;
    my @seen;
    do { push @seen, $statement->{NUM_OF_FIELDS} ? $statement->fetchall_arrayref : $statement->rows } while $statement->more_results;
    return \@seen;
}

if (($mode // '') eq 'increments') {
    my $link = open_(AutoCommit => 0, %prepared);
    for my $number (0 .. 24) {
        $link->do('UPDATE counter SET value = value + 1 WHERE id = 1');
        $link->do('INSERT INTO entry (client, number) VALUES (?, ?)', undef, $argument, $number);
        $link->commit;
    }
    $link->disconnect;
    exit;
}

my $module = "DBD::$driver";
my $client = open_()->{"${prefix}_clientinfo"};
print "version: $module ", $module->VERSION, " (libmariadb $client)\n";
check login_native => sub { rows(open_(), 'SELECT 1, DATABASE()') };
check login_sha2 => sub { rows(open_(user => $ENV{COMPAT_SHA2_USER}, password => $ENV{COMPAT_SHA2_PASSWORD}), 'SELECT 1, DATABASE()') };
check login_refused => sub { same(raised(sub { open_(password => 'wrong') })->[0], 1045) };
check tls => sub {
    my $ssl = ";${prefix}_ssl=1;${prefix}_ssl_verify_server_cert=1;${prefix}_ssl_ca_file=";
    raised(sub { open_(more => $ssl . $ENV{COMPAT_WRONG_CA}) });
    my $link = open_(more => $ssl . $ENV{COMPAT_CA});
    return rows($link, 'SELECT 1'), length rows($link, "SELECT REPEAT('x', 3000000)")->[0][0];
};
check compression => sub {
    my $link = open_(more => ";${prefix}_compression=1");
    return rows($link, "SELECT REPEAT('abc', 100000), ?", 'x' x 100000), rows($link, 'SELECT 1');
};
check text_types => sub { types(open_()) };
check prepared_types => sub { types(open_(%prepared)) };
check parameters => sub { parameters(open_(), 'text'), parameters(open_(%prepared), 'prepared') };
check unicode => sub { same(rows(open_(), "SELECT ?, CHAR_LENGTH(?), 'ü' AS `größe`", $text, $text), [[$text, length $text, 'ü']]) };
none('it speaks UTF-8 only', 'charset');
check autocommit => sub {
    my ($one, $other) = (open_(), open_());
    my $value = sub { rows($other, 'SELECT value FROM counter WHERE id = 2') };
    $one->{AutoCommit} = 0;
    $one->do('UPDATE counter SET value = 5 WHERE id = 2');
    my @seen = eventually($value, [[0]]);
    $one->{AutoCommit} = 1;
    push @seen, eventually($value, [[5]]);
    $one->do('UPDATE counter SET value = 0 WHERE id = 2');
    return @seen, eventually($value, [[0]]);
};
check transactions => sub {
    my $link = open_();
    $link->begin_work;
    $link->do("INSERT INTO people (name) VALUES ('undone')");
    $link->rollback;
    $link->begin_work;
    $link->do("INSERT INTO people (name) VALUES ('one')");
    $link->do('SAVEPOINT s');
    $link->do("INSERT INTO people (name) VALUES ('two')");
    $link->do('ROLLBACK TO SAVEPOINT s');
    $link->commit;
    my $seen = same(rows($link, 'SELECT name FROM people'), [['one']]);
    $link->do('DELETE FROM people');
    return $seen;
};
check lock_wait => sub {
    my ($one, $other) = (open_(), open_());
    my $lock = 'SELECT value FROM counter WHERE id = 2 FOR UPDATE';
    $one->begin_work;
    rows($one, $lock);
    $other->do('SET innodb_lock_wait_timeout = 1');
    $other->begin_work;
    my $error = raised(sub { rows($other, $lock) });
    $one->rollback;
    my $seen = rows($other, $lock);
    $other->rollback;
    return same($error->[0], 1205), $error, $seen;
};
check multi_statements => sub {
    my $link = open_(more => ";${prefix}_multi_statements=1");
    my $seen = all_results($link, 'SELECT 1; SET @a = 2; SELECT @a, 3; SELECT n FROM numbers WHERE n < 4');
    return $seen, rows($link, 'SELECT 1');
};
check procedures => sub {
    my $link = open_();
    my $seen = all_results($link, 'CALL several(3)');
    my $error = raised(sub { all_results($link, 'CALL nosuch()') });
    return $seen, $error, rows($link, 'SELECT 1');
};
check out_parameters => sub {
    my $link = open_();
    $link->do('SET @b = 40');
    $link->do('CALL sums(2, @b, @c)');
    return same(rows($link, 'SELECT @b, @c'), [[42, 'sum 42']]);
};
check errors => sub {
    my @seen;
    for my $link (open_(), open_(%prepared)) {
        for my $sql ('SELEC 1', 'SELECT * FROM nosuch', 'SELECT nosuch FROM numbers', 'INSERT INTO numbers VALUES (1)',
            'INSERT INTO numbers VALUES (NULL)', 'SELECT 1 FROM nosuch.t', 'CALL nosuch()', 'DROP TABLE nosuch') {
            push @seen, raised(sub { $link->do($sql) });
        }
    }
    return @seen;
};
check warnings => sub {
    my $link = open_();
    my $statement = $link->prepare("SELECT CAST('x' AS SIGNED), CAST('1y' AS SIGNED)");
    $statement->execute;
    $statement->fetchall_arrayref;
    return same($statement->{"${prefix}_warning_count"}, 2), rows($link, 'SHOW WARNINGS');
};
check insert_id => sub {
    my $link = open_();
    $link->do("INSERT INTO people (name) VALUES ('a')");
    my $first = $link->{"${prefix}_insertid"};
    $link->do("INSERT INTO people (name) VALUES ('b'), ('c')");
    my $second = $link->{"${prefix}_insertid"};
    same(rows($link, 'SELECT LAST_INSERT_ID()'), [[$second]]);
    same(rows($link, 'SELECT name FROM people WHERE id IN (?, ?) ORDER BY id', $first, $second), [['a'], ['b']]);
    $link->do('DELETE FROM people');
    return $second > $first;
};
check affected_rows => sub {
    my $link = open_(more => ";${prefix}_client_found_rows=0");
    return same([map { $link->do($_) + 0 } "INSERT INTO people (name, number) VALUES ('p', 1), ('q', 1)",
        "UPDATE people SET number = 1 WHERE name IN ('p', 'q')", "UPDATE people SET number = 2 WHERE name IN ('p', 'q')",
        "REPLACE INTO people (name) VALUES ('p')", "DELETE FROM people WHERE name IN ('p', 'q')"], [2, 0, 2, 2, 2]);
};
check found_rows => sub { same(open_()->do('UPDATE counter SET value = value WHERE id < 3') + 0, 2) };
check many_statements => sub {
    my $link = open_(%prepared);
    my @statements = map { $link->prepare("SELECT n + $_, ? FROM numbers WHERE n = ?") } 1 .. 40;
    for my $turn (0, 1) {
        for my $i (1 .. 40) {
            $statements[$i - 1]->execute("t$turn", $i);
            same($statements[$i - 1]->fetchall_arrayref, [[2 * $i, "t$turn"]]);
        }
    }
    return scalar @statements;
};
check streaming => sub {
    my $link = open_();
    my $statement = $link->prepare("SELECT a.n, REPEAT('x', 1000) FROM numbers a, numbers b WHERE b.n <= 10", { "${prefix}_use_result" => 1 });
    $statement->execute;
    my $count = 0;
    $count++ while $statement->fetchrow_arrayref;
    undef $statement;
    $statement = $link->prepare('SELECT n FROM numbers ORDER BY n', { "${prefix}_use_result" => 1 });
    $statement->execute;
    my $sum = 0;
    while (my $row = $statement->fetchrow_arrayref) { $sum += $row->[0] }
    undef $statement;
    return same($count, 10000), $sum, rows($link, 'SELECT 1');
};
none('no option for it', 'cursor');
check local_infile => sub {
    my $link = open_();
    my $count = $link->do("LOAD DATA LOCAL INFILE '$ENV{COMPAT_FILE}' INTO TABLE loaded CHARACTER SET utf8mb4");
    my $seen = rows($link, 'SELECT text FROM loaded ORDER BY id');
    $link->do('DELETE FROM loaded');
    return same([$count, $seen], [3, [['one'], ['grün 🐬'], [undef]]]);
};
sub later {
    my ($sql) = @_;
    my $pid = fork;
    return $pid if $pid;
    select undef, undef, undef, 0.7;
    my $link = open_();
    $link->do($sql);
    require POSIX;
    POSIX::_exit(0);
}
check kill_query => sub {
    my $link = open_();
    $link->{AutoInactiveDestroy} = 1;
    my $pid = later('KILL QUERY ' . $link->{"${prefix}_thread_id"});
    my $begun = time;
    my $seen = eval { rows($link, 'SELECT SLEEP(20) FROM counter WHERE id = 1') } || [$link->err, $link->errstr];
    waitpid $pid, 0;
    die 'not interrupted' if time - $begun > 10;
    return $seen, rows($link, 'SELECT 1');
};
check kill_connection => sub {
    my $link = open_();
    $link->{AutoInactiveDestroy} = 1;
    my $pid = later('KILL ' . $link->{"${prefix}_thread_id"});
    raised(sub { rows($link, 'SELECT SLEEP(20) FROM counter WHERE id = 1') });
    waitpid $pid, 0;
    raised(sub { rows($link, 'SELECT 1') });
    return rows(open_(), 'SELECT 1');
};
check read_timeout => sub {
    my $link = open_(more => ";${prefix}_read_timeout=1");
    raised(sub { rows($link, 'SELECT SLEEP(20) FROM counter WHERE id = 1') });
    return rows(open_(), 'SELECT 1');
};
none('it has no such call', 'reset', 'change_user');
check ping => sub { my $link = open_(); return $link->ping ? 1 : 0, rows($link, 'SELECT 1') };
none('it has no pool', 'pool');
check big => sub {
    my $big = join('', map { chr } 32 .. 95) x (20 << 14);
    my $digest;
    for my $link (open_(), open_(%prepared)) {
        $link->do("INSERT INTO people (name, picture) VALUES ('big', ?)", undef, $big);
        my $row = rows($link, 'SELECT picture, SHA2(picture, 256) FROM people');
        $link->do('DELETE FROM people');
        die 'other bytes' if $row->[0][0] ne $big;
        $digest = $row->[0][1];
    }
    return $digest;
};
none('an interface without objects', 'models', 'migrations');
