package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/store"
)

// Rooms of one floor do not know each other: what stands between them is here.

// countedAudit counts the records that were written.
type countedAudit struct {
	log     *audit.Log
	metrics *metrics
}

func (a countedAudit) Write(ctx context.Context, record audit.Record) error {
	err := a.log.Write(ctx, record)
	if err == nil {
		a.metrics.records.WithLabelValues(record.Kind, record.Outcome).Inc()
	}
	return err
}

// browserSessions are the store's, in the words of package connect.
type browserSessions struct{ sessions *store.Sessions }

func (b browserSessions) Load(ctx context.Context, id string) ([]byte, error) {
	data, err := b.sessions.Load(ctx, id)
	if errors.Is(err, store.ErrNoSession) {
		return nil, connect.ErrNoSession
	}
	return data, err
}

func (b browserSessions) Save(ctx context.Context, id string, data []byte, expires time.Time) error {
	return b.sessions.Save(ctx, id, data, expires)
}

func (b browserSessions) Delete(ctx context.Context, id string) error {
	return b.sessions.Delete(ctx, id)
}
