package doctor

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
)

// Tokens of people are with the gateway that they signed in to, and doctor has none. It goes as far
// as a token leads that nobody issued: who refuses it for its signature knows its issuer.

// unissued is a token about nobody in the name of the warehouse's upstream. Its signature is noise.
func (v *visit) unissued() (secret.Text, error) {
	upstream := v.gateway.TokensFor(*v.warehouse)
	now := v.config.Now()
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": stranger})
	if err != nil {
		return secret.Text{}, err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": upstream.Issuer, "aud": upstream.ClientID, "sub": stranger, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	if err != nil {
		return secret.Text{}, err
	}
	noise := make([]byte, 256) // as long as a signature by 2048 bits
	rand.Read(noise)           // never fails (crypto/rand)
	encode := base64.RawURLEncoding.EncodeToString
	return secret.New(encode(header) + "." + encode(claims) + "." + encode(noise)), nil
}

func checkFederation(ctx context.Context, v *visit) finding {
	token, err := v.unissued()
	if err != nil {
		return broken("other", nil, "fault", oneLine(err.Error()))
	}
	client := plainClient()
	defer client.CloseIdleConnections()
	got, err := post(ctx, client, v.stsEndpoint(), url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {stsVersion}, "RoleArn": {v.warehouse.Identity.RoleARN},
		"RoleSessionName": {sessionName}, "WebIdentityToken": {token.Reveal()},
	})
	if err != nil {
		return broken("other", nil, "fault", oneLine(err.Error()))
	}
	var refusal stsRefusal
	if xml.Unmarshal(got.body, &refusal) != nil || refusal.Code == "" {
		return broken("other", nil, "fault", fmt.Sprintf("status %d without an error of STS", got.status))
	}
	fault := oneLine(refusal.Error())
	text := strings.ToLower(fault)
	switch {
	case refusal.Code == "IDPCommunicationError":
		return broken("keys_unread", &refusal)
	case refusal.Code == "RegionDisabledException":
		return broken("region", &refusal)
	case refusal.Code != "InvalidIdentityToken":
		return broken("other", nil, "fault", fault)
	case strings.Contains(text, "provider found"), strings.Contains(text, "no openidconnect provider"):
		return broken("no_provider", &refusal)
	case strings.Contains(text, "audience"):
		return broken("audience", &refusal)
	}
	return whole("the account knows %s, and refuses a token that it did not issue", v.gateway.TokensFor(*v.warehouse).Issuer)
}

// nativeWords are in what Redshift says where there is no identity provider to ask.
var nativeWords = []string{"does not exist", "not supported", "no identity provider"}

func checkNative(ctx context.Context, v *visit) finding {
	native, err := identity.NewNative(identity.NativeConfig{
		Namespace: v.warehouse.Identity.Namespace,
		Token: func(context.Context, identity.Subject) (secret.Text, time.Time, error) {
			token, err := v.unissued()
			return token, time.Time{}, err
		},
	})
	if err != nil {
		return broken("other", nil, "fault", oneLine(err.Error()))
	}
	config := *v.road.Port
	config.Application = sessionName
	if config.Login, err = native.Login(ctx, false); err != nil {
		return broken("other", nil, "fault", oneLine(err.Error()))
	}
	session, err := wire.Connect(ctx, config)
	if err == nil {
		_ = session.Close() // nothing was done in it
		return broken("other", nil, "fault", "it let in a token that nobody issued")
	}
	access, refused := errors.AsType[*redshift.AccessError](err)
	fault := oneLine(innermost(err))
	if !refused {
		return broken("other", nil, "fault", fault)
	}
	for _, word := range nativeWords {
		if access.Code == "" || strings.Contains(strings.ToLower(fault), word) {
			return broken("no_provider", nil, "fault", fault)
		}
	}
	return whole("the warehouse takes tokens, and refuses one that nobody issued (%s)", fault)
}
