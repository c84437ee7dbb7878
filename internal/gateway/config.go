package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/secret"
)

// Config is the configuration file. docs/configuration.md explains each key; its example is
// read by a test, so that it stays true.
type Config struct {
	// Issuer is the public URL of the gateway, without a path. Everything that leaves the
	// gateway is built from it, never from a request's headers. In a tenant's view, see
	// Config.Tenant, it is the tenant's.
	Issuer string `yaml:"issuer"`
	Listen string `yaml:"listen"`
	// Data is the folder of the database, the keys, the audit record and the admin socket.
	Data       string      `yaml:"data"`
	Store      Store       `yaml:"store"`
	TLS        TLS         `yaml:"tls"`
	Operations Operations  `yaml:"operations"`
	Log        Log         `yaml:"log"`
	Upstreams  []Upstream  `yaml:"upstreams"`
	Warehouses []Warehouse `yaml:"warehouses"`
	Apps       []App       `yaml:"apps"`
	// CommandLine is the built-in app by which `shiftgrant login` signs people in.
	CommandLine CommandLine `yaml:"command_line"`
	Lifetimes   Lifetimes   `yaml:"lifetimes"`
	Limits      Limits      `yaml:"limits"`
	Audit       Audit       `yaml:"audit"`
	Keys        Keys        `yaml:"keys"`
	// TrustedProxies are networks whose X-Forwarded-For is taken, to tell callers apart for limits
	// and for nothing else.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// Tenants are more organisations, each at a path of its own. The keys above are of the default
	// one, or of all.
	Tenants []Tenant `yaml:"tenants"`

	tenant, displayName string // of a tenant's view

	draft bool // it may lack what is not made yet: see ReadDraft
}

// Keys are secrets of the gateway that are kept elsewhere than in its data folder: several
// gateways on one database share them. Each is lines of "VERSION BASE64"; the highest version is
// the one in use, the others still open what they sealed.
type Keys struct {
	Seal     SecretRef `yaml:"seal"`     // seals what is stored; default: made in the data folder
	Rotation SecretRef `yaml:"rotation"` // derives refresh tokens; default: made in the data folder
	Issuer   string    `yaml:"issuer"`   // folder of the signing keys; default: in the data folder
	KMS      KMS       `yaml:"kms"`      // seals the sealing and the rotation key where they are kept
	// IssuerRotateEvery has the gateway make a new signing key in the folder when the one before has
	// signed for as long; 0: an operator does it.
	IssuerRotateEvery Duration `yaml:"issuer_rotate_every"`
	// IssuerKMS are signing keys in AWS KMS, in place of those in the folder.
	IssuerKMS []SigningKMS `yaml:"issuer_kms"`
}

// KMS names a symmetric key of AWS KMS by which the gateway's own keys are sealed. The gateway uses
// AWS credentials of its own for it: see identity.Own.
type KMS struct {
	Key         string `yaml:"key"`          // the ARN of a key or of its alias; empty: keys are kept as they are
	Endpoint    string `yaml:"endpoint"`     // default: AWS's for the region
	STSEndpoint string `yaml:"sts_endpoint"` // default: AWS's for the region
}

// TLS names the certificate; both empty when a proxy in front ends TLS.
type TLS struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// Operations is a second listener for monitoring: /metrics, /healthz, /readyz.
type Operations struct {
	Listen string `yaml:"listen"` // empty: none
}

// Log says what is logged to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info (default), warn, error
	Format string `yaml:"format"` // text (default) or json
}

// An Upstream is an IdP where people sign in.
type Upstream struct {
	Name                string            `yaml:"name"`
	DisplayName         string            `yaml:"display_name"`
	Preset              string            `yaml:"preset"` // what kind of IdP it is; default generic. See internal/signin/preset.go
	Issuer              string            `yaml:"issuer"`
	ClientID            string            `yaml:"client_id"`
	ClientSecret        SecretRef         `yaml:"client_secret"`
	Scopes              []string          `yaml:"scopes"`
	AuthorizeParameters map[string]string `yaml:"authorize_parameters"`
	DatabaseUser        DatabaseUser      `yaml:"database_user"`
	// Companies are whose people are let in, at an IdP where every company's people can sign in: tenant
	// ids with preset entra, Workspace domains with preset google, or any.
	Companies []string `yaml:"companies"`
	// The following are for preset identity_center. The endpoints are AWS's for the region by default.
	Region        string `yaml:"region"`
	OIDCEndpoint  string `yaml:"sso_oidc_endpoint"`
	StoreEndpoint string `yaml:"identitystore_endpoint"`
	STSEndpoint   string `yaml:"sts_endpoint"` // where the gateway's own keys come from there
	// With offline_access among the scopes (or whatever makes this IdP give refresh tokens), the
	// IdP is asked about a person again when an app refreshes.
	CheckEvery     Duration `yaml:"check_every"`     // 1h: how old its last word may be
	TolerateOutage Duration `yaml:"tolerate_outage"` // 24h: how long people go on while it does not answer
}

// DatabaseUser says who a person of an upstream is in Redshift.
type DatabaseUser struct {
	Claim     string   `yaml:"claim"`      // of the ID token; default preferred_username
	LocalPart bool     `yaml:"local_part"` // ann@example.com becomes ann
	Deny      []string `yaml:"deny"`       // names that nobody may become, beside the built-in ones
}

// A Warehouse is a Redshift target.
type Warehouse struct {
	Name        string   `yaml:"name"`
	DisplayName string   `yaml:"display_name"`
	Description string   `yaml:"description"`
	Region      string   `yaml:"region"`
	Cluster     string   `yaml:"cluster"`   // provisioned
	Workgroup   string   `yaml:"workgroup"` // serverless
	Database    string   `yaml:"database"`
	Identity    Identity `yaml:"identity"`
	// Transport is how SQL travels: dataapi, wire, or auto (default): wire where Host is given and
	// can be reached at start, the Data API otherwise.
	Transport string `yaml:"transport"`
	// Background is how statements outlive their request: spool (they run on the wire, and their
	// results are kept by this gateway until it stops), dataapi (AWS keeps them for a day, for all
	// gateways), or auto (default): spool on the wire, but dataapi where it is to be had and several
	// gateways may share a PostgreSQL store.
	Background string `yaml:"background"`
	// Host is the warehouse's endpoint for wire, with or without :5439.
	Host            string `yaml:"host"`
	CA              string `yaml:"ca"`                // file with the authority of its certificate; default the system's
	PasswordsFrom   string `yaml:"redshift_endpoint"` // default: AWS's for the region
	DataAPIEndpoint string `yaml:"data_api_endpoint"` // default: AWS's for the region
	ResultFormat    string `yaml:"result_format"`     // csv (default) or json
	// Credentials are the kinds that people may take out of the gateway: aws, database. None by default.
	Credentials []string `yaml:"credentials"`
}

// An App is an OAuth client that the operator registers here rather than with `apps add`.
type App struct {
	ID                  string    `yaml:"id"`
	Name                string    `yaml:"name"`
	Homepage            string    `yaml:"homepage"`
	Type                string    `yaml:"type"` // public or confidential
	RedirectURIs        []string  `yaml:"redirect_uris"`
	Scopes              []string  `yaml:"scopes"`
	Secret              SecretRef `yaml:"secret"`
	AccessTokenLifetime Duration  `yaml:"access_token_lifetime"`
	RefreshIdleLifetime Duration  `yaml:"refresh_idle_lifetime"`
	RefreshLifetime     Duration  `yaml:"refresh_lifetime"`
	// Device lets the app ask by a code that a person enters in a browser elsewhere (RFC 8628).
	Device bool `yaml:"device"`
}

// CommandLine says whether people can sign in with the shiftgrant command.
type CommandLine struct {
	Disabled bool `yaml:"disabled"`
}

// CommandLineApp is the id of the command's app, and CommandLineRedirect where it is answered, on
// whichever port.
const (
	CommandLineApp      = "shiftgrant-cli"
	CommandLineRedirect = "http://127.0.0.1/callback"
)

// Lifetimes are defaults for all apps; zero takes the value in the comment.
type Lifetimes struct {
	AccessToken Duration `yaml:"access_token"` // 10m
	RefreshIdle Duration `yaml:"refresh_idle"` // 720h
	Grant       Duration `yaml:"grant"`        // 2160h: consent ends here, whatever is refreshed
	Session     Duration `yaml:"session"`      // 12h: the person's sign-in at the gateway
}

// Limits keep one caller from using up what belongs to all; zero takes the value in the comment.
type Limits struct {
	StatementTimeout            Duration `yaml:"statement_timeout"`               // 30m
	StatementsPerPerson         int      `yaml:"statements_per_person"`           // 10 at once
	StatementsPerPersonMinute   int      `yaml:"statements_per_person_minute"`    // 6000 begun
	StatementsPerWarehouse      int      `yaml:"statements_per_warehouse"`        // 200 at once
	QueueWait                   Duration `yaml:"queue_wait"`                      // 5s for a place among them
	RowsPerStatement            int64    `yaml:"rows_per_statement"`              // 0: no limit
	SpoolBytesPerStatement      int64    `yaml:"spool_bytes_per_statement"`       // 4 GiB on disk
	SpoolBytes                  int64    `yaml:"spool_bytes"`                     // 16 GiB on disk
	SpoolStatementsPerPerson    int      `yaml:"spool_statements_per_person"`     // 100 that run or are kept
	SpoolStatements             int      `yaml:"spool_statements"`                // 1000 that run or are kept
	SpoolKeep                   Duration `yaml:"spool_keep"`                      // 1h after the end of a statement
	Sessions                    int      `yaml:"warehouse_sessions"`              // 1000 kept for the next request
	SessionIdle                 Duration `yaml:"warehouse_session_idle"`          // 10m
	RequestBody                 int64    `yaml:"request_body"`                    // 1 MiB
	RequestHeader               int      `yaml:"request_header"`                  // 32 KiB
	HeaderTimeout               Duration `yaml:"header_timeout"`                  // 5s to send the header
	RequestTimeout              Duration `yaml:"request_timeout"`                 // 1m to send the whole request
	ReaderPatience              Duration `yaml:"reader_patience"`                 // 1m until a caller that reads nothing is dropped
	DrainTime                   Duration `yaml:"drain_time"`                      // 30s for running requests when the gateway stops
	RequestsPerMinutePerAddress int      `yaml:"requests_per_minute_per_address"` // 6000; callers on this machine are not counted
	TokenRequestsPerMinute      int      `yaml:"token_requests_per_minute"`       // 600 of each app and address
	FailedClientAuthPerHour     int      `yaml:"failed_client_auth_per_hour"`     // 60 of each app and address
}

// Duration is a time.Duration written as "10m".
type Duration time.Duration

// UnmarshalYAML reads Go's duration syntax.
func (d *Duration) UnmarshalYAML(node ast.Node) error {
	parsed, err := time.ParseDuration(node.GetToken().Value)
	if err != nil || parsed < 0 {
		return atNode(node, errors.New("not a duration: write it as 30s, 10m or 720h"))
	}
	*d = Duration(parsed)
	return nil
}

// SecretRef is a secret that the configuration file points to and does not hold.
type SecretRef struct {
	value     secret.Text
	reference string
}

// SecretOf is for configurations made in a program.
func SecretOf(value secret.Text) SecretRef { return SecretRef{value: value} }

// UnmarshalYAML reads env:NAME or file:PATH.
func (s *SecretRef) UnmarshalYAML(node ast.Node) error {
	value, err := resolveSecret(node.GetToken().Value)
	if err != nil {
		return atNode(node, err)
	}
	s.value, s.reference = value, node.GetToken().Value
	return nil
}

func resolveSecret(reference string) (secret.Text, error) {
	kind, name, _ := strings.Cut(reference, ":")
	switch {
	case kind == "env" && name != "":
		value := os.Getenv(name)
		if value == "" {
			return secret.Text{}, fmt.Errorf("environment variable %s is not set", name)
		}
		return secret.New(value), nil
	case kind == "file" && name != "":
		content, err := os.ReadFile(name)
		if err != nil {
			return secret.Text{}, fmt.Errorf("read secret: %w", err)
		}
		value := strings.TrimRight(string(content), "\r\n")
		if value == "" {
			return secret.Text{}, fmt.Errorf("secret file %s is empty", name)
		}
		return secret.New(value), nil
	}
	return secret.Text{}, errors.New("a secret does not belong in this file: write env:NAME or file:PATH")
}

// again reads a secret that may have changed where it is kept.
func (s SecretRef) again() (secret.Text, error) {
	if s.reference == "" {
		return s.value, nil
	}
	return resolveSecret(s.reference)
}

// Secret is the secret itself.
func (s SecretRef) Secret() secret.Text { return s.value }

var (
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	appPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
)

// check applies the defaults and refuses what cannot work, in the order of the file.
func (c *Config) check() error {
	if err := c.checkServer(); err != nil {
		return err
	}
	if c.hasDefaultTenant() {
		if err := c.checkRooms(); err != nil {
			return err
		}
	}
	return c.checkTenants()
}

// checkRooms checks what each tenant has of its own.
func (c *Config) checkRooms() error {
	if err := c.checkUpstreams(); err != nil {
		return err
	}
	if err := c.checkWarehouses(); err != nil {
		return err
	}
	return c.checkApps()
}

func (c *Config) checkServer() error {
	issuer, err := url.Parse(c.Issuer)
	switch {
	case c.Issuer == "":
		return &keyError{"$.issuer", "give the gateway's public URL, such as https://grants.example.com"}
	case err != nil || issuer.Host == "" || issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "":
		return &keyError{"$.issuer", "not a URL like https://grants.example.com"}
	case issuer.Path != "":
		return &keyError{"$.issuer", "leave out the path and the slash at the end"}
	case issuer.Scheme != "https" && !loopbackURL(issuer):
		return &keyError{"$.issuer", "use https; http is for localhost only"}
	}
	setDefault(&c.Listen, "127.0.0.1:7420")
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return &keyError{"$.listen", "write it as ADDRESS:PORT, such as 127.0.0.1:7420"}
	}
	if c.Data == "" {
		return &keyError{"$.data", "give the folder for database, keys and audit record"}
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		return &keyError{"$.tls", "give both certificate and key, or neither"}
	}
	setDefault(&c.Log.Level, "info")
	setDefault(&c.Log.Format, "text")
	if err := oneOf("$.log.level", c.Log.Level, "debug", "info", "warn", "error"); err != nil {
		return err
	}
	if err := oneOf("$.log.format", c.Log.Format, "text", "json"); err != nil {
		return err
	}
	if err := c.checkAudit(); err != nil {
		return err
	}
	if err := c.Keys.check(); err != nil {
		return err
	}
	setDefault(&c.Lifetimes.AccessToken, Duration(10*time.Minute))
	setDefault(&c.Lifetimes.RefreshIdle, Duration(30*24*time.Hour))
	setDefault(&c.Lifetimes.Grant, Duration(90*24*time.Hour))
	setDefault(&c.Lifetimes.Session, Duration(12*time.Hour))
	if _, err := c.proxies(); err != nil {
		return err
	}
	return c.Limits.check()
}

func (c *Config) checkUpstreams() error {
	if len(c.Upstreams) == 0 {
		return &keyError{"$.upstreams", "give at least one IdP where people sign in"}
	}
	var names []string
	for i := range c.Upstreams {
		upstream, path := &c.Upstreams[i], fmt.Sprintf("$.upstreams[%d]", i)
		if err := upstream.applyPreset(path); err != nil {
			return err
		}
		issuer, err := url.Parse(upstream.Issuer)
		switch {
		case !namePattern.MatchString(upstream.Name):
			return &keyError{path + ".name", "use lower-case letters, digits and hyphens"}
		case slices.Contains(names, upstream.Name):
			return &keyError{path + ".name", "this name is used twice"}
		case err != nil || issuer.Host == "" || issuer.Scheme != "https" && !loopbackURL(issuer):
			return &keyError{path + ".issuer", "give the IdP's issuer URL; https, or http on localhost"}
		case upstream.ClientID == "":
			return &keyError{path + ".client_id", "give the client id that the IdP issued"}
		}
		names = append(names, upstream.Name)
		setDefault(&upstream.DisplayName, upstream.Name)
		if !slices.Contains(upstream.Scopes, "openid") {
			return &keyError{path + ".scopes", "openid must be among them: it is what says who signed in"}
		}
	}
	return nil
}

// checkTransport checks what belongs to the way that SQL travels.
func (w *Warehouse) checkTransport(path string) error {
	if err := oneOf(path+".transport", w.Transport, "auto", "dataapi", "wire"); err != nil {
		return err
	}
	if err := oneOf(path+".background", w.Background, backgroundAuto, backgroundSpool, backgroundDataAPI); err != nil {
		return err
	}
	if w.Background == backgroundSpool && !w.HasPort() {
		return &keyError{path + ".background", "spool needs the wire: give host, and transport auto or wire"}
	}
	switch {
	case w.Transport == "wire" && w.Host == "":
		return &keyError{path + ".host", "give the warehouse's endpoint, such as sales.abc123.eu-central-1.redshift.amazonaws.com: transport wire needs it"}
	case w.Identity.Chain == "identity_center" && w.Identity.PeopleRoleARN == "" && !w.HasPort():
		return &keyError{path + ".identity.chain", "identity_center logs in over the wire: give host, and leave transport at auto or wire; or give identity.application and identity.people_role_arn, which reach the Data API"}
	case w.Identity.onlyPort() && !w.HasPort():
		return &keyError{path + ".identity.chain", w.Identity.Chain + " logs in over the wire: give host, and leave transport at auto or wire"}
	case w.CA != "" && w.Host == "":
		return &keyError{path + ".ca", "this is for host, which is not given"}
	}
	return nil
}

func (c *Config) checkWarehouses() error {
	if len(c.Warehouses) == 0 {
		return &keyError{"$.warehouses", "give at least one warehouse"}
	}
	var names []string
	for i := range c.Warehouses {
		warehouse, path := &c.Warehouses[i], fmt.Sprintf("$.warehouses[%d]", i)
		setDefault(&warehouse.DisplayName, warehouse.Name)
		setDefault(&warehouse.ResultFormat, "csv")
		setDefault(&warehouse.Transport, "auto")
		setDefault(&warehouse.Background, backgroundAuto)
		switch {
		case !namePattern.MatchString(warehouse.Name):
			return &keyError{path + ".name", "use lower-case letters, digits and hyphens"}
		case slices.Contains(names, warehouse.Name):
			return &keyError{path + ".name", "this name is used twice"}
		case warehouse.Region == "":
			return &keyError{path + ".region", "give the AWS region, such as eu-central-1"}
		case warehouse.Cluster != "" && warehouse.Workgroup != "", warehouse.Cluster == "" && warehouse.Workgroup == "" && !warehouse.Identity.onlyPort():
			return &keyError{path, "give either cluster (provisioned) or workgroup (serverless)"}
		case warehouse.Database == "":
			return &keyError{path + ".database", "give the database's name"}
		}
		names = append(names, warehouse.Name)
		if err := c.checkIdentity(&warehouse.Identity, path+".identity"); err != nil {
			return err
		}
		if err := warehouse.checkTransport(path); err != nil {
			return err
		}
		if err := warehouse.checkCredentials(path); err != nil {
			return err
		}
		if err := oneOf(path+".result_format", warehouse.ResultFormat, "csv", "json"); err != nil {
			return err
		}
		err := checkEndpoints(
			endpoint{path + ".identity.sts_endpoint", warehouse.Identity.STSEndpoint},
			endpoint{path + ".identity.sso_oidc_endpoint", warehouse.Identity.OIDCEndpoint},
			endpoint{path + ".identity.secretsmanager_endpoint", warehouse.Identity.SecretsEndpoint},
			endpoint{path + ".data_api_endpoint", warehouse.DataAPIEndpoint},
			endpoint{path + ".redshift_endpoint", warehouse.PasswordsFrom},
		)
		if err != nil {
			return err
		}
	}
	return c.checkHandedOut()
}

// An endpoint is an address instead of AWS's own, and the key that gives it.
type endpoint struct{ path, url string }

// checkEndpoints refuses an address on the way to which anybody could read what is sent, or answer it.
func checkEndpoints(endpoints ...endpoint) error {
	for _, e := range endpoints {
		if u, err := url.Parse(e.url); e.url != "" && (err != nil || u.Host == "" || u.Scheme != "https" && !loopbackURL(u)) {
			return &keyError{e.path, "not an https URL (http is for localhost only)"}
		}
	}
	return nil
}

// addCommandLine registers the built-in app, unless the operator has one of this id.
func (c *Config) addCommandLine() {
	taken := slices.ContainsFunc(c.Apps, func(a App) bool { return a.ID == CommandLineApp })
	if c.CommandLine.Disabled || taken {
		return
	}
	c.Apps = append(slices.Clone(c.Apps), App{
		ID: CommandLineApp, Name: "shiftgrant command line", Type: string(grant.Public),
		RedirectURIs: []string{CommandLineRedirect}, Scopes: append(slices.Clone(grant.KnownScopes), grant.ScopeCredentials),
		Device: true,
	})
}

func (c *Config) deviceApps() []string {
	var ids []string
	for _, a := range c.Apps {
		if a.Device {
			ids = append(ids, a.ID)
		}
	}
	return ids
}

func (c *Config) checkApps() error {
	c.addCommandLine()
	var ids []string
	for i := range c.Apps {
		app, path := &c.Apps[i], fmt.Sprintf("$.apps[%d]", i)
		setDefault(&app.Name, app.ID)
		if err := CheckAppID(app.ID, c.audiences()); err != nil {
			return &keyError{path + ".id", err.Error()}
		}
		if slices.Contains(ids, app.ID) {
			return &keyError{path + ".id", "this id is used twice"}
		}
		ids = append(ids, app.ID)
		if err := oneOf(path+".type", app.Type, string(grant.Public), string(grant.Confidential)); err != nil {
			return err
		}
		if app.Type == string(grant.Confidential) == app.Secret.value.IsZero() {
			return &keyError{path + ".secret", "a confidential app has a secret, a public one has none"}
		}
		if err := grant.CheckHomepage(app.Homepage); err != nil {
			return &keyError{path + ".homepage", err.Error()}
		}
		if len(app.RedirectURIs) == 0 {
			return &keyError{path + ".redirect_uris", "give at least one"}
		}
		for j, uri := range app.RedirectURIs {
			if err := grant.CheckRedirectURI(uri); err != nil {
				return &keyError{fmt.Sprintf("%s.redirect_uris[%d]", path, j), err.Error()}
			}
		}
		for j, scope := range app.Scopes {
			if !c.knowsScope(scope) {
				return &keyError{fmt.Sprintf("%s.scopes[%d]", path, j), "write one of " + grant.KnownScopes.String() + ", or warehouse:NAME of a warehouse above"}
			}
		}
	}
	return nil
}

func (c *Config) knowsScope(scope string) bool {
	return grant.KnownScopes.Has(scope) || scope == grant.ScopeCredentials || slices.ContainsFunc(c.Warehouses, func(w Warehouse) bool { return scope == grant.WarehouseScope(w.Name) })
}

// CheckAppID refuses an id that could be taken for something else: a URL (those are for client
// ID metadata documents) or the audience of an assertion, which would make an app's ID token
// pass for one.
func CheckAppID(id string, audiences []string) error {
	switch {
	case !appPattern.MatchString(id):
		return errors.New("use letters, digits, periods, hyphens and underscores")
	case slices.Contains(audiences, id):
		return errors.New("this is the audience of a warehouse's assertion; choose another id")
	}
	return nil
}

func (c *Config) audiences() []string {
	var audiences []string
	for _, warehouse := range c.Warehouses {
		if warehouse.Identity.Assertion == assertionGateway {
			audiences = append(audiences, warehouse.Identity.Audience)
		}
	}
	return audiences
}

func setDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

func oneOf(path, value string, choices ...string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	return &keyError{path, "write one of: " + strings.Join(choices, ", ")}
}

func loopbackURL(u *url.URL) bool {
	host := u.Hostname()
	return u.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1")
}
