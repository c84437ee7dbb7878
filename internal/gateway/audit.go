package gateway

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

// Audit says what the audit record keeps, and where.
type Audit struct {
	Statements  string   `yaml:"statements"`    // text (default) or hash
	File        string   `yaml:"file"`          // default: audit.jsonl in the data folder
	Stdout      bool     `yaml:"stdout"`        // each record goes to standard output too, before it counts
	Store       *bool    `yaml:"store"`         // each record is copied to the database too; default true
	KeepInStore Duration `yaml:"keep_in_store"` // how long; default 2160h
	RotateBytes int64    `yaml:"rotate_bytes"`  // size at which a file ends and another begins; default 256 MiB
}

// The files of the audit record's key, in the data folder.
const (
	auditKeyFile    = "keys/audit"
	auditPublicFile = "keys/audit.pub"
)

func (c *Config) checkAudit() error {
	setDefault(&c.Audit.Statements, "text")
	setDefault(&c.Audit.File, filepath.Join(c.Data, "audit.jsonl"))
	setDefault(&c.Audit.KeepInStore, Duration(90*24*time.Hour))
	setDefault(&c.Audit.RotateBytes, 256<<20)
	if c.Audit.Store == nil {
		c.Audit.Store = new(true)
	}
	if c.Audit.RotateBytes < 4<<10 {
		return &keyError{"$.audit.rotate_bytes", "give at least 4096"}
	}
	return oneOf("$.audit.statements", c.Audit.Statements, "text", "hash")
}

func (g *Gateway) openAudit() error {
	key, err := openAuditKeys(g.config.Data, g.keys.files)
	if err != nil {
		return err
	}
	config := audit.Config{Path: g.config.Audit.File, Key: key, RotateAt: g.config.Audit.RotateBytes, Now: g.now, Logger: g.logger}
	if g.config.Audit.Stdout {
		config.Copy = g.stdout
	}
	if g.audit, err = audit.Open(config); err != nil {
		return err
	}
	if *g.config.Audit.Store {
		if info, err := os.Stat(g.config.Audit.File); err != nil || !info.Mode().IsRegular() {
			return errors.Join(errors.New("audit.file is no regular file, from which copies could be made: set audit.store: false"), err, g.audit.Close())
		}
		shipper := audit.Ship(audit.ShipConfig{Log: g.audit, Copies: auditCopies{g.store}, Logger: g.logger})
		g.metrics.watchAudit(shipper)
		g.closers = append(g.closers, shipper.Close)
	}
	g.closers = append(g.closers, g.audit.Close) // before the last copies are made
	return nil
}

// ReopenAudit goes on with the audit record in a new file, for who has moved the one before away.
func (g *Gateway) ReopenAudit(ctx context.Context) error { return g.audit.Reopen(ctx) }

// openAuditKeys reads the keys that sign the audit record, or makes a first one, and writes
// their public parts where who verifies can find them. The highest version signs.
func openAuditKeys(folder string, files *keyFiles) (ed25519.PrivateKey, error) {
	path := filepath.Join(folder, auditKeyFile)
	keys, err := files.readOrMake(path)
	if err != nil {
		return nil, err
	}
	var newest ed25519.PrivateKey
	version := uint32(0)
	var public bytes.Buffer
	for _, key := range keys {
		if len(key.Bytes) != ed25519.SeedSize {
			return nil, fmt.Errorf("read key file %s: version %d has %d bytes, not %d", path, key.Version, len(key.Bytes), ed25519.SeedSize)
		}
		private := ed25519.NewKeyFromSeed(key.Bytes)
		if key.Version >= version {
			newest, version = private, key.Version
		}
		fmt.Fprintln(&public, base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey)))
	}
	if err := writeFileDurably(filepath.Join(folder, auditPublicFile), public.Bytes()); err != nil {
		return nil, fmt.Errorf("write the audit record's public keys: %w", err)
	}
	return newest, nil
}

// AuditFiles is where the audit record of a data folder is, if nothing else was configured, and
// the public keys that sign it.
func AuditFiles(folder string) (record, keys string) {
	return filepath.Join(folder, "audit.jsonl"), filepath.Join(folder, auditPublicFile)
}

// auditCopies is the store, in the words of package audit.
type auditCopies struct{ store *store.Store }

func (a auditCopies) CopiedAudit(ctx context.Context, chain string) (int64, string, error) {
	return a.store.CopiedAudit(ctx, chain)
}

func (a auditCopies) CopyAudit(ctx context.Context, chain string, lines []audit.Line) error {
	rows := make([]store.AuditLine, 0, len(lines))
	for _, line := range lines {
		rows = append(rows, store.AuditLine{Number: line.Number, At: line.Time, Kind: line.Kind, Text: line.Text, Hash: line.Hash})
	}
	return a.store.CopyAudit(ctx, chain, rows)
}
