package idp

import (
	"crypto/subtle"
	_ "embed"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/shiftgrant/shiftgrant/twin/page"
)

// Cookies on localhost are shared by all ports, so the names say whose they are.
const (
	browserCookie = "twin_idp_browser" // binds a ticket to the browser
	sessionCookie = "twin_idp_session"
)

//go:embed signin.html
var signInHTML string

//go:embed message.html
var messageHTML string

type pages struct{ signIn, message *page.Page }

func parsePages() (pages, error) {
	signIn, err := page.Parse(signInHTML)
	if err != nil {
		return pages{}, err
	}
	message, err := page.Parse(messageHTML)
	return pages{signIn, message}, err
}

// signInView is what the sign-in page shows.
type signInView struct {
	Action   string
	Logout   string
	Ticket   string
	Client   string
	Host     string // where the browser goes afterwards
	Current  string // who is signed in already, "" for nobody
	Username string // to start the form with
	Wrong    bool
	People   []personView
}

type personView struct {
	Username, Name, Email, Initials string
	Hinted                          bool
}

// messageView is a page that has something to say and at most one thing to press.
type messageView struct {
	Title, Text string
	Action      string // where the button posts to
	Button      string
	Fields      map[string]string
}

// askWho shows the sign-in page. A browser in which somebody is signed in may go on as them:
// a page and not silence, because in a demonstration one changes places all the time.
func (p *Provider) askWho(w http.ResponseWriter, r *http.Request, request authorization, current session, signedIn bool) {
	browser, now := newSecret(""), p.config.Now()
	if cookie, err := r.Cookie(browserCookie); err == nil && len(cookie.Value) == len(browser) {
		browser = cookie.Value // a second tab must not break the first
	}
	id := newSecret("twin-ticket-")
	p.mu.Lock()
	p.tickets.put(id, ticket{request, browser}, now, now.Add(ticketLife))
	p.mu.Unlock()
	p.setCookie(w, browserCookie, browser)
	view := p.view(id, request)
	if signedIn {
		view.Current = current.person.Name
	}
	p.showSignIn(w, http.StatusOK, view, request)
}

func (p *Provider) view(ticketID string, request authorization) signInView {
	view := signInView{
		Action: p.path + signInPath, Logout: p.path + logoutPath, Ticket: ticketID,
		Client: request.client, Host: host(request.redirectURI), Username: request.loginHint,
	}
	for _, person := range p.config.People {
		hinted := request.loginHint != "" && (strings.EqualFold(person.Username, request.loginHint) || strings.EqualFold(person.Email, request.loginHint))
		view.People = append(view.People, personView{person.Username, person.Name, person.Email, initials(person.Name), hinted})
	}
	return view
}

func (p *Provider) showSignIn(w http.ResponseWriter, status int, view signInView, request authorization) {
	// The redirects after this form run through the client and on through what the client is
	// part of. Browsers hold all of them against form-action, so loopback is allowed whole.
	p.pages.signIn.Write(w, status, view, "http://localhost:*", "http://127.0.0.1:*", origin(request.redirectURI))
}

// signIn receives the sign-in page's forms.
func (p *Provider) signIn(w http.ResponseWriter, r *http.Request) {
	if err := p.sameSite.Check(r); err != nil {
		p.showError(w, http.StatusForbidden, "The form came from another site.")
		return
	}
	form, refused := readForm(r)
	if refused != nil {
		p.showError(w, refused.status, "The form could not be read.")
		return
	}
	id := form.Get("ticket")
	request, found := p.ticket(r, id)
	if !found {
		p.showError(w, http.StatusBadRequest, "This sign-in has expired, was finished already, or was begun in another browser. Go back to the application and start again.")
		return
	}
	if form.Get("answer") == "cancel" {
		p.tearUp(id)
		p.redirectError(w, r, request, refuse("access_denied", "the person cancelled the sign-in"))
		return
	}
	by, ok := p.whoSigned(w, r, form)
	if !ok {
		view := p.view(id, request)
		view.Username, view.Wrong = form.Get("username"), true
		p.showSignIn(w, http.StatusUnprocessableEntity, view, request)
		return
	}
	p.tearUp(id)
	p.redirectCode(w, r, request, by)
}

// ticket finds the request that a form belongs to, if this browser brought it.
func (p *Provider) ticket(r *http.Request, id string) (authorization, bool) {
	cookie, err := r.Cookie(browserCookie)
	if err != nil {
		return authorization{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t, found := p.tickets.get(id, p.config.Now())
	if !found || subtle.ConstantTimeCompare([]byte(t.browser), []byte(cookie.Value)) != 1 {
		return authorization{}, false
	}
	return t.request, true
}

func (p *Provider) tearUp(ticketID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tickets.drop(ticketID)
}

// whoSigned reads the answer: a button with a name on it, "continue", or a password.
func (p *Provider) whoSigned(w http.ResponseWriter, r *http.Request, form url.Values) (session, bool) {
	if form.Get("answer") == "continue" {
		return p.session(r)
	}
	if username := form.Get("person"); username != "" {
		person, known := p.person(username)
		if !known {
			return session{}, false
		}
		return p.beginSession(w, r, person), true
	}
	person, known := p.person(strings.TrimSpace(form.Get("username")))
	right := subtle.ConstantTimeCompare([]byte(person.Password), []byte(form.Get("password"))) == 1
	if !known || person.Password == "" || !right {
		return session{}, false
	}
	return p.beginSession(w, r, person), true
}

// beginSession gives the browser a session under a new id, whatever it had before.
func (p *Provider) beginSession(w http.ResponseWriter, r *http.Request, person Person) session {
	id, now := newSecret(""), p.config.Now()
	begun := session{person, now}
	p.mu.Lock()
	defer p.mu.Unlock()
	if old, err := r.Cookie(sessionCookie); err == nil {
		p.sessions.drop(old.Value)
	}
	p.sessions.put(id, begun, now, now.Add(p.config.SessionLife))
	p.setCookie(w, sessionCookie, id)
	return begun
}

func (p *Provider) session(r *http.Request) (session, bool) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return session{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions.get(cookie.Value, p.config.Now())
}

func (p *Provider) setCookie(w http.ResponseWriter, name, value string) {
	cookie := &http.Cookie{Name: name, Value: value, Path: p.path + "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

func (p *Provider) showError(w http.ResponseWriter, status int, text string) {
	p.config.Logger.Info("idp showed an error page", "status", status, "text", text)
	p.pages.message.Write(w, status, messageView{Title: "This sign-in cannot go on", Text: text})
}

func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

func initials(name string) string {
	var letters []rune
	for word := range strings.FieldsSeq(name) {
		letters = append(letters, unicode.ToUpper([]rune(word)[0]))
	}
	return string(letters[:min(2, len(letters))])
}
