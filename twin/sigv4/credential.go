package sigv4

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Credential is one pair of keys and whom it speaks for: always a session of a role, since
// that is the only kind of principal the twin knows.
type Credential struct {
	AccessKeyID     string
	SecretAccessKey string
	// SessionToken must come with each request; empty for the static keys of a developer.
	SessionToken string

	Account     string // twelve digits
	RoleARN     string
	RoleName    string
	RoleID      string // AROA…
	SessionName string

	// Tags are the session's tags, which policies see as aws:PrincipalTag.
	Tags map[string]string
	// TransitiveTagKeys names the tags that stay when the session assumes another role.
	TransitiveTagKeys []string
	SourceIdentity    string
	// OnBehalfOf is whom an identity-enhanced session acts for; nil for any other session.
	OnBehalfOf *Person

	// Expires is when the keys end; the zero time is never.
	Expires time.Time
}

// UserID is aws:userid, by which AWS tells the owners of statements apart.
func (c Credential) UserID() string { return c.RoleID + ":" + c.SessionName }

// ARN is the principal as GetCallerIdentity and CloudTrail show it.
func (c Credential) ARN() string {
	return "arn:aws:sts::" + c.Account + ":assumed-role/" + c.RoleName + "/" + c.SessionName
}

// clone keeps a stored credential from being changed through its map.
func (c Credential) clone() Credential {
	c.Tags = maps.Clone(c.Tags)
	c.TransitiveTagKeys = slices.Clone(c.TransitiveTagKeys)
	return c
}

// DefaultLimit is how many credentials a registry holds when nobody says otherwise.
const DefaultLimit = 10_000

// ErrFull is what Add returns when every place is taken by keys that never expire.
var ErrFull = errors.New("the registry is full of static keys")

// A Registry holds the credentials that are known, in memory. It is safe for concurrent use.
type Registry struct {
	// Allows says whether a caller's role may do something, such as redshift:DescribeClusters; nil
	// lets every role do everything. It is set before the first request.
	Allows func(caller Credential, action string) bool

	mu    sync.RWMutex
	limit int
	keys  map[string]Credential
}

// NewRegistry makes an empty registry; a limit of 0 is DefaultLimit.
func NewRegistry(limit int) *Registry {
	if limit <= 0 {
		limit = DefaultLimit
	}
	return &Registry{limit: limit, keys: map[string]Credential{}}
}

// Add stores a credential under its access key id. Expired keys stay, so that their holder is
// told that they expired, until the place is needed: then the first to expire goes.
func (r *Registry) Add(c Credential) error {
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return errors.New("a credential needs an access key id and a secret access key")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.keys[c.AccessKeyID]; known {
		return errors.New("the access key id is taken")
	}
	if len(r.keys) >= r.limit {
		first, found := r.firstToExpire()
		if !found {
			return ErrFull
		}
		delete(r.keys, first)
	}
	r.keys[c.AccessKeyID] = c.clone()
	return nil
}

func (r *Registry) firstToExpire() (id string, found bool) {
	var first time.Time
	for key, c := range r.keys {
		if !c.Expires.IsZero() && (!found || c.Expires.Before(first)) {
			id, first, found = key, c.Expires, true
		}
	}
	return id, found
}

// Find looks a credential up; it does not judge whether it has expired.
func (r *Registry) Find(accessKeyID string) (Credential, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, found := r.keys[accessKeyID]
	return c.clone(), found
}
