package wire_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
	twinwire "github.com/shiftgrant/shiftgrant/twin/wire"
)

// What Redshift says at a login, by aws.md §1.4 and §3.3: each is told with a remedy, and only where
// another password or token may do is one fetched, once.
func TestEveryLoginRefusalHasARemedy(t *testing.T) {
	t.Parallel()
	password := identity.Login{User: "IAM:ann", Password: secret.New("p")}
	token := identity.Login{Token: &identity.Token{Value: secret.New("t"), IdentityProvider: "AwsIdc", Type: "EXT_JWT"}}
	for _, c := range []struct {
		login  identity.Login
		words  string
		says   string
		logins int64
	}{
		{token, "Token credentials expired or invalid.", "was used before", 2},
		{token, "invalid token", "its issuer and its audience", 1},
		{token, "TYPE_INVALID_TOKEN", "of another kind than was announced", 1},
		{token, `identity provider type "awsidc" is not supported`, "older patch", 1},
		{token, "AWS IdC identity provider does not exist", "CREATE IDENTITY PROVIDER … TYPE AWSIDC", 1},
		{token, "Azure identity provider does not exist", "CREATE IDENTITY PROVIDER", 1},
		{token, "Invalid scope. User's credentials are not authorized to connect to Amazon Redshift. Verify your AWS IdC configuration and try again.", "redshift:connect", 1},
		{token, "Failed to obtain AWS IdC Info", "sso:DescribeApplication", 1},
		{token, "Identity Center: nobody has the token's e-mail address", "same e-mail address", 1},
		{token, "no PostgreSQL user name specified in startup packet", "CREATE IDENTITY PROVIDER", 1},
		{password, "IAM Authentication token has expired", "fetched anew", 2},
		{password, `password authentication failed for user "IAM:ann"`, "no such database user", 1},
		{password, `no pg_hba.conf entry for host "::ffff:10.0.0.1", user "ann", database "dev", SSL off`, "require_ssl", 1},
		{password, `database "nowhere" does not exist`, "no such database", 1},
	} {
		t.Run(c.words, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			_, err := refusingPool(t, c.words, logins(func(renew bool) identity.Login {
				if n := asked.Add(1); renew != (n == 2) {
					t.Errorf("login %d: renew %v", n, renew)
				}
				return c.login
			})).Query(t.Context(), redshift.Statement{SQL: "select 1"})
			access, ok := errors.AsType[*redshift.AccessError](err)
			if !ok || access.Code != "28000" || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v, want %q and a remedy about %q", err, c.words, c.says)
			}
			if asked.Load() != c.logins {
				t.Errorf("%d logins were asked for, want %d", asked.Load(), c.logins)
			}
		})
	}
}

func TestAFullWarehouseIsBusy(t *testing.T) {
	t.Parallel()
	for _, words := range []string{`connection limit "1998" exceeded for non-superusers`, "You reached maximum number of connections"} {
		_, err := refusingPool(t, words, logins(func(bool) identity.Login {
			return identity.Login{User: "IAM:ann", Password: secret.New("p")}
		})).Query(t.Context(), redshift.Statement{SQL: "select 1"})
		if busy, ok := errors.AsType[*redshift.BusyError](err); !ok || busy.Limit != words || busy.RetryAfter == 0 {
			t.Errorf("%s is %v, want a BusyError", words, err)
		}
	}
}

// refusingPool is at a port that refuses every login in these words.
func refusingPool(t *testing.T, words string, login identity.LoginProvider) *wire.Pool {
	t.Helper()
	port := newPort(t, func(c *twinwire.Config) {
		c.Password = func(string, func(string) bool) (string, error) { return "", &twinwire.Denial{Message: words} }
		c.Token = func(context.Context, string, map[string]string) (string, error) {
			return "", &twinwire.Denial{Message: words}
		}
	})
	return port.pool(t, func(c *wire.PoolConfig) { c.Login = login })
}
