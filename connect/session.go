package connect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/shiftgrant/shiftgrant/internal/seal"
)

var (
	// ErrSignedOut says that there is no session, or that it has ended: send the person to Login.
	ErrSignedOut = errors.New("signed out")
	// ErrUnavailable says that the issuer could not be asked for a new token. The session goes
	// on; try again.
	ErrUnavailable = errors.New("the issuer does not answer")
)

// refreshMargin is how long before its end an access token is refreshed.
const refreshMargin = 60 * time.Second

// A Session is one person in one browser. It may be used by several goroutines at once.
type Session struct {
	client *Client
	id     string // hash of the cookie's value

	mu    sync.Mutex
	state sessionState
}

// sessionState is what the store keeps, sealed.
type sessionState struct {
	Identity  Identity  `json:"identity"`
	Tokens    Tokens    `json:"tokens"`
	StartedBy string    `json:"started_by"` // the state of the sign-in
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`
}

// Tokens are what an issuer gave for a person.
type Tokens struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh,omitempty"`
	Expires time.Time `json:"expires"` // of the access token; zero where not told
	// ID is the ID token that came with them, as it came; "" for none. It is given to KeepTokens and by
	// Refresh, which does not verify it, and is not kept in sessions.
	ID string `json:"-"`
}

// tokensOf counts an access token's life from now, by the client's clock.
func (c *Client) tokensOf(token *oauth2.Token) Tokens {
	held := Tokens{Access: token.AccessToken, Refresh: token.RefreshToken}
	held.ID, _ = token.Extra("id_token").(string)
	if token.ExpiresIn > 0 {
		held.Expires = c.now().Add(time.Duration(token.ExpiresIn) * time.Second)
	}
	return held
}

// sessionID is what the store knows of a cookie's value.
func sessionID(value string) string {
	hash := sha256.Sum256([]byte(value))
	return hex.EncodeToString(hash[:])
}

// startSession makes a session with an id of its own, and ends the one that the browser had: an
// id from before the sign-in must not become signed in.
func (c *Client) startSession(w http.ResponseWriter, r *http.Request, state string, identity Identity, held Tokens) error {
	value, now := random(), c.now()
	session := &Session{client: c, id: sessionID(value), state: sessionState{
		Identity: identity, Tokens: held, StartedBy: state, CreatedAt: now, SeenAt: now,
	}}
	if err := session.save(r.Context(), session.state); err != nil {
		return err
	}
	if before, err := r.Cookie(c.cookies.session()); err == nil {
		if err := c.sessions.Delete(r.Context(), sessionID(before.Value)); err != nil {
			c.logger.Warn("end the session before", "error", err)
		}
	}
	c.cookies.set(w, c.cookies.session(), value, c.config.SessionLifetime)
	return nil
}

// Session finds the session of a request's browser, or returns ErrSignedOut. Any other error is
// the store's.
func (c *Client) Session(r *http.Request) (*Session, error) {
	cookie, err := r.Cookie(c.cookies.session())
	if err != nil || len(cookie.Value) > 128 {
		return nil, ErrSignedOut
	}
	session := &Session{client: c, id: sessionID(cookie.Value)}
	if session.state, err = session.load(r.Context()); err != nil {
		return nil, err
	}
	now := c.now()
	if !now.Before(session.expires(session.state)) {
		return nil, ErrSignedOut
	}
	// Being seen is kept now and then, not with each request.
	if now.Sub(session.state.SeenAt) > c.config.SessionIdle/10 {
		if err := session.touch(r.Context()); err != nil {
			return nil, err
		}
	}
	return session, nil
}

// touch keeps that the session was seen. Where that cannot be done now, a later request will.
func (s *Session) touch(ctx context.Context) error {
	done, err := s.alone(ctx, func(ctx context.Context) (outcome, error) {
		state, err := s.load(ctx)
		if err != nil {
			return outcome{}, err
		}
		state.SeenAt = s.client.now()
		return outcome{state, false}, s.save(ctx, state)
	})
	if errors.Is(err, ErrUnavailable) {
		return nil
	}
	if err == nil {
		s.adopt(done.state)
	}
	return err
}

// expires is when a session ends if it is not seen again.
func (s *Session) expires(state sessionState) time.Time {
	idle, total := state.SeenAt.Add(s.client.config.SessionIdle), state.CreatedAt.Add(s.client.config.SessionLifetime)
	if idle.Before(total) {
		return idle
	}
	return total
}

func (s *Session) place() seal.Place {
	return seal.Place{Tenant: s.client.config.Issuer, Owner: s.id, Purpose: "connect session"}
}

func (s *Session) load(ctx context.Context) (sessionState, error) {
	sealed, err := s.client.sessions.Load(ctx, s.id)
	if errors.Is(err, ErrNoSession) {
		return sessionState{}, ErrSignedOut
	}
	if err != nil {
		return sessionState{}, fmt.Errorf("load session: %w", err)
	}
	var state sessionState
	plain, err := s.client.ring.Open(sealed, s.place())
	if err != nil || json.Unmarshal(plain, &state) != nil {
		// Sealed by another key, or for another client: nobody's session here.
		return sessionState{}, ErrSignedOut
	}
	return state, nil
}

func (s *Session) save(ctx context.Context, state sessionState) error {
	plain, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode session: %w", err)
	}
	sealed, err := s.client.ring.Seal(plain, s.place())
	if err != nil {
		return fmt.Errorf("seal session: %w", err)
	}
	if err := s.client.sessions.Save(ctx, s.id, sealed, s.expires(state)); err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	return nil
}

// ID names the session; it is no secret, and opens nothing. Forms can be bound to it.
func (s *Session) ID() string { return s.id }

// StartedAt is when the session began here, which can be long after the person signed in at the
// issuer (Identity.AuthTime).
func (s *Session) StartedAt() time.Time { return s.current().CreatedAt }

// Identity is who signed in.
func (s *Session) Identity() Identity { return s.current().Identity }

func (s *Session) current() sessionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *Session) adopt(state sessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// Token gives an access token that is good for a while, refreshed if need be. Errors:
// ErrSignedOut when the connection has ended, ErrUnavailable when the issuer does not answer and
// the token that there is has expired.
func (s *Session) Token(ctx context.Context) (string, error) {
	held := s.current().Tokens
	if held.Expires.IsZero() || s.client.now().Before(held.Expires.Add(-refreshMargin)) {
		return held.Access, nil
	}
	fresh, err := s.refresh(ctx, held.Access)
	if errors.Is(err, ErrUnavailable) && s.client.now().Before(held.Expires) {
		return held.Access, nil
	}
	return fresh, err
}

// outcome is what work on a stored session has come to.
type outcome struct {
	state     sessionState
	refreshed bool // by this work or before it; false where it was not the question
}

// alone works on a stored session. All callers in this process share what is under way, which
// goes on when one of them leaves; a Locker keeps other processes out. If two were to load, change
// and save at once, a new refresh token could be lost, and with it the login.
func (s *Session) alone(ctx context.Context, work func(context.Context) (outcome, error)) (outcome, error) {
	result := s.client.working.DoChan(s.id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*callTimeout)
		defer cancel()
		if locker, ok := s.client.sessions.(Locker); ok {
			unlock, err := locker.Lock(ctx, s.id)
			if err != nil {
				return outcome{}, fmt.Errorf("%w: lock session: %w", ErrUnavailable, err)
			}
			defer unlock()
		}
		return work(ctx)
	})
	select {
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	case done := <-result:
		return done.Val.(outcome), done.Err
	}
}

// refresh replaces an access token that is stale, with one call to the issuer for all who ask.
func (s *Session) refresh(ctx context.Context, stale string) (string, error) {
	for {
		done, err := s.alone(ctx, func(ctx context.Context) (outcome, error) {
			state, err := s.refreshAlone(ctx, stale)
			return outcome{state, true}, err
		})
		if err != nil {
			return "", err
		}
		if done.refreshed { // else what was under way was other work
			s.adopt(done.state)
			return done.state.Tokens.Access, nil
		}
	}
}

// refreshAlone looks at what is stored first: another request, or another process, may have
// refreshed already, and the refresh token that we remember is then the old one.
func (s *Session) refreshAlone(ctx context.Context, stale string) (sessionState, error) {
	state, err := s.load(ctx)
	if err != nil || state.Tokens.Access != stale {
		return state, err
	}
	if state.Tokens.Refresh == "" {
		return sessionState{}, s.end(ctx)
	}
	token, err := s.client.Refresh(ctx, state.Tokens.Refresh)
	if errors.Is(err, ErrSignedOut) {
		return s.endUnlessRefreshed(ctx, state.Tokens.Refresh)
	}
	if err != nil {
		return sessionState{}, err
	}
	return s.keep(ctx, state.Tokens.Refresh, token)
}

// Refresh asks the issuer once, with a refresh token that the program keeps by itself (RFC 6749
// §6). It returns ErrSignedOut for invalid_grant, and only for that; anything else may pass, and
// is ErrUnavailable. Where the answer has no refresh token, the old one stays good.
func (c *Client) Refresh(ctx context.Context, refresh string) (Tokens, error) {
	metadata, err := c.metadata(ctx)
	if err != nil {
		return Tokens{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	ctx = c.tokenContext(ctx)
	token, err := c.oauth(metadata).TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.ErrorCode == "invalid_grant" && refused.Response != nil && refused.Response.StatusCode < 500 {
		return Tokens{}, ErrSignedOut
	}
	if errors.As(err, &refused) && refused.Response != nil {
		return Tokens{}, fmt.Errorf("%w: status %d, error %q", ErrUnavailable, refused.Response.StatusCode, printable(refused.ErrorCode))
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("%w: refresh token", ErrUnavailable)
	}
	return c.tokensOf(token), nil
}

// keep saves new tokens before anybody uses them. A session that was signed out meanwhile stays
// so, and one that somebody else has refreshed meanwhile keeps the tokens of the other: what was
// saved last must not be replaced by an answer that took longer.
func (s *Session) keep(ctx context.Context, sent string, given Tokens) (sessionState, error) {
	state, err := s.load(ctx)
	if err != nil || state.Tokens.Refresh != sent {
		return state, err
	}
	if given.Refresh == "" {
		given.Refresh = state.Tokens.Refresh
	}
	state.Tokens = given
	return state, s.save(ctx, state)
}

// endUnlessRefreshed ends a session whose refresh token was refused, unless another process, whose
// store is no Locker, has used the token before us and kept its successor.
func (s *Session) endUnlessRefreshed(ctx context.Context, refused string) (sessionState, error) {
	state, err := s.load(ctx)
	if err != nil || state.Tokens.Refresh != refused {
		return state, err
	}
	s.client.logger.Info("the connection has ended", "issuer", s.client.config.Issuer)
	return sessionState{}, s.end(ctx)
}

// end deletes the session and gives ErrSignedOut, or the store's error.
func (s *Session) end(ctx context.Context) error {
	if err := s.client.sessions.Delete(ctx, s.id); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return ErrSignedOut
}
