package identitycenter

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
)

// claims are what is needed of an ID token of Identity Center: who the person is, and not their name.
type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience any    `json:"aud"` // a text, or a list with it
	Expires  int64  `json:"exp"`
	Store    string `json:"aws:identity_store_id"`
}

// Identify reads who signed in from the ID token, and asks Identity Store for their names. The addresses
// there are the administrator's or the directory's word, by which AWS itself knows people.
func (a *Adapter) Identify(ctx context.Context, given connect.Tokens) (connect.Identity, error) {
	said, err := a.readIDToken(given.ID)
	if err != nil {
		return connect.Identity{}, fmt.Errorf("read the ID token of Identity Center: %w", err)
	}
	known, err := a.describe(ctx, said)
	if err != nil {
		return connect.Identity{}, err
	}
	identity := connect.Identity{Subject: said.Subject, Name: known.DisplayName, Username: known.UserName, Email: known.email()}
	identity.EmailVerified = identity.Email != ""
	identity.Claims = map[string]any{
		"sub": said.Subject, "name": identity.Name, "preferred_username": identity.Username,
		"email": identity.Email, "email_verified": identity.EmailVerified,
	}
	return identity, nil
}

// readIDToken is OpenID Connect Core §3.1.3.7 but for the signature; see the package's comment.
func (a *Adapter) readIDToken(token string) (claims, error) {
	var said claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return said, errors.New("there is none: does the application have the scope openid?")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &said) != nil {
		return said, errors.New("it is no JWT")
	}
	switch {
	case said.Issuer != a.issuer:
		return said, fmt.Errorf("expected issuer %q, got %q", a.issuer, said.Issuer)
	case !isFor(said.Audience, a.config.ApplicationARN):
		return said, fmt.Errorf("expected audience %q, got %q", a.config.ApplicationARN, said.Audience)
	case said.Subject == "" || said.Store == "":
		return said, errors.New("sub or aws:identity_store_id is missing")
	case !a.config.Now().Before(time.Unix(said.Expires, 0)):
		return said, errors.New("it has expired: is this machine's clock right?")
	}
	return said, nil
}

func isFor(audience any, application string) bool {
	list, _ := audience.([]any)
	return audience == application || len(list) == 1 && list[0] == application
}

// user is what Identity Store knows of a person (operation DescribeUser).
type user struct {
	UserID      string `json:"UserId"`
	UserName    string
	DisplayName string
	Emails      []struct {
		Value   string
		Primary bool
	}
}

// email is the primary one.
func (u user) email() string {
	for _, e := range u.Emails {
		if e.Primary {
			return e.Value
		}
	}
	return ""
}

func (a *Adapter) describe(ctx context.Context, said claims) (user, error) {
	var known user
	err := a.call(ctx, call{
		service: "identitystore", url: a.config.StoreEndpoint + "/", contentType: "application/x-amz-json-1.1", target: "AWSIdentityStore.DescribeUser",
	}, map[string]string{"IdentityStoreId": said.Store, "UserId": said.Subject}, &known)
	var refused *refusal
	switch {
	case errors.As(err, &refused) && refused.code == "AccessDeniedException":
		return user{}, fmt.Errorf("look up the person: allow the gateway's own role identitystore:DescribeUser, in the account that administrates Identity Center (%w)", err)
	case err != nil:
		return user{}, fmt.Errorf("look up the person in Identity Store: %w", err)
	case known.UserID != said.Subject:
		return user{}, errors.New("look up the person in Identity Store: the answer is about somebody else")
	}
	return known, nil
}
