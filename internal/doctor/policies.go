package doctor

import (
	"cmp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/shiftgrant/shiftgrant/internal/setup"
)

// addPolicies are whole documents for remedies: those that `shiftgrant setup` prints for the warehouse.
// Where no plan can be made, a link before has said what is wrong, or who the gateway is in AWS is not
// known yet.
func (v *visit) addPolicies(values map[string]string) {
	_, name, _ := strings.Cut(v.gateway.TokensFor(*v.warehouse).Issuer, "://")
	owner := v.warehouse.Identity.Owner()
	values["provider_arn"] = arn.ARN{Partition: cmp.Or(owner.Partition, "aws"), Service: "iam", AccountID: owner.AccountID, Resource: "oidc-provider/" + name}.String()
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
