package sdk

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/redshift"
	"github.com/aws/aws-sdk-go-v2/service/redshiftdata"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/person"
	"github.com/shiftgrant/shiftgrant/twin/twintest"
)

// login logs in to Redshift's port and asks who it is there. The start-up parameters choose the way;
// the secret is a token, or the password of the parameter user.
func login(t *testing.T, played *twin.Twin, secret string, parameters map[string]string) (user string, err error) {
	t.Helper()
	connection := must(net.Dial("tcp", played.WireAddress()))(t)
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	request := must((&pgproto3.SSLRequest{}).Encode(nil))(t)
	if _, err := connection.Write(request); err != nil {
		return "", err
	}
	if _, err := connection.Read(make([]byte, 1)); err != nil {
		return "", err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(played.Authority())
	secured := tls.Client(connection, &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12})
	parameters["database"] = twin.Database
	startup := must((&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: parameters}).Encode(nil))(t)
	if _, err := secured.Write(startup); err != nil {
		return "", err
	}
	var head [9]byte
	if _, err := io.ReadFull(secured, head[:]); err != nil {
		return "", err
	}
	if method := binary.BigEndian.Uint32(head[5:]); method != 14 {
		t.Fatalf("the server asks by method %d", method)
	}
	answer := binary.BigEndian.AppendUint32([]byte{'i'}, uint32(len(secret)+5))
	if _, err := secured.Write(append(append(answer, secret...), 0)); err != nil { // with a NUL, as JDBC does
		return "", err
	}
	frontend := pgproto3.NewFrontend(secured, secured)
	for asked := false; ; {
		message, err := frontend.Receive()
		if err != nil {
			return "", err
		}
		switch message := message.(type) {
		case *pgproto3.ErrorResponse:
			return "", errors.New(message.Code + " " + message.Message)
		case *pgproto3.DataRow:
			return string(message.Values[0]), nil
		case *pgproto3.ReadyForQuery:
			if asked {
				return "", errors.New("there was no row")
			}
			asked = true
			frontend.Send(&pgproto3.Query{String: "select current_user"})
			if err := frontend.Flush(); err != nil {
				return "", err
			}
		}
	}
}

func TestEveryTokenOpensRedshiftsPort(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	played := twintest.Start(t, twin.Config{Issuer: g.URL, EntraIssuer: g.URL, EntraAudience: "api://redshift"})
	toCenter := map[string]any{"aud": twin.IdentityCenterAudience}
	tokens := must(exchange(t, played, g.assertion(t, "bob@example.com", nil)))(t)
	subject := must(redshift.NewFromConfig(as(played, enhanced(t, played, *tokens.AwsAdditionalDetails.IdentityContext))).
		GetIdentityCenterAuthToken(t.Context(), &redshift.GetIdentityCenterAuthTokenInput{ClusterIds: []string{twin.Cluster}}))(t)
	used := *g.assertion(t, "alice@example.com", toCenter)
	entra := map[string]any{"aud": "api://redshift", "upn": "Alice@example.com"}
	for _, c := range []struct {
		name, token, idp, kind string
		user, refused          string
	}{
		{"the gateway's token", used, "AwsIdc", "EXT_JWT", "awsidc:alice@example.com", ""},
		{"the same again", used, "AwsIdc", "EXT_JWT", "", "28000 Token credentials expired or invalid."},
		{"a token for another audience", *g.assertion(t, "alice@example.com", nil), "AwsIdc", "EXT_JWT", "", "28000 Identity Center: the token is for another audience"},
		{"an access token", *tokens.AccessToken, "AwsIdc", "ACCESS_TOKEN", "awsidc:bob@example.com", ""},
		{"a made-up access token", "aoaX", "AwsIdc", "ACCESS_TOKEN", "", "28000 Token credentials expired or invalid."},
		{"a subject token", *subject.Token, "AwsIdc", "SUBJECT_TOKEN", "awsidc:bob@example.com", ""},
		{"the same again, which is allowed", *subject.Token, "AwsIdc", "SUBJECT_TOKEN", "awsidc:bob@example.com", ""},
		{"a subject token as another type", *subject.Token, "AwsIdc", "OTHER", "", "28000 TYPE_INVALID_TOKEN"},
		{"another provider", used, "Okta", "EXT_JWT", "", `28000 identity provider type "Okta" is not supported`},
		{"Entra's token", *g.assertion(t, "", entra), "AzureAD", "", "aad:alice@example.com", ""},
		{"Entra's token for another audience", *g.assertion(t, "", map[string]any{"upn": "alice"}), "AzureAD", "", "", "28000 invalid token"},
		{"Entra's expired token", *g.assertion(t, "", map[string]any{"aud": "api://redshift", "upn": "alice", "exp": 1}), "AzureAD", "", "", "28000 Token credentials expired or invalid."},
		{"another namespace", *g.assertion(t, "", entra), "AzureAD other", "", "", "28000 Azure identity provider does not exist"},
	} {
		provider, namespace, _ := strings.Cut(c.idp, " ")
		parameters := map[string]string{"idp_type": provider, "token_type": c.kind}
		if namespace != "" {
			parameters["identity_namespace"] = namespace
		}
		user, err := login(t, played, c.token, parameters)
		if user != c.user || err == nil && c.refused != "" || err != nil && err.Error() != c.refused {
			t.Errorf("%s: %q, %v; want %q, %q", c.name, user, err, c.user, c.refused)
		}
	}
	if err := played.Hide(t.Context(), "awsidc:alice@example.com", true); err != nil {
		t.Fatal(err)
	}
	if user, err := login(t, played, *g.assertion(t, "alice@example.com", toCenter), map[string]string{"idp_type": "AwsIdc", "token_type": "EXT_JWT"}); err == nil {
		t.Errorf("a user who is hidden logs in as %s", user)
	}
}

// What an administrator says about identity providers decides who logs in, and as whom.
func TestIdentityProvidersOfTheDatabaseDecideWhoLogsIn(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	played := twintest.Start(t, twin.Config{Issuer: g.URL})
	sql := func(text string) {
		t.Helper()
		if _, err := statement(t, played, keys(twin.DeveloperKeys("admin")), redshiftdata.ExecuteStatementInput{DbUser: aws.String("admin"), Sql: aws.String(text)}); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	port := func(claims map[string]any, parameters map[string]string) string {
		t.Helper()
		user, err := login(t, played, *g.assertion(t, "bob@example.com", claims), parameters)
		if err != nil {
			return err.Error()
		}
		return user
	}
	toCenter := map[string]any{"aud": twin.IdentityCenterAudience}
	center := func() map[string]string { return map[string]string{"idp_type": "AwsIdc", "token_type": "EXT_JWT"} }
	entra := map[string]any{"aud": "api://other", "upn": "bob@example.com"}
	person := enhanced(t, played, *must(exchange(t, played, g.assertion(t, "bob@example.com", nil)))(t).AwsAdditionalDetails.IdentityContext)

	sql(`ALTER IDENTITY PROVIDER idc DISABLE`)
	if got := port(toCenter, center()); got != "28000 AWS IdC identity provider does not exist" {
		t.Errorf("with the provider disabled: %s", got)
	}
	_, err := currentUser(t, played, person, redshiftdata.ExecuteStatementInput{})
	refusedWith(t, "the Data API with the provider disabled", err, "ValidationException")
	sql(`DROP IDENTITY PROVIDER idc CASCADE`)
	sql(`CREATE IDENTITY PROVIDER mine TYPE AWSIDC NAMESPACE 'corp' APPLICATION_ARN '` + twin.RedshiftApplicationARN + `' IAM_ROLE '` + twin.IdentityRoleARN + `' AUTO_CREATE_ROLES TRUE`)
	if got := port(toCenter, center()); got != "corp:bob@example.com" {
		t.Errorf("by the new provider: %s", got)
	}
	if user, err := currentUser(t, played, person, redshiftdata.ExecuteStatementInput{}); user != "corp:bob@example.com" {
		t.Errorf("the Data API by the new provider: %s, %v", user, err)
	}
	sql(`GRANT USAGE ON SCHEMA finance TO ROLE "corp:analysts"`)
	sql(`GRANT SELECT ON ALL TABLES IN SCHEMA finance TO ROLE "corp:analysts"`)
	if _, err := statement(t, played, person, redshiftdata.ExecuteStatementInput{Sql: aws.String("select quarter from finance.budget limit 1")}); err != nil {
		t.Errorf("bob, an analyst, in finance: %v", err)
	}
	wanted := center()
	wanted["identity_namespace"] = "awsidc"
	if got := port(toCenter, wanted); got != "28000 AWS IdC identity provider does not exist" {
		t.Errorf("by the old namespace: %s", got)
	}

	if got := port(entra, map[string]string{"idp_type": "AzureAD"}); got != "28000 Azure token validation failed" {
		t.Errorf("a token of an issuer that the database does not know: %s", got)
	}
	sql(`ALTER IDENTITY PROVIDER entra PARAMETERS '{"issuer":"` + g.URL + `","client_id":"c","client_secret":"s","audience":["api://other"]}'`)
	if got := port(entra, map[string]string{"idp_type": "AzureAD"}); got != "aad:bob@example.com" {
		t.Errorf("a token of an issuer that the database knows: %s", got)
	}
}

// The secret that a set-up makes and the user that its SQL makes belong together.
func TestAPasswordThatSQLGivesOpensTheDataAPIByASecret(t *testing.T) {
	t.Parallel()
	played := twintest.Start(t)
	admin := keys(twin.DeveloperKeys("admin"))
	if _, err := statement(t, played, admin, redshiftdata.ExecuteStatementInput{DbUser: aws.String("admin"), Sql: aws.String(`CREATE USER loader PASSWORD 'Passw0rd'`)}); err != nil {
		t.Fatal(err)
	}
	client := secretsmanager.NewFromConfig(as(played, admin))
	for password, code := range map[string]string{"Passw0rd": "", "Passw0rd2": "ValidationException"} {
		made := must(client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("of-" + password), SecretString: aws.String(`{"username":"loader","password":"` + password + `"}`)}))(t)
		user, err := currentUser(t, played, admin, redshiftdata.ExecuteStatementInput{SecretArn: made.ARN})
		refusedWith(t, password, err, code)
		if code == "" && user != "loader" {
			t.Errorf("current_user is %s", user)
		}
	}
}

// allow opens a page of Identity Center's as bob, and gives where it leads.
func allow(t *testing.T, address string) *url.URL {
	t.Helper()
	return must(person.New("bob", twin.Password).Authorize(t.Context(), address, person.Allow))(t)
}

// loopbackRedirect is where a browser ends up; nothing listens there.
var loopbackRedirect = aws.String("http://127.0.0.1:7890/")
