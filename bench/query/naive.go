package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// serveNaive is the server that one would write in an afternoon: a pool, rows.Values, a map for
// each row, encoding/json. It checks no token, keeps no record and has no limits.
func serveNaive(ctx context.Context, address string) error {
	pool, err := pgxpool.New(ctx, os.Getenv("BENCH_DSN"))
	if err != nil {
		return err
	}
	defer pool.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /v1/query", func(w http.ResponseWriter, r *http.Request) {
		if err := answerNaively(w, r, pool); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	_, port, _ := strings.Cut(address, ":")
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: mux, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answerNaively(w http.ResponseWriter, r *http.Request, pool *pgxpool.Pool) error {
	var query struct{ Query string }
	if err := json.NewDecoder(r.Body).Decode(&query); err != nil {
		return err
	}
	rows, err := pool.Query(r.Context(), query.Query)
	if err != nil {
		return err
	}
	defer rows.Close()
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	fields := rows.FieldDescriptions()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		row := make(map[string]any, len(fields))
		for i, field := range fields {
			row[field.Name] = values[i]
		}
		if err := encoder.Encode(row); err != nil {
			return err
		}
	}
	return rows.Err()
}
