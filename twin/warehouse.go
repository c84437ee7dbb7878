package twin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/controlplane"
	"github.com/shiftgrant/shiftgrant/twin/dataapi"
	"github.com/shiftgrant/shiftgrant/twin/postgres"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
	"github.com/shiftgrant/shiftgrant/twin/sts"
	"github.com/shiftgrant/shiftgrant/twin/wire"
)

// newDataAPI puts the Data API in front of the database, as the one cluster and the one workgroup of
// the account.
func newDataAPI(config Config, registry *sigv4.Registry, database *postgres.Server) *dataapi.Handler {
	return dataapi.New(dataapi.Config{
		Authenticator: authenticator{sigv4.Verifier{
			Registry: registry, Region: Region, Service: "redshift-data", Now: config.Now,
		}},
		Clusters:   map[string]dataapi.Database{Cluster: database},
		Workgroups: map[string]dataapi.Database{Workgroup: database},
		Account:    Account,
		Region:     Region,
		Quotas:     config.Quotas,
		Now:        config.Now,
		Logger:     config.Logger,
	})
}

// authenticator tells the Data API who signed a request.
type authenticator struct{ verifier sigv4.Verifier }

// Authenticate implements dataapi.Authenticator.
func (a authenticator) Authenticate(r *http.Request, body []byte) (dataapi.Caller, error) {
	credential, err := a.verifier.Verify(r, body)
	if err != nil {
		var refused *sigv4.Error
		if !errors.As(err, &refused) {
			return dataapi.Caller{}, err
		}
		return dataapi.Caller{}, &dataapi.AuthError{Code: refused.Code, Message: refused.Message, Status: refused.Status}
	}
	return dataapi.Caller{
		UserID: credential.UserID(), Account: credential.Account, RoleName: credential.RoleName,
		SessionName: credential.SessionName, Tags: credential.Tags,
	}, nil
}

// newControlPlane gives database passwords for the cluster, and for the workgroup, where everybody
// with the role is one database user.
func newControlPlane(config Config, registry *sigv4.Registry) *controlplane.Server {
	return controlplane.New(controlplane.Config{
		Registry: registry, Region: Region, Clusters: []string{Cluster}, Workgroups: []string{Workgroup},
		UserTag: userTag, RoleUsers: map[string]string{RoleName: "shared"}, Now: config.Now,
	})
}

// newWire opens Redshift's port.
func newWire(listener net.Listener, config Config, certificate tls.Certificate, database *postgres.Server, passwords *controlplane.Server, tokens *sts.Server) *wire.Server {
	now := config.Now
	if now == nil {
		now = time.Now
	}
	center := &identityCenter{tokens: tokens, now: now, seen: map[string]time.Time{}}
	return wire.Serve(listener, wire.Config{
		Database: database, Certificate: certificate, Logger: config.Logger, Token: center.check,
		Password: func(login string, right func(string) bool) (string, error) {
			user, err := passwords.Check(login, right)
			switch {
			case errors.Is(err, controlplane.ErrExpired):
				return "", &wire.Denial{Message: controlplane.ErrExpired.Error()}
			case err != nil:
				return "", &wire.Denial{Message: fmt.Sprintf("password authentication failed for user %q", login)}
			}
			return user, nil
		},
	})
}

// identityCenter plays a trusted token issuer: it knows people by the e-mail address in the
// gateway's tokens, and takes each token once.
type identityCenter struct {
	tokens *sts.Server
	now    func() time.Time

	mu   sync.Mutex
	seen map[string]time.Time // until when a token's id must not come again
}

func (c *identityCenter) check(ctx context.Context, token string, parameters map[string]string) (string, error) {
	if parameters["idp_type"] != "AwsIdc" || parameters["token_type"] != "EXT_JWT" {
		return "", &wire.Denial{Message: "the identity provider is AwsIdc and takes tokens of type EXT_JWT"}
	}
	genuine, err := c.tokens.Verify(ctx, token)
	if err != nil {
		return "", &wire.Denial{Message: "Identity Center: " + err.Error()}
	}
	switch {
	case genuine.Audience != IdentityCenterAudience:
		return "", &wire.Denial{Message: "Identity Center: the token is for another audience"}
	case genuine.ID == "":
		return "", &wire.Denial{Message: "Identity Center: the token must have a jti"}
	case c.replayed(genuine):
		return "", &wire.Denial{Message: "Identity Center: the token was used before"}
	}
	for _, p := range people {
		if p.Email == genuine.Email {
			return p.Username, nil
		}
	}
	return "", &wire.Denial{Message: "Identity Center: nobody has the token's e-mail address"}
}

func (c *identityCenter) replayed(token sts.Token) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for id, until := range c.seen {
		if now.After(until) {
			delete(c.seen, id)
		}
	}
	if _, seen := c.seen[token.ID]; seen {
		return true
	}
	c.seen[token.ID] = token.Expires
	return false
}
