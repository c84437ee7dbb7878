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

// DeviceLifetime is how long a person has to enter the code that a device shows (RFC 8628 §3.2).
const DeviceLifetime = 10 * time.Minute

// A Device waits to be let in by somebody who enters its user code in a browser (RFC 8628). When a
// person allows it, there is a Code with the hash of the device's.
type Device struct {
	Hash       Hash // of the code that the device holds
	UserCode   Hash // of the code that it shows
	Tenant     string
	AppID      string
	Scopes     Scopes
	Warehouse  string
	Address    string // where it asked from, as people are shown it
	CreatedAt  time.Time
	ExpiresAt  time.Time
	PolledAt   time.Time
	Pause      time.Duration // at least so long between two polls
	AnsweredAt time.Time     // zero until a person has answered
	Denied     bool
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
