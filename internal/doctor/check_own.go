package doctor

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// keyCauses are the codes by which AWS refuses keys, whatever is asked with them.
var keyCauses = map[string]string{"ExpiredToken": "expired", "ExpiredTokenException": "expired"}

// checkOwnRole is for a gateway that becomes somebody in AWS by an assertion about itself.
func checkOwnRole(ctx context.Context, v *visit) finding {
	keys, err := v.road.Own.Credentials(ctx)
	if err == nil {
		return whole("AWS gave credentials of %s, for %s", v.ownRole(), keys.Expires.Sub(v.config.Now()).Round(time.Minute))
	}
	access, ok := errors.AsType[*redshift.AccessError](err)
	if !ok {
		access = &redshift.AccessError{Step: "become " + v.ownRole(), Err: err}
	}
	return broken(webIdentityCause(access), access, "step", access.Step, "fault", oneLine(innermost(access)))
}

func checkOwnKeys(ctx context.Context, v *visit) finding {
	keys, err := v.road.Own.Credentials(ctx)
	if err != nil {
		return broken("none", nil, "fault", oneLine(withoutStep(err).Error()))
	}
	arn, err := v.callerIdentity(ctx, keys)
	if err == nil {
		v.ownARN = arn
		return whole("AWS knows them as %s", arn)
	}
	refusal, refused := errors.AsType[*stsRefusal](err)
	if !refused && !usesSTS(v) {
		return weak("unasked", nil, "fault", oneLine(err.Error()))
	}
	cause := "refused"
	if refused {
		cause = cmp.Or(keyCauses[refusal.Code], cause)
	}
	return broken(cause, nil, "fault", oneLine(err.Error()))
}

// withoutStep is what went wrong at a step that the reader knows already.
func withoutStep(err error) error {
	if access, ok := errors.AsType[*redshift.AccessError](err); ok {
		return access.Err
	}
	return err
}

// centerCauses are the codes of CreateTokenWithIAM. Identity Center says a code and often no word more,
// so a cause has to name all that one code may stand for.
var centerCauses = map[string]string{
	"AccessDeniedException":         "denied",
	"InvalidGrantException":         "assertion",
	"InvalidClientException":        "no_application",
	"UnauthorizedClientException":   "no_grant",
	"UnsupportedGrantTypeException": "no_grant",
	"InvalidScopeException":         "scope",
	"InvalidRequestException":       "request",
	"ExpiredTokenException":         "expired",
	"InvalidRequestRegionException": "region",
	"SlowDownException":             "busy",
	"Throttling":                    "busy",
	"ThrottlingException":           "busy",
}

func checkCenter(ctx context.Context, v *visit) finding {
	if f := v.nobodyKnown(); f != nil {
		return *f
	}
	access := v.fetch(ctx)
	if access == nil || strings.HasPrefix(access.Step, "assume ") {
		return whole("Identity Center knows %s", oneLine(v.person.email))
	}
	fault := oneLine(innermost(access))
	_, network := errors.AsType[*url.Error](access)
	switch {
	case network:
		return broken("unreachable", access)
	case access.Code == "" && errors.Is(access, identity.ErrNoContext):
		return broken("scope", nil, "fault", fault)
	}
	return broken(cmp.Or(centerCauses[access.Code], "other"), nil, "fault", fault)
}

// nobodyKnown is why nobody can be shown to Identity Center, which knows people by their e-mail address.
func (v *visit) nobodyKnown() *finding {
	var f finding
	switch {
	case v.person.email != "":
		return nil
	case v.config.As == "":
		f = skipped(sayWho)
	case v.person.known:
		f = broken("no_email", nil)
	default:
		f = skipped("not tried: give their e-mail address with --email; %s has not signed in here", v.config.As)
	}
	return &f
}

const sayWho = "not tried: say as whom with --as DBUSER"

// assumeCauses are the codes of AssumeRole.
var assumeCauses = map[string]string{
	"AccessDenied":            "untrusted",
	"ExpiredTokenException":   "expired",
	"RegionDisabledException": "region",
	"PackedPolicyTooLarge":    "too_large",
	"ValidationError":         "form",
	"MalformedPolicyDocument": "form",
	"Throttling":              "busy",
	"ThrottlingException":     "busy",
}

// deniedWords are in what AWS says about one of the things that AssumeRole amounts to.
var deniedWords = []struct{ word, cause string }{
	{"identity-based policy", "not_allowed"},
	{"sts:TagSession", "tagging"},
	{"sts:SetContext", "context"},
}

func checkAssume(ctx context.Context, v *visit) finding {
	access := v.fetch(ctx)
	if access == nil {
		return v.roleGiven()
	}
	cause, fault := cmp.Or(assumeCauses[access.Code], "other"), oneLine(innermost(access))
	for _, w := range deniedWords {
		if cause == "untrusted" && strings.Contains(fault, w.word) {
			cause = w.cause
		}
	}
	return broken(cause, nil, "step", access.Step, "fault", fault)
}

// secretCauses are the codes of GetSecretValue.
var secretCauses = map[string]string{
	"AccessDeniedException":     "denied",
	"ResourceNotFoundException": "no_secret",
	"InvalidRequestException":   "deleted",
	"DecryptionFailure":         "no_key",
}

func checkSecret(ctx context.Context, v *visit) finding {
	login, err := v.road.Secret.Login(ctx, false)
	if err == nil {
		v.login = &login
		return whole("it holds the password of %s", oneLine(login.User))
	}
	access, ok := errors.AsType[*redshift.AccessError](err)
	if !ok {
		access = &redshift.AccessError{Err: err}
	}
	fault := oneLine(innermost(access))
	_, network := errors.AsType[*url.Error](err)
	cause := cmp.Or(secretCauses[access.Code], "other")
	switch {
	case network:
		return broken("unreachable", err)
	case errors.Is(err, identity.ErrSecretForm):
		return broken("form", nil)
	case cause == "denied" && strings.Contains(fault, "KMS"):
		cause = "no_key"
	}
	return broken(cause, nil, "fault", fault)
}
