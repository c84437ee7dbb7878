package identity

import (
	"context"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// A Login is how somebody proves themself to Redshift's port: by a password, or by a token.
type Login struct {
	// User is sent as it is: GetClusterCredentials answers "IAM:ann" for the database user ann. It
	// stays empty for a token, which says itself whose it is.
	User     string
	Password secret.Text
	Token    *Token
	// MayChange says that the password is kept elsewhere and may have been changed there since it was
	// read.
	MayChange bool
	// Expires is until when the login may be used, and a connection that was made with it; zero is no
	// end.
	Expires time.Time
}

// A Token is sent in Redshift's authentication message 14.
type Token struct {
	Value secret.Text
	// IdentityProvider is AwsIdc, or AzureAD for a native one (start-up parameter idp_type).
	IdentityProvider string
	// Type is EXT_JWT, ACCESS_TOKEN or SUBJECT_TOKEN (token_type); AwsIdc needs one.
	Type string
	// Namespace chooses among several identity providers; "" where there is one.
	Namespace string
}

// A LoginProvider gives what one person logs in to Redshift's port with, from a cache where it can.
// renew asks for a new login although the old looks good, because the server said that it is not.
// It may be used by several goroutines at once.
type LoginProvider interface {
	Login(ctx context.Context, renew bool) (Login, error)
}

// connectionLife is how long a connection may be used whose login has no end of its own: what changed
// about a person at their identity provider is seen after that.
const connectionLife = time.Hour

// heldLogin keeps one login until four fifths of its life are over.
type heldLogin struct {
	mu        sync.Mutex // held while asking: callers who come together ask once
	held      Login
	refreshAt time.Time
}

func (h *heldLogin) get(now time.Time, renew bool, ask func() (Login, error)) (Login, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !renew && now.Before(h.refreshAt) {
		return h.held, nil
	}
	given, err := ask()
	if err != nil {
		return Login{}, err
	}
	h.held, h.refreshAt = given, now.Add(given.Expires.Sub(now)/5*4)
	return given, nil
}
