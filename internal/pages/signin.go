package pages

import "net/http"

// ChooseUpstream asks where the person wants to sign in.
type ChooseUpstream struct {
	Upstreams []Upstream
	// For is the app that the person is on the way to; empty when they came by themselves.
	For    string
	Notice string
}

// An Upstream is one place to sign in: a link.
type Upstream struct {
	DisplayName string
	Host        string // of its issuer, shown small; empty for none
	URL         string // a path of the gateway
}

// Initials stand in for a logo.
func (u Upstream) Initials() string { return firstLetter(initials(u.DisplayName)) }

// ChooseUpstream shows the choice.
func (p *Pages) ChooseUpstream(w http.ResponseWriter, r *http.Request, page ChooseUpstream) {
	p.show(w, r, http.StatusOK, "choose", frame{Title: "Sign in", Notice: page.Notice, Page: page})
}

// SignedOut says that the browser's session is over.
type SignedOut struct {
	SignIn string // a path where to sign in again; empty for none
	// Upstream is where the person may still be signed in: signing out here does not end that.
	Upstream string
}

// SignedOut shows it.
func (p *Pages) SignedOut(w http.ResponseWriter, r *http.Request, page SignedOut) {
	p.show(w, r, http.StatusOK, "signedout", frame{Title: "You are signed out", Page: page})
}
