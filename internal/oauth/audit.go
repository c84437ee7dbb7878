package oauth

import (
	"context"
	"fmt"

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
	grant   *grant.Grant
	outcome string
}

// record returns when the event is durable. What gives access is recorded before it is done,
// and not done when it cannot be recorded.
func (s *Server) record(ctx context.Context, e event) error {
	if err := s.audit.Write(ctx, AuditRecord{Kind: e.kind}); err != nil {
		return fmt.Errorf("record %s: %w", e.kind, err)
	}
	return nil
}

// recordEnd records what takes access away, after it is done: it is done all the same when it
// cannot be recorded, and then the log says so.
func (s *Server) recordEnd(ctx context.Context, e event) {
	if err := s.record(ctx, e); err != nil {
		s.logger.ErrorContext(ctx, "audit record is missing", "kind", e.kind, "grant", e.grant.ID, "why", e.outcome,
			"error", err, "request_id", web.RequestID(ctx))
	}
}
