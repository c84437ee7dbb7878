package oauth

import (
	"context"
	"net/http"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/issuer"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/internal/signin"
)

// Store is what the server needs of a store. Look-ups return grant.ErrNotFound for what is not
// there; any other error means that the store cannot tell.
type Store interface {
	App(ctx context.Context, tenant, id string) (grant.App, error)
	Person(ctx context.Context, tenant, id string) (grant.Person, error)

	CreateGrant(ctx context.Context, g grant.Grant, code grant.Code) error
	Grant(ctx context.Context, tenant, id string) (grant.Grant, error)
	Grants(ctx context.Context, tenant, personID string) ([]grant.Grant, error)
	// RecentGrants are a few of the newest living ones of an app on a warehouse.
	RecentGrants(ctx context.Context, tenant, personID, appID, warehouse string) ([]grant.Grant, error)
	RevokeGrant(ctx context.Context, tenant, id, why string, at time.Time) error

	Code(ctx context.Context, tenant string, hash grant.Hash) (grant.Code, grant.Standing, error)
	RedeemCode(ctx context.Context, code grant.Code, at time.Time, access grant.Issued, family *grant.Family) error

	CreateDevice(ctx context.Context, d grant.Device) error
	Device(ctx context.Context, tenant string, hash grant.Hash) (grant.Device, error)
	DeviceByUserCode(ctx context.Context, tenant string, userCode grant.Hash) (grant.Device, error)
	NotePoll(ctx context.Context, d grant.Device, at time.Time, pause time.Duration) error
	AllowDevice(ctx context.Context, d grant.Device, g grant.Grant, code grant.Code, at time.Time) error
	DenyDevice(ctx context.Context, d grant.Device, at time.Time) error

	Access(ctx context.Context, tenant string, hash grant.Hash) (*grant.Access, error)
	RevokeAccess(ctx context.Context, tenant string, hash grant.Hash, at time.Time) error

	FamilyOf(ctx context.Context, tenant string, refresh grant.Hash) (grant.Family, grant.Standing, error)
	Rotate(ctx context.Context, family grant.Family, next grant.Hash, at, idleUntil time.Time, keyID string, access grant.Issued) error
	Reissue(ctx context.Context, access grant.Issued) error
	RevokeFamily(ctx context.Context, tenant, id, why string, at time.Time) error
}

// IDTokens signs ID tokens, and has the public keys of all that the gateway signs.
type IDTokens interface {
	IDToken(ctx context.Context, token issuer.IDToken) (secret.Text, error)
	JWKS() []byte
}

// Audit keeps a record durable before it returns.
type Audit interface {
	Write(ctx context.Context, record audit.Record) error
}

// SignIn knows who is at the browser.
type SignIn interface {
	// Person returns signin.ErrSignedOut for nobody; any other error means that it cannot tell now.
	Person(r *http.Request) (*signin.Current, error)
	// Begin sends the browser to sign in, and then to returnTo, a path of the gateway. It asks
	// anew even if somebody is signed in.
	Begin(w http.ResponseWriter, r *http.Request, returnTo string)
	// SignOutForm is a button that ends the session and then leads to returnTo.
	SignOutForm(current *signin.Current, returnTo string) pages.Form
}
