package setup

import (
	"fmt"
	"strings"

	"github.com/shiftgrant/shiftgrant/internal/signin"
)

// A Section is a few statements of SQL that belong together.
type Section struct {
	Comment    string // may have several lines
	Statements []string
	// Optional statements are written as comments: they change what others can do, and are left to
	// whoever runs the rest.
	Optional bool
}

// SQL is what is run in the warehouse itself, and what undoes it.
type SQL struct {
	Make, Undo []Section
	// Missing says what has to be known before Make can be run; "" for nothing.
	Missing string
}

// reader is the role that may read and nothing else.
const reader = "shiftgrant_reader"

// statementsFor writes the users, roles and grants of a chain.
func (p *Plan) statementsFor(o Options) SQL {
	var s SQL
	provider, brought := p.identityProvider(o, &s)
	if brought {
		s.Make = append(s.Make, provider)
	}
	people, undo := p.readers(o)
	s.Make = append(s.Make, readerSection(o.Schemas), people, walls(p.Warehouse.Database, o.Schemas), leftToYou())
	s.Undo = append(s.Undo, undo)
	if brought {
		s.Undo = append(s.Undo, Section{Comment: "Nobody comes by this identity provider any more; their database users go with it.", Statements: []string{
			"DROP IDENTITY PROVIDER " + identifier(p.providerName()) + " CASCADE",
		}})
	}
	s.Undo = append(s.Undo, Section{
		Comment:    "What Redshift gives to everybody, back as it was.",
		Optional:   true,
		Statements: []string{"GRANT CREATE ON SCHEMA public TO PUBLIC", "GRANT TEMP ON DATABASE " + identifier(p.Warehouse.Database) + " TO PUBLIC", "GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC"},
	})
	return s
}

// readerSection makes the role that reads.
func readerSection(schemas []string) Section {
	s := Section{Comment: "A role that may read, and nothing else.", Statements: []string{"CREATE ROLE " + reader}}
	if len(schemas) == 0 {
		s.Comment += "\nIt may read nothing yet: name the schemas with --schema, or grant by hand:\n  GRANT USAGE ON SCHEMA … TO ROLE " + reader + ";\n  GRANT SELECT FOR TABLES IN SCHEMA … TO ROLE " + reader + ";"
	}
	for _, schema := range schemas {
		s.Statements = append(s.Statements,
			"GRANT USAGE ON SCHEMA "+identifier(schema)+" TO ROLE "+reader,
			"GRANT SELECT FOR TABLES IN SCHEMA "+identifier(schema)+" TO ROLE "+reader)
	}
	return s
}

// readers makes who comes in, and gives them the role.
func (p *Plan) readers(o Options) (make, undo Section) {
	w, i := p.Warehouse, p.Warehouse.Identity
	var users, roles []string
	secret := ""
	switch {
	case i.Chain == "secret":
		users, secret = []string{p.Secret.User}, "<the password in the secret>"
		make.Comment = "Everybody is this one database user. Its password is in the secret:\n  aws secretsmanager get-secret-value --region " + w.Region + " --secret-id '" + p.Secret.ARN + "' --query SecretString --output text"
	case i.Chain == "password":
		users, secret = []string{i.User}, "<the password that the configuration points to>"
		make.Comment = "Everybody is this one database user."
	case p.providerName() != "":
		for _, group := range o.Groups {
			roles = append(roles, p.namespace()+":"+group)
		}
		make.Comment = "Redshift knows people by " + p.namespace() + ":, and their groups as roles. A group becomes a reader by its role."
		if len(roles) == 0 {
			make.Comment += "\nName the groups with --group, or do it by hand:\n  CREATE ROLE \"" + p.namespace() + ":…\"; GRANT ROLE " + reader + " TO ROLE \"" + p.namespace() + ":…\";"
		}
	case w.Cluster == "":
		users = []string{"IAMR:" + p.role(isPeople).Name}
		make.Comment = "In a serverless workgroup everybody with the role is this one database user."
	default:
		users = o.People
		make.Comment = "Each person is a database user: whom the upstream's claim names (database_user of the configuration)."
		if len(users) == 0 {
			make.Comment += "\nName them with --person, or make them by hand:\n  CREATE USER \"ann\" PASSWORD DISABLE; GRANT ROLE " + reader + " TO \"ann\";"
		}
	}
	undo.Comment = "Who came in, and the role that reads. Where another warehouse of the gateway leads into this database too,\nleave that role, and what it may."
	if forgotten := p.forgotten(o); len(forgotten) > 0 {
		undo.Comment += "\nWhat was named with " + strings.Join(forgotten, " and ") + " is found here when it is named again."
	}
	for _, user := range users {
		password := "DISABLE"
		if secret != "" {
			password = literal(secret)
		}
		make.Statements = append(make.Statements, "CREATE USER "+identifier(user)+" PASSWORD "+password, "GRANT ROLE "+reader+" TO "+identifier(user))
		undo.Statements = append(undo.Statements, "DROP USER "+identifier(user))
	}
	for _, role := range roles {
		make.Statements = append(make.Statements, "CREATE ROLE "+identifier(role), "GRANT ROLE "+reader+" TO ROLE "+identifier(role))
		undo.Statements = append(undo.Statements, "DROP ROLE "+identifier(role)+" FORCE")
	}
	for _, schema := range o.Schemas {
		undo.Statements = append(undo.Statements,
			"REVOKE SELECT FOR TABLES IN SCHEMA "+identifier(schema)+" FROM ROLE "+reader,
			"REVOKE USAGE ON SCHEMA "+identifier(schema)+" FROM ROLE "+reader)
	}
	undo.Statements = append(undo.Statements, "DROP ROLE "+reader+" FORCE")
	return make, undo
}

// forgotten are the options that name more to take away, and are not given.
func (p *Plan) forgotten(o Options) []string {
	var all []string
	if len(o.Schemas) == 0 {
		all = append(all, "--schema")
	}
	switch {
	case p.EachIsAUser() && len(o.People) == 0:
		all = append(all, "--person")
	case p.providerName() != "" && len(o.Groups) == 0:
		all = append(all, "--group")
	}
	return all
}

// walls takes away what Redshift gives to everybody. It is what makes read-only the database's own rule
// (doctor tells at its link read_only).
func walls(database string, schemas []string) Section {
	s := Section{
		Comment: "What Redshift gives to everybody, and a reader does not need, is taken away. This holds for all users\nof the database: whoever needs one of these back gets it by a GRANT of their own.",
		Statements: []string{
			"REVOKE CREATE ON SCHEMA public FROM PUBLIC",
			"REVOKE TEMP ON DATABASE " + identifier(database) + " FROM PUBLIC",
			"REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC",
		},
	}
	for _, schema := range schemas {
		s.Statements = append(s.Statements, "REVOKE EXECUTE ON ALL PROCEDURES IN SCHEMA "+identifier(schema)+" FROM PUBLIC")
	}
	return s
}

func leftToYou() Section {
	return Section{
		Comment: "Left to you, because others may live on it: objects in public are then for those whom you grant it,\nand COPY, UNLOAD and external functions need a GRANT ASSUMEROLE (run it as a superuser).",
		Statements: []string{
			"REVOKE USAGE ON SCHEMA public FROM PUBLIC",
			"REVOKE ASSUMEROLE ON ALL FROM PUBLIC FOR ALL",
		},
		Optional: true,
	}
}

// providerName is the identity provider in the warehouse; "" for a chain without.
func (p *Plan) providerName() string {
	switch {
	case p.Center != nil:
		return "idc"
	case p.Warehouse.Identity.Chain == "entra":
		return "entra"
	}
	return ""
}

func (p *Plan) namespace() string {
	switch {
	case p.Center != nil:
		return p.Center.Namespace
	case p.Warehouse.Identity.Namespace != "":
		return p.Warehouse.Identity.Namespace
	}
	return "aad"
}

// identityProvider is how the warehouse takes tokens.
func (p *Plan) identityProvider(o Options, s *SQL) (Section, bool) {
	switch p.providerName() {
	case "idc":
		if o.RedshiftApplication == "" || o.RedshiftRole == "" {
			s.Missing = "the ARNs of Redshift's application in Identity Center and of its role are known once `" + p.SetUp() + " --as cli` has been run, which says them at its end: give them with --redshift-application and --redshift-role"
		}
		return Section{
			Comment: "The warehouse takes people of Identity Center. Where it does so already (SELECT * FROM\nsvv_identity_providers), leave this out.",
			Statements: []string{fmt.Sprintf("CREATE IDENTITY PROVIDER %s TYPE AWSIDC\n  NAMESPACE %s\n  APPLICATION_ARN %s\n  IAM_ROLE %s\n  AUTO_CREATE_ROLES TRUE",
				identifier("idc"), literal(p.namespace()), literal(o.RedshiftApplication), literal(o.RedshiftRole))},
		}, true
	case "entra":
		i := p.Warehouse.Identity
		issuer := o.Config.TokensFor(p.Warehouse).Issuer
		if signin.ManyTenants(issuer) {
			s.Missing = "people of several tenants of Entra ID sign in at " + issuer + ", and an identity provider of Redshift is for one: configure an upstream for the warehouse " + p.Warehouse.Name + " whose issuer has the tenant's id, and name it in identity.upstream"
		}
		return Section{
			Comment: "The warehouse takes tokens of Microsoft Entra ID. client_secret is that of the application in Entra ID\nby which Redshift reads people's groups; it is yours to fill in.",
			Statements: []string{fmt.Sprintf("CREATE IDENTITY PROVIDER %s TYPE azure\n  NAMESPACE %s\n  PARAMETERS %s", identifier("entra"), literal(p.namespace()),
				literal(fmt.Sprintf(`{"issuer":%q,"client_id":%q,"client_secret":"<the client secret>","audience":[%q]}`, issuer, i.Audience, i.Audience)))},
		}, true
	}
	return Section{}, false
}

// identifier quotes a name, which is then taken as it is.
func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a text. Redshift reads a backslash in it as PostgreSQL 8 did, so it is doubled.
func literal(text string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(text) + "'"
}
