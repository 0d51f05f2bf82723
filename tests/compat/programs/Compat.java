import java.io.File;
import java.math.BigDecimal;
import java.security.MessageDigest;
import java.sql.*;
import java.util.*;
import java.util.concurrent.Callable;

/** MariaDB Connector/J. java -cp ... Compat [increments CLIENT] */
public class Compat {
    static final String TEXT = "grün 東京 🐬 '\"\\%_\n\0end";
    static final String[] ERRORS = {"SELEC 1", "SELECT * FROM nosuch", "SELECT nosuch FROM numbers",
        "INSERT INTO numbers VALUES (1)", "INSERT INTO numbers VALUES (NULL)", "SELECT 1 FROM nosuch.t", "CALL nosuch()",
        "DROP TABLE nosuch"};
    static final List<Connection> opened = new ArrayList<>();

    static String env(String name) { return System.getenv("COMPAT_" + name); }

    static Connection open(String... options) throws SQLException { return openAs("USER", "PASSWORD", options); }

    static Connection openAs(String user, String password, String... options) throws SQLException {
        String url = "jdbc:mariadb://" + env("HOST") + ":" + env("PORT") + "/" + env("SCHEMA");
        Properties given = new Properties();
        given.put("user", env(user));
        given.put("password", env(password));
        given.put("allowLocalInfile", "true");
        for (String option : options) given.put(option.split("=", 2)[0], option.split("=", 2)[1]);
        Connection link = DriverManager.getConnection(url, given);
        opened.add(link);
        return link;
    }

    static String shown(Object value) throws Exception {
        if (value instanceof Object[]) value = Arrays.asList((Object[]) value);
        if (value instanceof Collection) {
            List<String> parts = new ArrayList<>();
            for (Object each : (Collection<?>) value) parts.add(shown(each));
            return "(" + String.join(", ", parts) + ")";
        }
        if (value instanceof byte[]) value = "0x" + hex((byte[]) value);
        String text = String.valueOf(value);
        if (text.length() < 300) return text;
        byte[] digest = MessageDigest.getInstance("MD5").digest(text.getBytes("UTF-8"));
        return text.substring(0, 30) + "..." + text.length() + " " + hex(digest);
    }

    static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte each : bytes) text.append(String.format("%02x", each));
        return text.toString();
    }

    static String line(String text) { return text.replaceAll("\\s+", " "); }

    static void check(String name, Callable<Object> run) throws Exception {
        try {
            System.out.println("ok " + name + "\t" + line(shown(run.call())));
        } catch (Throwable error) {
            System.out.println("not ok " + name + "\t" + line(error + " " + error.getStackTrace()[0]));
        }
        for (Connection link : opened) {
            try {
                link.close();
            } catch (SQLException gone) {
                // A killed one is closed already.
            }
        }
        opened.clear();
    }

    static void none(String why, String... names) {
        for (String name : names) System.out.println("none " + name + "\t" + why);
    }

    static <T> T same(T seen, Object wanted) throws Exception {
        if (!shown(seen).equals(shown(wanted))) throw new Exception(shown(seen) + " instead of " + shown(wanted));
        return seen;
    }

    static SQLException raised(Callable<Object> run) throws Exception {
        try {
            run.call();
        } catch (SQLException error) {
            return error;
        }
        throw new Exception("no error");
    }

    static String facts(SQLException error) {
        return error.getErrorCode() + " " + error.getSQLState() + " " + error.getMessage().replaceAll("\\(conn=\\d+\\) ", "");
    }

    static List<Object> all(ResultSet found) throws SQLException {
        List<Object> seen = new ArrayList<>();
        int columns = found.getMetaData().getColumnCount();
        while (found.next()) {
            Object[] row = new Object[columns];
            for (int i = 0; i < columns; i++) {
                try {
                    row[i] = found.getObject(i + 1);
                } catch (SQLException error) { // no value for every date
                    row[i] = error.getMessage();
                }
            }
            seen.add(row);
        }
        return seen;
    }

    static List<Object> rows(Connection link, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = link.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
            return all(statement.executeQuery());
        }
    }

    static int change(Connection link, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = link.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
            return statement.executeUpdate();
        }
    }

    static List<Object> results(Statement statement, boolean rows) throws SQLException {
        List<Object> seen = new ArrayList<>();
        while (rows || statement.getUpdateCount() != -1) {
            seen.add(rows ? all(statement.getResultSet()) : statement.getUpdateCount());
            rows = statement.getMoreResults();
        }
        return seen;
    }

    /** Asks until the answer is there: another session's commit may be on its way to the node that is asked. */
    static Object eventually(Connection link, String sql, Object wanted) throws Exception {
        for (int tries = 0; tries < 100 && !shown(rows(link, sql)).equals(shown(wanted)); tries++) Thread.sleep(50);
        return same(rows(link, sql), wanted);
    }

    static Object types(Connection link) throws Exception {
        List<Object> seen = new ArrayList<>(rows(link, "SELECT * FROM types ORDER BY id"));
        ResultSetMetaData columns = link.prepareStatement("SELECT * FROM types").executeQuery().getMetaData();
        for (int i = 1; i <= columns.getColumnCount(); i++)
            seen.add(columns.getColumnTypeName(i) + " " + columns.getColumnClassName(i) + " " + columns.getPrecision(i));
        seen.addAll(rows(link, "SELECT * FROM zeros"));
        return seen;
    }

    // Names that no other connection takes: what that has deleted may be there yet at the node that is asked.
    static Object parameters(Connection link, String name) throws Exception {
        byte[] bytes = new byte[256];
        for (int i = 0; i < 256; i++) bytes[i] = (byte) i;
        Timestamp born = Timestamp.valueOf("9999-12-31 23:59:59.999999");
        BigDecimal amount = new BigDecimal("-1234567890123456.7891");
        change(link, "INSERT INTO people (name, number, amount, born, note, picture) VALUES (?, ?, ?, ?, ?, ?)",
            name, "18446744073709551615", amount, born, TEXT, bytes);
        List<Object> row = rows(link, "SELECT number, amount, born, note, picture FROM people WHERE name = ?", name);
        change(link, "DELETE FROM people");
        same(row, List.of(List.of("18446744073709551615", amount, born, TEXT, bytes)));
        try (PreparedStatement batch = link.prepareStatement("INSERT INTO people (name, amount) VALUES (?, ?)")) {
            for (int i = 0; i < 50; i++) {
                batch.setString(1, name + i);
                batch.setObject(2, i % 2 == 0 ? null : i);
                batch.addBatch();
            }
            row.add(batch.executeBatch().length);
        }
        row.add(rows(link, "SELECT COUNT(*), SUM(amount), MAX(name) FROM people WHERE name LIKE ?", name + "%"));
        change(link, "DELETE FROM people");
        return row;
    }

    static void later(String sql) {
        new Thread(() -> {
            try {
                Thread.sleep(700);
                try (Connection link = DriverManager.getConnection("jdbc:mariadb://" + env("HOST") + ":" + env("PORT") + "/",
                        env("USER"), env("PASSWORD"))) {
                    link.createStatement().execute(sql);
                }
            } catch (Exception error) {
                error.printStackTrace();
            }
        }).start();
    }

    static void increments(String client) throws Exception {
        Connection link = open("useServerPrepStmts=true");
        link.setAutoCommit(false);
        for (int number = 0; number < 25; number++) {
            change(link, "UPDATE counter SET value = value + 1 WHERE id = 1");
            change(link, "INSERT INTO entry (client, number) VALUES (?, ?)", client, number);
            link.commit();
        }
        link.close();
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 1) {
            increments(arguments[1]);
            return;
        }
        String[] prepared = {"useServerPrepStmts=true"};
        Connection first = open();
        System.out.println("version: MariaDB Connector/J " + first.getMetaData().getDriverVersion() + " (Java "
            + System.getProperty("java.version") + ")");
        check("login_native", () -> rows(open(), "SELECT 1, DATABASE()"));
        check("login_sha2", () -> rows(openAs("SHA2_USER", "SHA2_PASSWORD", "allowPublicKeyRetrieval=true"), "SELECT 1, DATABASE()"));
        check("login_refused", () -> same(raised(() -> openAs("USER", "WRONG_CA", "allowPublicKeyRetrieval=true")).getErrorCode(), 1045));
        check("tls", () -> {
            raised(() -> open("useSsl=true", "serverSslCert=" + env("WRONG_CA")));
            Connection link = open("useSsl=true", "serverSslCert=" + env("CA"));
            return Arrays.asList(rows(link, "SELECT 1"), rows(link, "SELECT REPEAT('x', 3000000)"));
        });
        check("compression", () -> {
            Connection link = open("useCompression=true");
            return Arrays.asList(rows(link, "SELECT REPEAT('abc', 100000), ?", "x".repeat(100000)), rows(link, "SELECT 1"));
        });
        check("text_types", () -> types(open()));
        check("prepared_types", () -> types(open(prepared)));
        check("parameters", () -> Arrays.asList(parameters(open(), "text"), parameters(open(prepared), "prepared"),
            parameters(open("useBatchMultiSend=true", "useServerPrepStmts=true", "useBulkStmts=true"), "bulk"),
            parameters(open("rewriteBatchedStatements=true"), "rewritten")));
        check("unicode", () -> same(rows(open(), "SELECT ?, CHAR_LENGTH(?), 'ü' AS `größe`", TEXT, TEXT),
            List.of(List.of(TEXT, TEXT.codePointCount(0, TEXT.length()), "ü"))));
        none("it speaks UTF-8 only", "charset");
        check("autocommit", () -> {
            Connection one = open();
            Connection other = open();
            String ask = "SELECT value FROM counter WHERE id = 2";
            one.setAutoCommit(false);
            change(one, "UPDATE counter SET value = 5 WHERE id = 2");
            Object before = eventually(other, ask, List.of(List.of(0)));
            one.setAutoCommit(true);
            Object between = eventually(other, ask, List.of(List.of(5)));
            change(one, "UPDATE counter SET value = 0 WHERE id = 2");
            return Arrays.asList(before, between, eventually(other, ask, List.of(List.of(0))));
        });
        check("transactions", () -> {
            Connection link = open();
            link.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            link.setAutoCommit(false);
            change(link, "INSERT INTO people (name) VALUES ('undone')");
            link.rollback();
            change(link, "INSERT INTO people (name) VALUES ('one')");
            Savepoint savepoint = link.setSavepoint();
            change(link, "INSERT INTO people (name) VALUES ('two')");
            link.rollback(savepoint);
            link.commit();
            link.setReadOnly(true);
            Object seen = rows(link, "SELECT name FROM people");
            link.commit();
            link.setReadOnly(false);
            change(link, "DELETE FROM people");
            link.commit();
            return same(seen, List.of(List.of("one")));
        });
        check("lock_wait", () -> {
            String lock = "SELECT value FROM counter WHERE id = 2 FOR UPDATE";
            Connection one = open();
            Connection other = open();
            one.setAutoCommit(false);
            other.setAutoCommit(false);
            change(other, "SET innodb_lock_wait_timeout = 1");
            rows(one, lock);
            SQLException error = raised(() -> rows(other, lock));
            one.rollback();
            Object seen = rows(other, lock);
            other.rollback();
            return Arrays.asList(same(error.getErrorCode(), 1205), facts(error).split("\n")[0], seen);
        });
        check("multi_statements", () -> {
            Connection link = open("allowMultiQueries=true");
            Statement statement = link.createStatement();
            Object seen = results(statement, statement.execute("SELECT 1; SET @a = 2; SELECT @a, 3; SELECT n FROM numbers WHERE n < 4"));
            SQLException error = raised(() -> {
                Statement wrong = link.createStatement();
                return results(wrong, wrong.execute("SELECT 1; SELECT nosuch; SELECT 3"));
            });
            return Arrays.asList(seen, error.getErrorCode(), rows(link, "SELECT 1"));
        });
        check("procedures", () -> {
            Connection link = open();
            CallableStatement call = link.prepareCall("{call several(?)}");
            call.setInt(1, 3);
            Object seen = results(call, call.execute());
            SQLException error = raised(() -> {
                CallableStatement wrong = link.prepareCall("{call fails()}");
                return results(wrong, wrong.execute());
            });
            return Arrays.asList(seen, error.getErrorCode(), error.getSQLState(), rows(link, "SELECT 1"));
        });
        check("out_parameters", () -> {
            List<Object> seen = new ArrayList<>();
            for (Connection link : new Connection[] {open(), open(prepared)}) {
                CallableStatement call = link.prepareCall("{call sums(?, ?, ?)}");
                call.setInt(1, 2);
                call.setInt(2, 40);
                call.registerOutParameter(2, Types.INTEGER);
                call.registerOutParameter(3, Types.VARCHAR);
                call.execute();
                seen.add(same(List.of(call.getInt(2), call.getString(3)), List.of(42, "sum 42")));
            }
            return seen;
        });
        check("errors", () -> {
            List<Object> seen = new ArrayList<>();
            for (Connection link : new Connection[] {open(), open(prepared)})
                for (String sql : ERRORS) seen.add(facts(raised(() -> change(link, sql))));
            return seen;
        });
        check("warnings", () -> {
            Statement statement = open().createStatement();
            statement.executeQuery("SELECT CAST('x' AS SIGNED), CAST('1y' AS SIGNED)");
            List<Object> seen = new ArrayList<>();
            for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning())
                seen.add(warning.getErrorCode() + warning.getMessage());
            same(seen.size(), 2);
            return seen;
        });
        check("insert_id", () -> {
            Connection link = open();
            List<Object> seen = new ArrayList<>();
            for (String values : new String[] {"('a')", "('b'), ('c')"}) {
                PreparedStatement statement = link.prepareStatement("INSERT INTO people (name) VALUES " + values, Statement.RETURN_GENERATED_KEYS);
                statement.executeUpdate();
                seen.addAll(all(statement.getGeneratedKeys()));
            }
            Object id = ((Object[]) seen.get(0))[0];
            same(rows(link, "SELECT name FROM people WHERE id = ?", id), List.of(List.of("a")));
            change(link, "DELETE FROM people");
            return seen.size();
        });
        check("affected_rows", () -> {
            Connection link = open("useAffectedRows=true");
            List<Integer> seen = new ArrayList<>();
            for (String sql : new String[] {"INSERT INTO people (name, number) VALUES ('p', 1), ('q', 1)",
                "UPDATE people SET number = 1 WHERE name IN ('p', 'q')", "UPDATE people SET number = 2 WHERE name IN ('p', 'q')",
                "REPLACE INTO people (name) VALUES ('p')", "DELETE FROM people WHERE name IN ('p', 'q')"}) seen.add(change(link, sql));
            return same(seen, List.of(2, 0, 2, 2, 2));
        });
        check("found_rows", () -> same(change(open(), "UPDATE counter SET value = value WHERE id < 3"), 2));
        check("many_statements", () -> {
            Connection link = open(prepared);
            List<PreparedStatement> statements = new ArrayList<>();
            for (int i = 1; i <= 40; i++) statements.add(link.prepareStatement("SELECT n + " + i + ", ? FROM numbers WHERE n = ?"));
            for (int turn = 0; turn < 2; turn++) {
                for (int i = 1; i <= 40; i++) {
                    statements.get(i - 1).setString(1, "t" + turn);
                    statements.get(i - 1).setInt(2, i);
                    same(all(statements.get(i - 1).executeQuery()), List.of(List.of(2 * i, "t" + turn)));
                }
            }
            return statements.size();
        });
        check("streaming", () -> {
            Connection link = open();
            Statement statement = link.createStatement();
            statement.setFetchSize(10);
            ResultSet found = statement.executeQuery("SELECT a.n, REPEAT('x', 1000) FROM numbers a, numbers b WHERE b.n <= 10");
            int count = 0;
            while (found.next()) count++;
            found = statement.executeQuery("SELECT n FROM numbers ORDER BY n");
            found.next();
            int half = found.getInt(1);
            found.close();
            return Arrays.asList(same(count, 10000), half, rows(link, "SELECT 1"));
        });
        none("no option for it", "cursor");
        check("local_infile", () -> {
            Connection link = open();
            int count = change(link, "LOAD DATA LOCAL INFILE '" + env("FILE") + "' INTO TABLE loaded CHARACTER SET utf8mb4");
            List<Object> seen = rows(link, "SELECT text FROM loaded ORDER BY id");
            change(link, "DELETE FROM loaded");
            seen.add(count);
            same(((Object[]) seen.get(1))[0], "grün 🐬");
            return seen;
        });
        check("kill_query", () -> {
            Connection link = open();
            later("KILL QUERY " + link.unwrap(org.mariadb.jdbc.MariaDbConnection.class).getServerThreadId());
            long begun = System.currentTimeMillis();
            Object seen;
            try {
                seen = rows(link, "SELECT SLEEP(20) FROM counter WHERE id = 1");
            } catch (SQLException error) {
                seen = error.getErrorCode();
            }
            if (System.currentTimeMillis() - begun > 10000) throw new Exception("not interrupted");
            Statement statement = link.createStatement();
            statement.setQueryTimeout(1);
            SQLException error = raised(() -> statement.executeQuery("SELECT SLEEP(20), n FROM numbers WHERE n < 20"));
            return Arrays.asList(seen, error.getClass().getSimpleName(), rows(link, "SELECT 1"));
        });
        check("kill_connection", () -> {
            Connection link = open();
            later("KILL " + link.unwrap(org.mariadb.jdbc.MariaDbConnection.class).getServerThreadId());
            raised(() -> rows(link, "SELECT SLEEP(20) FROM counter WHERE id = 1"));
            raised(() -> rows(link, "SELECT 1"));
            return rows(open(), "SELECT 1");
        });
        check("read_timeout", () -> {
            Connection link = open("socketTimeout=1000");
            raised(() -> rows(link, "SELECT SLEEP(20) FROM counter WHERE id = 1"));
            return rows(open(), "SELECT 1");
        });
        check("reset", () -> {
            Connection link = open("useResetConnection=true");
            change(link, "SET @left = 1");
            link.unwrap(org.mariadb.jdbc.MariaDbConnection.class).reset();
            return Arrays.asList(same(rows(link, "SELECT @left"), Arrays.asList(Arrays.asList((Object) null))), rows(link, "SELECT DATABASE()"));
        });
        none("it has no such call", "change_user");
        check("ping", () -> open().isValid(5));
        check("pool", () -> {
            org.mariadb.jdbc.MariaDbPoolDataSource pool = new org.mariadb.jdbc.MariaDbPoolDataSource(
                "jdbc:mariadb://" + env("HOST") + ":" + env("PORT") + "/" + env("SCHEMA") + "?user=" + env("USER") + "&password="
                + env("PASSWORD") + "&maxPoolSize=3&useResetConnection=true");
            List<Object> seen = new ArrayList<>();
            for (int turn = 0; turn < 6; turn++) {
                try (Connection link = pool.getConnection()) {
                    seen.addAll(rows(link, "SELECT @left"));
                    change(link, "SET @left = 1");
                }
            }
            pool.close();
            same(new HashSet<>(Arrays.asList(shown(seen).split("\\W+"))), new HashSet<>(Arrays.asList("", "null")));
            return seen.size();
        });
        check("big", () -> {
            byte[] big = new byte[20 << 20];
            for (int i = 0; i < big.length; i++) big[i] = (byte) i;
            Object digest = null;
            for (Connection link : new Connection[] {open(), open(prepared)}) {
                change(link, "INSERT INTO people (name, picture) VALUES ('big', ?)", big);
                Object[] row = (Object[]) rows(link, "SELECT picture, SHA2(picture, 256) FROM people").get(0);
                change(link, "DELETE FROM people");
                if (!Arrays.equals((byte[]) row[0], big)) throw new Exception("other bytes");
                digest = row[1];
            }
            return digest;
        });
        none("an interface without objects", "models", "migrations");
        System.exit(0);
    }
}
