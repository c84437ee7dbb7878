package doctor

import (
	"cmp"
	"context"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/shiftgrant/shiftgrant/internal/admin"
	"github.com/shiftgrant/shiftgrant/internal/gateway"
	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
	"github.com/shiftgrant/shiftgrant/redshift/wire"
)

// A visit is what the links of one upstream or one warehouse hand on to each other.
type visit struct {
	*examination
	upstream  *gateway.Upstream
	warehouse *gateway.Warehouse

	provider providerMetadata // the upstream's discovery document

	road    gateway.Road
	unbuilt error  // why there is no road
	ownARN  string // whose the gateway's own keys are, once AWS said it

	fetched     bool // whether the person's credentials were asked for, and with what outcome
	credentials identity.Credentials
	refused     *redshift.AccessError

	login    *identity.Login    // nil until a link has got one
	told     []string           // causes that were
	sessions []redshift.Session // that reach the warehouse, the best first
	user     string             // who that turned out to be
}

func (v *visit) name() string {
	switch {
	case v.upstream != nil:
		return v.upstream.Name
	case v.warehouse != nil:
		return v.warehouse.Name
	}
	return ""
}

func (v *visit) close() {
	for _, s := range v.sessions {
		_ = s.Close() // nothing is lost with it
	}
}

// A person is whom doctor goes as.
type person struct {
	id           string
	databaseUser string
	email        string
	known        bool // to the gateway, because they have signed in
}

const (
	// stranger is the database user in assertions where nobody was named: a trust policy asks for
	// one, and nothing is done in a database as them.
	stranger = "shiftgrant-doctor"
	// sessionName is doctor's in CloudTrail.
	sessionName = "shiftgrant-doctor"
	// socketTime is how long a gateway may take to answer on its socket.
	socketTime = 5 * time.Second
)

// findPerson asks a running gateway who has the database user, so that the assertion is about the
// same person as in real life.
func (e *examination) findPerson(ctx context.Context) {
	e.person = person{id: "per_" + sessionName, databaseUser: e.config.As, email: e.config.Email}
	ctx, cancel := context.WithTimeout(ctx, socketTime)
	defer cancel()
	people, err := admin.NewClient(filepath.Join(e.gateway.Data, gateway.AdminSocket)).For(e.gateway.TenantName()).People(ctx)
	e.running = err == nil
	for _, p := range people {
		if e.config.As != "" && p.DatabaseUser == e.config.As {
			e.person.id, e.person.known = p.ID, true
			e.person.email = cmp.Or(e.config.Email, p.Email)
		}
	}
}

// prepare builds the way into the warehouse, without a step on it.
func (v *visit) prepare() {
	if v.roads == nil {
		return // the link files says why
	}
	subject := identity.Subject{ID: v.person.id, DatabaseUser: cmp.Or(v.person.databaseUser, stranger), Email: v.person.email, SessionName: sessionName}
	if v.config.As != "" {
		subject.SessionName = sessionName + "-" + v.config.As
	}
	v.road, v.unbuilt = v.roads.Road(*v.warehouse, subject)
}

// values are what the texts of the table may name.
func (v *visit) values() map[string]string {
	values := map[string]string{"config": v.config.File, "user": v.config.As}
	if v.gateway != nil {
		values["issuer"], values["data"], values["listen"] = v.gateway.Issuer, v.gateway.Data, v.gateway.Listen
		if u, err := url.Parse(v.gateway.Issuer); err == nil {
			values["issuer_name"] = u.Host + u.Path
		}
	}
	if v.upstream != nil {
		maps.Copy(values, valuesOf(*v.upstream))
		values["callback"] = v.callback()
	}
	if v.warehouse != nil {
		maps.Copy(values, valuesOf(v.gateway.TokensFor(*v.warehouse)))
		v.addIdentity(values)
		v.addPolicies(values)
	}
	return values
}

func valuesOf(u gateway.Upstream) map[string]string {
	return map[string]string{"upstream": u.Name, "upstream_issuer": u.Address(), "client_id": u.ClientID}
}

// addIdentity is about the warehouse and the chain into it.
func (v *visit) addIdentity(values map[string]string) {
	w, i := v.warehouse, v.warehouse.Identity
	role := i.SessionRole()
	if role == "" {
		role = v.ownRole()
	}
	values["user"] = cmp.Or(v.config.As, stranger)
	if w.Workgroup != "" && i.HasPassword() {
		values["user"] = "IAMR:" + nameOf(role) // whoever comes
	}
	values["warehouse"], values["region"], values["database"] = w.Name, w.Region, w.Database
	values["target"], values["audience"], values["role"] = cmp.Or(w.Cluster, w.Workgroup, w.Name), i.Audience, role
	values["role_name"], values["account"] = nameOf(role), v.warehouse.Identity.Owner().AccountID
	values["host"], values["port"] = hostAndPort(w.Host)
	values["sts"], values["oidc"] = v.stsEndpoint(), v.oidcEndpoint()
	values["chain"], values["email"] = i.Chain, oneLine(v.person.email)
	values["application"], values["instance"] = i.Application, instanceOf(i.Application)
	values["secret"] = i.SecretARN
	values["password_kept"] = "where `identity.password` of warehouse " + w.Name + " points to"
	if i.SecretARN != "" {
		values["password_kept"] = "into the secret " + i.SecretARN + " (`aws secretsmanager put-secret-value`)"
	}
	values["own_role"], values["own_role_name"], values["own_account"] = v.ownRole(), nameOf(v.ownRole()), account(v.ownRole())
}

// ownRole is what the gateway's own keys are in policies: the role that is configured or that a session
// is of, and anybody else as they are. A role's path is not in its sessions, and so not here.
func (v *visit) ownRole() string {
	if role := v.warehouse.Identity.GatewayRoleARN; role != "" {
		return role
	}
	parts := strings.Split(v.ownARN, "/")
	name, ofRole := strings.CutSuffix(parts[0], ":assumed-role")
	if !ofRole || len(parts) != 3 {
		return v.ownARN
	}
	return strings.Replace(name, ":sts:", ":iam:", 1) + ":role/" + parts[1]
}

// nameOf is the last part of an ARN.
func nameOf(text string) string { return text[strings.LastIndexByte(text, '/')+1:] }

// instanceOf is the instance of Identity Center that an application is in.
func instanceOf(application string) string {
	named, err := arn.Parse(application)
	parts := strings.Split(named.Resource, "/")
	if err != nil || len(parts) != 3 {
		return ""
	}
	return arn.ARN{Partition: named.Partition, Service: "sso", Resource: "instance/" + parts[1]}.String()
}

func (v *visit) callback() string { return v.gateway.Issuer + "/signin/callback/" + v.upstream.Name }

func (v *visit) stsEndpoint() string {
	return endpointOf(v.warehouse.Identity.STSEndpoint, "sts", v.warehouse.Region)
}

func (v *visit) oidcEndpoint() string {
	return endpointOf(v.warehouse.Identity.OIDCEndpoint, "oidc", v.warehouse.Region)
}

// endpointOf is where a service answers: where the configuration says, or AWS's own address.
func endpointOf(configured, service, region string) string {
	if configured != "" {
		return configured
	}
	endpoint, err := identity.Endpoint(service, region)
	if err != nil {
		return ""
	}
	return endpoint
}

// account is the AWS account in an ARN; "" where there is none.
func account(text string) string {
	named, err := arn.Parse(text)
	if err != nil {
		return ""
	}
	return named.AccountID
}

func hostAndPort(address string) (host, port string) {
	if host, port, err := net.SplitHostPort(address); err == nil {
		return host, port
	}
	return address, wire.DefaultPort
}
