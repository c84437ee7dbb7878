package oauth_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/shiftgrant/shiftgrant/internal/grant"
)

// TK-23.
func TestTK23Revocation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	access, refresh := w.connect("alice", stargazer)
	if err := w.works(access); err != nil { // now it is in the cache
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		form   url.Values
		status int
		code   string
	}{
		{"nobody", url.Values{"token": {refresh}}, 401, "invalid_client"},
		{"a wrong secret", url.Values{"token": {refresh}, "client_id": {"stargazer"}, "client_secret": {"x"}}, 401, "invalid_client"},
		{"another app's refresh token", proof(observer, url.Values{"token": {refresh}}), 400, "invalid_grant"},
		{"another app's access token", proof(public, url.Values{"token": {access}}), 400, "invalid_grant"},
		{"no token", proof(stargazer, url.Values{}), 400, "invalid_request"},
		{"two tokens", proof(stargazer, url.Values{"token": {access, refresh}}), 400, "invalid_request"},
		{"an unknown refresh token", proof(stargazer, url.Values{"token": {grant.NewToken(grant.RefreshToken).Reveal()}}), 200, ""},
		{"an unknown access token", proof(stargazer, url.Values{"token": {grant.NewToken(grant.AccessToken).Reveal()}}), 200, ""},
		{"junk", proof(stargazer, url.Values{"token": {"junk"}}), 200, ""},
	} {
		if got := w.post("/oauth2/revoke", c.form); got.status != c.status || got.string("error") != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.name, got.status, got.text, c.status, c.code)
		}
	}
	if err := w.works(access); err != nil {
		t.Fatalf("after all that: %v", err)
	}

	// A store that cannot tell is no success (past failure 23).
	w.store.fail(errDown)
	for _, token := range []string{access, refresh} {
		if got := w.revoke(stargazer, token); got.status != 503 {
			t.Errorf("store down: %d %s", got.status, got.text)
		}
	}
	w.store.fail(nil)

	// The access token alone, under a wrong hint; at once, though it is cached.
	if got := w.post("/oauth2/revoke", proof(stargazer, url.Values{"token": {access}, "token_type_hint": {"refresh_token"}})); got.status != 200 {
		t.Errorf("%d %s", got.status, got.text)
	}
	if err := w.works(access); !errors.Is(err, grant.ErrRevoked) {
		t.Errorf("the revoked access token: %v", err)
	}
	next := w.refresh(stargazer, refresh)
	if next.status != 200 {
		t.Fatalf("the refresh token beside it: %d %s", next.status, next.text)
	}

	// An old refresh token ends everything.
	if err := w.works(next.string("access_token")); err != nil {
		t.Fatal(err)
	}
	if got := w.revoke(stargazer, refresh); got.status != 200 {
		t.Errorf("%d %s", got.status, got.text)
	}
	if err := w.works(next.string("access_token")); !errors.Is(err, grant.ErrRevoked) {
		t.Errorf("the access token after the connection was revoked: %v", err)
	}
	if got := w.refresh(stargazer, next.string("refresh_token")); got.status != 400 {
		t.Errorf("the refresh token after the connection was revoked: %d %s", got.status, got.text)
	}
	if got := w.revoke(stargazer, refresh); got.status != 200 || w.audit.count("grant.revoked") != 1 {
		t.Errorf("a second time: %d, %d records", got.status, w.audit.count("grant.revoked"))
	}
}
