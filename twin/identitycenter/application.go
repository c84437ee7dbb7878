package identitycenter

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/jwks"
)

// The limits on an instance.
const (
	maxIssuers      = 10
	maxApplications = 500
	maxAudiences    = 10
)

// The types of grants.
const (
	AuthorizationCode = "authorization_code"
	RefreshToken      = "refresh_token"
	JWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	TokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
	DeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"
)

// An Issuer is a trusted token issuer.
type Issuer struct {
	ARN  string
	Name string
	URL  string
	// ClaimPath is the claim that names a person, StorePath the attribute that it is compared with.
	ClaimPath, StorePath string
}

// An Application is one that people reach by Identity Center: a customer's own (custom), or the one
// that stands for Redshift.
type Application struct {
	ARN         string
	Provider    string
	Name        string
	Description string
	Disabled    bool
	Created     time.Time
	// AssignmentRequired asks for Assigned; without it everybody in the store is let in.
	AssignmentRequired bool
	Assigned           []string // user ids, and those of groups (GroupID)
	Grants             map[string]Grant
	// Actors are the principals who may call CreateTokenWithIAM, Policy is where they are written.
	Actors []string
	Policy json.RawMessage
	// Scopes are those of the application, each with the targets it is for.
	Scopes map[string][]string
	// Portal is how the application is shown to people, as it was written.
	Portal json.RawMessage
}

// A Grant is one way to a token.
type Grant struct {
	Issuers      []TrustedIssuer // of the JWT bearer grant
	RedirectURIs []string        // of the authorization code grant
}

// A TrustedIssuer is an issuer whose tokens an application takes, if they are for one of the
// audiences.
type TrustedIssuer struct {
	IssuerARN string
	Audiences []string
}

// CustomApplication is the provider of a customer's own applications, RedshiftApplication of those
// that stand for Redshift.
const (
	CustomApplication   = "arn:aws:sso::aws:applicationProvider/custom"
	RedshiftApplication = "arn:aws:sso::aws:applicationProvider/redshift"
)

// ErrNotFound, ErrConflict and ErrLimit are what can be wrong besides a bad value.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("there is one already")
	ErrLimit    = errors.New("the limit is reached")
)

// checkIssuer holds an issuer to what an instance takes.
func checkIssuer(made Issuer) error {
	u, err := jwks.CheckURL(made.URL)
	switch {
	case err != nil:
		return fmt.Errorf("the IssuerUrl: %w", err)
	case strings.HasSuffix(u.Path, "/") && u.Path != "/", u.RawQuery != "":
		return errors.New("the IssuerUrl: a URL without a query, and without a slash at its end")
	case made.Name == "" || len(made.Name) > 255:
		return errors.New("the Name: 1 to 255 characters are needed")
	case made.ClaimPath == "":
		return errors.New("the ClaimAttributePath: the name of a claim is needed")
	case storeNames[made.StorePath] == "":
		return errors.New("the IdentityStoreAttributePath: the twin knows emails.value, userName and externalId")
	}
	return nil
}

// CreateIssuer trusts the tokens of an issuer.
func (c *Center) CreateIssuer(made Issuer) (Issuer, error) {
	if err := checkIssuer(made); err != nil {
		return Issuer{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.issuers {
		if i.Name == made.Name || i.URL == made.URL {
			return Issuer{}, ErrConflict
		}
	}
	if len(c.issuers) >= maxIssuers {
		return Issuer{}, ErrLimit
	}
	made.ARN = fmt.Sprintf("arn:aws:sso::%s:trustedTokenIssuer/%s/tti-%s", c.config.Account, instanceID, c.nextID())
	c.issuers = append(c.issuers, &made)
	return made, nil
}

// UpdateIssuer changes the name of an issuer and how its tokens name people; its URL stays.
func (c *Center) UpdateIssuer(changed Issuer) error {
	if err := checkIssuer(changed); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.issuers {
		if i.ARN != changed.ARN && i.Name == changed.Name {
			return ErrConflict
		}
	}
	for _, i := range c.issuers {
		if i.ARN == changed.ARN {
			changed.URL = i.URL
			*i = changed
			return nil
		}
	}
	return ErrNotFound
}

// Issuers are all that are trusted.
func (c *Center) Issuers() []Issuer {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Issuer
	for _, i := range c.issuers {
		all = append(all, *i)
	}
	return all
}

// DeleteIssuer trusts an issuer no longer.
func (c *Center) DeleteIssuer(arn string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.issuers)
	c.issuers = slices.DeleteFunc(c.issuers, func(i *Issuer) bool { return i.ARN == arn })
	if len(c.issuers) == before {
		return ErrNotFound
	}
	return nil
}

// CreateApplication makes an application without grants, for which people need an assignment.
func (c *Center) CreateApplication(provider, name, description string) (Application, error) {
	switch {
	case provider != CustomApplication && provider != RedshiftApplication:
		return Application{}, errors.New("the ApplicationProviderArn must be " + CustomApplication)
	case name == "" || len(name) > 100:
		return Application{}, errors.New("the Name: 1 to 100 characters are needed")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.applications) >= maxApplications {
		return Application{}, ErrLimit
	}
	made := &Application{
		ARN:      fmt.Sprintf("arn:aws:sso::%s:application/%s/apl-%s", c.config.Account, instanceID, c.nextID()),
		Provider: provider, Name: name, Description: description, AssignmentRequired: true, Created: c.config.Now(),
		Grants: map[string]Grant{}, Scopes: map[string][]string{},
	}
	c.applications = append(c.applications, made)
	return made.clone(), nil
}

// Applications are all of the instance.
func (c *Center) Applications() []Application {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Application
	for _, a := range c.applications {
		all = append(all, a.clone())
	}
	return all
}

// Application finds one by its ARN.
func (c *Center) Application(arn string) (Application, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.application(arn)
	if err != nil {
		return Application{}, err
	}
	return found.clone(), nil
}

// application finds one; the lock is held.
func (c *Center) application(arn string) (*Application, error) {
	for _, a := range c.applications {
		if a.ARN == arn {
			return a, nil
		}
	}
	return nil, ErrNotFound
}

// DeleteApplication deletes one with all that belongs to it.
func (c *Center) DeleteApplication(arn string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.applications)
	c.applications = slices.DeleteFunc(c.applications, func(a *Application) bool { return a.ARN == arn })
	if len(c.applications) == before {
		return ErrNotFound
	}
	return nil
}

// Change changes an application under the instance's lock.
func (c *Center) Change(arn string, change func(*Application) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.application(arn)
	if err != nil {
		return err
	}
	return change(found)
}

// PutGrant gives an application a grant, or another one in its place.
func (c *Center) PutGrant(arn, kind string, g Grant) error {
	return c.Change(arn, func(a *Application) error {
		if err := c.checkGrant(kind, g); err != nil {
			return err
		}
		a.Grants[kind] = g
		return nil
	})
}

// DeleteGrant takes a grant away.
func (c *Center) DeleteGrant(arn, kind string) error {
	return c.Change(arn, func(a *Application) error {
		if _, found := a.Grants[kind]; !found {
			return ErrNotFound
		}
		delete(a.Grants, kind)
		return nil
	})
}

// checkGrant holds a grant to what its kind needs. The lock is held.
func (c *Center) checkGrant(kind string, g Grant) error {
	switch kind {
	case RefreshToken, TokenExchange:
		return nil
	case AuthorizationCode:
		if len(g.RedirectURIs) < 1 || len(g.RedirectURIs) > maxAudiences {
			return errors.New("the RedirectUris: 1 to 10 are needed")
		}
		return nil
	case JWTBearer:
		if len(g.Issuers) == 0 {
			return errors.New("the AuthorizedTokenIssuers: at least one is needed")
		}
		for _, i := range g.Issuers {
			if len(i.Audiences) < 1 || len(i.Audiences) > maxAudiences {
				return errors.New("the AuthorizedAudiences: 1 to 10 are needed")
			}
			if !slices.ContainsFunc(c.issuers, func(known *Issuer) bool { return known.ARN == i.IssuerARN }) {
				return errors.New("the TrustedTokenIssuerArn: there is no such trusted token issuer in this instance")
			}
		}
		return nil
	}
	return errors.New("the GrantType is not known")
}

func (a *Application) clone() Application {
	copied := *a
	copied.Grants = map[string]Grant{}
	for kind, g := range a.Grants {
		copied.Grants[kind] = g
	}
	copied.Scopes = map[string][]string{}
	for scope, targets := range a.Scopes {
		copied.Scopes[scope] = slices.Clone(targets)
	}
	copied.Actors, copied.Assigned = slices.Clone(a.Actors), slices.Clone(a.Assigned)
	return copied
}

// lets reports whether a person may use the application.
func (a *Application) lets(p Person) bool {
	return !a.AssignmentRequired || slices.Contains(a.Assigned, p.UserID) ||
		slices.ContainsFunc(p.Groups, func(name string) bool { return slices.Contains(a.Assigned, GroupID(name)) })
}

// GroupID is the id of a group in the identity store.
func GroupID(name string) string { return "9067642ac7-group-" + name }
