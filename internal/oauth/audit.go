package oauth

import (
	"context"
	"fmt"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// The kinds of events that this room records.
const (
	consented    = "consent"
	issuedTokens = "token.issued"
	refreshed    = "token.refreshed"
	reused       = "token.reuse"
	grantRevoked = "grant.revoked"
)

// An event is one entry of the audit record.
type event struct {
	kind    string
	grant   *grant.Grant // RevokedWhy says why, where something ended
	outcome string
}

// record returns when the event is durable. What gives access is recorded before it is done,
// and not done when it cannot be recorded.
func (s *Server) record(ctx context.Context, e event) error {
	entry := audit.Record{
		Time: s.now(), Kind: e.kind, RequestID: web.RequestID(ctx), Tenant: s.tenant,
		Person: e.grant.PersonID, App: e.grant.AppID, Grant: e.grant.ID, Warehouse: e.grant.Warehouse,
		Scopes: e.grant.Scopes.String(), Outcome: e.outcome, Detail: e.grant.RevokedWhy,
	}
	if err := s.audit.Write(ctx, entry); err != nil {
		return fmt.Errorf("record %s: %w", e.kind, err)
	}
	return nil
}

// recordEnd records what takes access away, after it is done: it is done all the same when it
// cannot be recorded, and then the log says so.
func (s *Server) recordEnd(ctx context.Context, kind string, ended grant.Grant) {
	if err := s.record(ctx, event{kind: kind, grant: &ended}); err != nil {
		s.logger.ErrorContext(ctx, "audit record is missing", "kind", kind, "grant", ended.ID, "why", ended.RevokedWhy,
			"error", err, "request_id", web.RequestID(ctx))
	}
}
