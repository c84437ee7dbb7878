package doctor

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

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

	road     gateway.Road
	unbuilt  error // why there is no road
	login    identity.Login
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
	people, err := admin.NewClient(filepath.Join(e.gateway.Data, gateway.AdminSocket)).People(ctx)
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
		values["upstream"], values["upstream_issuer"], values["client_id"] = v.upstream.Name, v.upstream.Address(), v.upstream.ClientID
		values["callback"] = v.callback()
	}
	if w := v.warehouse; w != nil {
		role := w.Identity.SessionRole()
		values["warehouse"], values["region"], values["database"] = w.Name, w.Region, w.Database
		values["target"], values["audience"], values["role"] = cmp.Or(w.Cluster, w.Workgroup), w.Identity.Audience, role
		values["role_name"] = role[strings.LastIndexByte(role, '/')+1:]
		values["account"] = account(role)
		values["host"], values["port"] = hostAndPort(w.Host)
		values["sts"] = v.stsEndpoint()
		values["trust_policy"], values["permissions"] = v.trustPolicy(values), v.permissions()
	}
	return values
}

func (v *visit) callback() string { return v.gateway.Issuer + "/signin/callback/" + v.upstream.Name }

func (v *visit) stsEndpoint() string {
	if v.warehouse.Identity.STSEndpoint != "" {
		return v.warehouse.Identity.STSEndpoint
	}
	endpoint, err := identity.Endpoint("sts", v.warehouse.Region)
	if err != nil {
		return ""
	}
	return endpoint
}

// account is the fifth part of an ARN.
func account(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

func hostAndPort(address string) (host, port string) {
	if host, port, err := net.SplitHostPort(address); err == nil {
		return host, port
	}
	return address, wire.DefaultPort
}
