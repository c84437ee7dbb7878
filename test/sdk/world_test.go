package sdk

import (
	"strconv"

	"github.com/shiftgrant/shiftgrant/twin"
	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/sts"
)

func itoa(n int32) string { return strconv.Itoa(int(n)) }

// peopleRole is the role of people, which trusts one role of the account to assume it and to do one
// thing besides.
func peopleRole(trusted, action string) sts.Role {
	return sts.Role{Name: twin.PeopleRoleName, ID: "AROATWINPEOPLE0000000", TrustPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
		"Principal":{"AWS":"arn:aws:iam::` + twin.Account + `:role/` + trusted + `"},"Action":["sts:AssumeRole","` + action + `"]}]}`}
}

// actors decides who may ask for tokens of the gateway's application.
func actors(played *twin.Twin, arns ...string) error {
	return played.Center.Change(twin.ApplicationARN, func(a *identitycenter.Application) error { a.Actors = arns; return nil })
}

// scopes decides what those tokens are for.
func scopes(played *twin.Twin, scope string) error {
	return played.Center.Change(twin.ApplicationARN, func(a *identitycenter.Application) error {
		a.Scopes = map[string][]string{scope: {twin.RedshiftApplicationARN}}
		return nil
	})
}
