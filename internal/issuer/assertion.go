package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

const (
	// MaxAssertionLifetime bounds how long a stolen assertion buys credentials.
	MaxAssertionLifetime = 5 * time.Minute
	// earlier makes an assertion valid for receivers whose clock is behind.
	earlier = 30 * time.Second
)

// A Subject is the person whom an assertion is about, and the one it is for.
type Subject struct {
	ID           string        // the person's: sub
	Audience     string        // one of the reserved audiences
	Email        string        // "" where not known
	DatabaseUser string        // who the person is in Redshift; "" leaves the session tag out
	Lifetime     time.Duration // 0: MaxAssertionLifetime
	// Unnamed leaves the source identity out. AWS carries it on into each role that is assumed from the
	// session, and refuses where that role's trust does not allow sts:SetSourceIdentity.
	Unnamed bool
}

// assertionClaims are what AWS STS reads (IAM user guide, "Passing session tags using
// AssumeRoleWithWebIdentity"). The audience is a single string: with one audience there is
// nothing to choose from, here or there.
type assertionClaims struct {
	Issuer         string   `json:"iss"`
	Subject        string   `json:"sub"`
	Audience       string   `json:"aud"`
	IssuedAt       int64    `json:"iat"`
	NotBefore      int64    `json:"nbf"`
	Expires        int64    `json:"exp"`
	ID             string   `json:"jti"`
	Email          string   `json:"email,omitempty"`
	Tags           *awsTags `json:"https://aws.amazon.com/tags,omitempty"`
	SourceIdentity string   `json:"https://aws.amazon.com/source_identity,omitempty"`
}

type awsTags struct {
	Principal  map[string][]string `json:"principal_tags"`
	Transitive []string            `json:"transitive_tag_keys"`
}

// databaseUserTag is the tag that IAM policies put into the ARN of the database user, which is
// how AWS, and not this gateway alone, keeps one person out of another's account.
const databaseUserTag = "RedshiftDbUser"

var (
	// redshift:GetClusterCredentials, DbUser.
	databaseUsers = regexp.MustCompile(`^[a-z][a-z0-9+.@_-]{0,63}$`)
	// STS, SourceIdentity.
	sourceIdentities = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)
)

// Assertion signs who a person is, for AWS. Each has an id of its own: Identity Center takes
// an assertion only once.
func (i *Issuer) Assertion(ctx context.Context, subject Subject) (secret.Text, error) {
	if err := ctx.Err(); err != nil {
		return secret.Text{}, err
	}
	if subject.ID == "" {
		return secret.Text{}, fmt.Errorf("make an assertion for %s: the person's id is missing", subject.Audience)
	}
	if !i.Reserved(subject.Audience) {
		return secret.Text{}, fmt.Errorf("make an assertion: audience %q is not one of the reserved ones: an app could present its ID token there", subject.Audience)
	}
	if subject.Lifetime < 0 || subject.Lifetime > MaxAssertionLifetime {
		return secret.Text{}, fmt.Errorf("make an assertion: a lifetime of %s is not within %s", subject.Lifetime, MaxAssertionLifetime)
	}
	if subject.DatabaseUser != "" && !databaseUsers.MatchString(subject.DatabaseUser) {
		return secret.Text{}, fmt.Errorf("make an assertion: %q cannot be a database user: 1 to 64 of a-z 0-9 + . @ _ -, a letter first", subject.DatabaseUser)
	}
	now := i.now()
	return i.sign(ctx, subject.claims(i.url, now), now)
}

func (s Subject) claims(issuer string, now time.Time) assertionClaims {
	lifetime := s.Lifetime
	if lifetime == 0 {
		lifetime = MaxAssertionLifetime
	}
	claims := assertionClaims{
		Issuer: issuer, Subject: s.ID, Audience: s.Audience,
		IssuedAt: now.Unix(), NotBefore: now.Add(-earlier).Unix(), Expires: now.Add(lifetime).Unix(),
		ID: newTokenID(), Email: s.Email,
	}
	if !s.Unnamed {
		claims.SourceIdentity = s.sourceIdentity()
	}
	if s.DatabaseUser != "" {
		claims.Tags = &awsTags{
			Principal:  map[string][]string{databaseUserTag: {s.DatabaseUser}},
			Transitive: []string{databaseUserTag},
		}
	}
	return claims
}

// sourceIdentity is the name that stays with the session through every role and appears in
// CloudTrail: the database user where there is one, or else the person's id.
func (s Subject) sourceIdentity() string {
	for _, name := range []string{s.DatabaseUser, s.ID} {
		if sourceIdentities.MatchString(name) {
			return name
		}
	}
	sum := sha256.Sum256([]byte(s.ID))
	return hex.EncodeToString(sum[:16])
}
