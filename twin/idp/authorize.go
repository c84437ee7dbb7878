package idp

import (
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// authorization is an authorization request that has been checked.
type authorization struct {
	client      string
	redirectURI string
	state       string
	nonce       string
	scopes      []string
	challenge   string
	prompts     []string
	maxAge      time.Duration // -1 where none is asked for
	loginHint   string
	offline     bool // see RefreshFor
}

// supportedScopes are kept of what a client asks for; others are ignored, as OpenID Connect
// Core §3.1.2.1 says.
var supportedScopes = []string{"openid", "profile", "email", "groups", "offline_access"}

var challengePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// oauthError is an error of RFC 6749, in words that say what to change.
type oauthError struct {
	code        string
	description string
	status      int
}

func (e *oauthError) Error() string { return e.code + ": " + e.description }

func refuse(code, description string) *oauthError {
	return &oauthError{code, description, http.StatusBadRequest}
}

// authorize is the authorization endpoint.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	parameters, err := requestParameters(r)
	if err != nil {
		p.showError(w, http.StatusBadRequest, err.Error())
		return
	}
	request, problem := p.redirectTarget(parameters)
	if problem != "" {
		// RFC 6749 §4.1.2.1: never redirect to where nobody has registered.
		p.showError(w, http.StatusBadRequest, problem)
		return
	}
	if refused := request.read(parameters, p.config.Profile); refused != nil {
		p.redirectError(w, r, request, refused)
		return
	}
	p.decide(w, r, request)
}

func requestParameters(r *http.Request) (url.Values, error) {
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		values, refused := readForm(r)
		if refused != nil {
			return nil, refused
		}
		return values, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, refuse("invalid_request", "the query is not well formed")
	}
	return values, nil
}

// readForm reads a form from the body, and from nowhere else.
func readForm(r *http.Request) (url.Values, *oauthError) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, refuse("invalid_request", "the Content-Type must be application/x-www-form-urlencoded")
	}
	if r.URL.RawQuery != "" {
		return nil, refuse("invalid_request", "parameters belong in the body, not in the URL")
	}
	if err := r.ParseForm(); err != nil {
		return nil, refuse("invalid_request", "the body is not a well-formed form, or too large")
	}
	return r.PostForm, nil
}

// redirectTarget checks what must be right before anything may be told to the client.
func (p *Provider) redirectTarget(parameters url.Values) (authorization, string) {
	if len(parameters["client_id"]) != 1 || len(parameters["redirect_uri"]) != 1 {
		return authorization{}, "The request must have client_id and redirect_uri, each once."
	}
	client, known := p.client(parameters.Get("client_id"))
	if !known {
		return authorization{}, "The client_id is not registered here. The twin registers it from its configuration."
	}
	if !slices.Contains(client.RedirectURIs, parameters.Get("redirect_uri")) {
		return authorization{}, "The redirect_uri is not one that is registered for this client, character by character."
	}
	request := authorization{client: client.ID, redirectURI: parameters.Get("redirect_uri"), maxAge: -1}
	if len(parameters["state"]) == 1 {
		request.state = parameters.Get("state")
	}
	return request, ""
}

// read checks the rest of the request, in the order of the specifications.
func (a *authorization) read(parameters url.Values, profile Profile) *oauthError {
	for _, values := range parameters {
		if len(values) > 1 {
			return refuse("invalid_request", "a parameter was given twice") // RFC 6749 §3.1
		}
	}
	if parameters.Has("request") {
		return refuse("request_not_supported", "leave request out")
	}
	if parameters.Has("request_uri") {
		return refuse("request_uri_not_supported", "leave request_uri out")
	}
	switch parameters.Get("response_type") {
	case "code":
	case "":
		return refuse("invalid_request", "add response_type=code")
	default:
		return refuse("unsupported_response_type", "the one response_type is code")
	}
	if mode := parameters.Get("response_mode"); mode != "" && mode != "query" {
		return refuse("invalid_request", "the one response_mode is query")
	}
	if profile.OpaqueState && url.QueryEscape(a.state) != a.state {
		return refuse("invalid_request", "the state may hold only what a URL takes as it stands, such as base64url")
	}
	if err := a.readScope(parameters.Get("scope"), profile); err != nil {
		return err
	}
	// RFC 7636 §4.3, §4.4.1.
	if !challengePattern.MatchString(parameters.Get("code_challenge")) || parameters.Get("code_challenge_method") != "S256" {
		return refuse("invalid_request", "add code_challenge and code_challenge_method=S256 (PKCE)")
	}
	a.challenge = parameters.Get("code_challenge")
	a.nonce, a.loginHint = parameters.Get("nonce"), parameters.Get("login_hint")
	a.offline = parameters.Get("access_type") == "offline"
	return a.readPrompt(parameters, profile)
}

func (a *authorization) readScope(scope string, profile Profile) *oauthError {
	asked := strings.Fields(scope)
	if len(asked) == 0 && profile.ScopeOptional {
		a.scopes = profile.scopes()
		return nil
	}
	for _, scope := range asked {
		if slices.Contains(profile.RefuseScopes, scope) {
			return refuse("invalid_scope", "the client does not have the scope "+scope)
		}
	}
	if !slices.Contains(asked, "openid") {
		return refuse("invalid_scope", "the scope must include openid")
	}
	for _, known := range supportedScopes {
		if slices.Contains(asked, known) {
			a.scopes = append(a.scopes, known)
		}
	}
	return nil
}

// readPrompt reads prompt and max_age, OpenID Connect Core §3.1.2.1.
func (a *authorization) readPrompt(parameters url.Values, profile Profile) *oauthError {
	a.prompts = strings.Fields(parameters.Get("prompt"))
	for _, prompt := range a.prompts {
		if !slices.Contains(profile.prompts(), prompt) {
			return refuse("invalid_request", "the prompts are "+strings.Join(profile.prompts(), ", "))
		}
	}
	if a.asks("none") && len(a.prompts) > 1 {
		return refuse("invalid_request", "prompt=none stands alone")
	}
	if text := parameters.Get("max_age"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 0 || seconds > 1<<30 {
			return refuse("invalid_request", "max_age is a number of seconds")
		}
		a.maxAge = time.Duration(seconds) * time.Second
	}
	return nil
}

func (a *authorization) asks(prompt string) bool { return slices.Contains(a.prompts, prompt) }

// decide answers a good request: as the script says, from the browser's session, or with the
// sign-in page.
func (p *Provider) decide(w http.ResponseWriter, r *http.Request, request authorization) {
	script := p.currentScript()
	if script.Deny {
		p.redirectError(w, r, request, refuse("access_denied", "the person refused"))
		return
	}
	if script.SignInAs != "" {
		person, known := p.person(script.SignInAs)
		if !known {
			p.showError(w, http.StatusInternalServerError, "The script signs in as somebody whom the twin does not know.")
			return
		}
		p.redirectCode(w, r, request, session{person, p.config.Now()})
		return
	}
	current, signedIn := p.session(r)
	if signedIn && request.maxAge >= 0 && p.config.Now().Sub(current.authTime) > request.maxAge {
		signedIn = false
	}
	if request.asks("none") {
		if !signedIn {
			p.redirectError(w, r, request, refuse("login_required", "nobody is signed in"))
			return
		}
		p.redirectCode(w, r, request, current)
		return
	}
	if request.asks("login") {
		signedIn = false
	}
	p.askWho(w, r, request, current, signedIn)
}

// redirectCode makes a code and sends the browser back with it.
func (p *Provider) redirectCode(w http.ResponseWriter, r *http.Request, request authorization, by session) {
	value, now := newSecret("twin-code-"), p.config.Now()
	p.mu.Lock()
	p.codes.put(value, &code{request: request, grant: &grant{
		client: request.client, person: by.person, scopes: request.scopes, authTime: by.authTime, expires: now.Add(p.config.RefreshLife),
		refreshes: p.givesRefresh(request, by.person),
	}}, now, now.Add(codeLife))
	p.mu.Unlock()
	p.config.Logger.Info("idp signed in", "person", by.person.Username, "client", request.client)
	p.redirect(w, r, request, url.Values{"code": {value}})
}

func (p *Provider) redirectError(w http.ResponseWriter, r *http.Request, request authorization, refused *oauthError) {
	p.config.Logger.Info("idp refused authorization", "client", request.client, "error", refused.code, "description", refused.description)
	p.redirect(w, r, request, url.Values{"error": {refused.code}, "error_description": {refused.description}})
}

// redirect adds what each response carries: state (RFC 6749 §4.1.2) and iss (RFC 9207 §2).
func (p *Provider) redirect(w http.ResponseWriter, r *http.Request, request authorization, response url.Values) {
	if request.state != "" {
		response.Set("state", request.state)
	}
	if !p.config.Profile.NoIssuerParameter {
		response.Set("iss", p.config.Issuer)
	}
	target, err := url.Parse(request.redirectURI)
	if err != nil {
		p.showError(w, http.StatusInternalServerError, "The registered redirect_uri is not a URL.")
		return
	}
	separator := "?"
	if target.RawQuery != "" {
		separator = "&"
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	// 303: after the sign-in form the browser must not post a password on.
	http.Redirect(w, r, request.redirectURI+separator+response.Encode(), http.StatusSeeOther)
}
