package doctor

import (
	"strings"

	"github.com/shiftgrant/shiftgrant/internal/setup"
)

// addPolicies are whole documents for remedies: those that `shiftgrant setup` prints for the warehouse.
// Where no plan can be made, a link before has said what is wrong, or who the gateway is in AWS is not
// known yet.
func (v *visit) addPolicies(values map[string]string) {
	_, name, _ := strings.Cut(v.tokensFrom().Issuer, "://")
	values["provider_arn"] = v.arn("iam", "", "oidc-provider/"+name)
	options := setup.Options{Config: v.gateway, Warehouse: v.warehouse.Name}
	if i := v.warehouse.Identity; i.NeedsOwnKeys() && i.GatewayRoleARN == "" {
		options.Principal = v.ownRole()
	}
	plan, err := setup.New(options)
	if err != nil {
		return
	}
	documents := plan.Documents()
	values["trust_policy"], values["permissions"] = documents.Trust, documents.Permissions
	values["own_trust_policy"], values["own_permissions"] = documents.GatewayTrust, documents.GatewayPermissions
	values["actor_policy"] = documents.Actor
}

// arn is in the partition and the account of the warehouse.
func (v *visit) arn(service, region, resource string) string {
	return strings.Join([]string{"arn", partition(v.owner()), service, region, account(v.owner()), resource}, ":")
}

// partition is the second part of an ARN.
func partition(arn string) string {
	if parts := strings.Split(arn, ":"); len(parts) > 1 {
		return parts[1]
	}
	return "aws"
}
