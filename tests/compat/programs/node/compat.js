// mysql, mysql2 and mariadb for Node.js.  node compat.js mysql|mysql2|mariadb [increments CLIENT]
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const { createRequire } = require('module');
const tls = require('tls');

const env = process.env;
// Where `npm ci` was run; this file is not copied there.
const load = createRequire(env.COMPAT_NODE_MODULES + '/');
const name = process.argv[2];
const maria = name === 'mariadb';
const driver = load(maria ? 'mariadb/callback' : name);
const TEXT = 'grün 東京 🐬 \'"\\%_\n\0end';
const CONFIG = {
  host: env.COMPAT_HOST, port: Number(env.COMPAT_PORT), database: env.COMPAT_SCHEMA,
  user: env.COMPAT_USER, password: env.COMPAT_PASSWORD, charset: 'utf8mb4',
  supportBigNumbers: true, dateStrings: true, ...(maria && { insertIdAsNumber: true, allowPublicKeyRetrieval: true }),
};

// Long values by their beginning, length and digest.
function short(key, value) {
  const text = value && value.type === 'Buffer' ? Buffer.from(value.data).toString('latin1') : value;
  if (typeof text !== 'string' || text.length < 300) return value;
  return `${text.slice(0, 30)}...${text.length} ${crypto.createHash('md5').update(text).digest('hex')}`;
}
const shown = (value) => JSON.stringify(value, short) || String(value);
const line = (text) => String(text).replace(/\s+/g, ' ');
async function check(what, run) {
  try {
    const seen = await run();
    console.log(`ok ${what}\t${line(shown(seen))}`);
  } catch (error) {
    console.log(`not ok ${what}\t${line(error.stack || error).slice(0, 2000)}`);
  }
}
const none = (why, ...names) => names.forEach((what) => console.log(`none ${what}\t${why}`));
function same(seen, wanted) {
  if (shown(seen) !== shown(wanted)) throw new Error(`${shown(seen)} instead of ${shown(wanted)}`);
  return seen;
}
async function raised(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('no error');
}
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const facts = (error) => [error.errno, error.sqlState, error.sqlMessage];

// One connection, with promises for callbacks.
class Session {
  constructor(options = {}) {
    this.raw = driver.createConnection({ ...CONFIG, ...options });
    this.raw.on('error', () => {});
  }
  call(method, ...given) {
    return new Promise((resolve, reject) =>
      this.raw[method](...given, (error, rows) => (error ? reject(error) : resolve(rows))));
  }
  static async open(options) {
    const session = new Session(options);
    await session.call('connect');
    return session;
  }
  query(sql, values) { return this.call('query', sql, values); }
  execute(sql, values = []) { return this.call('execute', sql, values); }
  end() { return this.call('end').catch(() => this.raw.destroy()); }
}
async function using(options, use, count = 1) {
  const sessions = [];
  try {
    for (let i = 0; i < count; i++) sessions.push(await Session.open(options));
    return await use(...sessions);
  } finally {
    for (const session of sessions) await session.end();
  }
}
const plain = (rows) => rows.map((row) => (Array.isArray(row) ? plain(row) : row));

async function types(session, method) {
  const seen = [await session[method]('SELECT * FROM types ORDER BY id')];
  for (const { Field: column } of await session.query('SHOW COLUMNS FROM types')) {
    seen.push(await session[method](`SELECT ${column} FROM types ORDER BY id`));
  }
  seen.push(await session[method]('SELECT * FROM zeros'));
  same(seen[0][1].c_ubig, '18446744073709551615');
  return seen;
}

async function parameters(session, method) {
  const bytes = Buffer.from([...Array(256).keys()]);
  const values = ['limits', '18446744073709551615', '-1234567890123456.7891', '9999-12-31 23:59:59.999999', TEXT, bytes];
  await session[method]('INSERT INTO people (name, number, amount, born, note, picture) VALUES (?, ?, ?, ?, ?, ?)', values);
  const [row] = await session.query('SELECT name, number, CAST(amount AS CHAR) AS amount, born, note, picture FROM people WHERE name = ?', ['limits']);
  await session.query('DELETE FROM people');
  same(Object.values(row), values);
  return [row, await session[method]('SELECT ? AS a, ? AS b, ? AS c, ? AS d', [null, 1.5, '', -7])];
}

// Many rows in one command where the server has one for that.
async function batch(session) {
  const rows = [...Array(50).keys()].map((i) => [`b${i}`, i % 2 ? i : null]);
  const { affectedRows } = await session.call('batch', 'INSERT INTO people (name, amount) VALUES (?, ?)', rows);
  const found = await session.query('SELECT COUNT(*) AS n, SUM(amount) AS s, MAX(name) AS m FROM people');
  await session.query('DELETE FROM people');
  return [affectedRows, found];
}

async function checks() {
  console.log(`version: ${name} ${JSON.parse(fs.readFileSync(`${env.COMPAT_NODE_MODULES}/node_modules/${name}/package.json`)).version} (Node.js ${process.versions.node})`);
  const prepares = name !== 'mysql';
  await check('login_native', () => using({}, (s) => s.query('SELECT 1, DATABASE()')));
  if (prepares) {
    await check('login_sha2', () => using({ user: env.COMPAT_SHA2_USER, password: env.COMPAT_SHA2_PASSWORD }, (s) => s.query('SELECT 1')));
  } else none('it knows mysql_native_password only', 'login_sha2');
  await check('login_refused', async () => same((await raised(Session.open({ password: 'wrong' }))).errno, 1045));
  // mariadb takes an address for no name of a host.
  const named = maria && { checkServerIdentity: (_, certificate) => tls.checkServerIdentity(env.COMPAT_HOST, certificate) };
  await check('tls', () => using({ ssl: { ca: fs.readFileSync(env.COMPAT_CA), ...named } }, async (s) => [
    await s.query('SELECT 1'), (await s.query("SELECT REPEAT('x', 3000000) AS x"))[0].x.length]));
  if (prepares) {
    await check('compression', () => using({ compress: true }, async (s) => [
      (await s.query("SELECT REPEAT('abc', 100000) AS x, ? AS y", ['x'.repeat(100000)])), await s.query('SELECT 1')]));
  } else none('it has none', 'compression');
  await check('text_types', () => using({}, (s) => types(s, 'query')));
  await check('unicode', () => using({}, async (s) => {
    const [row] = await s.query('SELECT ? AS t, CHAR_LENGTH(?) AS n', [TEXT, TEXT]);
    return same(row, { t: TEXT, n: [...TEXT].length });
  }));
  if (prepares) {
    await check('charset', () => using({ charset: 'latin1' }, async (s) =>
      same(await s.query('SELECT HEX(?) AS h, c_latin FROM types WHERE id = 2', ['grün']), [{ h: '6772FC6E', c_latin: 'grün' }])));
  } else none('it speaks UTF-8 only', 'charset');
  await check('parameters', () => using({}, async (s) => [
    await parameters(s, 'query'), prepares && await parameters(s, 'execute'), maria && await batch(s)]));
  if (prepares) {
    await check('prepared_types', () => using({}, (s) => types(s, 'execute')));
    await check('many_statements', () => using({}, async (s) => {
      const seen = [];
      const prepared = [];
      for (let i = 1; i <= 40; i++) prepared.push(await s.call('prepare', `SELECT n + ${i} AS s, ? AS t FROM numbers WHERE n = ?`));
      for (let turn = 0; turn < 2; turn++) {
        for (let i = 1; i <= 40; i++) {
          seen.push(await new Promise((resolve, reject) =>
            prepared[i - 1].execute([`t${turn}`, i], (error, rows) => (error ? reject(error) : resolve(rows)))));
          same(seen.at(-1), [{ s: 2 * i, t: `t${turn}` }]);
        }
      }
      prepared.forEach((statement) => statement.close());
      return [seen.length, await s.query('SELECT 1')];
    }));
  } else none('it has no prepared statements', 'prepared_types', 'many_statements');
  await check('autocommit', () => using({}, async (one, other) => {
    // Another session's commit may be on its way to the node that is asked.
    const value = async (wanted) => {
      for (let tries = 0; tries < 100; tries++) {
        const [row] = await other.query('SELECT value FROM counter WHERE id = 2');
        if (row.value === wanted) return wanted;
        await wait(50);
      }
      return null;
    };
    const seen = [];
    await one.query('SET autocommit = 0');
    await one.query('UPDATE counter SET value = 5 WHERE id = 2');
    seen.push(await value(0));
    await one.query('SET autocommit = 1');
    seen.push(await value(5));
    await one.query('UPDATE counter SET value = 0 WHERE id = 2');
    seen.push(await value(0));
    return same(seen, [0, 5, 0]);
  }, 2));
  await check('transactions', () => using({}, async (s) => {
    await s.call('beginTransaction');
    await s.query("INSERT INTO people (name) VALUES ('undone')");
    await s.call('rollback');
    await s.call('beginTransaction');
    await s.query("INSERT INTO people (name) VALUES ('one')");
    await s.query('SAVEPOINT s');
    await s.query("INSERT INTO people (name) VALUES ('two')");
    await s.query('ROLLBACK TO s');
    await s.call('commit');
    const seen = await s.query("SELECT name FROM people WHERE name IN ('undone', 'one', 'two')");
    await s.query("DELETE FROM people WHERE name = 'one'");
    return same(seen, [{ name: 'one' }]);
  }));
  await check('lock_wait', () => using({}, async (one, other) => {
    await one.call('beginTransaction');
    await one.query('SELECT value FROM counter WHERE id = 2 FOR UPDATE');
    await other.query('SET innodb_lock_wait_timeout = 1');
    await other.call('beginTransaction');
    const error = await raised(other.query('SELECT value FROM counter WHERE id = 2 FOR UPDATE'));
    await one.call('rollback');
    const after = await other.query('SELECT value FROM counter WHERE id = 2 FOR UPDATE');
    await other.call('rollback');
    return [same(error.errno, 1205), facts(error), after];
  }, 2));
  await check('multi_statements', () => using({ multipleStatements: true }, async (s) => [
    plain(await s.query('SELECT 1; SET @a = 2; SELECT @a, 3; SELECT n FROM numbers WHERE n < 4')),
    facts(await raised(s.query('SELECT 1; SELECT nosuch; SELECT 3'))), await s.query('SELECT 1')]));
  await check('procedures', () => using({}, async (s) => [
    plain(await s.query('CALL several(3)')), facts(await raised(s.query('CALL fails()'))),
    prepares && plain(await s.execute('CALL several(?)', [2]))]));
  await check('out_parameters', () => using({}, async (s) => {
    await s.query('SET @b = 40');
    await s.query('CALL sums(2, @b, @c)');
    return same(await s.query('SELECT @b AS b, @c AS c'), [{ b: 42, c: 'sum 42' }]);
  }));
  await check('errors', () => using({}, async (s) => {
    const seen = [];
    for (const sql of ['SELEC 1', 'SELECT * FROM nosuch', 'SELECT nosuch FROM numbers', 'INSERT INTO numbers VALUES (1)',
      'INSERT INTO numbers VALUES (NULL)', 'SELECT 1 FROM nosuch.t', 'CALL nosuch()', 'DROP TABLE nosuch']) {
      seen.push(facts(await raised(s.query(sql))));
      if (prepares) seen.push(facts(await raised(s.execute(sql))));
    }
    return seen;
  }));
  await check('warnings', () => using({}, async (s) => {
    const done = await s.query("INSERT IGNORE INTO counter VALUES (1, 'x'), (2, 'y')");
    return [maria ? done.warningStatus : done.warningCount, await s.query('SHOW WARNINGS')];
  }));
  await check('insert_id', () => using({}, async (s) => {
    const first = await s.query("INSERT INTO people (name) VALUES ('a')");
    const second = await s.query("INSERT INTO people (name) VALUES ('b'), ('c')");
    same(await s.query('SELECT LAST_INSERT_ID() AS id'), [{ id: second.insertId }]);
    same(await s.query('SELECT name FROM people WHERE id IN (?, ?) ORDER BY id', [first.insertId, second.insertId]),
      [{ name: 'a' }, { name: 'b' }]);
    await s.query("DELETE FROM people WHERE name IN ('a', 'b', 'c')");
    return second.insertId > first.insertId;
  }));
  await check('affected_rows', () => using(maria ? { foundRows: false } : { flags: ['-FOUND_ROWS'] }, async (s) => {
    const seen = [];
    for (const sql of ["INSERT INTO people (name, number) VALUES ('p', 1), ('q', 1)",
      "UPDATE people SET number = 1 WHERE name IN ('p', 'q')", "UPDATE people SET number = 2 WHERE name IN ('p', 'q')",
      "REPLACE INTO people (name) VALUES ('p')", "DELETE FROM people WHERE name IN ('p', 'q')"]) {
      const { affectedRows, changedRows, info, message } = await s.query(sql);
      seen.push([affectedRows, changedRows, info || message]);
    }
    return [same(seen.map((row) => row[0]), [2, 0, 2, 2, 2]), seen];
  }));
  await check('found_rows', () => using({}, async (s) => {
    const { affectedRows, changedRows } = await s.query('UPDATE counter SET value = value WHERE id < 3');
    return same([affectedRows, maria ? 0 : changedRows], [2, 0]);
  }));
  await check('streaming', () => using({}, async (s) => {
    const sql = 'SELECT a.n, REPEAT(?, 1000) FROM numbers a, numbers b WHERE b.n <= 10';
    const stream = maria ? s.raw.queryStream(sql, ['x']) : s.raw.query(sql, ['x']).stream({ highWaterMark: 5 });
    const count = await new Promise((resolve, reject) => {
      let rows = 0;
      stream.on('data', () => { rows += 1; }).on('end', () => resolve(rows)).on('error', reject);
    });
    return [same(count, 10000), await s.query('SELECT 1')];
  }));
  none('no option for it', 'cursor');
  await check('local_infile', () => using(maria ? { permitLocalInfile: true } : {}, async (s) => {
    const sql = `LOAD DATA LOCAL INFILE '${env.COMPAT_FILE}' INTO TABLE loaded CHARACTER SET utf8mb4`;
    const done = await s.query({ sql, infileStreamFactory: (path) => fs.createReadStream(path) });
    const rows = await s.query('SELECT * FROM loaded ORDER BY id');
    await s.query('DELETE FROM loaded');
    return same([done.affectedRows, rows.map((row) => row.text)], [3, ['one', 'grün 🐬', null]]);
  }));
  await check('kill_query', () => using({}, async (s, killer) => {
    setTimeout(() => killer.query(`KILL QUERY ${s.raw.threadId}`), 700);
    const begun = Date.now();
    const seen = await s.query('SELECT SLEEP(20) AS s FROM counter WHERE id = 1').catch(facts);
    if (Date.now() - begun > 10000) throw new Error('not interrupted');
    return [seen, await s.query('SELECT 1')];
  }, 2));
  await check('kill_connection', () => using({}, async (killer) => {
    const s = await Session.open();
    setTimeout(() => killer.query(`KILL ${s.raw.threadId}`), 700);
    await raised(s.query('SELECT SLEEP(20) AS s FROM counter WHERE id = 1'));
    await raised(s.query('SELECT 1'));
    s.raw.destroy();
    return using({}, (again) => again.query('SELECT 1'));
  }));
  await check('read_timeout', () => using({}, async (again) => {
    const s = await Session.open(maria ? { socketTimeout: 1000 } : {});
    const error = await raised(s.query({ sql: 'SELECT SLEEP(20) FROM counter WHERE id = 1', ...(maria ? {} : { timeout: 1000 }) }));
    s.raw.destroy();
    return [error.code, await again.query('SELECT 1')];
  }));
  if (prepares) {
    await check('reset', () => using({}, async (s) => {
      await s.query('SET @left = 1');
      await s.call('reset');
      return same(await s.query('SELECT @left AS l, DATABASE() AS d'), [{ l: null, d: env.COMPAT_SCHEMA }]);
    }));
  } else none('it has no such call', 'reset');
  await check('change_user', () => using({}, changeUser));
  await check('ping', () => using({}, async (s) => [await s.call('ping') && 1, await s.query('SELECT 1')]));
  await check('pool', async () => {
    const pool = driver.createPool({ ...CONFIG, connectionLimit: 3 });
    const ask = (i) => new Promise((resolve, reject) =>
      pool.query('SELECT n FROM numbers WHERE n = ?', [i], (error, rows) => (error ? reject(error) : resolve(rows[0].n))));
    const seen = await Promise.all([...Array(30).keys()].map((i) => ask(i + 1)));
    await new Promise((resolve) => pool.end(resolve));
    return same(seen, [...Array(30).keys()].map((i) => i + 1));
  });
  await check('big', () => using({}, async (s) => {
    const big = Buffer.alloc(20 << 20, Buffer.from([...Array(256).keys()]));
    await s[prepares ? 'execute' : 'query']("INSERT INTO people (name, picture) VALUES ('big', ?)", [big]);
    const [row] = await s.query("SELECT picture, SHA2(picture, 256) AS m FROM people WHERE name = 'big'");
    await s.query("DELETE FROM people WHERE name = 'big'");
    if (!row.picture.equals(big)) throw new Error('other bytes');
    return row.m;
  }));
  none('an interface without objects', 'models', 'migrations');
}

async function changeUser(s) {
  await s.query('SET @left = 1');
  await s.call('changeUser', { user: env.COMPAT_SECOND_USER, password: env.COMPAT_SECOND_PASSWORD, database: env.COMPAT_SCHEMA });
  return same(await s.query("SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1) AS u, @left AS l"), [{ u: env.COMPAT_SECOND_USER, l: null }]);
}

async function increments(client) {
  await using({}, async (s) => {
    for (let number = 0; number < 25; number++) {
      await s.call('beginTransaction');
      await s.query('UPDATE counter SET value = value + 1 WHERE id = 1');
      await s.query('INSERT INTO entry (client, number) VALUES (?, ?)', [client, number]);
      await s.call('commit');
    }
  });
}

(process.argv[3] === 'increments' ? increments(process.argv[4]) : checks()).then(
  () => process.exit(0), (error) => { console.error(error); process.exit(1); });
