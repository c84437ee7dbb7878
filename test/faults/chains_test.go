package faults

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/idp"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// All identity chains, through a real gateway. A gateway that runs in AWS has keys of its own, which it
// finds where AWS's tools look for them. Because they are in the environment, this test runs beside no
// other.
func TestAGatewayShowsThePersonByEachChain(t *testing.T) {
	center := gateway.Identity{Chain: "identity_center", Application: twin.ApplicationARN, PeopleRoleARN: twin.PeopleRoleARN}
	byToken, straight, keyless := center, center, center
	keyless.GatewayRoleARN = twin.GatewayRoleARN
	byToken.Login = "auth_token"
	straight.Application, straight.PeopleRoleARN, straight.Audience = "", "", twin.IdentityCenterAudience
	role := gateway.Identity{Chain: "role", RoleARN: twin.PartnerRoleARN, ExternalID: twin.ExternalID}
	staff := gateway.Identity{RoleARN: twin.StaffRoleARN, Assertion: "upstream"}
	for name, c := range map[string]struct {
		own      sigv4.Credential
		identity gateway.Identity
		wire     bool
		alice    string
		bob      string
	}{
		"role, Data API":                       {twin.PartnerKeys(), role, false, "alice", "bob"},
		"role, wire":                           {twin.PartnerKeys(), role, true, "alice", "bob"},
		"Identity Center, Data API":            {twin.GatewayKeys(), center, false, "awsidc:alice@example.com", "awsidc:bob@example.com"},
		"Identity Center, wire by a token":     {twin.GatewayKeys(), byToken, true, "awsidc:alice@example.com", "awsidc:bob@example.com"},
		"Identity Center, wire by assertions":  {sigv4.Credential{}, straight, true, "awsidc:alice@example.com", "awsidc:bob@example.com"},
		"Identity Center, without keys":        {sigv4.Credential{}, keyless, false, "awsidc:alice@example.com", "awsidc:bob@example.com"},
		"the upstream's ID token, Data API":    {sigv4.Credential{}, staff, false, "alice", "bob"},
		"the upstream's ID token, wire":        {sigv4.Credential{}, staff, true, "alice", "bob"},
		"the upstream's access token (Entra)":  {sigv4.Credential{}, gateway.Identity{Chain: "entra"}, true, "aad:alice@example.com", "aad:bob@example.com"},
		"one secret for all, Data API":         {twin.GatewayKeys(), gateway.Identity{Chain: "secret", SecretARN: twin.SecretARN}, false, twin.ServiceUser, twin.ServiceUser},
		"one secret for all, wire":             {twin.GatewayKeys(), gateway.Identity{Chain: "secret", SecretARN: twin.SecretARN}, true, twin.ServiceUser, twin.ServiceUser},
		"one password of the operator's, wire": {sigv4.Credential{}, gateway.Identity{Chain: "password", User: twin.ServiceUser, Password: gateway.SecretOf(secretText(twin.ServicePassword))}, true, twin.ServiceUser, twin.ServiceUser},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ACCESS_KEY_ID", c.own.AccessKeyID)
			t.Setenv("AWS_SECRET_ACCESS_KEY", c.own.SecretAccessKey)
			t.Setenv("AWS_SESSION_TOKEN", c.own.SessionToken)
			s := startSite(t, func(s *site) {
				if c.wire {
					onWire(t)(s)
				}
				by := c.identity
				by.STSEndpoint, by.OIDCEndpoint, by.SecretsEndpoint = s.twin.URL(), s.twin.URL(), s.twin.URL()
				s.config.Warehouses[0].Identity = by
			})
			for who, want := range map[string]string{"alice": c.alice, "bob": c.bob} {
				got := s.mustSQL(t, s.token(t, who), "select current_user")
				if len(got.rows) != 1 || got.rows[0][0] != want {
					t.Errorf("%s is %v in Redshift, want %q", who, got.rows, want)
				}
			}
		})
	}
}

// Where AWS takes the upstream's own tokens, these are asked for again when they end, and somebody
// whom the upstream refuses is refused here.
func TestAnUpstreamsTokensAreFollowedAsTheyEnd(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	pass := func(s *site, d time.Duration) {
		s.twin.SetSkew(time.Duration(ahead.Add(int64(d))))
	}
	s := startSite(t, func(s *site) {
		s.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		s.config.Upstreams[0].Scopes = []string{"openid", "profile", "email", "offline_access"}
		s.config.Warehouses[0].Identity = gateway.Identity{RoleARN: twin.StaffRoleARN, Assertion: "upstream", STSEndpoint: s.twin.URL()}
	})
	alice := s.token(t, "alice")
	s.mustSQL(t, alice, "select current_user")
	// The keys of an hour are over, and the ID token of five minutes with them.
	pass(s, 61*time.Minute)
	again, err := s.refresh(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.mustSQL(t, again, "select current_user"); got.rows[0][0] != "alice" {
		t.Errorf("after an hour she is %v", got.rows)
	}
	s.twin.IdP.SetScript(idp.Script{RefuseRefresh: true})
	pass(s, 61*time.Minute)
	if _, err := s.refresh(t.Context(), again); err == nil {
		t.Error("somebody who left goes on")
	}
}
