package doctor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// Which links a warehouse has is what its configuration says, so that those behind a broken link can
// be named too.

func usesSTS(v *visit) bool { return hasSessionRole(v) || becomesRole(v) }

// hasSessionRole is for people with AWS credentials of a role.
func hasSessionRole(v *visit) bool { return v.warehouse.Identity.SessionRole() != "" }

// becomesRole is for a gateway that trades an assertion about itself for keys of its own.
func becomesRole(v *visit) bool { return v.warehouse.Identity.GatewayRoleARN != "" }

func isWebIdentity(v *visit) bool { return v.warehouse.Identity.Chain == "web_identity" }

// isFederated is for people whose own ID tokens are traded at STS.
func isFederated(v *visit) bool { return isWebIdentity(v) && v.warehouse.Identity.FromUpstream() }

// isExchanged is for people whose assertions Identity Center turns into a context.
func isExchanged(v *visit) bool { return v.warehouse.Identity.Application != "" }

func isAssumed(v *visit) bool { return v.warehouse.Identity.Chain == "role" || isExchanged(v) }

func hasSecret(v *visit) bool { return v.warehouse.Identity.SecretARN != "" }

func usesOwnKeys(v *visit) bool { return v.warehouse.Identity.NeedsOwnKeys() }

func hasDataAPI(v *visit) bool { return v.warehouse.Identity.HasCredentials() }

func hasPort(v *visit) bool { return v.warehouse.HasPort() }

func hasPassword(v *visit) bool { return hasPort(v) && v.warehouse.Identity.HasPassword() }

func hasAuthToken(v *visit) bool { return hasPort(v) && v.warehouse.Identity.Login == "auth_token" }

func isNative(v *visit) bool { return hasPort(v) && v.warehouse.Identity.Chain == "entra" }

// asserted reports whether AWS takes the gateway's own word, about people or about itself, and so has to
// read its keys.
func asserted(w gateway.Warehouse) bool {
	i := w.Identity
	return i.GatewayRoleARN != "" || (i.Chain == "web_identity" || i.Centered()) && !i.FromUpstream()
}

func checkSettings(_ context.Context, v *visit) finding {
	if v.unbuilt != nil {
		return broken("invalid", nil, "fault", oneLine(v.unbuilt.Error()))
	}
	var ways []string
	if v.road.Port != nil {
		ways = append(ways, "the wire")
	}
	if v.road.DataAPI != nil {
		ways = append(ways, "the Data API")
	}
	chain := v.warehouse.Identity.Chain
	if v.warehouse.Identity.FromUpstream() {
		chain += " with tokens of " + v.warehouse.Identity.Upstream
	}
	return whole("chain %s, by %s", chain, strings.Join(ways, " and "))
}

const stsVersion = "2011-06-15"

// stsRefusal is how STS says no.
type stsRefusal struct {
	XMLName xml.Name `xml:"ErrorResponse"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
}

func (r *stsRefusal) Error() string { return strings.TrimSpace(r.Code + " " + r.Message) }

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

// ownToken is why a way ends early that begins with a token of the person's own.
const ownToken = "not tried: it takes the person's own token, which only a running gateway has; `shiftgrant query 'select current_user'` as them goes on from here"

// roleCauses are the codes of AssumeRoleWithWebIdentity.
var roleCauses = map[string]string{
	"AccessDenied":            "untrusted",
	"IDPRejectedClaim":        "claims",
	"IDPCommunicationError":   "keys_unread",
	"ExpiredTokenException":   "expired",
	"RegionDisabledException": "region",
	"InvalidIdentityToken":    "no_provider",
	"PackedPolicyTooLarge":    "too_large",
}

func checkRole(ctx context.Context, v *visit) finding {
	if isFederated(v) {
		return skipped(ownToken)
	}
	access := v.fetch(ctx)
	if access == nil {
		return v.roleGiven()
	}
	return broken(webIdentityCause(access), access, "step", access.Step, "fault", oneLine(innermost(access)))
}

// webIdentityCause tells apart what one code stands for.
func webIdentityCause(access *redshift.AccessError) string {
	text := innermost(access)
	switch {
	case access.Code == "InvalidIdentityToken" && strings.Contains(text, "audience"):
		return "audience"
	case access.Code == "InvalidIdentityToken" && (strings.Contains(text, "verification key") || strings.Contains(text, "signature")):
		return "keys_stale"
	}
	return cmp.Or(roleCauses[access.Code], "other")
}

// fetch asks for the person's credentials once, for all links that look at a part of how that went.
func (v *visit) fetch(ctx context.Context) *redshift.AccessError {
	if v.fetched {
		return v.refused
	}
	v.fetched = true
	credentials, err := v.road.Credentials.Credentials(ctx)
	if err == nil {
		v.credentials = credentials
		return nil
	}
	access, ok := errors.AsType[*redshift.AccessError](err)
	if !ok {
		access = &redshift.AccessError{Step: "get credentials", Err: err}
	}
	v.refused = access
	return access
}

func (v *visit) roleGiven() finding {
	return whole("AWS gave credentials of %s, for %s", v.warehouse.Identity.SessionRole(), v.credentials.Expires.Sub(v.config.Now()).Round(time.Minute))
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
	caller, err := v.callerIdentity(ctx, v.credentials)
	if err != nil {
		return broken("refused", nil, "fault", oneLine(err.Error()))
	}
	if !sessionOf(caller, v.warehouse.Identity.SessionRole()) {
		return broken("other_role", nil, "said", oneLine(caller))
	}
	return whole("AWS knows them as %s", caller)
}

// sessionOf reports whether arn:aws:sts::123456789012:assumed-role/name/session is of the role
// arn:aws:iam::123456789012:role/path/name.
func sessionOf(session, role string) bool {
	parts := strings.Split(session, "/")
	return len(parts) == 3 && strings.HasSuffix(parts[0], ":assumed-role") && account(session) == account(role) &&
		parts[1] == nameOf(role)
}

// callerIdentity is whose keys these are; the error is an *stsRefusal where STS says no.
func (v *visit) callerIdentity(ctx context.Context, credentials identity.Credentials) (arn string, err error) {
	payload := []byte(url.Values{"Action": {"GetCallerIdentity"}, "Version": {stsVersion}}.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.stsEndpoint(), bytes.NewReader(payload))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := credentials.Sign(ctx, v4.NewSigner(), request, payload, "sts", v.warehouse.Region, v.config.Now()); err != nil {
		return "", err
	}
	client := plainClient()
	defer client.CloseIdleConnections()
	got, err := send(client, request)
	if err != nil {
		return "", err
	}
	if got.status != http.StatusOK {
		refusal := &stsRefusal{}
		if xml.Unmarshal(got.body, refusal) != nil {
			refusal.Message = fmt.Sprintf("status %d", got.status)
		}
		return "", refusal
	}
	var caller struct {
		ARN string `xml:"GetCallerIdentityResult>Arn"`
	}
	if xml.Unmarshal(got.body, &caller) != nil || caller.ARN == "" {
		return "", errors.New("the answer of GetCallerIdentity is not to be read")
	}
	return caller.ARN, nil
}
