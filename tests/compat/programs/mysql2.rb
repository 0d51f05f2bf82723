# Ruby's mysql2.  ruby mysql2.rb [increments CLIENT]
require 'digest'
require 'mysql2'

TEXT = "grün 東京 🐬 '\"\\%_\n\0end"
CLIENTS = []

def open(**given)
  client = Mysql2::Client.new(host: ENV['COMPAT_HOST'], port: ENV['COMPAT_PORT'].to_i, database: ENV['COMPAT_SCHEMA'],
                              username: ENV['COMPAT_USER'], password: ENV['COMPAT_PASSWORD'], encoding: 'utf8mb4',
                              local_infile: true, as: :array, cast_booleans: false, **given)
  CLIENTS << client
  client
end

def shown(value)
  return "(#{value.map { |each| shown(each) }.join(', ')})" if value.is_a?(Array)

  text = value.inspect
  text.length > 300 ? "#{text[0, 30]}...#{text.length} #{Digest::MD5.hexdigest(text)}" : text
end

def line(text)
  text.to_s.b.force_encoding('utf-8').scrub('?').gsub(/\s+/, ' ')
end

def check(name)
  seen = yield
  puts "ok #{name}\t#{line(shown(seen))}"
rescue StandardError => e
  puts "not ok #{name}\t#{line("#{e.class}: #{e.message} #{e.backtrace.first}")}"
ensure
  CLIENTS.each(&:close).clear
end

def none(why, *names)
  names.each { |name| puts "none #{name}\t#{why}" }
end

def same(seen, wanted)
  raise "#{shown(seen)} instead of #{shown(wanted)}" if seen != wanted

  seen
end

def raised
  yield
rescue Mysql2::Error => e
  e
else
  raise 'no error'
end

# Another session's commit may be on its way to the node that is asked.
def eventually(wanted)
  100.times { yield == wanted ? break : sleep(0.05) }
  same(yield, wanted)
end

def rows(client, sql)
  client.query(sql)&.to_a || client.affected_rows
end

def prepared(client, sql, *values)
  statement = client.prepare(sql)
  result = statement.execute(*values, as: :array)
  seen = result ? result.to_a : statement.affected_rows
  statement.close
  seen
end

def facts(error)
  [error.error_number, error.sql_state, error.message]
end

def types
  columns = rows(open, 'SHOW COLUMNS FROM types').map(&:first)
  ['SELECT * FROM types ORDER BY id', 'SELECT * FROM zeros', *columns.map { |c| "SELECT #{c} FROM types ORDER BY id" }].map do |sql|
    yield sql
  rescue ArgumentError, Mysql2::Error => e # not every date has a value in Ruby
    e.message
  end
end

def all_results(client, sql)
  result = client.query(sql)
  seen = [result&.to_a]
  seen << client.store_result&.to_a while client.next_result
  seen
end

def later(sql)
  client = Mysql2::Client.new(host: ENV['COMPAT_HOST'], port: ENV['COMPAT_PORT'].to_i,
                              username: ENV['COMPAT_USER'], password: ENV['COMPAT_PASSWORD'])
  Thread.new do
    sleep 0.7
    client.query(sql)
    client.close
  end
end

if ARGV[0] == 'increments'
  client = open
  25.times do |number|
    client.query('BEGIN')
    client.query('UPDATE counter SET value = value + 1 WHERE id = 1')
    prepared(client, 'INSERT INTO entry (client, number) VALUES (?, ?)', ARGV[1], number)
    client.query('COMMIT')
  end
  exit
end

puts "version: Ruby #{RUBY_VERSION} mysql2 #{Mysql2::VERSION} (libmariadb #{Mysql2::Client.info[:version]})"
check('login_native') { rows(open, 'SELECT 1, DATABASE()') }
check('login_sha2') do
  rows(open(username: ENV['COMPAT_SHA2_USER'], password: ENV['COMPAT_SHA2_PASSWORD']), 'SELECT 1, DATABASE()')
end
check('login_refused') { same(raised { open(password: 'wrong') }.error_number, 1045) }
check('tls') do
  raised { open(ssl_mode: :verify_ca, sslca: ENV['COMPAT_WRONG_CA'], sslverify: true) }
  client = open(sslca: ENV['COMPAT_CA'], sslverify: true)
  raise 'not encrypted' unless client.ssl_cipher

  [client.ssl_cipher.empty?, rows(client, 'SELECT 1'), rows(client, "SELECT REPEAT('x', 3000000)")[0][0].length]
end
check('compression') do
  client = open(flags: ['COMPRESS'])
  [rows(client, "SELECT REPEAT('abc', 100000), '#{'x' * 100_000}'"), rows(client, 'SELECT 1')]
end
check('text_types') { client = open; types { |sql| rows(client, sql) } }
check('prepared_types') { client = open; types { |sql| prepared(client, sql) } }
check('parameters') do
  client = open
  bytes = (0..255).map(&:chr).join.b
  values = [2**64 - 1, BigDecimal('-1234567890123456.7891'), '9999-12-31 23:59:59.999999', TEXT, bytes]
  prepared(client, "INSERT INTO people (name, number, amount, born, note, picture) VALUES ('limits', ?, ?, ?, ?, ?)", *values)
  seen = rows(client, 'SELECT number, amount, CAST(born AS CHAR), note, picture FROM people')
  rows(client, 'DELETE FROM people')
  same(seen, [values])
  [seen, prepared(client, 'SELECT ?, ?, ?, ?', -(2**63), 1.5, '', nil)]
end
check('unicode') do
  client = open
  same(rows(client, "SELECT '#{client.escape(TEXT)}', 'ü' AS `größe`"), [[TEXT, 'ü']])
end
check('charset') do
  seen = rows(open(encoding: 'latin1'), "SELECT HEX('gr\xFCn'), c_latin FROM types WHERE id = 2".b.force_encoding('iso-8859-1'))
  same(seen.map { |row| row.map { |value| value.encode('utf-8') } }, [%w[6772FC6E grün]])
end
check('autocommit') do
  one, other = open, open
  value = -> { rows(other, 'SELECT value FROM counter WHERE id = 2') }
  rows(one, 'SET autocommit = 0')
  rows(one, 'UPDATE counter SET value = 5 WHERE id = 2')
  seen = [eventually([[0]], &value)]
  rows(one, 'SET autocommit = 1')
  seen << eventually([[5]], &value)
  rows(one, 'UPDATE counter SET value = 0 WHERE id = 2')
  seen << eventually([[0]], &value)
end
check('transactions') do
  client = open
  ['BEGIN', "INSERT INTO people (name) VALUES ('undone')", 'ROLLBACK', 'BEGIN', "INSERT INTO people (name) VALUES ('one')",
   'SAVEPOINT s', "INSERT INTO people (name) VALUES ('two')", 'ROLLBACK TO s', 'COMMIT'].each { |sql| client.query(sql) }
  seen = same(rows(client, 'SELECT name FROM people'), [['one']])
  rows(client, 'DELETE FROM people')
  seen
end
check('lock_wait') do
  one, other = open, open
  lock = 'SELECT value FROM counter WHERE id = 2 FOR UPDATE'
  rows(one, 'BEGIN')
  rows(one, lock)
  rows(other, 'SET innodb_lock_wait_timeout = 1')
  rows(other, 'BEGIN')
  error = raised { rows(other, lock) }
  rows(one, 'ROLLBACK')
  seen = rows(other, lock)
  rows(other, 'ROLLBACK')
  [same(error.error_number, 1205), facts(error), seen]
end
check('multi_statements') do
  client = open(flags: ['MULTI_STATEMENTS'])
  seen = all_results(client, 'SELECT 1; SET @a = 2; SELECT @a, 3; SELECT n FROM numbers WHERE n < 4')
  [seen, facts(raised { all_results(client, 'SELECT 1; SELECT nosuch; SELECT 3') }), rows(client, 'SELECT 1')]
end
check('procedures') do
  client = open(flags: ['MULTI_STATEMENTS'])
  [all_results(client, 'CALL several(3)'), facts(raised { all_results(client, 'CALL fails()') }), rows(client, 'SELECT 1')]
end
check('out_parameters') do
  client = open
  rows(client, 'SET @b = 40')
  rows(client, 'CALL sums(2, @b, @c)')
  same(rows(client, 'SELECT @b, @c'), [[42, 'sum 42']])
end
check('errors') do
  client = open
  ['SELEC 1', 'SELECT * FROM nosuch', 'SELECT nosuch FROM numbers', 'INSERT INTO numbers VALUES (1)',
   'INSERT INTO numbers VALUES (NULL)', 'SELECT 1 FROM nosuch.t', 'CALL nosuch()', 'DROP TABLE nosuch'].flat_map do |sql|
    [facts(raised { rows(client, sql) }), facts(raised { prepared(client, sql) })]
  end
end
check('warnings') do
  client = open
  rows(client, "SELECT CAST('x' AS SIGNED), CAST('1y' AS SIGNED)")
  [same(client.warning_count, 2), rows(client, 'SHOW WARNINGS')]
end
check('insert_id') do
  client = open
  rows(client, "INSERT INTO people (name) VALUES ('a')")
  first = client.last_id
  rows(client, "INSERT INTO people (name) VALUES ('b'), ('c')")
  second = client.last_id
  same(rows(client, 'SELECT LAST_INSERT_ID()'), [[second]])
  same(rows(client, "SELECT name FROM people WHERE id IN (#{first}, #{second}) ORDER BY id"), [['a'], ['b']])
  rows(client, 'DELETE FROM people')
  second > first
end
check('affected_rows') do
  client = open
  seen = ["INSERT INTO people (name, number) VALUES ('p', 1), ('q', 1)",
          "UPDATE people SET number = 2 WHERE name IN ('p', 'q')",
          "REPLACE INTO people (name) VALUES ('p')", "DELETE FROM people WHERE name IN ('p', 'q')"].map do |sql|
    [rows(client, sql), client.query_info]
  end
  [same(seen.map(&:first), [2, 2, 2, 2]), seen]
end
check('found_rows') { same(rows(open(flags: ['FOUND_ROWS']), 'UPDATE counter SET value = value WHERE id < 3'), 2) }
check('many_statements') do
  client = open
  statements = (1..40).map { |i| client.prepare("SELECT n + #{i}, ? FROM numbers WHERE n = ?") }
  2.times do |turn|
    statements.each.with_index(1) { |statement, i| same(statement.execute("t#{turn}", i, as: :array).to_a, [[2 * i, "t#{turn}"]]) }
  end
  statements.length
end
check('streaming') do
  client = open
  sql = "SELECT a.n, REPEAT('x', 1000) FROM numbers a, numbers b WHERE b.n <= 10"
  count = 0
  client.query(sql, stream: true, cache_rows: false).each { count += 1 }
  [same(count, 10_000), rows(client, 'SELECT 1')]
end
none('no option for it', 'cursor')
check('local_infile') do
  client = open
  count = rows(client, "LOAD DATA LOCAL INFILE '#{ENV['COMPAT_FILE']}' INTO TABLE loaded CHARACTER SET utf8mb4")
  seen = rows(client, 'SELECT text FROM loaded ORDER BY id')
  rows(client, 'DELETE FROM loaded')
  same([count, seen], [3, [['one'], ['grün 🐬'], [nil]]])
end
check('kill_query') do
  client = open
  thread = later("KILL QUERY #{client.thread_id}")
  begun = Time.now
  seen = begin
    rows(client, 'SELECT SLEEP(20) FROM counter WHERE id = 1')
  rescue Mysql2::Error => e
    facts(e)
  end
  thread.join
  raise 'not interrupted' if Time.now - begun > 10

  [seen, rows(client, 'SELECT 1')]
end
check('kill_connection') do
  client = open
  thread = later("KILL #{client.thread_id}")
  raised { rows(client, 'SELECT SLEEP(20) FROM counter WHERE id = 1') }
  thread.join
  raised { rows(client, 'SELECT 1') }
  rows(open, 'SELECT 1')
end
check('read_timeout') do
  client = open(read_timeout: 1)
  raised { rows(client, 'SELECT SLEEP(20) FROM counter WHERE id = 1') }
  rows(open, 'SELECT 1')
end
none('it has no such call', 'reset', 'change_user')
check('ping') { client = open; [client.ping, rows(client, 'SELECT 1')] }
none('it has no pool', 'pool')
check('big') do
  client = open
  big = (0..255).map(&:chr).join.b * (20 << 12)
  prepared(client, "INSERT INTO people (name, picture) VALUES ('big', ?)", big)
  row = rows(client, 'SELECT picture, SHA2(picture, 256) FROM people')[0]
  rows(client, 'DELETE FROM people')
  raise 'other bytes' if row[0] != big

  row[1]
end
none('an interface without objects', 'models', 'migrations')
