// Package credentials is the door for programs that speak to AWS or to Redshift by themselves: it
// gives an app temporary credentials of a person, for psql, dbt or the AWS command line.
//
//	POST /v1/credentials {"kind": "database", "warehouse": "sales"}
//
// What to fear here: whoever holds what this door gives needs the gateway no more. No limit of a
// grant holds there, no statement is in the gateway's audit record, and revoking a grant takes back
// nothing. So the door is closed unless the operator opens it for a warehouse, to apps that are
// registered for it, by a scope of its own that the person reads about at consent; it refuses grants
// whose limits it could not keep; what it gives lives for minutes; each is recorded before it is
// handed out; and nobody gets many.
package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	strict "github.com/go-json-experiment/json"

	"github.com/shiftgrant/shiftgrant/internal/audit"
	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/web"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// The kinds of credentials.
const (
	AWS      = "aws"      // keys of a role, as the person
	Database = "database" // a user and a password, or a token
)

// issuedKind is the kind of the audit record.
const issuedKind = "credentials.issued"

const (
	perMinute = 30 // of one person at one warehouse
	maxBody   = 4 << 10
)

// An Authenticator knows what a bearer token stands for. grant.ErrMalformed, ErrNotFound,
// ErrExpired and ErrRevoked refuse the token; any other error means that it cannot tell.
type Authenticator interface {
	Authenticate(ctx context.Context, presented string) (*grant.Access, error)
}

// Audit keeps a record durable before it returns.
type Audit interface {
	Write(ctx context.Context, record audit.Record) error
}

// A Warehouse is one that credentials are given for, and where they are good.
type Warehouse struct {
	Region    string
	Cluster   string // or …
	Workgroup string
	Host      string // with or without a port; "" where there is no Database
	Database  string
	Authority string // PEM of what signed the warehouse's certificate; "" for the well-known ones
	// Keys and Login make credentials of a person; nil for a kind that is not given.
	Keys  func(context.Context, grant.Person) (identity.Credentials, error)
	Login func(context.Context, grant.Person) (identity.Login, error)
}

// Config is what the door needs.
type Config struct {
	Authenticator Authenticator
	Warehouses    map[string]Warehouse // by name; those that are not here give none
	Audit         Audit
	// Base is the path before the route, that of the tenant's issuer; "" for none.
	Base string
	// ResourceMetadata is the URL of the protected resource metadata, named in challenges.
	ResourceMetadata string
	Logger           *slog.Logger
	Now              func() time.Time
}

// Door is the door.
type Door struct {
	config Config
	limit  *web.Limiter
}

// New checks the configuration.
func New(config Config) (*Door, error) {
	if config.Authenticator == nil || config.Audit == nil {
		return nil, errors.New("credentials: authenticator and audit are required")
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Door{config, web.NewLimiter(perMinute, time.Minute)}, nil
}

// Register adds the route. It is there where no warehouse gives credentials too, to say so.
func (d *Door) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST "+d.config.Base+"/v1/credentials", d.serve)
}

// A refusal is an answer in words for the caller.
type refusal struct {
	problem   web.Problem
	challenge *web.Challenge // of a 401 or 403
	wait      time.Duration
}

func (r *refusal) Error() string { return r.problem.Type + ": " + r.problem.Detail }

func (d *Door) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	document, err := d.give(r)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	encoded, err := json.Marshal(document)
	if err != nil {
		d.refuse(w, r, fmt.Errorf("encode credentials: %w", err))
		return
	}
	header.Set("Content-Type", "application/json")
	_, _ = w.Write(append(encoded, '\n')) // the caller is gone: nobody left to tell
}

// give goes from who asks, over what they may, to what they get.
func (d *Door) give(r *http.Request) (any, error) {
	access, err := d.authenticate(r)
	if err != nil {
		return nil, err
	}
	asked, err := readRequest(r)
	if err != nil {
		return nil, err
	}
	warehouse, err := d.allow(access, asked)
	if err != nil {
		return nil, err
	}
	if wait := d.limit.Take(d.config.Now(), access.Person.ID, access.Grant.Warehouse); wait > 0 {
		return nil, &refusal{problem: web.Problem{Type: "busy", Status: http.StatusTooManyRequests, Detail: "Credentials were asked for too often. Use those that there are until they expire."}, wait: wait}
	}
	if asked.Kind == AWS {
		return d.giveKeys(r.Context(), access, warehouse)
	}
	return d.giveLogin(r.Context(), access, warehouse)
}

func (d *Door) authenticate(r *http.Request) (*grant.Access, error) {
	challenge := &web.Challenge{ResourceMetadata: d.config.ResourceMetadata}
	presented, err := web.BearerToken(r)
	switch {
	case errors.Is(err, web.ErrTwoTokens):
		challenge.Error = web.InvalidRequest
		return nil, &refusal{problem: web.Problem{Type: "invalid-request", Detail: err.Error()}, challenge: challenge}
	case err != nil:
		return nil, &refusal{problem: web.Problem{Type: "no-token", Detail: err.Error()}, challenge: challenge}
	}
	access, err := d.config.Authenticator.Authenticate(r.Context(), presented)
	switch {
	case err == nil && access != nil:
		return access, nil
	case errors.Is(err, grant.ErrMalformed), errors.Is(err, grant.ErrNotFound), errors.Is(err, grant.ErrExpired), errors.Is(err, grant.ErrRevoked):
		challenge.Error, challenge.Description = web.InvalidToken, "The access token is unknown, expired or revoked"
		return nil, &refusal{problem: web.Problem{Type: "invalid-token", Detail: "The access token is unknown, expired or revoked. Refresh it, or connect again."}, challenge: challenge}
	}
	return nil, fmt.Errorf("authenticate: %w", err)
}

// A request is what an app asks for.
type request struct {
	Kind      string `json:"kind"`
	Warehouse string `json:"warehouse"` // "" is the grant's
}

// readRequest reads the body strictly: it decides access.
func readRequest(r *http.Request) (request, error) {
	refuse := func(status int, detail string) (request, error) {
		return request{}, &refusal{problem: web.Problem{Type: "invalid-request", Status: status, Detail: detail}}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, "Send the request as Content-Type: application/json.")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return refuse(http.StatusBadRequest, "The body ended early.")
	}
	if len(body) > maxBody {
		return refuse(http.StatusRequestEntityTooLarge, "The body is longer than 4 KiB.")
	}
	var asked request
	if err := strict.Unmarshal(body, &asked, strict.RejectUnknownMembers(true)); err != nil {
		return refuse(http.StatusBadRequest, "The body is one JSON object with kind and warehouse, each a string and no others.")
	}
	if !slices.Contains([]string{AWS, Database}, asked.Kind) {
		return refuse(http.StatusBadRequest, `kind is "aws" or "database".`)
	}
	return asked, nil
}

// allow holds a request to the token's scope, to the grant, and to what the operator gives.
func (d *Door) allow(access *grant.Access, asked request) (Warehouse, error) {
	forbidden := func(kind, detail string) (Warehouse, error) {
		return Warehouse{}, &refusal{problem: web.Problem{Type: kind, Status: http.StatusForbidden, Detail: detail}}
	}
	needs := grant.Scopes{grant.ScopeCredentials, grant.WarehouseScope(access.Grant.Warehouse)}
	if access.Grant.Warehouse == "" || !needs.Within(access.Scopes) {
		return Warehouse{}, &refusal{
			problem: web.Problem{Type: "insufficient-scope", Title: "The token does not allow this", Detail: "The scope credentials and one of a warehouse are needed: ask the person for consent to them."},
			challenge: &web.Challenge{
				ResourceMetadata: d.config.ResourceMetadata, Error: web.InsufficientScope,
				Description: "Temporary credentials need the scope credentials", Scope: grant.ScopeCredentials,
			},
		}
	}
	if asked.Warehouse != "" && asked.Warehouse != access.Grant.Warehouse {
		return forbidden("unknown-warehouse", "This token is not for such a warehouse.")
	}
	limits := access.Grant.Limits
	if len(limits.Schemas) > 0 || limits.MaxRows > 0 || limits.MaxBytes > 0 {
		return forbidden("limited-grant", "This connection has limits that hold only inside the gateway, so nothing is given that works outside of it.")
	}
	warehouse := d.config.Warehouses[access.Grant.Warehouse]
	if asked.Kind == AWS && warehouse.Keys == nil || asked.Kind == Database && warehouse.Login == nil {
		return forbidden("credentials-not-given", "The operator of this gateway gives no credentials of this kind for this warehouse.")
	}
	return warehouse, nil
}

// keys are temporary credentials of AWS.
type keys struct {
	Kind            string    `json:"kind"`
	Warehouse       string    `json:"warehouse"`
	Region          string    `json:"region"`
	AccessKeyID     string    `json:"access_key_id"`
	SecretAccessKey string    `json:"secret_access_key"`
	SessionToken    string    `json:"session_token"`
	ExpiresAt       time.Time `json:"expires_at"`
}

func (d *Door) giveKeys(ctx context.Context, access *grant.Access, warehouse Warehouse) (any, error) {
	given, err := warehouse.Keys(ctx, access.Person)
	if err != nil {
		return nil, fmt.Errorf("get keys: %w", err)
	}
	// The id of a key is no secret, and is what CloudTrail knows it by.
	if err := d.record(ctx, access, AWS, given.Expires, " as "+given.AccessKeyID); err != nil {
		return nil, err
	}
	return keys{
		AWS, access.Grant.Warehouse, warehouse.Region, given.AccessKeyID,
		given.SecretAccessKey.Reveal(), given.SessionToken.Reveal(), given.Expires.UTC(),
	}, nil
}

// login is what a client connects to Redshift's port with: a user and a password, as every client of
// PostgreSQL does, or a token, as Amazon's drivers can.
type login struct {
	Kind      string `json:"kind"`
	Warehouse string `json:"warehouse"`
	Host      string `json:"host"`
	Port      int    `json:"port"`
	Database  string `json:"database"`

	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`

	Token            string `json:"token,omitempty"`
	TokenType        string `json:"token_type,omitempty"`         // EXT_JWT, SUBJECT_TOKEN
	IdentityProvider string `json:"identity_provider,omitempty"`  // AwsIdc
	Namespace        string `json:"identity_namespace,omitempty"` // where there are several identity providers
	SingleUse        bool   `json:"single_use,omitempty"`         // the token is for one connection

	Authority string    `json:"certificate_authority,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (d *Door) giveLogin(ctx context.Context, access *grant.Access, warehouse Warehouse) (any, error) {
	given, err := warehouse.Login(ctx, access.Person)
	if err != nil {
		return nil, fmt.Errorf("get login: %w", err)
	}
	host, port := address(warehouse.Host)
	answer := login{
		Kind: Database, Warehouse: access.Grant.Warehouse, Host: host, Port: port, Database: warehouse.Database,
		User: given.User, Password: given.Password.Reveal(), Authority: warehouse.Authority, ExpiresAt: given.Expires.UTC(),
	}
	detail := " for " + given.User
	if token := given.Token; token != nil {
		answer.Token, answer.TokenType, answer.IdentityProvider, answer.Namespace = token.Value.Reveal(), token.Type, token.IdentityProvider, token.Namespace
		answer.SingleUse = token.Type == identity.ExternalToken
		detail = " as a token of " + token.IdentityProvider
	}
	if err := d.record(ctx, access, Database, given.Expires, detail); err != nil {
		return nil, err
	}
	return answer, nil
}

// defaultPort is Redshift's.
const defaultPort = 5439

func address(host string) (string, int) {
	name, digits, found := strings.Cut(host, ":")
	if port, err := strconv.Atoi(digits); found && err == nil {
		return name, port
	}
	return host, defaultPort
}

// record returns when it is durable. What cannot be recorded is not handed out.
func (d *Door) record(ctx context.Context, access *grant.Access, kind string, expires time.Time, detail string) error {
	err := d.config.Audit.Write(ctx, audit.Record{
		Time: d.config.Now(), Kind: issuedKind, RequestID: web.RequestID(ctx), Tenant: access.Grant.Tenant,
		Person: access.Person.ID, PersonName: access.Person.DisplayName(), DatabaseAs: access.Person.DatabaseUser,
		App: access.App.ID, Grant: access.Grant.ID, Warehouse: access.Grant.Warehouse, Scopes: access.Scopes.String(),
		Outcome: kind, Detail: kind + detail + ", until " + expires.UTC().Format(time.RFC3339),
	})
	if err != nil {
		return fmt.Errorf("record credentials: %w", err)
	}
	return nil
}

// refuse answers in the caller's words, or in none where the fault is ours or AWS's.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var refused *refusal
	if !errors.As(err, &refused) {
		d.config.Logger.ErrorContext(r.Context(), "no credentials were given", "error", err, "request_id", web.RequestID(r.Context()))
		refused = &refusal{problem: web.Problem{
			Type: "unavailable", Status: http.StatusServiceUnavailable,
			Detail: "No credentials can be given at the moment. Keep the token, and try again; the operator finds the reason in the log under this request id.",
		}, wait: 5 * time.Second}
	}
	if refused.wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((refused.wait+time.Second-1)/time.Second)))
	}
	if refused.challenge != nil {
		refused.challenge.Write(w, r, refused.problem)
		return
	}
	web.WriteProblem(w, r, refused.problem)
}
