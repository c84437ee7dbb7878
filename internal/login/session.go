package login

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/connect"
)

// refreshMargin is how long before its end an access token is refreshed: long enough for whoever
// gets it to use it.
const refreshMargin = time.Minute

// An Issuer renews and ends tokens; *connect.Client is one.
type Issuer interface {
	Refresh(ctx context.Context, refresh string) (connect.Tokens, error)
	Revoke(ctx context.Context, held connect.Tokens) error
}

// A Session is a login in use.
type Session struct {
	Shelf  *Shelf
	Issuer Issuer
	Now    func() time.Time
	// HTTP calls the gateway. It follows no redirect: the token is for the gateway alone.
	HTTP *http.Client

	login Login
}

// Open finds the login of a profile, or returns ErrNone.
func (s *Session) Open(profile string) (err error) {
	s.login, err = s.Shelf.Load(profile)
	return err
}

// Login is what is kept.
func (s *Session) Login() Login { return s.login }

// Token gives an access token that is good for a minute at least, refreshed if need be. With
// connect.ErrSignedOut the connection has ended, and so has the login.
func (s *Session) Token(ctx context.Context) (connect.Tokens, error) {
	if s.isFresh(s.login) {
		return s.login.Tokens, nil
	}
	return s.Renew(ctx, s.login.Tokens.Access)
}

func (s *Session) isFresh(l Login) bool {
	return l.Tokens.Expires.IsZero() || s.Now().Before(l.Tokens.Expires.Add(-refreshMargin))
}

// Renew replaces an access token, unless another process has done so already.
func (s *Session) Renew(ctx context.Context, stale string) (connect.Tokens, error) {
	unlock, err := s.Shelf.Lock(ctx, s.login.Profile)
	if err != nil {
		return connect.Tokens{}, err
	}
	defer unlock()
	held, err := s.Shelf.Load(s.login.Profile)
	if err != nil {
		return connect.Tokens{}, err
	}
	if held.Tokens.Access != stale && s.isFresh(held) {
		s.login = held
		return held.Tokens, nil
	}
	if held.Tokens.Refresh == "" {
		return connect.Tokens{}, errors.Join(connect.ErrSignedOut, s.Shelf.Delete(held))
	}
	given, err := s.Issuer.Refresh(ctx, held.Tokens.Refresh)
	if errors.Is(err, connect.ErrSignedOut) {
		return connect.Tokens{}, errors.Join(err, s.Shelf.Delete(held))
	}
	if err != nil {
		return connect.Tokens{}, fmt.Errorf("refresh the login: %w", err)
	}
	if given.Refresh == "" {
		given.Refresh = held.Tokens.Refresh
	}
	held.Tokens = given
	if err := s.Shelf.Save(held); err != nil {
		return connect.Tokens{}, err
	}
	s.login = held
	return given, nil
}

// End forgets the login and revokes its tokens. The first error is about this machine, the second
// about the gateway: the login is gone here even if the gateway could not be told.
func (s *Session) End(ctx context.Context) (local, remote error) {
	unlock, err := s.Shelf.Lock(ctx, s.login.Profile)
	if err != nil {
		return err, nil
	}
	defer unlock()
	held, err := s.Shelf.Load(s.login.Profile)
	if err != nil {
		return err, nil
	}
	if err := s.Shelf.Delete(held); err != nil {
		return err, nil
	}
	return nil, s.Issuer.Revoke(ctx, held.Tokens)
}

// A Request is one call of the gateway.
type Request struct {
	Method, Path string
	Accept       string
	Body         []byte // JSON; nil for none
}

// Do calls the gateway as the person. A token that the gateway refuses before its time is renewed
// once. The caller closes the answer's body.
func (s *Session) Do(ctx context.Context, call Request) (*http.Response, error) {
	tokens, err := s.Token(ctx)
	if err != nil {
		return nil, err
	}
	response, err := s.send(ctx, call, tokens.Access)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	_ = response.Body.Close()
	if tokens, err = s.Renew(ctx, tokens.Access); err != nil {
		return nil, err
	}
	return s.send(ctx, call, tokens.Access)
}

func (s *Session) send(ctx context.Context, call Request, token string) (*http.Response, error) {
	var body io.Reader = http.NoBody
	if call.Body != nil {
		body = bytes.NewReader(call.Body)
	}
	request, err := http.NewRequestWithContext(ctx, call.Method, strings.TrimSuffix(s.login.Gateway, "/")+call.Path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Accept", call.Accept)
	if call.Body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := s.HTTP.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the gateway: %w", err)
	}
	return response, nil
}
