package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/store"
)

func auditLines(from, to int64) []store.AuditLine {
	var lines []store.AuditLine
	for n := from; n <= to; n++ {
		lines = append(lines, store.AuditLine{
			Number: n, At: start.Add(time.Duration(n) * time.Second), Kind: "test", Text: fmt.Sprintf(`{"n":%d}`, n), Hash: fmt.Sprint("hash ", n),
		})
	}
	return lines
}

func TestCopiedAuditGoesAsFarAsWasCopied(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		copied := func(chain string, last int64) {
			t.Helper()
			hash := ""
			if last > 0 {
				hash = fmt.Sprint("hash ", last)
			}
			if gotLast, gotHash, err := s.CopiedAudit(t.Context(), chain); err != nil || gotLast != last || gotHash != hash {
				t.Errorf("CopiedAudit of %s = %d, %q, %v; want %d", chain, gotLast, gotHash, err, last)
			}
		}
		keep := func(chain string, from, to int64) {
			t.Helper()
			if err := s.CopyAudit(t.Context(), chain, auditLines(from, to)); err != nil {
				t.Fatal(err)
			}
		}
		copied("one", 0)
		keep("one", 1, 45)
		copied("one", 45)
		keep("one", 40, 50) // some are there already
		copied("one", 50)
		keep("one", 1, 10) // a late comer
		copied("one", 50)
		copied("two", 0)
		keep("two", 7, 7)
		copied("two", 7)

		deleted, err := s.SweepAudit(t.Context(), start.Add(30*time.Second), 10)
		if err != nil || deleted != 30 { // 1 to 29 of one, 7 of two
			t.Errorf("SweepAudit = %d, %v; want 30", deleted, err)
		}
		copied("one", 50)
	})
}
