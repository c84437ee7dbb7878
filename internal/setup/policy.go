package setup

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// A Policy is a document of IAM, with as little in it as does.
type Policy struct {
	Version    string
	Statements []Statement `json:"Statement"`
}

// A Statement is one permission.
type Statement struct {
	Effect    string
	Principal map[string]any `json:",omitempty"`
	Action    []string
	Resource  []string                     `json:",omitempty"`
	Condition map[string]map[string]string `json:",omitempty"`
}

// Allow makes a policy of statements that allow.
func Allow(statements ...Statement) Policy {
	for i := range statements {
		statements[i].Effect = "Allow"
	}
	return Policy{"2012-10-17", statements}
}

// A reference stands in a document for an ARN that AWS gives to what is made first. Each format has
// a way of its own to fill it in.
const (
	workgroupReference   = "<workgroup>"
	applicationReference = "<application>"
)

// JSON is the document with a line for each statement, and as many spaces before all lines but the
// first.
func (p Policy) JSON(indent int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"Version": %q, "Statement": [`, p.Version)
	for i, s := range p.Statements {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n%*s%s", indent+2, "", spaced(encode(s)))
	}
	fmt.Fprintf(&b, "\n%*s]}", indent, "")
	return b.String()
}

// encode is a value as JSON on one line, in which a reference stays as it is.
func encode(value any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "" // what is given here can be encoded
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// spaced puts a space behind the commas and colons between values, for people who read.
func spaced(text string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		b.WriteByte(c)
		switch {
		case quoted && c == '\\':
			i++
			b.WriteByte(text[i])
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':'):
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// webIdentityTrust lets assertions of an issuer, for an audience, assume a role. A subject keeps all
// but one out.
func (p *Plan) webIdentityTrust(provider Provider, subject string) Policy {
	name := provider.Name()
	condition := map[string]string{name + ":aud": provider.Audience}
	actions := []string{"sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"}
	if subject != "" {
		condition[name+":sub"] = subject
		actions = []string{"sts:AssumeRoleWithWebIdentity"}
	}
	return Allow(Statement{
		Principal: map[string]any{"Federated": p.arn("iam", "", "oidc-provider/"+name)}, Action: actions,
		Condition: map[string]map[string]string{"StringEquals": condition},
	})
}

// gatewayTrust lets the gateway's own role or keys assume a role.
func (p *Plan) gatewayTrust(externalID string, actions ...string) Policy {
	s := Statement{Principal: map[string]any{"AWS": p.Principal}, Action: append([]string{"sts:AssumeRole"}, actions...)}
	if externalID != "" {
		s.Condition = map[string]map[string]string{"StringEquals": {"sts:ExternalId": externalID}}
	}
	return Allow(s)
}

// redshiftTrust lets Redshift itself assume a role.
func redshiftTrust() Policy {
	return Allow(Statement{
		Principal: map[string]any{"Service": []string{"redshift.amazonaws.com", "redshift-serverless.amazonaws.com"}},
		Action:    []string{"sts:AssumeRole", "sts:SetContext"},
	})
}

// target is the ARN of the warehouse. Workgroups are named by an id that only AWS knows.
func (p *Plan) target() string {
	if p.Warehouse.Cluster == "" {
		return workgroupReference
	}
	return p.arn("redshift", p.Warehouse.Region, "cluster:"+p.Warehouse.Cluster)
}

// statements run statements in the one warehouse. What comes of them is for whoever began them: people
// share the role, and by default each could read what the others asked. The user id of a session ends
// in its name, which is unique for a person.
func (p *Plan) statements() []Statement {
	return []Statement{
		{Action: []string{"redshift-data:ExecuteStatement"}, Resource: []string{p.target()}},
		{
			Action: []string{"redshift-data:DescribeStatement", "redshift-data:GetStatementResult", "redshift-data:CancelStatement"}, Resource: []string{"*"},
			Condition: map[string]map[string]string{"StringEquals": {"redshift-data:statement-owner-iam-userid": "${aws:userid}"}},
		},
	}
}

// login becomes a database user: in a cluster the one that the session is tagged with and no other, in
// a workgroup the one that stands for the role. The Data API asks for it too.
func (p *Plan) login() Statement {
	w := p.Warehouse
	if w.Cluster == "" {
		return Statement{Action: []string{"redshift-serverless:GetCredentials"}, Resource: []string{workgroupReference}}
	}
	return Statement{Action: []string{"redshift:GetClusterCredentials"}, Resource: []string{
		p.arn("redshift", w.Region, "dbuser:"+w.Cluster+"/${aws:PrincipalTag/RedshiftDbUser}"),
		p.arn("redshift", w.Region, "dbname:"+w.Cluster+"/"+w.Database),
	}}
}

// token asks for a token of Identity Center that opens the warehouse's port.
func (p *Plan) token() Statement {
	service := "redshift"
	if p.Warehouse.Cluster == "" {
		service = "redshift-serverless"
	}
	return Statement{Action: []string{service + ":GetIdentityCenterAuthToken"}, Resource: []string{p.target()}}
}

func (p *Plan) arn(service, region, resource string) string {
	return arn.ARN{Partition: p.Partition, Service: service, Region: region, AccountID: p.Account, Resource: resource}.String()
}
