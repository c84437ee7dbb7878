// Package identitycenter plays what IAM Identity Center knows: one instance with its people, the
// issuers it trusts, the applications with their grants, and the tokens it gave. The packages
// twin/ssooidc and twin/ssoadmin are its two interfaces; Redshift's port asks it about tokens, and
// STS about identity contexts.
//
// It is a stand-in for development and tests, and strict: the keys of a trusted token issuer are
// really fetched, signatures and claims really checked, and an issuer's token is taken once,
// whoever brings it.
//
// What Identity Center's context strings and tokens hold is not published: here they are sealed, so
// that nobody comes to depend on their inside.
package identitycenter

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/jwks"
)

// RedshiftScope is what an application needs for people to connect to Redshift by it.
const RedshiftScope = "redshift:connect"

// Config is what an instance needs.
type Config struct {
	Account string // twelve digits
	Region  string
	People  []Person
	// Logger is for decisions; nil discards them.
	Logger *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A Person is in the identity store.
type Person struct {
	UserID   string
	UserName string
	Email    string
	Groups   []string
}

// Center is the instance.
type Center struct {
	config Config
	keys   *jwks.Source
	signer *signer
	sealer cipher.AEAD
	logger *slog.Logger

	mu            sync.Mutex
	people        []Person
	issuers       []*Issuer
	applications  []*Application
	clients       map[string]*Client
	seen          map[string]time.Time // issuer and jti of assertions, until they end
	codes         map[string]*authorization
	devices       map[string]*device
	sessions      map[string]*session // by refresh token
	access        map[string]*session // by access token
	keysForgotten bool
	made          int
}

// New makes an instance without issuers and applications.
func New(config Config) (*Center, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails (crypto/rand)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	sealer, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	signer, err := newSigner()
	if err != nil {
		return nil, err
	}
	return &Center{
		config: config, keys: jwks.New(config.Now), signer: signer, sealer: sealer, logger: config.Logger,
		people: slices.Clone(config.People), clients: map[string]*Client{}, seen: map[string]time.Time{},
		codes: map[string]*authorization{}, devices: map[string]*device{},
		sessions: map[string]*session{}, access: map[string]*session{},
	}, nil
}

// Close drops idle connections to issuers.
func (c *Center) Close() { c.keys.Close() }

const (
	instanceID      = "ssoins-7223twin0000feed"
	identityStoreID = "d-90twin0001"
)

// nextID numbers what is made, so that the same set-up has the same ARNs at each start. The lock is
// held.
func (c *Center) nextID() string {
	c.made++
	return fmt.Sprintf("%016x", c.made)
}

// InstanceARN names the instance.
func (c *Center) InstanceARN() string { return "arn:aws:sso:::instance/" + instanceID }

// IdentityStoreID names the directory of people.
func (c *Center) IdentityStoreID() string { return identityStoreID }

// Account is the instance's owner.
func (c *Center) Account() string { return c.config.Account }

// IssuerURL is that of the instance's own tokens, and of public clients.
func (c *Center) IssuerURL() string { return "https://identitycenter.amazonaws.com/" + instanceID }

// RemovePerson deletes somebody from the identity store.
func (c *Center) RemovePerson(userName string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.people = slices.DeleteFunc(c.people, func(p Person) bool { return p.UserName == userName })
}

// ForgetKeys makes the instance see issuers as if their keys were no longer published, or ends that
// again.
func (c *Center) ForgetKeys(forgotten bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keysForgotten = forgotten
	c.keys.Forget()
}

// person finds somebody by an attribute of the identity store. The lock is held.
func (c *Center) person(attribute, value string) (Person, bool) {
	for _, p := range c.people {
		known := map[string]string{"emails.value": p.Email, "userName": p.UserName, "externalId": p.UserID, "userId": p.UserID}[attribute]
		if value != "" && known == value {
			return p, true
		}
	}
	return Person{}, false
}

// People are those in the identity store.
func (c *Center) People() []Person {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.people)
}

// A Reason says which of OAuth's errors a refusal is.
type Reason string

// The reasons, as SSO-OIDC writes them in its answers.
const (
	InvalidGrant         Reason = "invalid_grant"
	InvalidClient        Reason = "invalid_client"
	InvalidRequest       Reason = "invalid_request"
	InvalidScope         Reason = "invalid_scope"
	UnauthorizedClient   Reason = "unauthorized_client"
	UnsupportedGrant     Reason = "unsupported_grant_type"
	AccessDenied         Reason = "access_denied"
	ExpiredToken         Reason = "expired_token"
	AuthorizationPending Reason = "authorization_pending"
	SlowDown             Reason = "slow_down"
)

// A Refusal is the instance's no.
type Refusal struct {
	Reason  Reason
	Message string
}

func (r *Refusal) Error() string { return string(r.Reason) + ": " + r.Message }

// Status is that of the answer over HTTP.
func (r *Refusal) Status() int {
	if r.Reason == InvalidClient {
		return http.StatusUnauthorized
	}
	return http.StatusBadRequest
}

func refuse(reason Reason, format string, arguments ...any) *Refusal {
	return &Refusal{reason, fmt.Sprintf(format, arguments...)}
}

// PutPerson adds somebody to the identity store, or changes who has the same user id.
func (c *Center) PutPerson(changed Person) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range c.people {
		if p.UserID == changed.UserID {
			c.people[i] = changed
			return
		}
	}
	c.people = append(c.people, changed)
}
