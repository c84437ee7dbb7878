package doctor

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
)

// passwordCauses are the codes of GetClusterCredentials and GetCredentials.
var passwordCauses = map[string]string{
	"AccessDenied": "denied", "AccessDeniedException": "denied", "UnauthorizedOperation": "denied",
	"ClusterNotFound": "no_warehouse", "ResourceNotFoundException": "no_warehouse",
	"UnsupportedOperation": "paused", "InvalidClusterState": "paused",
}

func checkPassword(ctx context.Context, v *visit) finding {
	login, err := v.road.Login.Login(ctx, false)
	if err == nil {
		v.login = &login
		return whole("AWS gave one for %s", login.User)
	}
	access, isAccess := errors.AsType[*redshift.AccessError](err)
	if !isAccess || access.Code == "" {
		return broken("unreachable", err)
	}
	return broken(cmp.Or(passwordCauses[access.Code], "other"), nil, "fault", oneLine(innermost(err)))
}

// authTokenCauses are the codes of the two operations GetIdentityCenterAuthToken.
var authTokenCauses = map[string]string{
	"AccessDenied": "denied", "AccessDeniedException": "denied", "UnauthorizedOperation": "denied",
	"UnsupportedOperation": "no_context",
	"ClusterNotFound":      "no_warehouse", "ResourceNotFoundException": "no_warehouse",
	"InvalidClusterState": "paused", "ConflictException": "paused",
	"Throttling": "busy", "ThrottlingException": "busy",
}

func checkAuthToken(ctx context.Context, v *visit) finding {
	login, err := v.road.Login.Login(ctx, false)
	if err == nil {
		v.login = &login
		return whole("AWS gave one, until %s", login.Expires.Local().Format(time.TimeOnly))
	}
	access, isAccess := errors.AsType[*redshift.AccessError](err)
	if !isAccess || access.Code == "" {
		return broken("unreachable", err)
	}
	cause, fault := cmp.Or(authTokenCauses[access.Code], "other"), oneLine(innermost(err))
	if cause == "denied" && strings.Contains(strings.ToLower(fault), "scope") {
		cause = "scope"
	}
	return broken(cause, nil, "fault", fault)
}
