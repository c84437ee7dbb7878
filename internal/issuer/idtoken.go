package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

const (
	idTokenLifetime = 5 * time.Minute
	// MaxIDTokenLifetime bounds how long a retired key has to stay published.
	MaxIDTokenLifetime = time.Hour
)

// An IDToken tells an app who signed in (OpenID Connect Core §2).
type IDToken struct {
	Subject  string // the person's id
	Audience string // the app's id
	Nonce    string // of the app's request; "" for none
	AuthTime time.Time
	// AccessToken issued beside it, for at_hash; the zero value leaves at_hash out.
	AccessToken   secret.Text
	Name          string
	Email         string
	EmailVerified bool
	Username      string        // preferred_username
	Lifetime      time.Duration // 0: five minutes
}

type idTokenClaims struct {
	Issuer          string `json:"iss"`
	Subject         string `json:"sub"`
	Audience        string `json:"aud"`
	IssuedAt        int64  `json:"iat"`
	Expires         int64  `json:"exp"`
	AuthTime        int64  `json:"auth_time,omitempty"`
	Nonce           string `json:"nonce,omitempty"`
	AccessTokenHash string `json:"at_hash,omitempty"`
	Name            string `json:"name,omitempty"`
	Username        string `json:"preferred_username,omitempty"`
	Email           string `json:"email,omitempty"`
	EmailVerified   *bool  `json:"email_verified,omitempty"`
}

// IDToken signs who signed in, for an app.
func (i *Issuer) IDToken(ctx context.Context, token IDToken) (secret.Text, error) {
	if err := ctx.Err(); err != nil {
		return secret.Text{}, err
	}
	if token.Subject == "" || token.Audience == "" {
		return secret.Text{}, fmt.Errorf("make an ID token: subject %q and audience %q must both be given", token.Subject, token.Audience)
	}
	if i.Reserved(token.Audience) {
		return secret.Text{}, fmt.Errorf("make an ID token: audience %q is reserved for assertions to AWS: give the app another id", token.Audience)
	}
	if token.Lifetime < 0 || token.Lifetime > MaxIDTokenLifetime {
		return secret.Text{}, fmt.Errorf("make an ID token: a lifetime of %s is not within %s", token.Lifetime, MaxIDTokenLifetime)
	}
	now := i.now()
	return i.sign(ctx, token.claims(i.url, now), now)
}

func (t IDToken) claims(issuer string, now time.Time) idTokenClaims {
	lifetime := t.Lifetime
	if lifetime == 0 {
		lifetime = idTokenLifetime
	}
	claims := idTokenClaims{
		Issuer: issuer, Subject: t.Subject, Audience: t.Audience,
		IssuedAt: now.Unix(), Expires: now.Add(lifetime).Unix(), Nonce: t.Nonce,
		Name: t.Name, Username: t.Username, Email: t.Email,
	}
	if !t.AuthTime.IsZero() {
		claims.AuthTime = t.AuthTime.Unix()
	}
	if t.Email != "" {
		claims.EmailVerified = &t.EmailVerified
	}
	if !t.AccessToken.IsZero() {
		claims.AccessTokenHash = accessTokenHash(t.AccessToken)
	}
	return claims
}

// accessTokenHash is OpenID Connect Core §3.1.3.6: the left half of the token's SHA-256.
func accessTokenHash(token secret.Text) string {
	sum := sha256.Sum256([]byte(token.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
