package faults

import (
	"testing"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/idp"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// useKeys puts AWS keys of the gateway's own where AWS's tools look for them. Because that is the
// environment, a test that does so runs beside no other.
func useKeys(t *testing.T, own sigv4.Credential) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", own.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", own.SecretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", own.SessionToken)
}

// reachBy starts the gateway anew with another way into its warehouse, which a test has for itself: w is
// the warehouse as it was before any gateway had it.
func (s *site) reachBy(t *testing.T, w gateway.Warehouse, by gateway.Identity, changes ...func(*site)) {
	t.Helper()
	by.STSEndpoint, by.OIDCEndpoint, by.SecretsEndpoint = s.twin.URL(), s.twin.URL(), s.twin.URL()
	w.Identity = by
	s.config.Warehouses = []gateway.Warehouse{w}
	for _, change := range changes {
		change(s)
	}
	s.again(t)
}

// All identity chains, through a real gateway, whose operator changes from one to the next.
func TestAGatewayShowsThePersonByEachChain(t *testing.T) {
	center := gateway.Identity{Chain: "identity_center", Application: twin.ApplicationARN, PeopleRoleARN: twin.PeopleRoleARN}
	byToken, straight, keyless := center, center, center
	keyless.GatewayRoleARN = twin.GatewayRoleARN
	byToken.Login = "auth_token"
	straight.Application, straight.PeopleRoleARN, straight.Audience = "", "", twin.IdentityCenterAudience
	role := gateway.Identity{Chain: "role", RoleARN: twin.PartnerRoleARN, ExternalID: twin.ExternalID}
	staff := gateway.Identity{RoleARN: twin.StaffRoleARN, Assertion: "upstream"}
	var tickit gateway.Warehouse
	s := startSite(t, func(s *site) { tickit = s.config.Warehouses[0] })
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
			useKeys(t, c.own)
			var changes []func(*site)
			if c.wire {
				changes = append(changes, onWire(t))
			}
			s.reachBy(t, tickit, c.identity, changes...)
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
	var pass func(time.Duration)
	s := startSite(t, func(s *site) {
		pass = passing(s)
		s.config.Upstreams[0].Scopes = []string{"openid", "profile", "email", "offline_access"}
		s.config.Warehouses[0].Identity = gateway.Identity{RoleARN: twin.StaffRoleARN, Assertion: "upstream", STSEndpoint: s.twin.URL()}
	})
	alice := s.token(t, "alice")
	s.mustSQL(t, alice, "select current_user")
	// The keys of an hour are over, and the ID token of five minutes with them.
	pass(61 * time.Minute)
	again, err := s.refresh(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.mustSQL(t, again, "select current_user"); got.rows[0][0] != "alice" {
		t.Errorf("after an hour she is %v", got.rows)
	}
	s.twin.IdP.SetScript(idp.Script{RefuseRefresh: true})
	pass(61 * time.Minute)
	if _, err := s.refresh(t.Context(), again); err == nil {
		t.Error("somebody who left goes on")
	}
}
