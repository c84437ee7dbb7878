package stargazer

// This file is all that OAuth asks of the app. Copy it.

import (
	"errors"
	"net/http"

	"github.com/shiftgrant/shiftgrant/connect"
)

// snippet: configure

// connect describes this app as it is registered at the gateway, and what it asks for.
func (a *app) connect(config Config) (err error) {
	a.redshift, err = connect.New(connect.Config{
		Issuer:       config.Issuer,
		ClientID:     config.ClientID,
		ClientSecret: config.ClientSecret,
		RedirectURL:  config.BaseURL + "/callback",
		Scopes:       []string{"openid", "profile", "email", "offline_access", "sql:read", "warehouse:" + config.Warehouse},
		Key:          config.Key,
		Sessions:     config.Sessions,
		CookiePrefix: "stargazer",
		AfterLogin:   "/ask",
		AfterLogout:  "/goodbye",
		OnError:      a.problem,
		Logger:       config.Logger,
	})
	return err
}

// end: configure
// snippet: mount

// flow mounts the three steps: go and ask, come back with the answer, and end it.
func (a *app) flow(mux *http.ServeMux) {
	mux.HandleFunc("GET /login", a.redshift.Login)
	mux.HandleFunc("GET /callback", a.redshift.Callback)
	mux.HandleFunc("POST /logout", a.redshift.Logout)
}

// connected lets those through who have connected, with their session.
func (a *app) connected(next func(http.ResponseWriter, *http.Request, *connect.Session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, err := a.redshift.Session(r)
		switch {
		case errors.Is(err, connect.ErrSignedOut):
			http.Redirect(w, r, "/", http.StatusSeeOther)
		case err != nil:
			a.broken(w, err)
		default:
			next(w, r, session)
		}
	}
}

// end: mount
