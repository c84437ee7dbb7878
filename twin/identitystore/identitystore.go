// Package identitystore plays the directory of IAM Identity Center's people, as far as a program needs
// it that knows somebody's id and wants their name: DescribeUser.
//
// It is a stand-in for development and tests: everybody who signs may look, but for roles that were made
// in twin/iam, which may what their policies say. What it knows is in twin/identitycenter.
package identitystore

import (
	"context"
	"time"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/script"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

// Target is the prefix of X-Amz-Target.
const Target = "AWSIdentityStore."

// Config is what the service needs.
type Config struct {
	Center   *identitycenter.Center
	Registry *sigv4.Registry
	Region   string
	Now      func() time.Time // nil is time.Now
}

// Server is an http.Handler.
type Server struct {
	*awsjson.Service
	// Script tells operations to refuse.
	Script *script.Script

	center *identitycenter.Center
}

// New makes the service.
func New(config Config) *Server {
	s := &Server{Script: &script.Script{}, center: config.Center}
	s.Service = &awsjson.Service{
		Target:     Target,
		Verifier:   sigv4.Verifier{Registry: config.Registry, Region: config.Region, Service: "identitystore", Now: config.Now},
		Script:     s.Script,
		Operations: map[string]awsjson.Operation{"DescribeUser": awsjson.Bind(s.describeUser)},
	}
	return s
}

type describeUser struct {
	StoreID string `json:"IdentityStoreId"`
	UserID  string `json:"UserId"`
}

func (s *Server) describeUser(_ context.Context, _ sigv4.Credential, q describeUser) (any, error) {
	if q.StoreID != s.center.IdentityStoreID() {
		return nil, awsjson.Refuse("ResourceNotFoundException", "IDENTITY_STORE not found.")
	}
	for _, p := range s.center.People() {
		if p.UserID != q.UserID {
			continue
		}
		return map[string]any{
			"IdentityStoreId": q.StoreID, "UserId": p.UserID, "UserName": p.UserName, "DisplayName": p.UserName,
			"Emails": []any{map[string]any{"Value": p.Email, "Type": "work", "Primary": true}},
		}, nil
	}
	return nil, awsjson.Refuse("ResourceNotFoundException", "USER not found.")
}
