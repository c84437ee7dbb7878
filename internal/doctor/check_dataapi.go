package doctor

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/dataapi"
)

// dataAPIPatience is spent on repeating a call that fails: somebody is watching.
const dataAPIPatience = 2 * time.Second

func checkDataAPI(ctx context.Context, v *visit) finding {
	if isFederated(v) {
		return skipped(ownToken)
	}
	if v.config.As == "" && v.warehouse.Cluster != "" && !v.warehouse.Identity.Shared() {
		return skipped(sayWho)
	}
	config := *v.road.DataAPI
	config.RetryBudget = dataAPIPatience
	session := dataapi.New(config)
	v.sessions = append(v.sessions, session)
	if _, err := ask(ctx, session, "select 1", false); err != nil {
		v.sessions = v.sessions[:len(v.sessions)-1]
		_ = session.Close()
		return v.dataAPIFault(err)
	}
	return whole("a statement ran")
}

func (v *visit) dataAPIFault(err error) finding {
	fault := oneLine(innermost(err))
	text := strings.ToLower(fault)
	refused, isSQL := errors.AsType[*redshift.Error](err)
	service, isService := errors.AsType[*dataapi.ServiceError](err)
	_, isAccess := errors.AsType[*redshift.AccessError](err)
	_, isBusy := errors.AsType[*redshift.BusyError](err)
	switch {
	case isBusy:
		return broken("busy", nil, "fault", fault)
	case isAccess && strings.Contains(text, "invalid scope"):
		return broken("scope", nil, "fault", fault)
	case isAccess:
		return broken("denied", nil, "fault", fault)
	case v.warehouse.Identity.Shared() && strings.Contains(text, "password"):
		return broken("wrong_password", nil, "fault", fault)
	case isSQL && missingDatabase(text), isService && missingDatabase(text):
		return broken("no_database", nil, "fault", fault)
	case isSQL && (refused.SQLState == "28000" || strings.Contains(text, "user")), isService && strings.Contains(text, "user"):
		return broken("no_user", nil, "fault", fault)
	case isService && (service.Code == "ResourceNotFoundException" || service.Code == "ValidationException"):
		return broken("no_warehouse", nil, "fault", fault)
	case isService || isSQL:
		return broken("other", nil, "fault", fault)
	}
	return broken("unreachable", err)
}

func missingDatabase(text string) bool {
	return strings.Contains(text, "database") && strings.Contains(text, "does not exist")
}
