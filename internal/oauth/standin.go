package oauth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
)

type Current struct {
	Person    grant.Person
	SessionID string
	AuthTime  time.Time
}

var ErrSignedOut = errors.New("signed out")

type SignIn interface {
	Person(r *http.Request) (*Current, error)
	Begin(w http.ResponseWriter, r *http.Request, returnTo string)
	SignOutForm(current *Current, returnTo string) pages.Form
}

type (
	Audit interface {
		Write(context.Context, AuditRecord) error
	}
	AuditRecord struct{ Kind string }
)
