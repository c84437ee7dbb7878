// Package person plays somebody with a browser: it opens an authorization URL, signs in at
// the twin's IdP, answers the consent page, and stops where the app would take over. Tests
// and `shiftgrant dev token` use it; nothing in it knows a password but the twin's.
//
// It works on the pages' forms as a browser without JavaScript does, so it also shows that
// the pages need none.
package person

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// A Person has a name and a password at the IdP, and one browser with its cookies. Not safe
// for concurrent use.
type Person struct {
	Username string
	Password string
	browser  *http.Client
}

// New gives a person a fresh browser.
func New(username, password string) *Person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // documented never to happen
	}
	return &Person{username, password, &http.Client{
		Jar:           jar,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Cookies are those that the person's browser sends to a URL, for a program that goes on with
// the session by itself.
func (p *Person) Cookies(u *url.URL) []*http.Cookie { return p.browser.Jar.Cookies(u) }

// Answer is what a person presses on the consent page.
type Answer string

// The answers.
const (
	Allow Answer = "Allow"
	Deny  Answer = "Deny"

	// proceed is what other IdPs write on the button that allows.
	proceed Answer = "Continue"
)

// maxSteps bounds the pages of one flow: sign-in, consent and the redirects between.
const maxSteps = 30

// Authorize opens an authorization URL and gives the URL that the app's redirect URI is called
// with. It never requests that one. A page that is neither sign-in nor consent is an error
// that says what the page said.
func (p *Person) Authorize(ctx context.Context, authorize string, answer Answer) (*url.URL, error) {
	start, err := url.Parse(authorize)
	if err != nil {
		return nil, fmt.Errorf("open authorization URL: %w", err)
	}
	redirect := start.Query().Get("redirect_uri")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, authorize, nil)
	if err != nil {
		return nil, fmt.Errorf("open authorization URL: %w", err)
	}
	for range maxSteps {
		page, err := p.open(request)
		if err != nil {
			return nil, err
		}
		if page.location != nil {
			if target := page.location.String(); redirect != "" && strings.HasPrefix(target, redirect+"?") {
				return page.location, nil
			}
			request, err = http.NewRequestWithContext(ctx, http.MethodGet, page.location.String(), nil)
		} else {
			request, err = p.fill(ctx, page, answer)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("sign in as %s: still no answer for the app after %d pages", p.Username, maxSteps)
}

// page is a response: a redirect or a document.
type page struct {
	url      *url.URL
	location *url.URL
	status   int
	document *html.Node
}

func (p *Person) open(request *http.Request) (*page, error) {
	response, err := p.browser.Do(request)
	if err != nil {
		return nil, fmt.Errorf("open page: %w", err)
	}
	defer response.Body.Close()
	opened := &page{url: request.URL, status: response.StatusCode}
	if location, err := response.Location(); err == nil {
		opened.location = location
		return opened, nil
	}
	opened.document, err = html.Parse(io.LimitReader(response.Body, 4<<20))
	if err != nil {
		return nil, fmt.Errorf("read page %s: %w", request.URL.Path, err)
	}
	return opened, nil
}

// fill answers the form of a page: credentials where it asks for a password, else the button
// with the answer's text.
func (p *Person) fill(ctx context.Context, page *page, answer Answer) (*http.Request, error) {
	forms := elements(page.document, "form")
	for _, form := range forms {
		if slices.ContainsFunc(elements(form, "input"), func(n *html.Node) bool { return attribute(n, "type") == "password" }) {
			values := fields(form)
			for _, input := range elements(form, "input") {
				switch attribute(input, "type") {
				case "password":
					values.Set(attribute(input, "name"), p.Password)
				case "text", "email", "":
					values.Set(attribute(input, "name"), p.Username)
				}
			}
			return post(ctx, page.url, form, values)
		}
	}
	for _, form := range forms {
		// The code of a device, which the link has brought along: consent is asked for on the next page.
		if slices.ContainsFunc(elements(form, "input"), func(n *html.Node) bool { return attribute(n, "name") == "user_code" }) {
			return post(ctx, page.url, form, fields(form))
		}
	}
	for _, form := range forms {
		for _, button := range elements(form, "button") {
			label := Answer(strings.TrimSpace(text(button)))
			if label == answer || answer == Allow && label == proceed {
				values := fields(form)
				if name := attribute(button, "name"); name != "" {
					values.Set(name, attribute(button, "value"))
				}
				return post(ctx, page.url, form, values)
			}
		}
	}
	return nil, fmt.Errorf("page %s (status %d) asks for neither sign-in nor consent: %s", page.url.Path, page.status, strings.Join(strings.Fields(text(page.document)), " "))
}

func post(ctx context.Context, base *url.URL, form *html.Node, values url.Values) (*http.Request, error) {
	action, err := base.Parse(attribute(form, "action"))
	if err != nil {
		return nil, fmt.Errorf("post form: %w", err)
	}
	if !strings.EqualFold(attribute(form, "method"), http.MethodPost) {
		return nil, errors.New("post form: the form is not a POST")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, action.String(), strings.NewReader(values.Encode()))
	if err != nil {
		return nil, fmt.Errorf("post form: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// What a browser says of a form that a site posts to itself (Fetch Metadata).
	request.Header.Set("Origin", base.Scheme+"://"+base.Host)
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	return request, nil
}

// fields are the values that a form starts with: hidden ones, and text.
func fields(form *html.Node) url.Values {
	values := url.Values{}
	for _, input := range elements(form, "input") {
		if name := attribute(input, "name"); name != "" && attribute(input, "type") != "submit" {
			values.Set(name, attribute(input, "value"))
		}
	}
	return values
}

func elements(root *html.Node, tag string) []*html.Node {
	var found []*html.Node
	for node := range root.Descendants() {
		if node.Type == html.ElementNode && node.Data == tag {
			found = append(found, node)
		}
	}
	return found
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text is what a person reads of a node: no styles.
func text(root *html.Node) string {
	var b strings.Builder
	for node := range root.Descendants() {
		if node.Type == html.TextNode && node.Parent.Data != "style" && node.Parent.Data != "title" {
			b.WriteString(node.Data)
			b.WriteByte(' ')
		}
	}
	return b.String()
}
