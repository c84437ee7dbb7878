package setup

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
)

// A Format is a language that a plan is written in.
type Format string

// The formats.
const (
	CloudFormation Format = "cloudformation"
	Terraform      Format = "terraform"
	CLI            Format = "cli"
	Statements     Format = "sql"
	// Overview is for people: what is to be made, where, by which of the others.
	Overview Format = "overview"
)

// Formats are those that can be run.
var Formats = []Format{CloudFormation, Terraform, CLI, Statements}

//go:embed templates/*.tmpl
var files embed.FS

var templateOf = map[Format]string{
	CloudFormation: "cloudformation.yaml", Terraform: "terraform.tf", CLI: "commands.sh", Statements: "warehouse.sql", Overview: "overview.txt",
}

// ErrNothing says that a chain needs nothing of this kind.
var ErrNothing = errors.New("nothing is made in AWS for this chain: `--as sql` is all")

// ErrNoExternalID says that a gateway of another account would be trusted whomever it acts for.
var ErrNoExternalID = errors.New("the gateway is of another AWS account than the role, and whoever may have it use a role could name this one: make up a text for this warehouse's owner alone (`openssl rand -hex 16`), and configure it as identity.external_id")

// forAnybodysWarehouse is the confused deputy (IAM user guide): a role that trusts a gateway elsewhere, and
// does not ask it for whose warehouse it comes.
func (p *Plan) forAnybodysWarehouse() bool {
	i := p.Warehouse.Identity
	return i.Chain == "role" && i.ExternalID == "" && accountOf(p.Principal) != p.Account
}

// Write writes what makes the plan, with how to remove it at its end.
func (p *Plan) Write(w io.Writer, format Format) error { return p.write(w, format, "make") }

// WriteRemoval writes what takes away what Write made.
func (p *Plan) WriteRemoval(w io.Writer, format Format) error { return p.write(w, format, "remove") }

func (p *Plan) write(w io.Writer, format Format, part string) error {
	switch {
	case templateOf[format] == "":
		return fmt.Errorf("%q is not a format", format)
	case format == Statements && part == "make" && p.SQL.Missing != "":
		return errors.New(p.SQL.Missing)
	case format != Statements && format != Overview && len(p.Roles) == 0 && p.Center == nil && p.Secret == nil:
		return ErrNothing
	case format != Statements && format != Overview && part == "make" && p.forAnybodysWarehouse():
		return ErrNoExternalID
	}
	t, err := template.New("").Funcs(functions).ParseFS(files, "templates/"+templateOf[format]+".tmpl")
	if err != nil {
		return fmt.Errorf("read the template of %s: %w", format, err)
	}
	var b strings.Builder
	if err := t.ExecuteTemplate(&b, part, &document{p, format}); err != nil {
		return fmt.Errorf("write %s: %w", format, err)
	}
	_, err = io.WriteString(w, strings.TrimSpace(b.String())+"\n")
	return err
}

// A document is a plan on its way into a template.
type document struct {
	*Plan
	format Format
}

// Removal is the part that removes, for the end of the other.
func (d *document) Removal() (string, error) {
	var b strings.Builder
	err := d.WriteRemoval(&b, d.format)
	return b.String(), err
}

// SetUp is the command that printed this.
func (p *Plan) SetUp() string {
	command := "shiftgrant setup " + p.named()
	if p.given != "" {
		command += " --principal " + p.given
	}
	return command
}

// SetUpSQL is the command that prints what is for the warehouse itself, with what it has to be told.
func (p *Plan) SetUpSQL() string {
	command := p.SetUp() + " --as sql --schema SCHEMA"
	switch {
	case p.EachIsAUser():
		command += " --person NAME"
	case p.providerName() != "":
		command += " --group GROUP"
	}
	return command
}

// Doctor is the command that looks at it, as somebody where people are told apart.
func (p *Plan) Doctor() string {
	command := "shiftgrant doctor " + p.named()
	switch {
	case p.EachIsAUser():
		command += " --as DBUSER"
	case p.Center != nil:
		command += " --as NAME --email ADDRESS"
	}
	return command
}

// named is the warehouse as commands name it.
func (p *Plan) named() string {
	name := p.Warehouse.Name
	if p.Tenant != "" {
		name += " --tenant " + p.Tenant
	}
	if p.file != "" {
		name += " --config " + p.file
	}
	return name
}

// Stack is the name of the stack of CloudFormation.
func (d *document) Stack() string { return d.name() }

// AWS is the command that speaks to the warehouse's account.
func (d *document) AWS() string {
	if d.Center != nil {
		return "warehouse"
	}
	return "aws"
}

// A roleOfPlan is what the template of a role is given.
type roleOfPlan struct {
	Plan *document
	Role Role
}

// With gives the template of a role its plan.
func (d *document) With(r Role) roleOfPlan { return roleOfPlan{d, r} }

// uses reports whether a role's permissions refer to what is made first.
func (r Role) uses(reference string) bool { return strings.Contains(r.Permissions.JSON(0), reference) }

// Shared reports whether other warehouses use the role too.
func (r Role) Shared() bool { return r.Is == isRedshift }

// Late reports whether a role's permissions name the gateway's application, which itself names the role.
func (r Role) Late() bool { return r.uses(applicationReference) }

// NeedsWorkgroup reports whether the workgroup's ARN has to be looked up.
func (d *document) NeedsWorkgroup() bool {
	return slices.ContainsFunc(d.Roles, func(r Role) bool { return r.uses(workgroupReference) })
}

// RedshiftRole is the role that Redshift asks Identity Center as.
func (d *document) RedshiftRole() Role { return d.role(isRedshift) }

// PeopleRole reports whether there is a role of people.
func (d *document) PeopleRole() bool { return d.role(isPeople).Name != "" }

func (p *Plan) role(is string) Role {
	for _, r := range p.Roles {
		if r.Is == is {
			return r
		}
	}
	return Role{}
}

// A parameter is of a CloudFormation stack: an ARN that AWS makes up.
type parameter struct{ Name, Description, Example string }

// Parameters are those of the stack.
func (d *document) Parameters() []parameter {
	var all []parameter
	if d.NeedsWorkgroup() {
		all = append(all, parameter{"WorkgroupArn", "ARN of the workgroup " + d.Warehouse.Workgroup + ": aws redshift-serverless get-workgroup --workgroup-name " + d.Warehouse.Workgroup + " --query workgroup.workgroupArn", "…"})
	}
	return all
}

// IssuerConfiguration is how Identity Center tells people apart who come with an assertion.
func (d *document) IssuerConfiguration() string {
	return encode(map[string]any{"OidcJwtConfiguration": map[string]string{
		"IssuerUrl": d.Issuer, "ClaimAttributePath": "email", "IdentityStoreAttributePath": "emails.value", "JwksRetrievalOption": "OPEN_ID_DISCOVERY",
	}})
}

// ActorPolicy says who may act for the gateway's application.
func (d *document) ActorPolicy() string { return d.actorPolicy() }

func (p *Plan) actorPolicy() string {
	return encode(map[string]any{"Iam": map[string]any{"ActorPolicy": Allow(Statement{
		Principal: map[string]any{"AWS": p.Principal}, Action: []string{"sso-oauth:CreateTokenWithIAM"}, Resource: []string{"*"},
	})}})
}

// Upstream is the name of whose tokens are traded; "" where they are the gateway's.
func (d *document) Upstream() string { return d.Warehouse.Identity.Upstream }

// EachIsAUser reports whether each person is a database user that has to be made.
func (p *Plan) EachIsAUser() bool {
	i := p.Warehouse.Identity
	return p.Warehouse.Cluster != "" && p.providerName() == "" && !i.Shared()
}

// Makes lists what is made, in words.
func (d *document) Makes() []string {
	var all []string
	if d.Provider != nil {
		all = append(all, "an OIDC provider in IAM: "+d.Provider.URL+", for the audience "+d.Provider.Audience)
	}
	for _, r := range d.Roles {
		if r.Exists {
			all = append(all, "a policy for the role "+r.Name+", which is there already: "+r.Is)
			continue
		}
		all = append(all, "the role "+r.Name+": "+r.Is)
	}
	if c := d.Center; c != nil {
		all = append(all, "in Identity Center: the trusted token issuer "+c.IssuerName+", and Redshift's application")
		if c.Application != "" {
			all = append(all, "in Identity Center: the application "+c.Application+", at which the gateway exchanges assertions")
		}
	}
	if d.Secret != nil {
		all = append(all, "the secret "+d.Secret.Name+" in Secrets Manager")
	}
	return all
}

var functions = template.FuncMap{
	"json":          Policy.JSON,
	"sh":            shellQuote,
	"shfill":        shellFill,
	"quote":         encodeText,
	"cfn":           cloudFormationFill,
	"hcl":           terraformFill,
	"comment":       func(text string) string { return prefixLines("# ", text) },
	"sqlcomment":    func(text string) string { return prefixLines("-- ", text) },
	"sentence":      firstSentence,
	"title":         func(text string) string { return strings.ToUpper(text[:1]) + text[1:] },
	"logical":       func(is string) string { return logicalNames[is] },
	"snake":         func(is string) string { return strings.ToLower(logicalNames[is]) },
	"gatewayIsMade": func(d *document) bool { r := d.role(isGateway); return r.Name != "" && !r.Exists },
}

func firstSentence(text string) string {
	first, _, more := strings.Cut(strings.ReplaceAll(text, "\n", " "), ". ")
	if more {
		first += "."
	}
	return first
}

var logicalNames = map[string]string{isPeople: "People", isGateway: "Gateway", isRedshift: "Redshift"}

// shellQuote makes one word for a POSIX shell of any text.
func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// shellFill does, and puts variables in the place of references.
func shellFill(text string) string {
	return strings.NewReplacer(`"`+workgroupReference+`"`, `"'"$workgroup"'"`, `"`+applicationReference+`"`, `"'"$application"'"`).Replace(shellQuote(text))
}

// encodeText quotes a text for YAML and HCL, which both take JSON's strings.
func encodeText(text string) string { return expressions.Replace(encode(text)) }

// expressions keeps HCL from reading one in a text.
var expressions = strings.NewReplacer("${", "$${", "%{", "%%{")

// cloudFormationFill puts parameters in the place of references. JSON is YAML.
func cloudFormationFill(text string) string {
	return strings.NewReplacer(`"`+workgroupReference+`"`, `{"Ref": "WorkgroupArn"}`).Replace(text)
}

// terraformFill puts expressions in the place of references, and keeps IAM's own ${…} from being one.
func terraformFill(text string) string {
	return strings.NewReplacer(
		"${", "$${", "%{", "%%{",
		workgroupReference, "${data.aws_redshiftserverless_workgroup.warehouse.arn}", applicationReference, "${aws_ssoadmin_application.shiftgrant.id}",
	).Replace(text)
}

func prefixLines(prefix, text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(prefix+line, " ")
	}
	return strings.Join(lines, "\n")
}
