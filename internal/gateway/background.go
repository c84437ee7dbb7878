package gateway

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/spool"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
)

// The ways in which statements outlive their request.
const (
	backgroundAuto    = "auto"
	backgroundSpool   = "spool"
	backgroundDataAPI = "dataapi"
)

// openSpool is where results of the wire are kept. It ends after the warehouses, which cancel what
// still runs.
func (g *Gateway) openSpool() (err error) {
	limits := g.config.Limits
	g.spool, err = spool.Open(spool.Config{
		Folder: filepath.Join(g.config.Data, "spool"), BytesPerStatement: limits.SpoolBytesPerStatement, Bytes: limits.SpoolBytes,
		StatementsPerPerson: limits.SpoolStatementsPerPerson, Statements: limits.SpoolStatements, Keep: time.Duration(limits.SpoolKeep),
		Logger: g.logger, Now: g.now,
	})
	if err != nil {
		return err
	}
	g.closers = append(g.closers, g.spool.Close)
	g.metrics.showSpool(g.spool.Usage)
	return nil
}

// spools says whether statements in the background run on the wire, with their results in the
// spool. Several gateways on one database do not share their spools, so where there may be several
// the Data API is asked to keep results, if the warehouse has it.
func (c *connector) spools() bool {
	switch {
	case c.wire == nil || c.config.Background == backgroundDataAPI:
		return false
	case c.dataAPI == nil || c.config.Background == backgroundSpool:
		return true
	}
	return c.tenant.config.Store.DSN.Secret().Reveal() == ""
}

// checkBackground refuses what cannot be at all. A wire that cannot be reached at start leaves the
// Data API, whatever is preferred.
func (c *connector) checkBackground() error {
	if c.config.Background == backgroundDataAPI && c.dataAPI == nil {
		return errors.New("background: dataapi needs an identity chain that reaches the Data API; take spool")
	}
	return nil
}

// spooled runs all statements on the wire. It keeps the results of those in the background.
type spooled struct {
	*wire.Pool
	*spool.Statements
}

func (c *connector) spooled(person grant.Person, pool *wire.Pool) redshift.Session {
	owner := spool.Owner{Tenant: person.Tenant, Person: person.ID, Warehouse: c.config.Name}
	return spooled{pool, c.tenant.spool.For(owner, pool)}
}

// both runs statements straight on the wire, and those that outlive their request by the Data API,
// which keeps their results.
type both struct {
	*dataapi.Session
	wire *wire.Pool
}

func (b both) Query(ctx context.Context, statement redshift.Statement) (redshift.Rows, error) {
	return b.wire.Query(ctx, statement)
}

func (b both) Close() error { return errors.Join(b.wire.Close(), b.Session.Close()) }

// showSpool puts what is kept into the metrics.
func (m *metrics) showSpool(usage func() spool.Usage) {
	for name, gauge := range map[string]struct {
		help  string
		count func(spool.Usage) float64
	}{
		"shiftgrant_spool_statements": {"Background statements that run on the wire or whose rows are kept.", func(u spool.Usage) float64 { return float64(u.Statements) }},
		"shiftgrant_spool_running":    {"Those of them that run.", func(u spool.Usage) float64 { return float64(u.Running) }},
		"shiftgrant_spool_bytes":      {"Bytes of kept rows on disk.", func(u spool.Usage) float64 { return float64(u.Bytes) }},
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: gauge.help}, func() float64 { return gauge.count(usage()) }))
	}
}
