// Package dataapi runs SQL in Amazon Redshift through the Redshift Data API: HTTPS calls to a
// public address, with no network path to the warehouse, no connection and no driver.
//
//	session := dataapi.New(dataapi.Config{
//		Region: "us-east-1", Cluster: "tickit", Database: "dev", Credentials: provider,
//	})
//	defer session.Close()
//	rows, err := session.Query(ctx, redshift.Statement{SQL: "select 1"})
//
// It is a client of its own and not the AWS SDK's because the SDK for Go knows no long polling
// and decodes results seventy times slower than they can be copied. A small SELECT costs two
// calls: ExecuteStatement, and GetStatementResultV2, which waits in AWS until the rows are there.
//
// What to know before relying on it:
//
//   - Quotas belong to the AWS account and region, and are small: about 20 results a second.
//     A call that meets one is repeated with growing pauses, then gives a *redshift.BusyError.
//   - A result exists once it is complete. Rows therefore never fail because of the SQL, and
//     closing them early leaves nothing to cancel.
//   - In a page of CSV, NULL is taken to be an empty field without quotes and the empty string
//     to be "". AWS does not document it. Where that is in doubt, ResultFormat "json" is not.
//   - The identity of a statement is that of the credentials. AWS lets every session of a role
//     read all results of that role unless its policy says otherwise; see package identity.
package dataapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shiftgrant/shiftgrant/redshift"
	"github.com/shiftgrant/shiftgrant/redshift/identity"
)

// The result formats.
const (
	CSV  = "csv"  // GetStatementResultV2: large pages, the fastest
	JSON = "json" // GetStatementResult: a typed value for each field
)

// Config says which warehouse, and who.
type Config struct {
	Region string
	// Endpoint overrides https://redshift-data.<region>.amazonaws.com, for a VPC endpoint or a
	// test.
	Endpoint  string
	Cluster   string // a provisioned cluster's identifier, or …
	Workgroup string // … a serverless workgroup's name or ARN
	Database  string
	// Credentials of the person that the session is for.
	Credentials identity.Provider
	// ResultFormat is CSV or JSON; "" is CSV.
	ResultFormat string
	// RetryBudget bounds the pauses between repeated attempts of one call, all together; 0 is
	// ten seconds, less than 0 repeats nothing.
	RetryBudget time.Duration
	// Quota is the person's share of the account's rates of calls; nil waits for none.
	Quota *Share
	// HTTPClient should be shared by all sessions, so that connections are; nil makes one of
	// its own with NewHTTPClient.
	HTTPClient *http.Client
	// Started is told the id of each statement that Query waits for, and returns what to call when it
	// has ended. It must not take time. Nil tells nobody.
	Started func(id string) (ended func())
	Logger  *slog.Logger // nil: nothing is logged
	Now     func() time.Time
}

const defaultRetryBudget = 10 * time.Second

// Validate says what is missing or wrong. It makes no call. A session whose configuration is
// not valid gives this error from every method.
func (c Config) Validate() error {
	switch {
	case (c.Cluster == "") == (c.Workgroup == ""):
		return errors.New("data API: give either a cluster or a workgroup")
	case c.Database == "":
		return errors.New("data API: the database is missing")
	case c.Credentials == nil:
		return errors.New("data API: Credentials are missing")
	case c.ResultFormat != "" && c.ResultFormat != CSV && c.ResultFormat != JSON:
		return fmt.Errorf("data API: result format %q is neither %q nor %q", c.ResultFormat, CSV, JSON)
	}
	regional, err := identity.Endpoint("redshift-data", c.Region)
	if err != nil {
		return fmt.Errorf("data API: %w", err)
	}
	if c.Endpoint == "" {
		c.Endpoint = regional
	}
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "https" && endpoint.Scheme != "http" {
		return fmt.Errorf("data API: endpoint %q is not an http or https URL", c.Endpoint)
	}
	return nil
}

// NewHTTPClient makes a client whose timeouts suit the long waits of the Data API, and whose
// connections are kept for the next statement.
func NewHTTPClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: longestWait + 15*time.Second,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   64,
			IdleConnTimeout:       90 * time.Second,
			DisableCompression:    true, // pages are decoded in place, and AWS does not compress them
		},
		// A signed request is for one host: following a redirect would hand it to another.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Session is one person in one warehouse. It implements [redshift.Session] and
// [redshift.Detached] and may be used by several goroutines at once.
type Session struct {
	config   Config
	endpoint string
	invalid  error // what Validate found
	signer   *v4.Signer
	pause    func(context.Context, time.Duration) error
	denied   atomic.Pointer[string] // the credentials that were denied access though they were new

	closing context.Context // ends when Close is called
	close   context.CancelFunc
	mu      sync.Mutex // held while a task begins, so that none begins once Close waits
	tasks   sync.WaitGroup
}

var (
	_ redshift.Session  = (*Session)(nil)
	_ redshift.Detached = (*Session)(nil)
)

// New makes a session. It makes no call.
func New(config Config) *Session {
	s := &Session{config: config, invalid: config.Validate(), signer: v4.NewSigner(), pause: pause}
	s.closing, s.close = context.WithCancel(context.Background())
	s.endpoint = config.Endpoint
	if s.endpoint == "" && s.invalid == nil {
		s.endpoint, s.invalid = identity.Endpoint("redshift-data", config.Region)
	}
	if s.config.ResultFormat == "" {
		s.config.ResultFormat = CSV
	}
	if s.config.RetryBudget == 0 {
		s.config.RetryBudget = defaultRetryBudget
	}
	if s.config.HTTPClient == nil {
		s.config.HTTPClient = NewHTTPClient()
	}
	if s.config.Logger == nil {
		s.config.Logger = slog.New(slog.DiscardHandler)
	}
	if s.config.Now == nil {
		s.config.Now = time.Now
	}
	return s
}

var errClosed = errors.New("data API: the session is closed")

// spawn runs a task that may outlive the call that started it; Close waits for it. It is false
// once the session is closed.
func (s *Session) spawn(task func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Err() != nil {
		return false
	}
	s.tasks.Go(task)
	return true
}

// Close cancels the statements of Query that are still running, and waits until AWS was told.
// Submitted statements go on.
func (s *Session) Close() error {
	s.mu.Lock()
	s.close()
	s.mu.Unlock()
	s.tasks.Wait()
	return nil
}

func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
