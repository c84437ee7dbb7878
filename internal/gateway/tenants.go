package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// A Tenant is one more organisation: its IdPs, its warehouses and the apps of its people, beside the
// default tenant, which is at the top level of the configuration.
type Tenant struct {
	Name        string      `yaml:"name"`         // its issuer is ISSUER/t/NAME
	DisplayName string      `yaml:"display_name"` // on its pages; default the name
	Upstreams   []Upstream  `yaml:"upstreams"`
	Warehouses  []Warehouse `yaml:"warehouses"`
	Apps        []App       `yaml:"apps"`
	CommandLine CommandLine `yaml:"command_line"`
	Lifetimes   Lifetimes   `yaml:"lifetimes"` // default: those of the top level
	// IssuerKMS are this tenant's signing keys in AWS KMS, in place of those in its folder. No key is
	// of two tenants: what it signs would be taken for the other's.
	IssuerKMS []SigningKMS `yaml:"issuer_kms"`
}

// tenantsPath is above the paths of all tenants but the default one.
const tenantsPath = "/t/"

// ErrNoTenant says that the configuration has no tenant of that name.
var ErrNoTenant = errors.New("the configuration has no such tenant")

// hasDefaultTenant reports whether there is a tenant at the base URL: always, unless all that the
// top level has of its own was left out in favour of tenants.
func (c *Config) hasDefaultTenant() bool {
	return len(c.Tenants) == 0 || len(c.Upstreams)+len(c.Warehouses)+len(c.Apps) > 0
}

// TenantNames lists the tenants, the default one first.
func (c *Config) TenantNames() []string {
	var names []string
	if c.hasDefaultTenant() {
		names = append(names, grant.DefaultTenant)
	}
	for _, t := range c.Tenants {
		names = append(names, t.Name)
	}
	return names
}

// Tenant gives the configuration as one tenant has it, as if it were the only one: Issuer is its URL,
// upstreams, warehouses and apps are its own, Keys.Issuer is the folder of its signing keys. What all
// tenants share is as it is. It returns ErrNoTenant for a name that there is not.
func (c *Config) Tenant(name string) (*Config, error) {
	view := *c
	view.Tenants = nil
	if name == grant.DefaultTenant && c.hasDefaultTenant() {
		view.tenant = name
		return &view, nil
	}
	at := slices.IndexFunc(c.Tenants, func(t Tenant) bool { return t.Name == name })
	if at < 0 || name == grant.DefaultTenant {
		return nil, fmt.Errorf("%w: %q; choose one with --tenant: it has %s", ErrNoTenant, name, strings.Join(c.TenantNames(), ", "))
	}
	t := c.Tenants[at]
	view.tenant, view.displayName = t.Name, t.DisplayName
	view.Issuer = c.Issuer + tenantsPath + t.Name
	view.Upstreams, view.Warehouses, view.Apps = t.Upstreams, t.Warehouses, t.Apps
	view.CommandLine, view.Lifetimes = t.CommandLine, t.Lifetimes
	view.Keys.IssuerKMS = t.IssuerKMS
	view.Keys.Issuer = filepath.Join(c.SigningKeys(), filepath.FromSlash(tenantsPath), t.Name)
	return &view, nil
}

// TenantName is whose view this is.
func (c *Config) TenantName() string { return c.tenant }

// SigningKeys is the folder of the issuer's keys. Those of other tenants are in folders beneath the
// default one's, as their URLs are.
func (c *Config) SigningKeys() string {
	if c.Keys.Issuer != "" {
		return c.Keys.Issuer
	}
	return filepath.Join(c.Data, "keys", "issuer")
}

// base is the path of the issuer, "" for none.
func (c *Config) base() string {
	issuer, err := url.Parse(c.Issuer)
	if err != nil { // check has refused it
		return ""
	}
	return issuer.EscapedPath()
}

// checkTenants checks each as if it were the whole, and names what is wrong where it is.
func (c *Config) checkTenants() error {
	var names, keys []string
	for _, key := range c.Keys.IssuerKMS {
		keys = append(keys, key.Key)
	}
	for i := range c.Tenants {
		t, path := &c.Tenants[i], fmt.Sprintf("$.tenants[%d]", i)
		switch {
		case !namePattern.MatchString(t.Name):
			return &keyError{path + ".name", "use lower-case letters, digits and hyphens: it becomes part of the tenant's issuer URL"}
		case t.Name == grant.DefaultTenant:
			return &keyError{path + ".name", "default is the tenant of the top level; choose another name"}
		case slices.Contains(names, t.Name):
			return &keyError{path + ".name", "this name is used twice"}
		}
		names = append(names, t.Name)
		if err := checkSigningKMS(path+".issuer_kms", t.IssuerKMS); err != nil {
			return err
		}
		for n, key := range t.IssuerKMS {
			if slices.Contains(keys, key.Key) {
				return &keyError{fmt.Sprintf("%s.issuer_kms[%d].key", path, n), "another tenant signs with this key: what it signs there would be taken for this tenant's"}
			}
			keys = append(keys, key.Key)
		}
		setDefault(&t.DisplayName, t.Name)
		t.Lifetimes.inherit(c.Lifetimes)
		t.CommandLine.Disabled = t.CommandLine.Disabled || c.CommandLine.Disabled
		view, err := c.Tenant(t.Name)
		if err == nil {
			err = view.checkRooms()
		}
		var at *keyError
		if errors.As(err, &at) {
			return &keyError{path + strings.TrimPrefix(at.path, "$"), at.problem}
		}
		if err != nil {
			return err
		}
		t.Apps = view.Apps // with the built-in one
	}
	return nil
}

// inherit takes what was not given.
func (l *Lifetimes) inherit(from Lifetimes) {
	setDefault(&l.AccessToken, from.AccessToken)
	setDefault(&l.RefreshIdle, from.RefreshIdle)
	setDefault(&l.Grant, from.Grant)
	setDefault(&l.Session, from.Session)
}
