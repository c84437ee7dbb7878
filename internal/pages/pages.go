// Package pages draws what people see of the gateway: signing in, consent, their connected
// apps, and what went wrong.
//
// Consent is the one moment when a person can stop an app that is not what it seems, so the
// pages are built for reading: who asks, where the answer goes, what it may do, for how long,
// and a Deny that is as near as Allow. Everything shown comes from somebody else: an app's
// name was typed by its developer, a person's by their IdP. It is escaped by html/template,
// and would find no way to act if it were not: the pages run no script, load nothing from
// elsewhere, cannot be framed, and post only where they say.
//
// The package draws and decides nothing. Whether a form comes from the person who saw it is
// the business of its maker, who seals that into [Form].Hidden.
package pages

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/shiftgrant/shiftgrant/internal/grant"
	"github.com/shiftgrant/shiftgrant/internal/web"
)

//go:embed templates
var templates embed.FS

// Config is what the pages need to know.
type Config struct {
	// BaseURL is the tenant's URL. Its host is shown on every page, its path is where the front
	// page is, and https there sends Strict-Transport-Security.
	BaseURL string
	// Name is what people call this gateway; empty is "shiftgrant".
	Name   string
	Logger *slog.Logger // nil is slog.Default()
}

// Pages renders. It is safe for concurrent use.
type Pages struct {
	name      string
	base      *url.URL
	logger    *slog.Logger
	assets    *assets
	templates map[string]*template.Template
}

// New parses the templates and hashes the assets.
func New(config Config) (*Pages, error) {
	base, err := url.Parse(config.BaseURL)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("pages: base URL %q is not a complete URL", config.BaseURL)
	}
	p := &Pages{name: config.Name, base: base, logger: config.Logger, templates: map[string]*template.Template{}}
	if p.name == "" {
		p.name = "shiftgrant"
	}
	if p.logger == nil {
		p.logger = slog.Default()
	}
	if p.assets, err = loadAssets(); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	for _, page := range []string{"choose", "connections", "consent", "device", "deviceanswered", "error", "home", "signedout"} {
		p.templates[page], err = template.ParseFS(templates, "templates/layout.html", "templates/"+page+".html")
		if err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
	}
	return p, nil
}

// path is one of the tenant's.
func (p *Pages) path(path string) string { return p.base.EscapedPath() + path }

// A Form is where a button posts to. What makes the post trustworthy goes along in Hidden,
// sealed or bound to the browser's session by whoever made the form.
type Form struct {
	Action string // a path of the gateway
	Hidden []Field
	// LeadsTo are URLs outside of the gateway to which the answer may redirect. Browsers
	// apply the policy form-action to that redirect too, so the page must name them.
	LeadsTo []string
}

// A Field is a hidden form field.
type Field struct{ Name, Value string }

// A Viewer is the person who is signed in, for the top of a page.
type Viewer struct {
	Person  grant.Person
	SignOut Form
}

// Initials stand in for a portrait: "AA" for Alice Anders.
func (v Viewer) Initials() string { return initials(v.Person.DisplayName()) }

// A Warehouse is how a page names a Redshift target.
type Warehouse struct {
	Name        string // in the configuration: "tickit"
	DisplayName string // for people; empty takes Name
	Description string
	// GivesCredentials tells that apps can get the person's temporary credentials for it.
	GivesCredentials bool
}

// Title is the name for people.
func (w Warehouse) Title() string {
	if w.DisplayName != "" {
		return w.DisplayName
	}
	return w.Name
}

// frame is what the layout shows around a page.
type frame struct {
	Title     string
	Name      string
	Host      string
	Front     string
	Style     string
	Mark      string
	Viewer    *Viewer
	Notice    string
	RequestID string
	Page      any
}

// show renders a page with all its headers. The page is complete before the first byte is
// sent, so a failing template is a plain 500 and not half a page.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, status int, page string, f frame, forms ...Form) {
	f.Name, f.Host, f.Front, f.Style, f.Mark = p.name, p.base.Host, p.path("/"), p.assets.style.path, p.assets.mark.path
	f.RequestID = web.RequestID(r.Context())
	if f.Viewer != nil {
		forms = append(forms, f.Viewer.SignOut)
	}
	p.protect(w.Header(), forms)
	var body bytes.Buffer
	if err := p.templates[page].ExecuteTemplate(&body, "layout", f); err != nil {
		p.logger.Error("render page", "page", page, "error", err, "request_id", f.RequestID)
		http.Error(w, "The page could not be shown. Request "+f.RequestID, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) // the browser is gone: nobody left to tell
	}
}

// protect sets the headers that confine a page (ASVS 3.4, RFC 9700 §4.16 and §4.2.4).
func (p *Pages) protect(header http.Header, forms []Form) {
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action "+
		formAction(forms)+"; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Frame-Options", "DENY") // for browsers that know no frame-ancestors
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
	header.Set("Cache-Control", "no-store")
	if p.base.Scheme == "https" {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// formAction lists where the forms of a page may post and be redirected to; a page without a
// form may post nowhere.
func formAction(forms []Form) string {
	var sources []string
	for _, form := range forms {
		if form.Action == "" {
			continue
		}
		sources = append(sources, "'self'")
		for _, uri := range form.LeadsTo {
			sources = append(sources, source(uri))
		}
	}
	if len(sources) == 0 {
		return "'none'"
	}
	slices.Sort(sources)
	return strings.Join(slices.Compact(sources), " ")
}

// source is a URL as a CSP source: its origin, or its scheme where it has none ("com.example.app:").
// CSP's grammar has no IPv6 addresses, and a host with other characters than a name's could end
// the directive and begin another: for both the scheme must do.
func source(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return "'self'"
	}
	isName := func(c rune) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == ':'
	}
	if u.Scheme != "https" && u.Scheme != "http" || strings.ContainsFunc(u.Host, func(c rune) bool { return !isName(c) }) {
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// initials are the first letters of the first and last word.
func initials(name string) string {
	words := strings.Fields(name)
	if len(words) == 0 {
		return "?"
	}
	letters := firstLetter(words[0])
	if len(words) > 1 {
		letters += firstLetter(words[len(words)-1])
	}
	return strings.ToUpper(letters)
}

func firstLetter(word string) string {
	for _, letter := range word {
		return string(letter)
	}
	return ""
}

// A Day is shown as a date. Pages know no time zone but UTC, and a day is as precise as what
// they say needs.
type Day struct{ time.Time }

// Words is the date for people: "November 23, 2026".
func (d Day) Words() string { return d.UTC().Format("January 2, 2006") }

// ISO is the date for <time datetime>.
func (d Day) ISO() string { return d.UTC().Format(time.DateOnly) }
