package identity

import (
	"context"
	"errors"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
)

// azureProvider is what Redshift calls a native identity provider for Microsoft Entra ID.
const azureProvider = "AzureAD"

// NativeConfig says how one person's own tokens open Redshift's port.
type NativeConfig struct {
	Subject Subject
	// Token gives an access token that Microsoft Entra ID issued to the person, for the application
	// that Redshift knows as the audience of its identity provider; and until when it is good.
	Token func(context.Context, Subject) (secret.Text, time.Time, error)
	// Namespace chooses among several identity providers in the warehouse; "" where there is one.
	Namespace string
}

// Native is the entra chain: Redshift itself takes the tokens of Microsoft Entra ID (CREATE IDENTITY
// PROVIDER … TYPE azure). AWS's own services take no part, so it reaches Redshift's port alone.
type Native struct{ config NativeConfig }

// NewNative checks the configuration.
func NewNative(config NativeConfig) (*Native, error) {
	if config.Token == nil {
		return nil, errors.New("native: Token is missing: nothing gives the person's token")
	}
	return &Native{config}, nil
}

// Login implements LoginProvider.
func (n *Native) Login(ctx context.Context, _ bool) (Login, error) {
	token, expires, err := n.config.Token(ctx, n.config.Subject)
	if access, ok := errors.AsType[*redshift.AccessError](err); ok {
		return Login{}, access
	}
	if err != nil {
		return Login{}, &redshift.AccessError{Step: "get the person's token from their identity provider", Err: err}
	}
	return Login{Token: &Token{Value: token, IdentityProvider: azureProvider, Namespace: n.config.Namespace}, Expires: expires}, nil
}
