// Go's database/sql with go-sql-driver/mysql.  compat [increments CLIENT]
package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

const text = "grün 東京 🐬 '\"\\%_\n\x00end"

func env(name string) string { return os.Getenv("COMPAT_" + name) }

func open(options string) *sql.DB { return openAs("USER", "PASSWORD", options) }

func openAs(user, password, options string) *sql.DB {
	where := fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?charset=utf8mb4&%s", env(user), env(password), env("HOST"), env("PORT"), env("SCHEMA"), options)
	db, err := sql.Open("mysql", where)
	must(err)
	// Of two that are idle it would take turns, and the second may be where what the first has committed has not arrived.
	db.SetMaxIdleConns(1)
	return db
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Of a value from any driver: long ones by beginning, length and digest.
func shown(value interface{}) string {
	var given string
	switch v := value.(type) {
	case nil:
		return "NULL"
	case []byte:
		given = fmt.Sprintf("%q", string(v))
	default:
		given = fmt.Sprintf("%T %v", value, value)
	}
	if len(given) > 300 {
		return fmt.Sprintf("%s...%d %x", given[:30], len(given), md5.Sum([]byte(given)))
	}
	return given
}

func line(given string) string { return strings.Join(strings.Fields(given), " ") }

func check(name string, run func() interface{}) {
	defer func() {
		if caught := recover(); caught != nil {
			fmt.Printf("not ok %s\t%s\n", name, line(fmt.Sprint(caught)))
		}
	}()
	fmt.Printf("ok %s\t%s\n", name, line(fmt.Sprint(run())))
}

func none(why string, names ...string) {
	for _, name := range names {
		fmt.Printf("none %s\t%s\n", name, why)
	}
}

func same(seen, wanted interface{}) interface{} {
	if fmt.Sprint(seen) != fmt.Sprint(wanted) {
		panic(fmt.Sprintf("%v instead of %v", seen, wanted))
	}
	return seen
}

func facts(err error) interface{} {
	if err == nil {
		panic("no error")
	}
	if e, is := err.(*mysql.MySQLError); is {
		return fmt.Sprint(e.Number, " ", e.Message)
	}
	return fmt.Sprintf("%T %v", err, err)
}

type asker interface {
	QueryContext(context.Context, string, ...interface{}) (*sql.Rows, error)
	ExecContext(context.Context, string, ...interface{}) (sql.Result, error)
}

var background = context.Background()

func try(db asker, query string, values ...interface{}) (seen []string, err error) {
	rows, err := db.QueryContext(background, query, values...)
	if err != nil {
		return nil, err
	}
	return all(rows)
}

func all(rows *sql.Rows) (seen []string, err error) {
	defer rows.Close()
	for again := true; again; again = rows.NextResultSet() {
		columns, err := rows.ColumnTypes()
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			row := make([]interface{}, len(columns))
			at := make([]interface{}, len(columns))
			for i := range row {
				at[i] = &row[i]
			}
			if err := rows.Scan(at...); err != nil {
				return nil, err
			}
			parts := make([]string, len(row))
			for i, value := range row {
				parts[i] = shown(value)
			}
			seen = append(seen, "("+strings.Join(parts, ", ")+")")
		}
		for _, column := range columns {
			seen = append(seen, column.Name()+" "+column.DatabaseTypeName())
		}
	}
	return seen, rows.Err()
}

func rows(db asker, query string, values ...interface{}) []string {
	seen, err := try(db, query, values...)
	must(err)
	return seen
}

func one(db asker, query string, values ...interface{}) string {
	found, err := db.QueryContext(background, query, values...)
	must(err)
	defer found.Close()
	var seen sql.NullString
	found.Next()
	must(found.Scan(&seen))
	must(found.Err())
	return seen.String
}

func do(db asker, query string, values ...interface{}) sql.Result {
	result, err := db.ExecContext(background, query, values...)
	must(err)
	return result
}

func affected(db asker, query string, values ...interface{}) int64 {
	count, err := do(db, query, values...).RowsAffected()
	must(err)
	return count
}

// Another session's commit may be on its way to the node that is asked.
func eventually(db asker, query, wanted string) interface{} {
	seen := one(db, query)
	for tries := 0; tries < 100 && seen != wanted; tries++ {
		time.Sleep(50 * time.Millisecond)
		seen = one(db, query)
	}
	return same(seen, wanted)
}

func session(db *sql.DB) *sql.Conn {
	connection, err := db.Conn(background)
	must(err)
	return connection
}

func types(ask func(string) []string) interface{} {
	var seen []string
	seen = append(seen, ask("SELECT * FROM types ORDER BY id")...)
	return append(seen, ask("SELECT * FROM zeros")...)
}

func prepared(db *sql.DB) func(string) []string {
	return func(query string) []string {
		statement, err := db.Prepare(query)
		must(err)
		defer statement.Close()
		found, err := statement.Query()
		must(err)
		seen, err := all(found)
		must(err)
		return seen
	}
}

func increments(client string) {
	db := open("")
	defer db.Close()
	for number := 0; number < 25; number++ {
		transaction, err := db.Begin()
		must(err)
		do(transaction, "UPDATE counter SET value = value + 1 WHERE id = 1")
		do(transaction, "INSERT INTO entry (client, number) VALUES (?, ?)", client, number)
		must(transaction.Commit())
	}
}

func main() {
	if len(os.Args) > 2 {
		increments(os.Args[2])
		return
	}
	fmt.Printf("version: go-sql-driver/mysql %s (%s)\n", env("GO_DRIVER"), runtime.Version())
	db := open("")
	check("login_native", func() interface{} { return rows(db, "SELECT 1, DATABASE()") })
	check("login_sha2", func() interface{} {
		db := openAs("SHA2_USER", "SHA2_PASSWORD", "")
		defer db.Close()
		return rows(db, "SELECT 1, DATABASE()")
	})
	check("login_refused", func() interface{} {
		db := openAs("USER", "WRONG_CA", "")
		defer db.Close()
		return same(db.Ping().(*mysql.MySQLError).Number, 1045)
	})
	check("tls", func() interface{} {
		for _, which := range []string{"CA", "WRONG_CA"} {
			pem, err := os.ReadFile(env(which))
			must(err)
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(pem)
			must(mysql.RegisterTLSConfig(which, &tls.Config{RootCAs: pool, ServerName: env("HOST")}))
		}
		wrong := open("tls=WRONG_CA")
		defer wrong.Close()
		if wrong.Ping() == nil {
			panic("not verified")
		}
		db := open("tls=CA")
		defer db.Close()
		return fmt.Sprint(rows(db, "SELECT 1"), len(one(db, "SELECT REPEAT('x', 3000000)")))
	})
	none("it has none", "compression")
	check("text_types", func() interface{} { return types(func(query string) []string { return rows(db, query) }) })
	check("prepared_types", func() interface{} {
		parsed := open("parseTime=true")
		defer parsed.Close()
		return fmt.Sprint(types(prepared(db)), types(prepared(parsed)))
	})
	check("parameters", func() interface{} {
		var limits bytes.Buffer
		for i := 0; i < 256; i++ {
			limits.WriteByte(byte(i))
		}
		var seen []string
		for _, options := range []string{"", "interpolateParams=true"} {
			db := open(options)
			// What the connection before has deleted may be there yet at the node that is asked: a name for each.
			insert := "INSERT INTO people (name, number, amount, born, note, picture) VALUES (?, ?, ?, ?, ?, ?)"
			do(db, insert, options, uint64(18446744073709551615), "-1234567890123456.7891", time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), text, limits.Bytes())
			row := rows(db, "SELECT number, amount, born, note, picture FROM people WHERE name = ?", options)
			do(db, "DELETE FROM people")
			same(row[0], fmt.Sprintf("(%q, %q, %q, %q, %s)", "18446744073709551615", "-1234567890123456.7891", "9999-12-31 23:59:59.999999", text, shown(limits.Bytes())))
			seen = append(seen, rows(db, "SELECT ?, ?, ?, ?", int64(-9223372036854775808), 1.5, "", nil)...)
			db.Close()
		}
		return seen
	})
	check("unicode", func() interface{} { return same(one(db, "SELECT ?", text), text) })
	check("charset", func() interface{} {
		db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?charset=latin1", env("USER"), env("PASSWORD"), env("HOST"), env("PORT"), env("SCHEMA")))
		must(err)
		defer db.Close()
		return same(rows(db, "SELECT HEX(?), c_latin FROM types WHERE id = 2", "gr\xfcn")[0], `("6772FC6E", "gr\xfcn")`)
	})
	check("autocommit", func() interface{} {
		session := session(db)
		defer session.Close()
		ask := "SELECT value FROM counter WHERE id = 2"
		do(session, "SET autocommit = 0")
		do(session, "UPDATE counter SET value = 5 WHERE id = 2")
		seen := []interface{}{eventually(db, ask, "0")}
		do(session, "SET autocommit = 1")
		seen = append(seen, eventually(db, ask, "5"))
		do(session, "UPDATE counter SET value = 0 WHERE id = 2")
		return append(seen, eventually(db, ask, "0"))
	})
	check("transactions", func() interface{} {
		db := open("")
		defer db.Close()
		db.SetMaxOpenConns(1)
		transaction, err := db.BeginTx(background, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		must(err)
		do(transaction, "INSERT INTO people (name) VALUES ('undone')")
		must(transaction.Rollback())
		transaction, err = db.BeginTx(background, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		must(err)
		do(transaction, "INSERT INTO people (name) VALUES ('one')")
		do(transaction, "SAVEPOINT s")
		do(transaction, "INSERT INTO people (name) VALUES ('two')")
		do(transaction, "ROLLBACK TO SAVEPOINT s")
		must(transaction.Commit())
		transaction, err = db.BeginTx(background, &sql.TxOptions{ReadOnly: true})
		must(err)
		_, err = transaction.Exec("DELETE FROM people")
		refused := facts(err)
		must(transaction.Rollback())
		seen := same(one(db, "SELECT GROUP_CONCAT(name) FROM people"), "one")
		do(db, "DELETE FROM people")
		return []interface{}{refused, seen}
	})
	check("lock_wait", func() interface{} {
		lock := "SELECT value FROM counter WHERE id = 2 FOR UPDATE"
		one, other := session(db), session(db)
		defer one.Close()
		defer other.Close()
		do(one, "BEGIN")
		rows(one, lock)
		do(other, "SET innodb_lock_wait_timeout = 1")
		do(other, "BEGIN")
		_, err := try(other, lock)
		do(one, "ROLLBACK")
		seen := rows(other, lock)
		do(other, "ROLLBACK")
		do(other, "SET innodb_lock_wait_timeout = DEFAULT")
		return []interface{}{same(err.(*mysql.MySQLError).Number, 1205), facts(err), seen}
	})
	check("multi_statements", func() interface{} {
		db := open("multiStatements=true")
		defer db.Close()
		seen := rows(db, "SELECT 1; SET @a = 2; SELECT @a, 3; SELECT n FROM numbers WHERE n < 4")
		_, err := db.Exec("SELECT 1; SELECT nosuch; SELECT 3")
		return []interface{}{seen, facts(err), rows(db, "SELECT 1")}
	})
	check("procedures", func() interface{} {
		_, err := db.Exec("CALL fails()")
		return []interface{}{rows(db, "CALL several(3)"), rows(db, "CALL several(?)", 2), facts(err), rows(db, "SELECT 1")}
	})
	check("out_parameters", func() interface{} {
		session := session(db)
		defer session.Close()
		do(session, "SET @b = 40")
		do(session, "CALL sums(2, @b, @c)")
		return same(one(session, "SELECT CONCAT(@b, ' ', @c)"), "42 sum 42")
	})
	check("errors", func() interface{} {
		var seen []interface{}
		for _, query := range []string{"SELEC 1", "SELECT * FROM nosuch", "SELECT nosuch FROM numbers", "INSERT INTO numbers VALUES (1)",
			"INSERT INTO numbers VALUES (NULL)", "SELECT 1 FROM nosuch.t", "CALL nosuch()", "DROP TABLE nosuch"} {
			_, err := db.Exec(query)
			seen = append(seen, facts(err))
			statement, err := db.Prepare(query)
			if err == nil {
				_, err = statement.Exec()
				statement.Close()
			}
			seen = append(seen, facts(err))
		}
		return seen
	})
	none("it does not tell them", "warnings")
	check("insert_id", func() interface{} {
		session := session(db)
		defer session.Close()
		first, _ := do(session, "INSERT INTO people (name) VALUES ('a')").LastInsertId()
		second, _ := do(session, "INSERT INTO people (name) VALUES (?), ('c')", "b").LastInsertId()
		same(one(session, "SELECT LAST_INSERT_ID()"), second)
		same(one(session, "SELECT GROUP_CONCAT(name ORDER BY id) FROM people WHERE id IN (?, ?)", first, second), "a,b")
		do(session, "DELETE FROM people")
		return second > first
	})
	check("affected_rows", func() interface{} {
		var seen []int64
		for _, query := range []string{"INSERT INTO people (name, number) VALUES ('p', 1), ('q', 1)",
			"UPDATE people SET number = 1 WHERE name IN ('p', 'q')", "UPDATE people SET number = 2 WHERE name IN ('p', 'q')",
			"REPLACE INTO people (name) VALUES ('p')", "DELETE FROM people WHERE name IN ('p', 'q')"} {
			seen = append(seen, affected(db, query))
		}
		return same(seen, []int64{2, 0, 2, 2, 2})
	})
	check("found_rows", func() interface{} {
		db := open("clientFoundRows=true")
		defer db.Close()
		return same(affected(db, "UPDATE counter SET value = value WHERE id < 3"), 2)
	})
	check("many_statements", func() interface{} {
		statements := make([]*sql.Stmt, 40)
		for i := range statements {
			statement, err := db.Prepare(fmt.Sprintf("SELECT CONCAT(n + %d, ?) FROM numbers WHERE n = ?", i+1))
			must(err)
			defer statement.Close()
			statements[i] = statement
		}
		for turn := 0; turn < 2; turn++ {
			for i, statement := range statements {
				var seen string
				must(statement.QueryRow(fmt.Sprintf("t%d", turn), i+1).Scan(&seen))
				same(seen, fmt.Sprintf("%dt%d", 2*(i+1), turn))
			}
		}
		return len(statements)
	})
	check("streaming", func() interface{} {
		found, err := db.Query("SELECT a.n, REPEAT('x', 1000) FROM numbers a, numbers b WHERE b.n <= 10")
		must(err)
		count := 0
		for found.Next() {
			count++
		}
		session := session(db)
		defer session.Close()
		half, err := session.QueryContext(background, "SELECT n FROM numbers ORDER BY n")
		must(err)
		half.Next()
		must(half.Close())
		return []interface{}{same(count, 10000), rows(session, "SELECT 1")}
	})
	none("no option for it", "cursor")
	check("local_infile", func() interface{} {
		mysql.RegisterLocalFile(env("FILE"))
		count := affected(db, "LOAD DATA LOCAL INFILE '"+env("FILE")+"' INTO TABLE loaded CHARACTER SET utf8mb4")
		seen := one(db, "SELECT GROUP_CONCAT(COALESCE(text, 'NULL') ORDER BY id) FROM loaded")
		do(db, "DELETE FROM loaded")
		return same(fmt.Sprint(count, seen), "3one,grün 🐬,NULL")
	})
	none("it does not tell its id", "kill_query", "kill_connection")
	check("read_timeout", func() interface{} {
		db := open("")
		defer db.Close()
		patience, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		_, err := db.ExecContext(patience, "SELECT SLEEP(20) FROM counter WHERE id = 1")
		return []interface{}{facts(err), rows(db, "SELECT 1")}
	})
	none("it has no such call", "reset", "change_user")
	check("ping", func() interface{} { return db.Ping() == nil })
	check("pool", func() interface{} {
		db := open("")
		defer db.Close()
		db.SetMaxOpenConns(3)
		seen := make(chan string)
		for i := 1; i <= 30; i++ {
			go func(i int) { seen <- one(db, "SELECT n FROM numbers WHERE n = ?", i) }(i)
		}
		found := map[string]bool{}
		for i := 1; i <= 30; i++ {
			found[<-seen] = true
		}
		return same(len(found), 30)
	})
	check("big", func() interface{} {
		db := open("maxAllowedPacket=67108864")
		defer db.Close()
		big := bytes.Repeat([]byte("0123456789\x00\xff\xfe'\"\\"), 20<<16)
		do(db, "INSERT INTO people (name, picture) VALUES ('big', ?)", big)
		seen := one(db, "SELECT picture FROM people")
		do(db, "DELETE FROM people")
		if seen != string(big) {
			panic("other bytes")
		}
		return len(seen)
	})
	none("an interface without objects", "models", "migrations")
}
