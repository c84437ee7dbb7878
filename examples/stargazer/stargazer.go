// Package stargazer is an example of an app that connects Amazon Redshift with OAuth: a person
// connects, asks in SQL, and sees a table and a chart of what they themselves may see.
//
// It stands for another company's app, so it has only what any app developer has: the public
// package connect and the standard library. Read flow.go first; it is all that OAuth asks of
// an app, and it is there to be copied. sql.go asks and chart.go draws.
//
// What it fears: text of others in its pages (html/template escapes it, and the pages run no
// script), a form posted from another site (http.CrossOriginProtection), and keeping more of a
// person than it needs: tokens stay in connect's session store, and it stores nothing else.
package stargazer

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"

	"github.com/shiftgrant/shiftgrant/connect"
)

//go:embed templates
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// Config is what the app is told when it starts.
type Config struct {
	BaseURL      string // where people reach it: "http://localhost:7421"
	Issuer       string // the gateway
	ClientID     string
	ClientSecret string // empty for a public client
	Warehouse    string // its name at the gateway
	Key          []byte // 32 bytes that seal cookies and sessions
	Sessions     connect.SessionStore
	Logger       *slog.Logger // nil is slog.Default()
}

// app is Stargazer.
type app struct {
	redshift  *connect.Client
	logger    *slog.Logger
	templates map[string]*template.Template
	assets    string // path of the assets, with a hash of their content
}

// New makes the app. It asks nothing of the gateway yet.
func New(config Config) (http.Handler, error) {
	a := &app{logger: config.Logger, templates: map[string]*template.Template{}}
	if a.logger == nil {
		a.logger = slog.Default()
	}
	for _, page := range []string{"ask", "landing", "message"} {
		parsed, err := template.ParseFS(templateFiles, "templates/layout.html", "templates/"+page+".html")
		if err != nil {
			return nil, fmt.Errorf("stargazer: %w", err)
		}
		a.templates[page] = parsed
	}
	if err := a.connect(config); err != nil {
		return nil, fmt.Errorf("stargazer: %w", err)
	}
	mux := http.NewServeMux()
	if err := a.serveAssets(mux); err != nil {
		return nil, fmt.Errorf("stargazer: %w", err)
	}
	a.flow(mux)
	mux.HandleFunc("GET /{$}", a.landing)
	mux.HandleFunc("GET /goodbye", a.goodbye)
	mux.HandleFunc("GET /ask", a.connected(a.ask))
	mux.HandleFunc("POST /ask", a.connected(a.answer))
	mux.HandleFunc("GET /", a.notFound)
	return http.NewCrossOriginProtection().Handler(mux), nil
}

// serveAssets puts the style sheet and the icon under a path that changes with their content,
// so that browsers may keep them for good.
func (a *app) serveAssets(mux *http.ServeMux) error {
	files, err := fs.Sub(assetFiles, "assets")
	if err != nil {
		return err
	}
	hash := sha256.New()
	for _, name := range []string{"style.css", "star.svg"} {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		hash.Write(content)
	}
	a.assets = "/assets/" + hex.EncodeToString(hash.Sum(nil)[:6]) + "/"
	server := http.StripPrefix(a.assets, http.FileServerFS(files))
	for _, name := range []string{"style.css", "star.svg"} {
		mux.HandleFunc("GET "+a.assets+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			server.ServeHTTP(w, r)
		})
	}
	return nil
}

// view is what the layout needs, around a page.
type view struct {
	Title  string
	Assets string
	Person string // who is connected; empty for nobody
	Page   any
}

// show renders a page, whole before the first byte is sent.
func (a *app) show(w http.ResponseWriter, status int, page string, v view) {
	v.Assets = a.assets
	var body bytes.Buffer
	if err := a.templates[page].ExecuteTemplate(&body, "layout", v); err != nil {
		a.logger.Error("render page", "page", page, "error", err)
		http.Error(w, "The page could not be shown.", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the browser is gone: nobody left to tell
}

// message is a page with one thing to say.
type message struct {
	Title, What, Do string
	Link            *link
	Reference       string // for whoever is asked for help
}

type link struct{ Label, URL string }

func (a *app) say(w http.ResponseWriter, status int, m message) {
	a.show(w, status, "message", view{Title: m.Title, Page: m})
}

// landing is the front page, which those who are connected need not see.
func (a *app) landing(w http.ResponseWriter, r *http.Request) {
	if _, err := a.redshift.Session(r); err == nil {
		http.Redirect(w, r, "/ask", http.StatusSeeOther)
		return
	}
	a.show(w, http.StatusOK, "landing", view{Title: "Charts for people who ask the warehouse"})
}

func (a *app) goodbye(w http.ResponseWriter, _ *http.Request) {
	a.say(w, http.StatusOK, message{
		Title: "You are disconnected",
		What:  "Stargazer's access to Redshift has ended, and it has forgotten who you are.",
		Do:    "Come back whenever you have a question.",
		Link:  &link{"Connect Amazon Redshift", "/login"},
	})
}

func (a *app) notFound(w http.ResponseWriter, _ *http.Request) {
	a.say(w, http.StatusNotFound, message{
		Title: "Nothing shines here",
		What:  "There is no page at this address.",
		Link:  &link{"Go to the front page", "/"},
	})
}
