package grant

import (
	"errors"
	"time"
)

// CodeLifetime is how long an authorization code can be redeemed (RFC 6749 §4.1.2 allows ten
// minutes; a browser needs a second).
const CodeLifetime = 60 * time.Second

// A Code is an authorization code: one use, bound to the app, the redirect URI and the PKCE
// challenge of the request that it answers.
type Code struct {
	Hash        Hash
	Tenant      string
	GrantID     string
	AppID       string
	RedirectURI string // as requested, byte for byte
	Challenge   string // code_challenge, method S256 (RFC 7636)
	Nonce       string // of an OpenID request; "" for none
	Scopes      Scopes
	AuthTime    time.Time // when the person signed in
	CreatedAt   time.Time
	ExpiresAt   time.Time
	RedeemedAt  time.Time // zero until it is redeemed; kept, so that a replay is recognised
}

// An Issued access token, as it is stored.
type Issued struct {
	Hash      Hash
	Tenant    string
	GrantID   string
	FamilyID  string // of the refresh token beside it; "" for none
	Scopes    Scopes
	CreatedAt time.Time
	ExpiresAt time.Time
}

// ErrConflict says that a code was redeemed, or a family moved on, between look and update:
// look again and decide again.
var ErrConflict = errors.New("changed in the meantime")
