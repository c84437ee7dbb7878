package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
)

const (
	identityCenterProvider = "AwsIdc"
	subjectToken           = "SUBJECT_TOKEN"
	// ExternalToken is the type of a token that Redshift takes once.
	ExternalToken = "EXT_JWT"
)

// TrustedTokenConfig says how one person's assertions open Redshift's port.
type TrustedTokenConfig struct {
	Subject Subject
	// Assert makes the assertion about a person, with a fresh jti each time.
	Assert func(context.Context, Subject) (secret.Text, error)
	// Namespace chooses among several identity providers in the warehouse; "" where there is one.
	Namespace string
	Now       func() time.Time
}

// TrustedToken is the identity_center chain at Redshift's port: the issuer is a trusted token issuer
// of Identity Center, so an assertion about the person is the login, and AWS is not asked. Redshift
// takes each assertion once.
type TrustedToken struct {
	config TrustedTokenConfig
	now    func() time.Time
}

// NewTrustedToken checks the configuration.
func NewTrustedToken(config TrustedTokenConfig) (*TrustedToken, error) {
	if config.Assert == nil {
		return nil, errors.New("trusted token: Assert is missing: nothing makes the assertion")
	}
	return &TrustedToken{config, orSystemTime(config.Now)}, nil
}

// Login implements LoginProvider: each call makes an assertion, because each is for one use.
func (t *TrustedToken) Login(ctx context.Context, _ bool) (Login, error) {
	assertion, err := t.config.Assert(ctx, t.config.Subject)
	if err != nil {
		return Login{}, &redshift.AccessError{Step: "log in to the database", Err: fmt.Errorf("make the assertion: %w", err)}
	}
	return Login{
		Token:   &Token{Value: assertion, IdentityProvider: identityCenterProvider, Type: ExternalToken, Namespace: t.config.Namespace},
		Expires: t.now().Add(connectionLife),
	}, nil
}
