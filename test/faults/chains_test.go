package faults

import (
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// A gateway that runs in AWS has keys of its own, which it finds where AWS's tools look for them.
// Because they are in the environment, this test runs beside no other.
func TestAGatewayWithKeysOfItsOwnShowsThePerson(t *testing.T) {
	for name, c := range map[string]struct {
		own      sigv4.Credential
		identity gateway.Identity
		alice    string
		bob      string
	}{
		"role": {
			twin.PartnerKeys(),
			gateway.Identity{Chain: "role", RoleARN: twin.PartnerRoleARN, ExternalID: twin.ExternalID},
			"alice", "bob",
		},
		"Identity Center": {
			twin.GatewayKeys(),
			gateway.Identity{Chain: "identity_center", Application: twin.ApplicationARN, PeopleRoleARN: twin.PeopleRoleARN},
			"awsidc:alice@example.com", "awsidc:bob@example.com",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ACCESS_KEY_ID", c.own.AccessKeyID)
			t.Setenv("AWS_SECRET_ACCESS_KEY", c.own.SecretAccessKey)
			t.Setenv("AWS_SESSION_TOKEN", c.own.SessionToken)
			s := startSite(t, func(s *site) {
				c.identity.STSEndpoint, c.identity.OIDCEndpoint = s.twin.URL(), s.twin.URL()
				s.config.Warehouses[0].Identity = c.identity
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
