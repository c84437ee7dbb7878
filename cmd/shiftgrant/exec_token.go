package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shiftgrant/shiftgrant/connect"
)

// libpqPrograms speak PostgreSQL's own protocol, which has no message for a token.
var libpqPrograms = []string{"psql", "pgcli", "pg_dump", "pg_dumpall", "pg_restore", "pg_isready", "pgbench", "createdb", "vacuumdb"}

// execWithToken gives the program a token of Identity Center, and a place to get more.
func execWithToken(command *cobra.Command, profile string, args []string, database databaseLogin) error {
	if program := strings.TrimSuffix(filepath.Base(args[0]), ".exe"); slices.Contains(libpqPrograms, program) {
		return fmt.Errorf("%s cannot log in to this warehouse: people log in with a token of IAM Identity Center, which PostgreSQL's clients cannot send; use `shiftgrant query`, or a program with one of Amazon's drivers (JDBC, ODBC, Python)", program)
	}
	variables := map[string]string{
		"REDSHIFT_HOST": database.Host, "REDSHIFT_PORT": strconv.Itoa(database.Port), "REDSHIFT_DATABASE": database.Database,
		"REDSHIFT_TOKEN": database.Token, "REDSHIFT_TOKEN_TYPE": database.TokenType, "REDSHIFT_IDENTITY_NAMESPACE": database.Namespace,
		"REDSHIFT_USER": "", "REDSHIFT_PASSWORD": "", "PGPASSWORD": "", "PGUSER": "", "REDSHIFT_TOKEN_ENDPOINT": "",
	}
	if database.SingleUse {
		endpoint, err := openTokenEndpoint(profile, command.ErrOrStderr())
		if err != nil {
			return err
		}
		defer endpoint.close()
		variables["REDSHIFT_TOKEN_ENDPOINT"] = endpoint.url
	}
	return runProgram(command, args, variables)
}

// A tokenEndpoint gives a program a fresh token for each of its connections, in the form of an OAuth
// token endpoint, which dbt can ask. It is on loopback, at a path that only the program knows.
type tokenEndpoint struct {
	url      string
	host     string
	profile  string
	messages io.Writer
	server   *http.Server
}

func openTokenEndpoint(profile string, messages io.Writer) (*tokenEndpoint, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("give the program tokens: %w", err)
	}
	path := "/" + rand.Text()
	host := listener.Addr().String()
	e := &tokenEndpoint{url: "http://" + host + path, host: host, profile: profile, messages: messages}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, e.give)
	e.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 64 << 10}
	go func() { _ = e.server.Serve(listener) }() // ends by close
	return e, nil
}

func (e *tokenEndpoint) close() { _ = e.server.Close() }

// give answers the program. A page in a browser, which may have a name that leads to loopback, gets nothing
// even if it was told the path.
func (e *tokenEndpoint) give(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Host != e.host || r.Header.Get("Origin") != "" {
		http.Error(w, "this is for the program that it was opened for", http.StatusForbidden)
		return
	}
	given, err := e.take(r.Context())
	if err != nil {
		// Programs show the status and no more of such an answer.
		fmt.Fprintln(e.messages, "shiftgrant: the program asked for a token:", printableLines(err.Error()))
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{ // who asked is gone: nobody left to tell
		"access_token": given.Token, "token_type": "Bearer", "redshift_token_type": given.TokenType,
		"expires_in": int(time.Until(given.ExpiresAt).Seconds()),
	})
}

// take waits where the gateway gives no more for the moment: a program that opens many connections at
// once would give up.
func (e *tokenEndpoint) take(ctx context.Context) (databaseLogin, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		given, err := takeDatabaseLogin(ctx, e.profile)
		var problem *connect.APIError
		if !errors.As(err, &problem) || problem.Status != http.StatusTooManyRequests {
			return given, err
		}
		select {
		case <-ctx.Done():
			return given, err
		case <-time.After(time.Second):
		}
	}
}
