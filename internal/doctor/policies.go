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

// trustPolicy lets assertions of this gateway, and of nobody else, assume the role.
func (v *visit) trustPolicy(values map[string]string) string {
	provider := values["issuer_name"]
	return compact(statement{
		Effect: "Allow", Principal: map[string]string{"Federated": v.arn("iam", "", "oidc-provider/"+provider)},
		Action:    []string{"sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"},
		Condition: map[string]map[string]string{"StringEquals": {provider + ":aud": v.warehouse.Identity.Audience}},
	})
}

// permissions are what the role needs, and no more: to run statements in one warehouse, to read the
// results that this session began, and to become the one database user that the session is tagged with.
func (v *visit) permissions() string {
	own := statement{
		Effect: "Allow", Action: []string{"redshift-data:DescribeStatement", "redshift-data:GetStatementResult", "redshift-data:CancelStatement"}, Resource: []string{"*"},
		Condition: map[string]map[string]string{"StringEquals": {"redshift-data:statement-owner-iam-userid": "${aws:userid}"}},
	}
	region, cluster := v.warehouse.Region, v.warehouse.Cluster
	if cluster == "" {
		workgroups := []string{v.arn("redshift-serverless", region, "workgroup/*")} // named by an id that only AWS knows
		return compact(statement{Effect: "Allow", Action: []string{"redshift-data:ExecuteStatement", "redshift-serverless:GetCredentials"}, Resource: workgroups}, own)
	}
	return compact(
		statement{Effect: "Allow", Action: []string{"redshift-data:ExecuteStatement"}, Resource: []string{v.arn("redshift", region, "cluster:"+cluster)}},
		own,
		statement{Effect: "Allow", Action: []string{"redshift:GetClusterCredentials"}, Resource: []string{
			v.arn("redshift", region, "dbuser:"+cluster+"/${aws:PrincipalTag/RedshiftDbUser}"), v.arn("redshift", region, "dbname:"+cluster+"/"+v.warehouse.Database),
		}},
	)
}

// arn is in the partition and the account of the role.
func (v *visit) arn(service, region, resource string) string {
	partition := "aws"
	if parts := strings.Split(v.warehouse.Identity.SessionRole(), ":"); len(parts) > 1 {
		partition = parts[1]
	}
	return strings.Join([]string{"arn", partition, service, region, account(v.warehouse.Identity.SessionRole()), resource}, ":")
}
