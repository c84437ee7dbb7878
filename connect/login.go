package connect

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/internal/seal"
)

const (
	transactionLife = 10 * time.Minute
	// transactionCookieLife lets a late answer be told from a foreign one.
	transactionCookieLife = time.Hour
	// maxTransactions bounds the cookies of sign-ins that were begun and left.
	maxTransactions = 4
	// maxCookie keeps a cookie within what browsers store (4,096 bytes with its attributes).
	maxCookie = 3800
)

// A transaction is one sign-in under way: what its answer is checked against.
type transaction struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	Issuer   string    `json:"i"` // expected in the answer (RFC 9207 §2.4)
	ReturnTo string    `json:"r"`
	Expires  time.Time `json:"e"`
}

// random is 256 bits from crypto/rand.
func random() string {
	var b [32]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Login sends the browser to the issuer. The parameter return_to may hold the path where the
// person wants to be afterwards; anything but a path of the app is ignored.
func (c *Client) Login(w http.ResponseWriter, r *http.Request) {
	returnTo := r.URL.Query().Get("return_to")
	if !IsLocalPath(returnTo) {
		returnTo = c.config.AfterLogin
	}
	c.Begin(w, r, returnTo, nil)
}

// Begin is Login for a program that knows more: where to return to, a path, and parameters for
// this one authorization request, such as prompt=login.
func (c *Client) Begin(w http.ResponseWriter, r *http.Request, returnTo string, parameters url.Values) {
	metadata, err := c.metadata(r.Context())
	if err != nil {
		c.fail(w, r, &Error{Kind: Unavailable, ReturnTo: returnTo, Err: err})
		return
	}
	t := transaction{
		State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(),
		Issuer: c.config.Issuer, ReturnTo: returnTo, Expires: c.now().Add(transactionLife),
	}
	sealed, err := c.sealTransaction(t)
	if err != nil {
		c.fail(w, r, &Error{Kind: Refused, Err: err})
		return
	}
	if len(sealed) > maxCookie {
		c.fail(w, r, &Error{Kind: TooLong, Err: errTooLong})
		return
	}
	open := c.cookies.transactions(r)
	for _, name := range open[:max(len(open)-maxTransactions+1, 0)] {
		c.cookies.remove(w, name)
	}
	c.cookies.set(w, c.cookies.transaction(transactionID(t.State)), sealed, transactionCookieLife)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, c.authorizationURL(metadata, t, parameters), http.StatusSeeOther)
}

// authorizationURL is the request of RFC 6749 §4.1.1 with PKCE (RFC 7636 §4.3).
func (c *Client) authorizationURL(m *metadata, t transaction, parameters url.Values) string {
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(t.Verifier)}
	if c.asksForOpenID() {
		options = append(options, oauth2.SetAuthURLParam("nonce", t.Nonce))
	}
	for _, more := range []url.Values{c.config.AuthorizeParameters, parameters} {
		for name := range more {
			options = append(options, oauth2.SetAuthURLParam(name, more.Get(name)))
		}
	}
	return c.oauth(m).AuthCodeURL(t.State, options...)
}

// transactionID names a transaction's cookie. It is a hash, so that the cookie's name does not
// give the state away to whoever sees names only.
func transactionID(state string) string {
	hash := sha256.Sum256([]byte(state))
	return hex.EncodeToString(hash[:4])
}

func (c *Client) transactionPlace() seal.Place {
	return seal.Place{Tenant: c.config.Issuer, Owner: c.config.ClientID, Purpose: "connect transaction"}
}

func (c *Client) sealTransaction(t transaction) (string, error) {
	plain, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return c.ring.SealText(plain, c.transactionPlace())
}

// takeTransaction finds the transaction of a state and removes its cookie: it is used once,
// whatever comes of it.
func (c *Client) takeTransaction(w http.ResponseWriter, r *http.Request, state string) (transaction, *Error) {
	name := c.cookies.transaction(transactionID(state))
	cookie, err := r.Cookie(name)
	if err != nil {
		if c.replayed(r, state) {
			return transaction{}, &Error{Kind: Expired, Err: errReplayed}
		}
		return transaction{}, &Error{Kind: Foreign, Err: errForeign}
	}
	c.cookies.remove(w, name)
	var t transaction
	plain, err := c.ring.OpenText(cookie.Value, c.transactionPlace())
	if err != nil || json.Unmarshal(plain, &t) != nil || !constantTimeEqual(t.State, state) {
		return transaction{}, &Error{Kind: Foreign, Err: errForeign}
	}
	switch {
	case !c.used.use(state):
		return transaction{}, &Error{Kind: Expired, ReturnTo: t.ReturnTo, Err: errReplayed}
	case !c.now().Before(t.Expires):
		return transaction{}, &Error{Kind: Expired, ReturnTo: t.ReturnTo, Err: errExpired}
	}
	return t, nil
}

// replayed reports whether an answer without its cookie comes again to the browser that it has
// signed in, as by the back button. In any other browser it is foreign.
func (c *Client) replayed(r *http.Request, state string) bool {
	if c.used.wasUsed(state) {
		_, err := r.Cookie(c.cookies.session())
		return err == nil
	}
	// It may have come to another process, or before this one started.
	session, err := c.Session(r)
	return err == nil && constantTimeEqual(session.current().StartedBy, state)
}

// repeated reports whether any parameter that we read stands in the query twice.
func repeated(query url.Values) bool {
	return slices.ContainsFunc([]string{"state", "iss", "error", "code"}, func(name string) bool { return len(query[name]) > 1 })
}
