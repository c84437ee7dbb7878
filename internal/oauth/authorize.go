package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/signin"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

// How long after sending a person to a fresh sign-in their return is recognised, and how far
// the clock of the IdP, which says when they signed in, may be behind.
const (
	freshSignInWindow = 15 * time.Minute
	clockSkew         = 30 * time.Second
)

// An asking is one authorization request whose client and redirect URI are good.
type asking struct {
	*authorizeRequest
	app     *grant.App
	current *signin.Current // nil while nobody is signed in
	query   url.Values      // the request, for returning to it
}

// authorize answers the browser that an app has sent (OAuth 2.1 §4.1.1).
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	p, err := parseParameters(r.URL.RawQuery)
	if err != nil {
		s.pages.Error(w, r, http.StatusBadRequest, unreadableLink())
		return
	}
	q := &asking{authorizeRequest: parseAuthorizeRequest(p), query: p.values}
	q.query.Del(sinceParameter)
	q.query.Del(anewParameter)
	if len(q.query.Encode()) > maxAuthorizeQuery {
		s.pages.TooLarge(w, r, http.StatusRequestURITooLong)
		return
	}
	// RFC 6749 §4.1.2.1: a fault in client or redirect URI is shown, whatever else is wrong,
	// and the browser goes nowhere.
	if q.app, err = s.trustedApp(r.Context(), q.clientID); err != nil {
		s.refuseClient(w, r, err)
		return
	}
	// OAuth 2.1 §2.3.1 lets an app with one redirect URI leave it out. It costs an app nothing
	// to say where it is, so here it must.
	if !grant.MatchRedirectURI(q.app.RedirectURIs, q.redirectURI) {
		s.pages.Error(w, r, http.StatusBadRequest, pages.RedirectUnknown(q.app.Name))
		return
	}
	if q.current, err = s.whoIsSignedIn(r); err != nil {
		s.unavailable(w, r, "find out who is signed in", err)
		return
	}
	s.consider(w, r, q)
}

// authorizeByPost serves apps that post the request (OpenID Connect Core §3.1.2.1). The post
// comes from the app's own page, so the browser sends no session with it; as a GET it does.
func (s *Server) authorizeByPost(w http.ResponseWriter, r *http.Request) {
	p, err := readForm(r)
	var f *fault
	if errors.As(err, &f) && f.status == http.StatusRequestEntityTooLarge {
		s.pages.TooLarge(w, r, f.status)
		return
	}
	if err != nil {
		s.pages.Error(w, r, http.StatusBadRequest, unreadableLink())
		return
	}
	s.seeOther(w, s.base+"/oauth2/authorize?"+p.values.Encode())
}

// trustedApp looks up an app that may ask at all.
func (s *Server) trustedApp(ctx context.Context, id string) (*grant.App, error) {
	app, err := s.findApp(ctx, id)
	if err == nil && app.Disabled {
		return nil, grant.ErrNotFound
	}
	return app, err
}

func (s *Server) refuseClient(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, grant.ErrNotFound) {
		s.pages.Error(w, r, http.StatusBadRequest, pages.AppUnknown())
		return
	}
	s.unavailable(w, r, "look up app", err)
}

// whoIsSignedIn returns nil for nobody.
func (s *Server) whoIsSignedIn(r *http.Request) (*signin.Current, error) {
	current, err := s.signIn.Person(r)
	if errors.Is(err, signin.ErrSignedOut) {
		return nil, nil
	}
	return current, err
}

// consider goes through what can stand between a good client and a code: a fault in the rest
// of the request, a sign-in, a consent.
func (s *Server) consider(w http.ResponseWriter, r *http.Request, q *asking) {
	warehouse, f := s.checkRest(q)
	if f != nil {
		s.refuse(w, r, q, f)
		return
	}
	signedIn, f := q.isSignedIn(s.now())
	switch {
	case f != nil:
		s.refuse(w, r, q, f)
	case !signedIn && q.prompt.none:
		s.refuse(w, r, q, &fault{code: "login_required", description: "the person must sign in, and prompt=none forbids to ask"})
	case !signedIn:
		s.signIn.Begin(w, r, s.returnTo(q))
	case q.current.Person.Disabled:
		s.pages.Error(w, r, http.StatusForbidden, pages.PersonDisabled())
	default:
		s.askForConsent(w, r, q, warehouse)
	}
}

// checkRest checks what comes after client and redirect URI, and completes the scopes.
func (s *Server) checkRest(q *asking) (warehouse string, f *fault) {
	if q.fault != nil {
		return "", q.fault
	}
	// RFC 8707 §2.
	if q.resource != "" && !s.isOurResource(q.resource) {
		return "", invalidTarget()
	}
	q.scopes, warehouse, f = s.resolveScopes(q.app, q.scopes)
	return warehouse, f
}

// isSignedIn reports whether the sign-in that there is will do: a new one may be wanted by
// prompt=login, or by max_age. An IdP that was asked and did not sign the person in anew is not
// asked for ever.
func (q *asking) isSignedIn(now time.Time) (bool, *fault) {
	if q.current == nil {
		return false, nil
	}
	tooOld := q.maxAge >= 0 && now.Sub(q.current.AuthTime) > q.maxAge
	if !q.prompt.login && !tooOld {
		return true, nil
	}
	if q.since.After(now) || now.Sub(q.since) > freshSignInWindow {
		return false, nil
	}
	if !q.current.AuthTime.Before(q.since.Add(-clockSkew)) {
		return true, nil
	}
	if q.anew {
		return false, &fault{code: "login_required", description: "the identity provider did not ask the person to sign in again"}
	}
	return false, nil
}

// returnTo is where a sign-in leads back to: this request.
func (s *Server) returnTo(q *asking) string {
	query := q.query
	if q.prompt.login || q.maxAge >= 0 {
		query.Set(sinceParameter, strconv.FormatInt(s.now().UnixMilli(), 10))
		if q.current != nil { // which is when SignIn.Begin asks anew
			query.Set(anewParameter, "1")
		}
	}
	return s.base + "/oauth2/authorize?" + query.Encode()
}

// refuse tells the app of a fault, if the person is signed in. RFC 9700 §4.11.2: whoever sends
// people here with a faulty request could otherwise use the gateway's good name to send them on
// to an app of theirs. For a person who is not signed in the fault is shown on a page, which is
// also what a developer sees first. Only prompt=none must be answered without a sign-in; that
// is done for apps that an administrator has registered.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, q *asking, f *fault) {
	silent := f.code == "login_required" && q.prompt.none && isReviewed(q.app)
	if q.current == nil && !silent {
		s.pages.Error(w, r, http.StatusBadRequest, faultyRequest(f))
		return
	}
	s.redirectBack(w, q.redirectURI, q.state, url.Values{"error": {f.code}, "error_description": {f.description}})
}

// isReviewed reports whether somebody of the organisation registered the app.
func isReviewed(app *grant.App) bool {
	return app.Origin == grant.FromConfig || app.Origin == grant.FromAdmin
}

// redirectBack answers the app: with its state as it was, and with iss (RFC 9207 §2).
func (s *Server) redirectBack(w http.ResponseWriter, redirectURI, state string, answer url.Values) {
	answer.Set("iss", s.issuer)
	if state != "" {
		answer.Set("state", state)
	}
	separator := "?"
	if strings.Contains(redirectURI, "?") {
		separator = "&"
	}
	s.seeOther(w, redirectURI+separator+answer.Encode())
}

// seeOther redirects by 303, which turns every method into GET, so that no form is posted on
// (RFC 9700 §4.12), and without a body, which would only repeat the address.
func (s *Server) seeOther(w http.ResponseWriter, location string) {
	header := w.Header()
	header.Set("Location", location)
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// unavailable is the page for a fault of ours.
func (s *Server) unavailable(w http.ResponseWriter, r *http.Request, doing string, err error) {
	s.logger.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "doing", doing, "error", err, "request_id", web.RequestID(r.Context()))
	s.pages.Unavailable(w, r)
}

func unreadableLink() pages.Error {
	return pages.Error{
		Title: "This link cannot be read",
		What:  "The request of the app that sent you is damaged, so there is no telling what it wants.",
		Do:    "Go back to the app and try again. If you make the app: send each parameter once, form-encoded.",
	}
}

func faultyRequest(f *fault) pages.Error {
	return pages.Error{
		Title: "The app's request has a fault",
		What:  "The app that sent you asked in a way that cannot be answered. You did nothing wrong, and nothing was allowed.",
		Do:    "Tell the makers of the app. If you are one of them: " + f.code + ": " + f.description + ".",
	}
}

// liveGrants are those of the person for one app and warehouse.
func (s *Server) liveGrants(ctx context.Context, personID, appID, warehouse string) ([]grant.Grant, error) {
	grants, err := s.store.Grants(ctx, s.tenant, personID)
	if err != nil {
		return nil, err
	}
	now := s.now()
	return slices.DeleteFunc(grants, func(g grant.Grant) bool {
		return g.AppID != appID || g.Warehouse != warehouse || g.Alive(now) != nil
	}), nil
}
