package gateway

import (
	"log/slog"
	"net/url"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/identitycenter"
	"github.com/shiftgrant/shiftgrant/internal/signin"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// IsIdentityCenter reports whether people sign in at IAM Identity Center, which is no OpenID provider.
func (u *Upstream) IsIdentityCenter() bool { return u.Preset == signin.IdentityCenter }

// Address is where the IdP answers. The issuer of Identity Center is a name, and its service elsewhere.
func (u *Upstream) Address() string {
	if !u.IsIdentityCenter() {
		return u.Issuer
	}
	if u.OIDCEndpoint != "" {
		return u.OIDCEndpoint
	}
	endpoint, err := identity.Endpoint("oidc", u.Region)
	if err != nil {
		return u.Issuer
	}
	return endpoint
}

// applyPreset sets what is known of this kind of IdP and the operator left open, and refuses what is
// known not to work there.
func (u *Upstream) applyPreset(path string) error {
	setDefault(&u.Preset, signin.Generic)
	preset, known := signin.PresetNamed(u.Preset)
	if !known {
		return oneOf(path+".preset", u.Preset, signin.PresetNames()...)
	}
	if err := u.checkIdentityCenter(path); err != nil {
		return err
	}
	if fault := preset.Check(u.signIn()); fault != nil {
		return &keyError{path + "." + fault.Key, fault.Remedy}
	}
	filled := preset.Fill(u.signIn())
	u.Scopes, u.DatabaseUser.Claim = filled.Scopes, filled.DatabaseUser.Claim
	u.AuthorizeParameters = map[string]string{}
	for name := range filled.AuthorizeParameters {
		u.AuthorizeParameters[name] = filled.AuthorizeParameters.Get(name)
	}
	return nil
}

// checkIdentityCenter finds the issuer, and keeps the keys of this preset to it.
func (u *Upstream) checkIdentityCenter(path string) error {
	if !u.IsIdentityCenter() {
		for _, key := range []struct{ name, value string }{
			{"region", u.Region}, {"sso_oidc_endpoint", u.OIDCEndpoint}, {"identitystore_endpoint", u.StoreEndpoint}, {"sts_endpoint", u.STSEndpoint},
		} {
			if key.value != "" {
				return &keyError{path + "." + key.name, "this is for preset: " + signin.IdentityCenter}
			}
		}
		return nil
	}
	issuer, err := identitycenter.IssuerOf(u.ClientID)
	if err != nil {
		return &keyError{path + ".client_id", err.Error()}
	}
	setDefault(&u.Issuer, issuer)
	if u.Issuer != issuer {
		return &keyError{path + ".issuer", "leave it out, or write " + issuer + ": it is the instance of the application in client_id"}
	}
	if _, err := identity.Endpoint("oidc", u.Region); err != nil {
		return &keyError{path + ".region", "give the region of IAM Identity Center, such as eu-central-1"}
	}
	if !u.ClientSecret.Secret().IsZero() {
		return &keyError{path + ".client_secret", "leave it out: the gateway's own AWS keys stand in for it"}
	}
	// What comes from there says who somebody is, and no signature vouches for it.
	return checkEndpoints(
		endpoint{path + ".sso_oidc_endpoint", u.OIDCEndpoint},
		endpoint{path + ".identitystore_endpoint", u.StoreEndpoint},
		endpoint{path + ".sts_endpoint", u.STSEndpoint},
	)
}

// signIn is the upstream as package signin takes it.
func (u *Upstream) signIn() signin.Upstream {
	parameters := url.Values{}
	for name, value := range u.AuthorizeParameters {
		parameters.Set(name, value)
	}
	return signin.Upstream{
		Name: u.Name, DisplayName: u.DisplayName, Preset: u.Preset, Issuer: u.Issuer, ClientID: u.ClientID, ClientSecret: u.ClientSecret.Secret(),
		Scopes: u.Scopes, AuthorizeParameters: parameters, Companies: u.Companies,
		CheckEvery: time.Duration(u.CheckEvery), TolerateOutage: time.Duration(u.TolerateOutage),
		DatabaseUser: signin.DatabaseUser{Claim: u.DatabaseUser.Claim, LocalPart: u.DatabaseUser.LocalPart, Deny: u.DatabaseUser.Deny},
	}
}

// openAdapter speaks for an IdP that is no OpenID provider; nil for all others.
func (t *tenant) openAdapter(u *Upstream) (signin.Adapter, error) {
	if !u.IsIdentityCenter() {
		return nil, nil
	}
	adapter, end, err := u.OpenIdentityCenter(t.logger, t.now)
	if err != nil {
		return nil, err
	}
	t.closers = append(t.closers, func() error { end(); return nil })
	return adapter, nil
}

// OpenIdentityCenter makes what speaks for IAM Identity Center, with the AWS keys of this process. It
// makes no call. End is called when it is no longer used.
func (u *Upstream) OpenIdentityCenter(logger *slog.Logger, now func() time.Time) (adapter *identitycenter.Adapter, end func(), err error) {
	own := identity.NewOwn(identity.OwnConfig{Region: u.Region, STSEndpoint: u.STSEndpoint, Now: now})
	adapter, err = identitycenter.New(identitycenter.Config{
		ApplicationARN: u.ClientID, Region: u.Region, Scopes: u.Scopes, Endpoint: u.OIDCEndpoint, StoreEndpoint: u.StoreEndpoint,
		Credentials: own, Logger: logger, Now: now,
	})
	return adapter, own.Close, err
}
