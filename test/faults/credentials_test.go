package faults

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// What is taken out of the gateway opens the warehouse for the person, without the gateway, by each
// chain that gives something.
func TestCredentialsOfEachChainOpenTheWarehouse(t *testing.T) {
	center := gateway.Identity{Chain: "identity_center", Application: twin.ApplicationARN, PeopleRoleARN: twin.PeopleRoleARN}
	byToken, straight := center, center
	byToken.Login = "auth_token"
	straight.Application, straight.PeopleRoleARN, straight.Audience = "", "", twin.IdentityCenterAudience
	var tickit gateway.Warehouse
	s := startSite(t, func(s *site) {
		tickit = s.config.Warehouses[0]
		s.config.Apps[0].Scopes = append(s.config.Apps[0].Scopes, "credentials")
	})
	for name, c := range map[string]struct {
		own      sigv4.Credential
		identity gateway.Identity
		given    string
		kind     string // of token; "" for a password
		life     time.Duration
		user     string // alice's
	}{
		"web identity":                   {sigv4.Credential{}, gateway.Identity{RoleARN: twin.RoleARN}, "aws database", "", 15 * time.Minute, "alice"},
		"the upstream's ID token":        {sigv4.Credential{}, gateway.Identity{RoleARN: twin.StaffRoleARN, Assertion: "upstream"}, "aws database", "", 15 * time.Minute, "alice"},
		"role":                           {twin.PartnerKeys(), gateway.Identity{Chain: "role", RoleARN: twin.PartnerRoleARN, ExternalID: twin.ExternalID}, "aws database", "", 15 * time.Minute, "alice"},
		"Identity Center, by assertions": {sigv4.Credential{}, straight, "database", "EXT_JWT", 5 * time.Minute, "awsidc:alice@example.com"},
		"Identity Center, by a token":    {twin.GatewayKeys(), byToken, "aws database", "SUBJECT_TOKEN", time.Hour, "awsidc:alice@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			useKeys(t, c.own)
			s.reachBy(t, tickit, c.identity, onWire(t), func(s *site) { s.config.Warehouses[0].Credentials = strings.Fields(c.given) })
			alice := s.token(t, "alice", "credentials")
			if strings.HasPrefix(c.given, "aws") {
				if user := s.userByKeys(t, alice, c.user); user != c.user {
					t.Errorf("by keys alice is %q, want %q", user, c.user)
				}
			}
			given := s.take(t, alice, "database")
			if left := time.Until(given.ExpiresAt); given.TokenType != c.kind || left > c.life || left < c.life-time.Minute {
				t.Errorf("given a %q for %s, want a %q for %s", given.TokenType, left, c.kind, c.life)
			}
			user, err := s.userByLogin(t, given)
			if err != nil || user != c.user {
				t.Errorf("at the port alice is %q, %v; want %q", user, err, c.user)
			}
			if again, err := s.userByLogin(t, given); (err != nil) != given.SingleUse {
				t.Errorf("a second time she is %q, %v; for one use: %t", again, err, given.SingleUse)
			}
			if second := s.take(t, alice, "database"); second.SingleUse && second.Token == given.Token {
				t.Error("a token for one use was given twice")
			}
		})
	}
}

// handedOut is what POST /v1/credentials answers.
type handedOut struct {
	Host, Database, User, Password, Token string

	Port            int
	TokenType       string    `json:"token_type"`
	Provider        string    `json:"identity_provider"`
	SingleUse       bool      `json:"single_use"`
	AccessKeyID     string    `json:"access_key_id"`
	SecretAccessKey string    `json:"secret_access_key"`
	SessionToken    string    `json:"session_token"`
	ExpiresAt       time.Time `json:"expires_at"`
}

func (s *site) take(t *testing.T, token *oauth2.Token, kind string) handedOut {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/credentials", strings.NewReader(`{"kind":"`+kind+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	var given handedOut
	if err != nil || response.StatusCode != http.StatusOK || json.Unmarshal(body, &given) != nil {
		t.Fatalf("credentials of kind %s: %d %s, %v\n%s", kind, response.StatusCode, body, err, s.log)
	}
	return given
}

// userByKeys asks the Data API with the keys that were given.
func (s *site) userByKeys(t *testing.T, token *oauth2.Token, user string) string {
	t.Helper()
	keys := s.take(t, token, "aws")
	if strings.HasPrefix(user, "awsidc:") {
		user = "" // the keys say who it is
	}
	got, err := currentUser(t, dataapi.New(dataapi.Config{
		Region: twin.Region, Cluster: twin.Cluster, Database: twin.Database, Endpoint: s.twin.URL(),
		Credentials: identity.Static(keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken, user),
	}))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// userByLogin asks at the port, with the password or the token that was given.
func (s *site) userByLogin(t *testing.T, given handedOut) (string, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.twin.Authority())
	login := identity.Login{User: given.User, Password: secretText(given.Password)}
	if given.Token != "" {
		login = identity.Login{Token: &identity.Token{Value: secretText(given.Token), Type: given.TokenType, IdentityProvider: given.Provider}}
	}
	session, err := wire.Connect(t.Context(), wire.Config{
		Host: given.Host, Port: strconv.Itoa(given.Port), Database: given.Database, Login: login, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		return "", err
	}
	return currentUser(t, session)
}

func currentUser(t *testing.T, session redshift.Session) (user string, err error) {
	t.Helper()
	defer func() { _ = session.Close() }()
	rows, err := session.Query(t.Context(), redshift.Statement{SQL: "select current_user"})
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		user = string(rows.Values()[0])
	}
	return user, rows.Err()
}
