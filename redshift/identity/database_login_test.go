package identity_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// keysOf are the twin's keys of a person.
func keysOf(name string) identity.Provider {
	keys := twin.DeveloperKeys(name)
	return identity.Static(keys.AccessKeyID, keys.SecretAccessKey, "", name)
}

func TestPasswordOpensTheDatabaseAsThePerson(t *testing.T) {
	t.Parallel()
	world := twintest.Start(t, twin.Config{})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(world.Authority()) {
		t.Fatal("the twin's authority is no certificate")
	}
	host, port, err := net.SplitHostPort(world.WireAddress())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config          identity.DatabaseLoginConfig
		login, database string
	}{
		"alice on the cluster":   {identity.DatabaseLoginConfig{Cluster: twin.Cluster, Credentials: keysOf("alice")}, "IAM:alice", "alice"},
		"bob on the cluster":     {identity.DatabaseLoginConfig{Cluster: twin.Cluster, Credentials: keysOf("bob")}, "IAM:bob", "bob"},
		"anybody on a workgroup": {identity.DatabaseLoginConfig{Workgroup: twin.Workgroup, Credentials: keysOf("alice")}, "IAMR:" + twin.RoleName, "shared"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.config.Database, c.config.Region, c.config.Endpoint = twin.Database, twin.Region, world.URL()
			login, err := identity.NewDatabaseLogin(c.config)
			if err != nil {
				t.Fatal(err)
			}
			password, err := login.Login(t.Context(), false)
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(password.Expires); password.User != c.login || left < 50*time.Minute || left > time.Hour {
				t.Errorf("user %q for %s", password.User, left)
			}
			again, err := login.Login(t.Context(), false)
			if err != nil || again.Password.Reveal() != password.Password.Reveal() {
				t.Errorf("asked again at once: another password, %v", err)
			}
			renewed, err := login.Login(t.Context(), true)
			if err != nil || renewed.Password.Reveal() == password.Password.Reveal() {
				t.Errorf("renewed: the same password, %v", err)
			}
			session, err := wire.Connect(t.Context(), wire.Config{
				Host: host, Port: port, Database: twin.Database, TLS: &tls.Config{RootCAs: roots},
				Login: password,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			rows, err := session.Query(t.Context(), redshift.Statement{SQL: "select current_user"})
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			if !rows.Next() || string(rows.Values()[0]) != c.database {
				t.Errorf("current_user is %q, want %q", rows.Values(), c.database)
			}
		})
	}
}

func TestPasswordIsRefusedInWordsThatHelp(t *testing.T) {
	t.Parallel()
	world := twintest.Start(t, twin.Config{})
	other := keysOf("bob")
	asAlice := provider(func(ctx context.Context) (identity.Credentials, error) {
		credentials, err := other.Credentials(ctx)
		credentials.DatabaseUser = "alice"
		return credentials, err
	})
	for name, c := range map[string]struct {
		config     identity.DatabaseLoginConfig
		code, says string
	}{
		"another's user":    {identity.DatabaseLoginConfig{Cluster: twin.Cluster, Credentials: asAlice}, "AccessDenied", "redshift:GetClusterCredentials"},
		"no such cluster":   {identity.DatabaseLoginConfig{Cluster: "nosuch", Credentials: keysOf("alice")}, "ClusterNotFound", "no such cluster"},
		"no such workgroup": {identity.DatabaseLoginConfig{Workgroup: "nosuch", Credentials: keysOf("alice")}, "ResourceNotFoundException", "no such workgroup"},
		"keys of nobody": {
			identity.DatabaseLoginConfig{Cluster: twin.Cluster, Credentials: identity.Static("AKIANOBODY", "x", "", "alice")},
			"InvalidClientTokenId", "security token",
		},
		"no database user": {
			identity.DatabaseLoginConfig{Cluster: twin.Cluster, Credentials: identity.Static("A", "x", "", "")},
			"", "no database user",
		},
	} {
		c.config.Database, c.config.Region, c.config.Endpoint = twin.Database, twin.Region, world.URL()
		login, err := identity.NewDatabaseLogin(c.config)
		if err != nil {
			t.Fatal(err)
		}
		_, err = login.Login(t.Context(), false)
		var access *redshift.AccessError
		if !errors.As(err, &access) || access.Code != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want code %q and words %q", name, err, c.code, c.says)
		}
	}
	for name, config := range map[string]identity.DatabaseLoginConfig{
		"nothing":        {},
		"both":           {Cluster: "c", Workgroup: "w", Database: "d", Credentials: keysOf("alice"), Region: "us-east-1"},
		"no credentials": {Cluster: "c", Database: "d", Region: "us-east-1"},
		"no region":      {Cluster: "c", Database: "d", Credentials: keysOf("alice")},
	} {
		if _, err := identity.NewDatabaseLogin(config); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

type provider func(context.Context) (identity.Credentials, error)

func (p provider) Credentials(ctx context.Context) (identity.Credentials, error) { return p(ctx) }

func TestManyAskForAPasswordAtOnceAndAWSIsAskedOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		_, _ = w.Write([]byte(`<GetClusterCredentialsResponse><GetClusterCredentialsResult><DbUser>IAM:alice</DbUser><DbPassword>p</DbPassword><Expiration>` +
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `</Expiration></GetClusterCredentialsResult></GetClusterCredentialsResponse>`))
	}))
	t.Cleanup(aws.Close)
	var now atomic.Int64
	begun := time.Now()
	login, err := identity.NewDatabaseLogin(identity.DatabaseLoginConfig{
		Cluster: "c", Database: "d", Region: "us-east-1", Endpoint: aws.URL, Credentials: keysOf("alice"),
		Now: func() time.Time { return begun.Add(time.Duration(now.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := login.Login(t.Context(), false); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
	now.Store(int64(49 * time.Minute)) // past 80 % of an hour
	if _, err := login.Login(t.Context(), false); err != nil || calls.Load() != 2 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
}
