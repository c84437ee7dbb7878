package doctor

import (
	"encoding/json"
	"strings"
)

// A policy is a document of IAM.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect    string
	Principal map[string]string `json:",omitempty"`
	Action    []string
	Resource  []string                     `json:",omitempty"`
	Condition map[string]map[string]string `json:",omitempty"`
}

// compact is the document as the AWS CLI takes it on one line.
func compact(statements ...statement) string {
	encoded, err := json.Marshal(policy{"2012-10-17", statements})
	if err != nil {
		return "" // the types above can be encoded
	}
	return string(encoded)
}

// addPolicies are whole documents for remedies.
func (v *visit) addPolicies(values map[string]string) {
	values["trust_policy"], values["permissions"] = v.trustPolicy(values), v.permissions()
	values["actor_policy"], values["own_permissions"] = v.actorPolicy(), v.ownPermissions()
	_, name, _ := strings.Cut(v.tokensFrom().Issuer, "://")
	values["provider_arn"] = v.arn("iam", "", "oidc-provider/"+name)
}

// trustPolicy lets in who comes by the warehouse's chain, and nobody else: people in the gateway's word,
// people in the word of their identity provider, or the gateway's own keys.
func (v *visit) trustPolicy(values map[string]string) string {
	i, provider := v.warehouse.Identity, values["issuer_name"]
	own := statement{Effect: "Allow", Principal: map[string]string{"AWS": v.ownRole()}}
	switch {
	case i.Centered():
		own.Action = []string{"sts:AssumeRole", "sts:SetContext"}
		return compact(own)
	case i.Chain == "role":
		own.Action = []string{"sts:AssumeRole", "sts:TagSession"}
		if i.ExternalID != "" {
			own.Condition = map[string]map[string]string{"StringEquals": {"sts:ExternalId": i.ExternalID}}
		}
		return compact(own)
	}
	if i.FromUpstream() {
		_, provider, _ = strings.Cut(v.tokensFrom().Issuer, "://")
	}
	return compact(statement{
		Effect: "Allow", Principal: map[string]string{"Federated": v.arn("iam", "", "oidc-provider/"+provider)},
		Action:    []string{"sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"},
		Condition: map[string]map[string]string{"StringEquals": {provider + ":aud": i.Audience}},
	})
}

// actorPolicy says to an application of Identity Center who may exchange assertions.
func (v *visit) actorPolicy() string {
	encoded, err := json.Marshal(map[string]any{"Iam": map[string]any{"ActorPolicy": policy{"2012-10-17", []statement{{
		Effect: "Allow", Principal: map[string]string{"AWS": v.ownRole()}, Action: []string{"sso-oauth:CreateTokenWithIAM"}, Resource: []string{"*"},
	}}}}})
	if err != nil {
		return "" // the types above can be encoded
	}
	return string(encoded)
}

// ownPermissions are what the gateway's own role needs.
func (v *visit) ownPermissions() string {
	i := v.warehouse.Identity
	if i.SecretARN != "" {
		return v.permissions()
	}
	statements := []statement{{Effect: "Allow", Action: []string{"sts:AssumeRole"}, Resource: []string{i.SessionRole()}}}
	if i.Application != "" {
		statements[0].Action = append(statements[0].Action, "sts:SetContext")
		statements = append(statements, statement{Effect: "Allow", Action: []string{"sso-oauth:CreateTokenWithIAM"}, Resource: []string{i.Application}})
	} else {
		statements[0].Action = append(statements[0].Action, "sts:TagSession")
	}
	return compact(statements...)
}

// permissions are what the role needs that goes to Redshift, and no more: to run statements in one
// warehouse, to read the results that this session began, and to get in as the chain does: as the one
// database user that the session is tagged with, by a token of Identity Center, or by the secret.
func (v *visit) permissions() string {
	run := []string{"redshift-data:ExecuteStatement"}
	results := statement{
		Effect: "Allow", Action: []string{"redshift-data:DescribeStatement", "redshift-data:GetStatementResult", "redshift-data:CancelStatement"}, Resource: []string{"*"},
		Condition: map[string]map[string]string{"StringEquals": {"redshift-data:statement-owner-iam-userid": "${aws:userid}"}},
	}
	i, region, cluster := v.warehouse.Identity, v.warehouse.Region, v.warehouse.Cluster
	service, target := "redshift", v.arn("redshift", region, "cluster:"+cluster)
	if cluster == "" { // workgroups are named by an id that only AWS knows
		service, target = "redshift-serverless", v.arn("redshift-serverless", region, "workgroup/*")
	}
	switch {
	case i.Login == "auth_token":
		run = append(run, service+":GetIdentityCenterAuthToken")
	case i.HasPassword() && cluster == "":
		run = append(run, "redshift-serverless:GetCredentials")
	}
	statements := []statement{{Effect: "Allow", Action: run, Resource: []string{target}}, results}
	switch {
	case i.HasPassword() && cluster != "":
		statements = append(statements, statement{Effect: "Allow", Action: []string{"redshift:GetClusterCredentials"}, Resource: []string{
			v.arn("redshift", region, "dbuser:"+cluster+"/${aws:PrincipalTag/RedshiftDbUser}"), v.arn("redshift", region, "dbname:"+cluster+"/"+v.warehouse.Database),
		}})
	case i.SecretARN != "":
		statements = append(statements, statement{Effect: "Allow", Action: []string{"secretsmanager:GetSecretValue"}, Resource: []string{i.SecretARN}})
	}
	return compact(statements...)
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
