package connect

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// Logout revokes the tokens at the issuer and ends the session. Mount it for POST: a browser's
// post from another site is refused (by Sec-Fetch-Site or Origin), so that nobody is signed out
// by a link. An issuer that does not answer keeps nobody signed in here.
func (c *Client) Logout(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "Signing out is a POST.", http.StatusMethodNotAllowed)
		return
	}
	if err := c.origins.Check(r); err != nil {
		http.Error(w, "This form was posted from another site.", http.StatusForbidden)
		return
	}
	if err := c.End(w, r); err != nil {
		c.fail(w, r, &Error{Kind: Unavailable, Err: err})
		return
	}
	http.Redirect(w, r, c.config.AfterLogout, http.StatusSeeOther)
}

// End is what Logout does, without a check and without an answer: for programs that have
// checked the request. It returns the store's error.
func (c *Client) End(w http.ResponseWriter, r *http.Request) error {
	session, err := c.Session(r)
	if err == nil {
		err = session.End(r.Context())
	}
	if err != nil && !errors.Is(err, ErrSignedOut) {
		return err // the cookie stays, so that it can be tried again
	}
	c.cookies.remove(w, c.cookies.session())
	return nil
}

// End deletes the session and revokes its tokens at the issuer. It returns the store's error; an
// issuer that does not answer is none, because here the session is over.
func (s *Session) End(ctx context.Context) error {
	if err := s.end(ctx); !errors.Is(err, ErrSignedOut) {
		return err
	}
	if err := s.client.Revoke(ctx, s.current().Tokens); err != nil {
		s.client.logger.Warn("signed out here, but the tokens could not be revoked", "issuer", s.client.config.Issuer, "error", err)
	}
	return nil
}

// Revoke ends tokens that the program keeps by itself (RFC 7009): the refresh token, with which the
// access tokens end; or the access token where there is none.
func (c *Client) Revoke(ctx context.Context, held Tokens) error {
	if held == (Tokens{}) {
		return nil // they are kept elsewhere
	}
	metadata, err := c.metadata(ctx)
	if err != nil || metadata.RevocationEndpoint == "" {
		return err
	}
	form := url.Values{"token": {held.Refresh}, "token_type_hint": {"refresh_token"}}
	if held.Refresh == "" {
		form = url.Values{"token": {held.Access}, "token_type_hint": {"access_token"}}
	}
	oauth := c.oauth(metadata)
	inHeader := c.config.ClientSecret != "" && oauth.Endpoint.AuthStyle == oauth2.AuthStyleInHeader
	if !inHeader {
		form.Set("client_id", c.config.ClientID)
		if c.config.ClientSecret != "" {
			form.Set("client_secret", c.config.ClientSecret)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, metadata.RevocationEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if inHeader {
		request.SetBasicAuth(url.QueryEscape(c.config.ClientID), url.QueryEscape(c.config.ClientSecret))
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New("revoke: " + response.Status)
	}
	return nil
}
