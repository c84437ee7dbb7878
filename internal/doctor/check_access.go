package doctor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// Which links a warehouse has is what the gateway's own way into it has. Where that cannot be built,
// because the keys cannot be read, the configuration tells what would be behind them.

func (v *visit) built() bool { return v.roads != nil && v.unbuilt == nil }

func usesSTS(v *visit) bool { return v.warehouse.Identity.SessionRole() != "" }

func hasCredentials(v *visit) bool {
	if v.built() {
		return v.road.Credentials != nil
	}
	return v.warehouse.Identity.HasCredentials()
}

func hasDataAPI(v *visit) bool {
	if v.built() {
		return v.road.DataAPI != nil
	}
	return hasCredentials(v)
}

func hasPort(v *visit) bool { return v.warehouse.Host != "" && v.warehouse.Transport != "dataapi" }

func hasPassword(v *visit) bool { return hasPort(v) && v.warehouse.Identity.HasPassword() }

const stsVersion = "2011-06-15"

// stsRefusal is how STS says no.
type stsRefusal struct {
	XMLName xml.Name `xml:"ErrorResponse"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
}

func checkSTS(ctx context.Context, v *visit) finding {
	client := plainClient()
	defer client.CloseIdleConnections()
	got, err := post(ctx, client, v.stsEndpoint(), url.Values{"Action": {"GetCallerIdentity"}, "Version": {stsVersion}})
	if err != nil && untrusted(err) {
		return broken("not_sts", nil, "fault", oneLine(err.Error()))
	}
	if err != nil {
		return broken("unreachable", err)
	}
	var refusal stsRefusal
	if xml.Unmarshal(got.body, &refusal) != nil || refusal.Code == "" {
		return broken("not_sts", nil, "fault", fmt.Sprintf("status %d without an error of STS", got.status))
	}
	return whole("%s answers", v.stsEndpoint())
}

// roleCauses are the codes of AssumeRoleWithWebIdentity and AssumeRole.
var roleCauses = map[string]string{
	"AccessDenied":            "untrusted",
	"IDPRejectedClaim":        "claims",
	"IDPCommunicationError":   "keys_unread",
	"ExpiredTokenException":   "expired",
	"RegionDisabledException": "region",
	"InvalidIdentityToken":    "no_provider",
}

func checkRole(ctx context.Context, v *visit) finding {
	if v.unbuilt != nil {
		return broken("configuration", nil, "fault", oneLine(v.unbuilt.Error()))
	}
	credentials, err := v.road.Credentials.Credentials(ctx)
	if err == nil {
		return whole("AWS gave credentials of %s, for %s", v.warehouse.Identity.SessionRole(), credentials.Expires.Sub(v.config.Now()).Round(time.Minute))
	}
	access, ok := errors.AsType[*redshift.AccessError](err)
	if !ok {
		access = &redshift.AccessError{Step: "get credentials", Err: err}
	}
	if v.warehouse.Identity.Chain != "web_identity" {
		// What goes wrong with keys of the gateway's own is said, with its remedy, in the error.
		return broken("other", err, "step", access.Step, "fault", oneLine(access.Err.Error()))
	}
	cause, known := roleCauses[access.Code]
	switch text := innermost(err); {
	case access.Code == "InvalidIdentityToken" && strings.Contains(text, "audience"):
		cause = "audience"
	case access.Code == "InvalidIdentityToken" && (strings.Contains(text, "verification key") || strings.Contains(text, "signature")):
		cause = "keys_stale"
	case !known:
		cause = "other"
	}
	return broken(cause, err, "step", access.Step, "fault", oneLine(innermost(err)))
}

// innermost is what came from outside, without our own words around it.
func innermost(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// checkCredentials signs the one call that every policy allows.
func checkCredentials(ctx context.Context, v *visit) finding {
	credentials, err := v.road.Credentials.Credentials(ctx)
	if err != nil {
		return broken("refused", nil, "fault", oneLine(err.Error()))
	}
	got, err := v.callerIdentity(ctx, credentials)
	if err != nil {
		return broken("refused", nil, "fault", oneLine(err.Error()))
	}
	var refusal stsRefusal
	if got.status != http.StatusOK {
		if xml.Unmarshal(got.body, &refusal) != nil {
			refusal.Message = fmt.Sprintf("status %d", got.status)
		}
		return broken("refused", nil, "fault", oneLine(refusal.Code+" "+refusal.Message))
	}
	var caller struct {
		ARN string `xml:"GetCallerIdentityResult>Arn"`
	}
	if err := xml.Unmarshal(got.body, &caller); err != nil {
		return broken("refused", err, "fault", "the answer of GetCallerIdentity is not to be read")
	}
	if !sessionOf(caller.ARN, v.warehouse.Identity.SessionRole()) {
		return broken("other_role", nil, "said", oneLine(caller.ARN))
	}
	return whole("AWS knows them as %s", caller.ARN)
}

// sessionOf reports whether arn:aws:sts::123456789012:assumed-role/name/session is of the role
// arn:aws:iam::123456789012:role/path/name.
func sessionOf(session, role string) bool {
	parts := strings.Split(session, "/")
	return len(parts) == 3 && strings.HasSuffix(parts[0], ":assumed-role") && account(session) == account(role) &&
		parts[1] == role[strings.LastIndexByte(role, '/')+1:]
}

func (v *visit) callerIdentity(ctx context.Context, credentials identity.Credentials) (answer, error) {
	payload := []byte(url.Values{"Action": {"GetCallerIdentity"}, "Version": {stsVersion}}.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.stsEndpoint(), bytes.NewReader(payload))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	hash := sha256.Sum256(payload)
	err = v4.NewSigner().SignHTTP(ctx, aws.Credentials{
		AccessKeyID: credentials.AccessKeyID, SecretAccessKey: credentials.SecretAccessKey.Reveal(), SessionToken: credentials.SessionToken.Reveal(),
	}, request, hex.EncodeToString(hash[:]), "sts", v.warehouse.Region, v.config.Now())
	if err != nil {
		return answer{}, err
	}
	client := plainClient()
	defer client.CloseIdleConnections()
	return send(client, request)
}

// dataAPIPatience is spent on repeating a call that fails: somebody is watching.
const dataAPIPatience = 2 * time.Second

func checkDataAPI(ctx context.Context, v *visit) finding {
	if v.config.As == "" && v.warehouse.Cluster != "" {
		return skipped("not tried: say as whom with --as DBUSER")
	}
	config := *v.road.DataAPI
	config.RetryBudget = dataAPIPatience
	session := dataapi.New(config)
	v.sessions = append(v.sessions, session)
	if _, err := ask(ctx, session, "select 1", false); err != nil {
		v.sessions = v.sessions[:len(v.sessions)-1]
		_ = session.Close()
		return dataAPIFault(err)
	}
	return whole("a statement ran")
}

func dataAPIFault(err error) finding {
	fault := oneLine(innermost(err))
	text := strings.ToLower(err.Error())
	refused, isSQL := errors.AsType[*redshift.Error](err)
	service, isService := errors.AsType[*dataapi.ServiceError](err)
	_, isAccess := errors.AsType[*redshift.AccessError](err)
	_, isBusy := errors.AsType[*redshift.BusyError](err)
	switch {
	case isBusy:
		return broken("busy", err, "fault", fault)
	case isAccess:
		return broken("denied", err, "fault", fault)
	case isSQL && missingDatabase(text), isService && missingDatabase(text):
		return broken("no_database", err, "fault", oneLine(err.Error()))
	case isSQL && (refused.SQLState == "28000" || strings.Contains(text, "user")), isService && strings.Contains(text, "user"):
		return broken("no_user", err, "fault", oneLine(err.Error()))
	case isService && (service.Code == "ResourceNotFoundException" || service.Code == "ValidationException"):
		return broken("no_warehouse", err, "fault", fault)
	case isService || isSQL:
		return broken("other", err, "fault", fault)
	}
	return broken("unreachable", err)
}

func missingDatabase(text string) bool {
	return strings.Contains(text, "database") && strings.Contains(text, "does not exist")
}

// passwordCauses are the codes of GetClusterCredentials and GetCredentials.
var passwordCauses = map[string]string{
	"AccessDenied": "denied", "AccessDeniedException": "denied", "UnauthorizedOperation": "denied",
	"ClusterNotFound": "no_warehouse", "ResourceNotFoundException": "no_warehouse",
	"UnsupportedOperation": "paused", "InvalidClusterState": "paused",
}

func checkPassword(ctx context.Context, v *visit) finding {
	login, err := v.road.Login.Login(ctx, false)
	if err == nil {
		v.login = login
		return whole("AWS gave one for %s", login.User)
	}
	access, isAccess := errors.AsType[*redshift.AccessError](err)
	if !isAccess || access.Code == "" {
		return broken("unreachable", err)
	}
	cause, known := passwordCauses[access.Code]
	if !known {
		cause = "other"
	}
	return broken(cause, err, "user", firstOf(v.config.As, stranger), "fault", oneLine(innermost(err)))
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
