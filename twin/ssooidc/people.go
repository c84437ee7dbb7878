package ssooidc

import (
	"crypto/subtle"
	_ "embed"
	"net/http"
	"net/url"
	"strings"

	"github.com/shiftgrant/shiftgrant/twin/identitycenter"
	"github.com/shiftgrant/shiftgrant/twin/page"
)

//go:embed signin.html
var signInHTML string

//go:embed done.html
var doneHTML string

// people are the pages at which people sign in.
type people struct {
	config       Config
	signIn, done *page.Page
}

// view is the sign-in page.
type view struct {
	What   string // what somebody signs in for
	Action string
	Code   string // of a device
	Device bool
	Wrong  bool
	People []identitycenter.Person
}

type message struct{ Title, Text string }

// authorize is the browser's step of the authorization code grant. Its parameter is named scopes,
// as Amazon's drivers send it.
func (p *people) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	asked := identitycenter.Authorization{
		Client: query.Get("client_id"), RedirectURI: query.Get("redirect_uri"),
		Challenge: query.Get("code_challenge"), Scopes: strings.Fields(query.Get("scopes")),
	}
	if err := p.config.Center.Check(asked); err != nil || query.Get("response_type") != "code" || query.Get("code_challenge_method") != "S256" {
		text := "response_type=code and code_challenge_method=S256 are needed."
		if err != nil {
			text = err.Error()
		}
		p.done.Write(w, http.StatusBadRequest, message{"This request cannot be used", text})
		return
	}
	redirect, err := url.Parse(asked.RedirectURI)
	if err != nil {
		p.done.Write(w, http.StatusBadRequest, message{"This request cannot be used", "The redirect URI is no URL."})
		return
	}
	origin := redirect.Scheme + "://" + redirect.Host
	name, answered := p.who(w, r, view{What: "An application", Action: r.URL.RequestURI()}, origin)
	if !answered {
		return
	}
	back := redirect.Query()
	if state := query.Get("state"); state != "" {
		back.Set("state", state)
	}
	code, err := p.config.Center.Allow(asked, name)
	if err != nil {
		back.Set("error", "access_denied")
	} else {
		back.Set("code", code)
	}
	redirect.RawQuery = back.Encode()
	http.Redirect(w, r, redirect.String(), http.StatusSeeOther)
}

// device is the page to which a device sends its person.
func (p *people) device(w http.ResponseWriter, r *http.Request) {
	name, answered := p.who(w, r, view{What: "A device", Action: "/device", Code: r.FormValue("user_code"), Device: true})
	if !answered {
		return
	}
	if err := p.config.Center.Approve(r.FormValue("user_code"), name); err != nil {
		p.done.Write(w, http.StatusBadRequest, message{"That did not work", err.Error()})
		return
	}
	if name == "" {
		p.done.Write(w, http.StatusOK, message{"You said no", "The device gets nothing."})
		return
	}
	p.done.Write(w, http.StatusOK, message{"You are signed in", "You can go back to your device."})
}

// who asks who is there, by a page until it is answered. The name is empty for "cancel".
func (p *people) who(w http.ResponseWriter, r *http.Request, v view, formAction ...string) (name string, answered bool) {
	v.People = p.config.Center.People()
	if r.Method == http.MethodGet {
		p.signIn.Write(w, http.StatusOK, v, formAction...)
		return "", false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	switch {
	case r.PostFormValue("answer") == "cancel":
		return "", true
	case r.PostFormValue("person") != "":
		return r.PostFormValue("person"), true
	case subtle.ConstantTimeCompare([]byte(r.PostFormValue("password")), []byte(p.config.Password)) == 1:
		for _, known := range v.People {
			short, _, _ := strings.Cut(known.UserName, "@")
			if given := r.PostFormValue("username"); given == known.UserName || given == short {
				return known.UserName, true
			}
		}
	}
	v.Wrong = true
	p.signIn.Write(w, http.StatusUnauthorized, v, formAction...)
	return "", false
}
