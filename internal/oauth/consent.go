package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/pages"
	"github.com/shiftgrant/shiftgrant/internal/seal"
	"github.com/shiftgrant/shiftgrant/internal/signin"
)

const (
	// consentTime is how long a person can think.
	consentTime = 10 * time.Minute
	// sealedField is the form field with the sealed question.
	sealedField = "request"
)

// A question is what a person is asked, as it travels in the form: sealed for their session, so
// that neither they nor a page elsewhere can answer another question than was shown. The grant
// has its id from the start, which is why a question can be answered with yes only once.
type question struct {
	GrantID     string
	AppID       string
	PersonID    string
	RedirectURI string
	State       string
	Challenge   string
	Nonce       string
	Scopes      grant.Scopes
	Warehouse   string
	Expires     time.Time
}

// askForConsent shows the question, unless the person has answered it before and the app is
// sure to be the same.
func (s *Server) askForConsent(w http.ResponseWriter, r *http.Request, q *asking, warehouse string) {
	asked := question{
		GrantID: grant.NewID("gra"), AppID: q.app.ID, PersonID: q.current.Person.ID,
		RedirectURI: q.redirectURI, State: q.state, Challenge: q.challenge, Nonce: q.nonce,
		Scopes: q.scopes, Warehouse: warehouse, Expires: s.now().Add(consentTime),
	}
	live, err := s.store.RecentGrants(r.Context(), s.tenant, asked.PersonID, asked.AppID, warehouse)
	if err != nil {
		s.unavailable(w, r, "look up earlier consent", err)
		return
	}
	if earlier := remembered(q, live); earlier != nil {
		g := s.newGrant(q.app, asked)
		// A consent that is remembered is not prolonged.
		if earlier.ExpiresAt.Before(g.ExpiresAt) {
			g.ExpiresAt = earlier.ExpiresAt
		}
		s.allow(w, r, q.current, asked, g, "remembered")
		return
	}
	if q.prompt.none {
		s.refuse(w, r, q, &fault{code: "consent_required", description: "the person must consent, and prompt=none forbids to ask"})
		return
	}
	s.showConsent(w, r, q, asked, live)
}

// remembered finds an earlier consent that covers the request. It counts only for an app that
// proves itself by a secret and is answered over https: anything on the person's own machine
// could pretend to be an app there, so such apps ask every time (OAuth 2.1 §7.3.1).
func remembered(q *asking, live []grant.Grant) *grant.Grant {
	assured := q.app.Type == grant.Confidential && strings.HasPrefix(q.redirectURI, "https://") && isReviewed(q.app)
	if !assured || q.prompt.consent {
		return nil
	}
	for i := range live {
		if q.scopes.Within(live[i].Scopes) {
			return &live[i]
		}
	}
	return nil
}

func (s *Server) showConsent(w http.ResponseWriter, r *http.Request, q *asking, asked question, live []grant.Grant) {
	sealed, err := s.sealForm(q.current, "consent", asked)
	if err != nil {
		s.unavailable(w, r, "seal consent form", err)
		return
	}
	var before grant.Scopes
	for _, g := range live {
		before = append(before, g.Scopes...)
	}
	g := s.newGrant(q.app, asked)
	s.pages.Consent(w, r, pages.Consent{
		App: *q.app, RedirectURI: asked.RedirectURI, Person: q.current.Person, Warehouse: s.warehouses[asked.Warehouse],
		Scopes: asked.Scopes, Limits: g.Limits, Before: before, ExpiresAt: g.ExpiresAt, AccessLifetime: s.accessLifetimeOf(q.app),
		Form:         pages.Form{Action: s.base + "/oauth2/authorize/decision", Hidden: []pages.Field{{Name: sealedField, Value: sealed}}},
		SwitchPerson: s.signIn.SignOutForm(q.current, s.returnTo(q)),
	})
}

// newGrant is the grant that the person would give. An app that may not refresh gets one that
// ends with its access token: what the page promises is what is stored.
func (s *Server) newGrant(app *grant.App, asked question) grant.Grant {
	now := s.now()
	lifetime := grant.CodeLifetime + s.accessLifetimeOf(app)
	if asked.Scopes.Has(grant.ScopeOffline) {
		lifetime = orDefault(app.RefreshTotalLifetime, s.grantLifetime)
	}
	return grant.Grant{
		ID: asked.GrantID, Tenant: s.tenant, AppID: asked.AppID, PersonID: asked.PersonID,
		Warehouse: asked.Warehouse, Scopes: asked.Scopes,
		Limits:    grant.Limits{ReadOnly: !asked.Scopes.Has(grant.ScopeWrite)},
		CreatedAt: now, ExpiresAt: now.Add(lifetime),
	}
}

// decide takes the person's answer.
func (s *Server) decide(w http.ResponseWriter, r *http.Request) {
	form, current, ok := s.readAnswer(w, r)
	if !ok {
		return
	}
	var asked question
	if current == nil || s.openForm(current, "consent", form.get(sealedField), &asked) != nil ||
		asked.PersonID != current.Person.ID || !s.now().Before(asked.Expires) {
		s.pages.Error(w, r, http.StatusBadRequest, pages.ConsentExpired())
		return
	}
	// Ten minutes have passed perhaps: the app may be gone, changed or switched off.
	app, err := s.trustedApp(r.Context(), asked.AppID)
	if err != nil {
		s.refuseClient(w, r, err)
		return
	}
	if !grant.MatchRedirectURI(app.RedirectURIs, asked.RedirectURI) {
		s.pages.Error(w, r, http.StatusBadRequest, pages.RedirectUnknown(app.Name))
		return
	}
	switch {
	case current.Person.Disabled:
		s.pages.Error(w, r, http.StatusForbidden, pages.PersonDisabled())
	case form.get(pages.Decision) != pages.Allow:
		s.deny(w, r, asked)
	case !s.mayAsk(app, asked.Scopes):
		s.pages.Error(w, r, http.StatusBadRequest, pages.ConsentExpired())
	default:
		s.allow(w, r, current, asked, s.newGrant(app, asked), "allowed")
	}
}

// readAnswer reads a form of ours that was posted from a page of ours. It has answered itself
// when it returns false.
func (s *Server) readAnswer(w http.ResponseWriter, r *http.Request) (parameters, *signin.Current, bool) {
	if err := s.origins.Check(r); err != nil {
		s.pages.Error(w, r, http.StatusForbidden, pages.Error{
			Title: "This answer came from another site",
			What:  "A page that is not ours tried to answer for you. Nothing was changed.",
			Do:    "Close that page. If you wanted this, go back to the app and start again there.",
		})
		return parameters{}, nil, false
	}
	form, err := readForm(r)
	if err != nil {
		s.pages.Error(w, r, http.StatusBadRequest, unreadableLink())
		return parameters{}, nil, false
	}
	current, err := s.whoIsSignedIn(r)
	if err != nil {
		s.unavailable(w, r, "find out who is signed in", err)
		return parameters{}, nil, false
	}
	return form, current, true
}

// allow makes the grant and its code, and sends the browser back with the code. The audit
// record is written first: no grant is there without one.
func (s *Server) allow(w http.ResponseWriter, r *http.Request, current *signin.Current, asked question, g grant.Grant, outcome string) {
	if err := s.record(r.Context(), event{kind: consented, grant: &g, outcome: outcome}); err != nil {
		s.unavailable(w, r, "record consent", err)
		return
	}
	code, err := s.grantCode(r.Context(), asked, g, current.AuthTime)
	// Answered with yes before; or the app or the person was removed in this moment.
	if errors.Is(err, grant.ErrConflict) {
		s.pages.Error(w, r, http.StatusBadRequest, pages.ConsentExpired())
		return
	}
	if err != nil {
		s.unavailable(w, r, "make grant", err)
		return
	}
	s.redirectBack(w, asked.RedirectURI, asked.State, url.Values{"code": {code}})
}

// grantCode stores the grant and a code for it, in one transaction.
func (s *Server) grantCode(ctx context.Context, asked question, g grant.Grant, authTime time.Time) (string, error) {
	token := grant.NewToken(grant.AuthCode)
	now := s.now()
	code := grant.Code{
		Hash: grant.HashToken(token.Reveal()), Tenant: s.tenant, GrantID: g.ID, AppID: asked.AppID,
		RedirectURI: asked.RedirectURI, Challenge: asked.Challenge, Nonce: asked.Nonce, Scopes: g.Scopes,
		AuthTime: authTime, CreatedAt: now, ExpiresAt: now.Add(grant.CodeLifetime),
	}
	if err := s.store.CreateGrant(ctx, g, code); err != nil {
		return "", fmt.Errorf("create grant: %w", err)
	}
	return token.Reveal(), nil
}

// deny tells the app that the person said no (RFC 6749 §4.1.2.1).
func (s *Server) deny(w http.ResponseWriter, r *http.Request, asked question) {
	refused := grant.Grant{Tenant: s.tenant, AppID: asked.AppID, PersonID: asked.PersonID, Warehouse: asked.Warehouse, Scopes: asked.Scopes}
	if err := s.record(r.Context(), event{kind: consented, grant: &refused, outcome: "denied"}); err != nil {
		s.unavailable(w, r, "record refusal", err)
		return
	}
	s.redirectBack(w, asked.RedirectURI, asked.State, url.Values{
		"error": {"access_denied"}, "error_description": {"the person said no"},
	})
}

// sealForm seals what a form carries for the browser session that it is shown to. That is also
// the proof against a form posted from elsewhere: no other session can make one that opens.
func (s *Server) sealForm(current *signin.Current, purpose string, content any) (string, error) {
	if current.SessionID == "" {
		return "", fmt.Errorf("seal %s form: the browser session has no id", purpose)
	}
	plain, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("encode %s form: %w", purpose, err)
	}
	return s.ring.SealText(plain, s.formPlace(current, purpose))
}

// openForm returns an error for a form that is not from this session.
func (s *Server) openForm(current *signin.Current, purpose, sealed string, content any) error {
	plain, err := s.ring.OpenText(sealed, s.formPlace(current, purpose))
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, content) // what we sealed ourselves
}

func (s *Server) formPlace(current *signin.Current, purpose string) seal.Place {
	return seal.Place{Tenant: s.tenant, Owner: current.SessionID, Purpose: purpose + "-form"}
}
