// Package page draws the twin's few pages: plain HTML, no script, one inline style sheet, and
// a banner that no production system would wear.
//
// The headers are those of a serious page even so: programs are tested against the twin, and
// a browser that is used for a demonstration is somebody's real browser.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
)

//go:embed layout.html
var layout string

//go:embed style.css
var style string

// A Page is a template inside the layout.
type Page struct{ template *template.Template }

// Parse makes a page of the template of its main part, which may define "title".
func Parse(body string) (*Page, error) {
	t, err := template.New("layout").Parse(layout)
	if err != nil {
		return nil, fmt.Errorf("parse layout: %w", err)
	}
	if _, err := t.New("main").Parse(body); err != nil {
		return nil, fmt.Errorf("parse page: %w", err)
	}
	return &Page{t}, nil
}

// Write renders the page with all its headers. Forms may lead to the page's own origin and to
// formAction, because browsers apply the directive to the redirects after a form as well.
func (p *Page) Write(w http.ResponseWriter, status int, data any, formAction ...string) {
	var body bytes.Buffer
	err := p.template.Execute(&body, map[string]any{"Style": template.CSS(style), "Data": data}) // CSS: the embedded style sheet
	if err != nil {
		http.Error(w, "the page could not be drawn", http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256([]byte(style))
	header := w.Header()
	header.Set("Content-Security-Policy", strings.Join([]string{
		"default-src 'none'",
		"style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
		"img-src data:",
		"form-action " + strings.Join(append([]string{"'self'"}, formAction...), " "),
		"frame-ancestors 'none'",
		"base-uri 'none'",
	}, "; "))
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}
