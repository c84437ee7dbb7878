package rotation

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/twin/person"
)

const (
	clientID    = "phone"
	redirectURI = "http://127.0.0.1/callback"
	scopes      = "sql:read warehouse:tickit offline_access"
)

// An app is an honest client: it keeps the newest token, asks again when an answer is lost, and
// lets a late answer overwrite nothing newer.
type app struct {
	cluster *cluster
	http    *http.Client

	mu      sync.Mutex
	access  string
	refresh string
	unclear int // answers that said "later"
}

// answer is what the token endpoint said.
type answer struct {
	status     int
	retryAfter string
	Access     string `json:"access_token"`
	Refresh    string `json:"refresh_token"`
	Error      string `json:"error"`
	What       string `json:"error_description"`
}

// newHTTPClient opens a connection for each request: a gateway that was killed leaves none behind.
func newHTTPClient(t *testing.T) *http.Client {
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// code gets somebody's consent and the code that follows from it.
func (c *cluster) code(someone *person.Person) (form url.Values) {
	c.t.Helper()
	verifier := oauth2.GenerateVerifier()
	config := oauth2.Config{ClientID: clientID, RedirectURL: redirectURI, Scopes: []string{scopes}, Endpoint: oauth2.Endpoint{AuthURL: c.url + "/oauth2/authorize"}}
	callback, err := someone.Authorize(c.t.Context(), config.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), person.Allow)
	if err != nil {
		c.t.Fatal(err)
	}
	code := callback.Query().Get("code")
	if code == "" {
		c.t.Fatalf("no code: %s", callback)
	}
	return url.Values{"grant_type": {"authorization_code"}, "client_id": {clientID}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}}
}

// connect makes an app that alice has connected.
func (c *cluster) connect() *app {
	c.t.Helper()
	a := &app{cluster: c, http: newHTTPClient(c.t)}
	got, err := a.post(c.t.Context(), c.url, c.code(person.New("alice", password)))
	if err != nil || got.status != http.StatusOK || got.Refresh == "" {
		c.t.Fatalf("redeem the code: %+v, %v", got, err)
	}
	a.access, a.refresh = got.Access, got.Refresh
	return a
}

func (a *app) post(ctx context.Context, base string, form url.Values) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := a.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	got := answer{status: response.StatusCode, retryAfter: response.Header.Get("Retry-After")}
	if err := json.Unmarshal(body, &got); err != nil {
		return answer{}, fmt.Errorf("status %d: %w", response.StatusCode, err)
	}
	return got, nil
}

// present asks once, by a token of the caller's choice.
func (a *app) present(ctx context.Context, refresh string) (answer, error) {
	return a.post(ctx, a.cluster.url, url.Values{"grant_type": {"refresh_token"}, "client_id": {clientID}, "refresh_token": {refresh}})
}

// tokens are the newest that the app has.
func (a *app) tokens() (access, refresh string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.access, a.refresh
}

// errRefused is an answer that ends a connection: an honest app must never get it.
var errRefused = errors.New("refused for good")

// once refreshes, and returns nil only with a new token.
func (a *app) once(ctx context.Context) error {
	_, sent := a.tokens()
	got, err := a.present(ctx, sent)
	if err != nil {
		return err
	}
	switch {
	case got.status == http.StatusServiceUnavailable && got.retryAfter != "" && got.Error == "temporarily_unavailable":
		a.mu.Lock()
		a.unclear++
		a.mu.Unlock()
		return errors.New("later")
	case got.status != http.StatusOK:
		return fmt.Errorf("%w: %+v", errRefused, got)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refresh == sent {
		a.access, a.refresh = got.Access, got.Refresh
	}
	return nil
}

// persist asks until there is an answer, as long as the rule allows a lost one to be asked for.
func (a *app) persist(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Second)
	defer cancel()
	for {
		err := a.once(ctx)
		if err == nil || errors.Is(err, errRefused) {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// check asks for something by an access token and gives the status.
func (a *app) check(ctx context.Context, access string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.cluster.url+"/v1/warehouses", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+access)
	response, err := a.http.Do(request)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

// mustWork says that the app's tokens are good, and that what it holds is the one live leaf of
// its family.
func (a *app) mustWork(t *testing.T) {
	t.Helper()
	access, refresh := a.tokens()
	if status, err := a.check(t.Context(), access); err != nil || status != http.StatusOK {
		t.Errorf("the app's access token: %d, %v", status, err)
	}
	hash := sha256.Sum256([]byte(refresh))
	var leaves, current int
	a.cluster.query(t, `SELECT count(*), sum(CASE WHEN refresh_tokens.hash = families.current_hash AND refresh_tokens.hash = $1 THEN 1 ELSE 0 END)
		FROM families JOIN refresh_tokens ON refresh_tokens.tenant = families.tenant AND refresh_tokens.family_id = families.id AND refresh_tokens.generation = families.generation
		WHERE families.id = (SELECT family_id FROM refresh_tokens WHERE hash = $1)`, []any{hash[:]}, &leaves, &current)
	if leaves != 1 || current != 1 {
		t.Errorf("the family has %d live leaves, %d of them the app's; want one, the app's", leaves, current)
	}
}

// generation tells how often the app's family was rotated.
func (a *app) generation(t *testing.T, refresh string) int64 {
	t.Helper()
	hash := sha256.Sum256([]byte(refresh))
	var generation int64
	a.cluster.query(t, `SELECT generation FROM families WHERE id = (SELECT family_id FROM refresh_tokens WHERE hash = $1)`, []any{hash[:]}, &generation)
	return generation
}
