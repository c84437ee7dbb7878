package postgres_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shiftgrant/shiftgrant/twin/postgres"
)

// shared is one server for the tests that only read, or that clean up after themselves.
var shared *postgres.Server

// helperVariable makes the test binary start a server, tell its socket and wait to be killed.
const helperVariable = "TWIN_POSTGRES_HELPER"

func help() int {
	server, err := postgres.Start(context.Background(), postgres.Config{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	folder, _ := server.Socket()
	fmt.Println(folder)
	<-server.Done()
	return 1
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv(helperVariable) != "" {
			return help()
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var err error
		if shared, err = postgres.Start(ctx, postgres.Config{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := shared.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

func connect(t *testing.T, server *postgres.Server, user string) *pgconn.PgConn {
	t.Helper()
	conn, err := server.Connect(t.Context(), user, postgres.Database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// query runs one statement and gives its rows as text, NULL as "NULL".
func query(conn *pgconn.PgConn, sql string, parameters ...string) ([][]string, error) {
	values := make([][]byte, len(parameters))
	for i, parameter := range parameters {
		values[i] = []byte(parameter)
	}
	result := conn.ExecParams(context.Background(), sql, values, nil, nil, nil).Read()
	var rows [][]string
	for _, row := range result.Rows {
		var texts []string
		for _, value := range row {
			if value == nil {
				texts = append(texts, "NULL")
				continue
			}
			texts = append(texts, string(value))
		}
		rows = append(rows, texts)
	}
	return rows, result.Err
}

// translated runs one statement of Redshift's dialect and gives its only value.
func translated(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	translation, err := postgres.Translate(sql)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := query(conn, translation)
	if err != nil {
		t.Fatalf("%s\nas %s: %v", sql, translation, err)
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		t.Fatalf("%s: %v is not one value", sql, rows)
	}
	return rows[0][0]
}
