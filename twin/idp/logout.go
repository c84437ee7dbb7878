package idp

import (
	"net/http"
	"net/url"
	"slices"
)

// logout is the end_session endpoint of OpenID Connect RP-Initiated Logout. With an ID token
// of who is signed in it acts at once; without one it asks first, because any site can send a
// browser here.
func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	parameters, err := requestParameters(r)
	if err != nil {
		p.showError(w, http.StatusBadRequest, err.Error())
		return
	}
	back, problem := p.afterLogout(parameters)
	if problem != "" {
		p.showError(w, http.StatusBadRequest, problem)
		return
	}
	confirmed := r.Method == http.MethodPost && parameters.Get("confirmed") == "yes" && p.sameSite.Check(r) == nil
	current, signedIn := p.session(r)
	if signedIn && !confirmed && p.hinted(parameters.Get("id_token_hint")) != current.person.Subject {
		p.askToSignOut(w, parameters, current, back)
		return
	}
	p.endSession(w, r)
	if back != "" {
		http.Redirect(w, r, back, http.StatusSeeOther)
		return
	}
	p.pages.message.Write(w, http.StatusOK, messageView{
		Title: "You are signed out", Text: "Nobody is signed in at the twin’s identity provider in this browser. You can close the page.",
	})
}

// afterLogout checks where the browser is to go, §2 and §3 of the specification.
func (p *Provider) afterLogout(parameters url.Values) (back, problem string) {
	for _, values := range parameters {
		if len(values) > 1 {
			return "", "A parameter was given twice."
		}
	}
	target := parameters.Get("post_logout_redirect_uri")
	if target == "" {
		return "", ""
	}
	id := parameters.Get("client_id")
	if id == "" {
		id = p.hintedClient(parameters.Get("id_token_hint"))
	}
	client, known := p.client(id)
	if !known || !slices.Contains(client.PostLogoutRedirectURIs, target) {
		return "", "The post_logout_redirect_uri is not one that is registered for the client. Add client_id or id_token_hint if they are missing."
	}
	u, err := url.Parse(target)
	if err != nil {
		return "", "The post_logout_redirect_uri is not a URL."
	}
	if state := parameters.Get("state"); state != "" {
		query := u.Query()
		query.Set("state", state)
		u.RawQuery = query.Encode()
	}
	return u.String(), ""
}

func (p *Provider) askToSignOut(w http.ResponseWriter, parameters url.Values, current session, back string) {
	view := messageView{
		Title: "Sign out?", Text: current.person.Name + " is signed in at the twin’s identity provider in this browser.",
		Action: p.path + logoutPath, Button: "Sign out", Fields: map[string]string{"confirmed": "yes"},
	}
	for _, name := range []string{"client_id", "id_token_hint", "post_logout_redirect_uri", "state"} {
		if value := parameters.Get(name); value != "" {
			view.Fields[name] = value
		}
	}
	var formAction []string
	if back != "" {
		formAction = []string{"http://localhost:*", "http://127.0.0.1:*", origin(back)}
	}
	p.pages.message.Write(w, http.StatusOK, view, formAction...)
}

func (p *Provider) endSession(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		p.mu.Lock()
		p.sessions.drop(cookie.Value)
		p.mu.Unlock()
	}
	p.setCookie(w, sessionCookie, "")
}

// hinted is the subject of an ID token of ours; it may have expired.
func (p *Provider) hinted(token string) string { return p.hint(token).Subject }

func (p *Provider) hintedClient(token string) string { return p.hint(token).Audience }

type hint struct {
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
}

func (p *Provider) hint(token string) hint {
	var claims hint
	if token == "" || p.keys.verify(token, &claims) != nil {
		return hint{}
	}
	return claims
}
