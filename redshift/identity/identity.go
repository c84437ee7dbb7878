// Package identity turns a person into short-lived AWS credentials: the way in which
// somebody's identity at an identity provider becomes access to Redshift as themself.
//
// Each way is a chain with its own file. Some give AWS credentials of a person, which open the Data
// API ([Provider]):
//
//   - web_identity.go: an assertion about the person is traded at AWS STS by
//     AssumeRoleWithWebIdentity. Whoever runs this holds no AWS key and needs no AWS account;
//     the warehouse's owner decides in the role's trust policy who is believed. The assertion is the
//     gateway's, or the ID token of the person's own identity provider.
//   - role.go: AWS keys of the gateway's own assume a role in the warehouse's account, which asks for
//     an external id (AssumeRole).
//   - identity_center.go: an assertion becomes a person of IAM Identity Center (CreateTokenWithIAM),
//     with whose context a role is assumed.
//   - secret.go: one database user for all, whose password is in Secrets Manager.
//
// Some give what opens Redshift's own port ([LoginProvider]):
//
//   - database_login.go: credentials of the first two are traded for a database password.
//   - trusted_token.go: an assertion is itself a login, Identity Center trusting its issuer.
//   - auth_token.go: credentials of Identity Center are traded for a token of an hour.
//   - native.go: the person's token of Microsoft Entra ID, which Redshift takes by itself.
//   - secret.go again, and password.go: one database user for all, for one's own machine.
//
// [Own] are the gateway's own keys. [Static] is for tests and for keys that a person holds anyway.
//
// What to fear: credentials of one person used for another. A [Provider] therefore is made
// for one [Subject], the cache is keyed by everything the subject consists of, and the
// session name is unique for each person, because Redshift's Data API tells owners of results
// apart by it (condition key redshift-data:statement-owner-iam-userid). And a trust service
// that is down: credentials that are still valid are used to their end while new ones are
// sought.
package identity

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// Credentials are AWS keys of one person.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey secret.Text
	SessionToken    secret.Text
	Expires         time.Time // zero: they do not expire
	// DatabaseUser is who the person is in a provisioned cluster; "" lets Redshift derive it
	// from the role, as serverless workgroups always do.
	DatabaseUser string
	// SecretARN is a secret in Secrets Manager that Redshift is to log in with in place of the person;
	// "" for none. See [Secret].
	SecretARN string
}

// A Provider gives the credentials of one person, from a cache where it can. It may be used
// by several goroutines at once.
type Provider interface {
	Credentials(ctx context.Context) (Credentials, error)
}

// An Invalidator is a Provider that can forget credentials which AWS refused, so that the next
// call fetches new ones. Only the refused ones are forgotten: of many callers that were refused
// together, the last must not throw away what the first has just fetched.
type Invalidator interface {
	Invalidate(refused Credentials)
}

// A Subject is the person whom an assertion is about.
type Subject struct {
	ID           string // stable and unique for the person: the assertion's sub
	DatabaseUser string // in a provisioned cluster; "" for none
	Email        string // "" where not known
	// SessionName appears in CloudTrail and tells owners of results apart, so it must be
	// unique for each person. "" makes one up from the database user or e-mail and the ID.
	SessionName string
}

// Static gives keys that are held already, such as those of the AWS CLI.
func Static(accessKeyID, secretAccessKey, sessionToken, databaseUser string) Provider {
	return static{
		AccessKeyID: accessKeyID, SecretAccessKey: secret.New(secretAccessKey),
		SessionToken: secret.New(sessionToken), DatabaseUser: databaseUser,
	}
}

type static Credentials

func (s static) Credentials(context.Context) (Credentials, error) { return Credentials(s), nil }

// regions keeps anything that is no region out of a host name.
var regions = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$`)

// Endpoint is the address of an AWS service in a region: the commercial regions, GovCloud and
// China. Elsewhere, and for a VPC endpoint, the address has to be configured.
func Endpoint(service, region string) (string, error) {
	if !regions.MatchString(region) {
		return "", fmt.Errorf("%q is not an AWS region such as us-east-1", region)
	}
	domain := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	return "https://" + service + "." + region + "." + domain, nil
}
