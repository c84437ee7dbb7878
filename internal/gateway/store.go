package gateway

import (
	"context"
	"path/filepath"

	"github.com/shiftgrant/shiftgrant/internal/store"
)

// DatabaseFile is the name of the SQLite database in the data folder.
const DatabaseFile = "shiftgrant.db"

// Store says where the gateway keeps what it must not forget.
type Store struct {
	// DSN of a PostgreSQL database, which several gateways may share: postgres://…; empty: an SQLite
	// database in the data folder.
	DSN SecretRef `yaml:"dsn"`
}

// openStore opens the store and brings its schema up to date. A start that is told to stop does
// not wait for a database that is not there.
func (g *Gateway) openStore(ctx context.Context) error {
	config := store.Config{DSN: g.config.Store.DSN.Secret().Reveal()}
	if config.DSN == "" {
		config.Path = filepath.Join(g.config.Data, DatabaseFile)
	}
	var err error
	if g.store, err = store.Open(ctx, config); err != nil {
		return err
	}
	g.closers = append(g.closers, g.store.Close)
	return nil
}
