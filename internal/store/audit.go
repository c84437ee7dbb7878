package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// An AuditLine is one record of an audit chain, as a gateway has it in its file.
type AuditLine struct {
	Number int64
	At     time.Time
	Kind   string
	Text   string
	Hash   string // SHA-256 of Text, in hexadecimal
}

// CopiedAudit is the last line of a chain that was copied: its number, 0 for none, and its hash.
func (s *Store) CopiedAudit(ctx context.Context, chain string) (last int64, hash string, err error) {
	err = s.read(ctx, "find the end of the copied audit record", func(t *tx) error {
		return t.row([]any{&last, &hash}, `SELECT last, hash FROM audit_chains WHERE chain = $1`, chain)
	})
	if errors.Is(err, grant.ErrNotFound) {
		return 0, "", nil
	}
	return last, hash, err
}

// auditTogether lines go in by one statement. One is parsed for this number and one for 1.
const auditTogether = 20

// CopyAudit adds lines of a chain, in the order of their numbers: all or none. Those that are there
// already stay as they are.
func (s *Store) CopyAudit(ctx context.Context, chain string, lines []AuditLine) error {
	if len(lines) == 0 {
		return nil
	}
	last := lines[len(lines)-1]
	return s.write(ctx, "copy the audit record", func(t *tx) error {
		for rest := lines; len(rest) > 0; {
			n := 1
			if len(rest) >= auditTogether {
				n = auditTogether
			}
			if err := t.insertAudit(chain, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		_, err := t.exec(`INSERT INTO audit_chains (chain, last, hash, at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (chain) DO UPDATE SET last = excluded.last, hash = excluded.hash, at = excluded.at WHERE audit_chains.last < excluded.last`,
			chain, last.Number, last.Hash, milliseconds(last.At))
		return err
	})
}

func (t *tx) insertAudit(chain string, lines []AuditLine) error {
	var query strings.Builder
	query.WriteString(`INSERT INTO audit (chain, number, at, kind, line) VALUES `)
	args := []any{chain}
	for i, line := range lines {
		if i > 0 {
			query.WriteString(", ")
		}
		fmt.Fprintf(&query, "($1, $%d, $%d, $%d, $%d)", len(args)+1, len(args)+2, len(args)+3, len(args)+4)
		args = append(args, line.Number, milliseconds(line.At), line.Kind, line.Text)
	}
	query.WriteString(` ON CONFLICT (chain, number) DO NOTHING`)
	_, err := t.exec(query.String(), args...)
	return err
}

// SweepAudit deletes copies of before a time, at most limit in one transaction. The files keep
// what they have.
func (s *Store) SweepAudit(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	for more := true; more; {
		var n int64
		err := s.write(ctx, "sweep the copied audit record", func(t *tx) (err error) {
			n, err = t.exec(`DELETE FROM audit WHERE (chain, number) IN (SELECT chain, number FROM audit WHERE at < $1 ORDER BY at LIMIT $2)`, milliseconds(before), limit)
			return err
		})
		if err != nil {
			return deleted, err
		}
		deleted += int(n)
		more = n > 0 && n >= int64(limit)
	}
	return deleted, nil
}
