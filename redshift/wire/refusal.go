package wire

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// tooManyConnections is the SQLSTATE of a server without room.
const tooManyConnections = "53300"

// loginRemedies say what to do about what Redshift says at a login. Almost all of it has the SQLSTATE
// 28000, so it is told apart by its words; of several that fit, the first holds.
var loginRemedies = []struct{ words, remedy string }{
	{"IAM Authentication token has expired", "the database password had expired, and so has the one that was fetched anew: check this machine's clock"},
	{"Token credentials expired or invalid", "the token had expired or was used before, and so was the one that was made anew: check this machine's clock, and the trusted token issuer in IAM Identity Center"},
	{"TYPE_INVALID_TOKEN", "the token is of another kind than was announced: is the identity provider in the warehouse of the type that the identity chain is for?"},
	{"AWS IdC identity provider does not exist", "register Identity Center in the warehouse, CREATE IDENTITY PROVIDER … TYPE AWSIDC, with the namespace that is configured here"},
	{"identity provider does not exist", "register the identity provider in the warehouse, CREATE IDENTITY PROVIDER, with the namespace that is configured here"},
	{"is not supported", "the warehouse is of an older patch that does not know this identity provider: let it be updated"},
	{"no PostgreSQL user name specified", "the warehouse did not see that a token is offered: let it be updated, and register the identity provider there, CREATE IDENTITY PROVIDER"},
	{"Invalid scope", "the person is not assigned to Redshift's application in IAM Identity Center, or the gateway's application lacks the scope redshift:connect"},
	{"Failed to obtain AWS IdC Info", "the ARN of the application or of the role in CREATE IDENTITY PROVIDER is not right, or the role lacks sso:DescribeApplication and sso:DescribeInstance"},
	{"Identity Center:", "check the trusted token issuer in IAM Identity Center, its audience, and that the person is there with the same e-mail address"},
	{"invalid token", "the warehouse does not believe the token: its issuer and its audience have to be those of the identity provider that is registered there"},
	{"token validation failed", "the warehouse does not believe the token: its issuer and its audience have to be those of the identity provider that is registered there"},
	{"password authentication failed", "there is no such database user in the warehouse, or its password is another one"},
	{"no pg_hba.conf entry", "the warehouse lets nobody in who comes from here or without TLS: check its parameter require_ssl, and what is between here and it"},
	{"does not exist", "there is no such database in the warehouse"},
	{"not currently accepting connections", "the database takes no connections at the moment: is it the right one?"},
}

// fullWords are how Redshift says that it has no room, whatever the SQLSTATE.
var fullWords = []string{"connection limit", "maximum number of connections"}

// loginError says why the server refuses the person, or has no room.
func loginError(body []byte) error {
	var response pgproto3.ErrorResponse
	if err := response.Decode(body); err != nil {
		return fmt.Errorf("start up: the server sent an error that cannot be read: %w", err)
	}
	failure := &redshift.Error{SQLState: response.Code, Message: response.Message, Detail: response.Detail, Hint: response.Hint}
	if response.Code == tooManyConnections || saysOneOf(response.Message, fullWords) {
		return &redshift.BusyError{Limit: response.Message, RetryAfter: connectTimeout}
	}
	refused := &redshift.AccessError{Step: "log in to the database", Code: response.Code, Err: failure}
	for _, known := range loginRemedies {
		if strings.Contains(response.Message, known.words) {
			refused.Err = fmt.Errorf("%s (%w)", known.remedy, failure)
			break
		}
	}
	return refused
}

func saysOneOf(text string, words []string) bool {
	for _, w := range words {
		if strings.Contains(strings.ToLower(text), w) {
			return true
		}
	}
	return false
}

// aged reports whether a login was refused that another may replace.
func aged(login identity.Login, err error) bool {
	access, ok := errors.AsType[*redshift.AccessError](err)
	if !ok {
		return false
	}
	said, ok := errors.AsType[*redshift.Error](access.Err)
	return ok && (saysOneOf(said.Message, []string{"expired"}) || login.MayChange && saysOneOf(said.Message, []string{"password authentication failed"}))
}
