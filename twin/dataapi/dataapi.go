// Package dataapi plays the Amazon Redshift Data API over a real database: JSON 1.1 over HTTP,
// all its operations, long polling, sessions, both result formats, quotas and errors.
//
// It is a stand-in for development and tests, and stricter than AWS where AWS is vague: unknown
// members of a request are refused, a page token is good for one statement and one caller, and
// a page of CSV comes in several pieces. Each statement runs as one database user with that
// user's rights, and a statement belongs to the identity that started it: another session of
// the same role gets AccessDeniedException, as with the owner condition that our IAM policy
// template sets.
//
// What has no public description (some texts, the number of waiters, how CSV writes NULL) is
// our guess, and marked so where it is made.
package dataapi

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A Database opens connections as a database user, with the rights of that user only. It is
// *postgres.Server.
type Database interface {
	Connect(ctx context.Context, user, database string) (*pgconn.PgConn, error)
}

// A Caller is who signed a request.
type Caller struct {
	UserID      string // aws:userid: "AROA…:session"
	Account     string
	RoleName    string
	SessionName string
	Tags        map[string]string // session tags
	// DatabaseUser is the person's on whose behalf the credentials were made, empty for plain ones.
	DatabaseUser string
}

func (c Caller) arn() string {
	if c.RoleName == "" {
		return "arn:aws:iam::" + c.Account + ":user/" + c.SessionName
	}
	return "arn:aws:sts::" + c.Account + ":assumed-role/" + c.RoleName + "/" + c.SessionName
}

// An Authenticator verifies a request's signature. It fails with an *AuthError.
type Authenticator interface {
	Authenticate(r *http.Request, body []byte) (Caller, error)
}

// An AuthError is AWS's refusal of a signature or of credentials.
type AuthError struct {
	Code    string // such as "InvalidSignatureException"
	Message string
	Status  int
}

func (e *AuthError) Error() string { return e.Code + ": " + e.Message }

// DatabaseUserTag is the session tag that says as which database user a role session may log in:
// the policy allows redshift:GetClusterCredentials on dbuser:cluster/${aws:PrincipalTag/…}.
const DatabaseUserTag = "RedshiftDbUser"

// Config is what a Handler needs.
type Config struct {
	Authenticator Authenticator
	// Clusters and Workgroups are the warehouses of the account, by name.
	Clusters   map[string]Database
	Workgroups map[string]Database
	Account    string // nil-length: 123456789012
	Region     string // empty: us-east-1
	// MayUse decides whether a caller may log in as a database user of a cluster. nil: its
	// session tag DatabaseUserTag must be that user.
	MayUse func(caller Caller, databaseUser string) bool
	// Secret reads the database user out of a secret of Secrets Manager, in the caller's name. It
	// fails with an *AuthError. nil: there are no secrets.
	Secret func(caller Caller, arn string) (databaseUser string, err error)
	// Quotas are off in the zero value.
	Quotas Quotas
	// PageBytes is about how large a page of a result is. 0: 1 MB.
	PageBytes int
	// MaxWaiters is how many requests may wait for one statement. 0: 3. (AWS does not tell.)
	MaxWaiters int
	// Slots is how many statements run at once; more are queued. 0: 16.
	Slots int

	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
}

// How long things are remembered.
const (
	retention       = 24 * time.Hour
	tokenMemory     = 8 * time.Hour
	maxStatements   = 20_000 // beyond it the oldest finished ones go early: memory is bounded
	maxBody         = 10 << 20
	contentType     = "application/x-amz-json-1.1"
	targetPrefix    = "RedshiftData."
	housekeeping    = 10 * time.Second
	defaultAccount  = "123456789012"
	defaultRegion   = "us-east-1"
	defaultPage     = 1 << 20
	defaultWaiters  = 3
	defaultSlots    = 16
	closingPatience = 20 * time.Second
)

// A Handler is the Data API of one account and region.
type Handler struct {
	config Config
	log    *slog.Logger
	faults *Faults
	quotas *buckets
	spool  *spool
	tokens cipher.AEAD // seals NextToken
	slots  chan struct{}

	mu         sync.Mutex // guards what follows and all statements and sessions
	statements map[string]*statement
	order      []*statement // oldest first
	sessions   map[string]*session
	idempotent map[string]*remembered
	queries    int64 // RedshiftQueryId
	closed     bool

	running sync.WaitGroup
	stop    context.CancelFunc
	stopped context.Context // the life of the handler, not of a call
}

// New makes a handler. Close frees what it holds.
func New(config Config) *Handler {
	if config.Account == "" {
		config.Account = defaultAccount
	}
	if config.Region == "" {
		config.Region = defaultRegion
	}
	if config.PageBytes == 0 {
		config.PageBytes = defaultPage
	}
	if config.MaxWaiters == 0 {
		config.MaxWaiters = defaultWaiters
	}
	if config.Slots == 0 {
		config.Slots = defaultSlots
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.MayUse == nil {
		config.MayUse = func(caller Caller, databaseUser string) bool {
			return caller.Tags[DatabaseUserTag] == databaseUser
		}
	}
	h := &Handler{
		config:     config,
		log:        config.Logger,
		faults:     &Faults{},
		quotas:     &buckets{quotas: config.Quotas, now: config.Now},
		spool:      &spool{},
		tokens:     newTokens(),
		slots:      make(chan struct{}, config.Slots),
		statements: map[string]*statement{},
		sessions:   map[string]*session{},
		idempotent: map[string]*remembered{},
	}
	h.stopped, h.stop = context.WithCancel(context.Background())
	h.running.Go(h.keepHouse)
	return h
}

// newTokens makes a cipher whose key lives as long as the handler: no token outlives it.
func newTokens() cipher.AEAD {
	key := make([]byte, 32)
	rand.Read(key) // never fails (crypto/rand)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has the right length
	}
	sealer, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has the right block size
	}
	return sealer
}

// Faults tells the handler to misbehave.
func (h *Handler) Faults() *Faults { return h.faults }

// Close cancels what runs, ends sessions and removes spooled results.
func (h *Handler) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.stop()
	h.running.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, session := range h.sessions {
		h.closeSession(session)
	}
	return h.spool.remove()
}

// keepHouse forgets what has expired, also while nobody calls.
func (h *Handler) keepHouse() {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	for {
		select {
		case <-h.stopped.Done():
			return
		case <-tick.C:
			h.mu.Lock()
			h.expire()
			h.mu.Unlock()
		}
	}
}

// An operation handles one call. What it returns is encoded as the answer.
type operation func(h *Handler, ctx context.Context, caller Caller, body []byte) (any, error)

var operations = map[string]operation{
	"ExecuteStatement":      (*Handler).executeStatement,
	"BatchExecuteStatement": (*Handler).batchExecuteStatement,
	"DescribeStatement":     (*Handler).describeStatement,
	"GetStatementResult":    (*Handler).getStatementResult,
	"GetStatementResultV2":  (*Handler).getStatementResultV2,
	"CancelStatement":       (*Handler).cancelStatement,
	"ListStatements":        (*Handler).listStatements,
	"ListSessions":          (*Handler).listSessions,
	"ListDatabases":         (*Handler).listDatabases,
	"ListSchemas":           (*Handler).listSchemas,
	"ListTables":            (*Handler).listTables,
	"DescribeTable":         (*Handler).describeTable,
}

// Names are those of the operations.
func (h *Handler) Names() []string { return slices.Sorted(maps.Keys(operations)) }

// ServeHTTP answers one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := newUUID()
	w.Header().Set("x-amzn-RequestId", requestID)
	name, answer, err := h.serve(w, r)
	if err != nil && r.Context().Err() != nil {
		return // nobody is listening any more
	}
	if h.faults.takeDropAnswer(name) {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		h.fail(w, name, requestID, err)
		return
	}
	if err := writeAnswer(w, answer); err != nil {
		h.log.Debug("answer not written", "operation", name, "request_id", requestID, "error", err)
	}
}

// serve checks a request in the order in which AWS's front end does, and runs its operation.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) (name string, answer any, err error) {
	target, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	run, known := operations[target]
	if r.Method != http.MethodPost || r.URL.Path != "/" || !ok || !known {
		return "", nil, &apiError{status: http.StatusBadRequest, code: "UnknownOperationException"}
	}
	if got := r.Header.Get("Content-Type"); got != contentType {
		return target, nil, serialization("Content-Type must be " + contentType)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return target, nil, &apiError{status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLargeException", message: "Request size limit is exceeded"}
	}
	if err := h.faults.before(r.Context(), target); err != nil {
		return target, nil, err
	}
	caller, err := h.config.Authenticator.Authenticate(r, body)
	if err != nil {
		return target, nil, fmt.Errorf("authenticate: %w", err)
	}
	if err := h.quotas.take(caller.Account, target); err != nil {
		return target, nil, err
	}
	answer, err = run(h, r.Context(), caller, body)
	return target, answer, err
}

// fail answers with an AWS error. What is none is a fault of ours.
func (h *Handler) fail(w http.ResponseWriter, operation, requestID string, err error) {
	var refusal *apiError
	var auth *AuthError
	switch {
	case errors.As(err, &refusal):
	case errors.As(err, &auth):
		refusal = &apiError{status: auth.Status, code: auth.Code, message: auth.Message, lower: true}
	default:
		h.log.Error("operation failed", "operation", operation, "request_id", requestID, "error", err)
		refusal = internal()
	}
	h.log.Debug("refused", "operation", operation, "request_id", requestID, "code", refusal.code, "message", refusal.message)
	refusal.write(w)
}
