package pages

import (
	"net/http"
	"strings"
)

// An Error is a page about something that went wrong: what happened, in words that blame
// nobody, and what to do now. The request id is added from the request. Nothing of the request
// itself belongs in the texts: no reflected input.
type Error struct {
	Title string // "This sign-in has expired"
	What  string // what happened
	Do    string // what to do
	// Action is the one button of the page; nil for none.
	Action *Action
}

// An Action is a button: a link to URL, or a post of Form.
type Action struct {
	Label string
	URL   string // a path of the gateway
	Form  *Form
}

// Error shows what went wrong, with the status.
func (p *Pages) Error(w http.ResponseWriter, r *http.Request, status int, e Error) {
	var forms []Form
	if e.Action != nil && e.Action.Form != nil {
		forms = append(forms, *e.Action.Form)
	}
	p.show(w, r, status, "error", frame{Title: e.Title, Page: e}, forms...)
}

// NotFound is the 404.
func (p *Pages) NotFound(w http.ResponseWriter, r *http.Request) {
	p.Error(w, r, http.StatusNotFound, Error{
		Title:  "There is no page here",
		What:   "The address is mistyped, or the page has moved.",
		Do:     "Check the address, or start from the front page.",
		Action: &Action{Label: "Go to the front page", URL: p.path("/")},
	})
}

// MethodNotAllowed is the 405, for an address that is used in another way.
func (p *Pages) MethodNotAllowed(w http.ResponseWriter, r *http.Request, allow ...string) {
	w.Header().Set("Allow", strings.Join(allow, ", "))
	p.Error(w, r, http.StatusMethodNotAllowed, Error{
		Title:  "This address cannot be opened this way",
		What:   "It is one step of a longer way, and cannot be visited on its own.",
		Do:     "Start again from the front page, or from the app that sent you.",
		Action: &Action{Label: "Go to the front page", URL: p.path("/")},
	})
}

// TooLarge is the 413 or 414: a request longer than the gateway reads.
func (p *Pages) TooLarge(w http.ResponseWriter, r *http.Request, status int) {
	p.Error(w, r, status, Error{
		Title: "This request is too long",
		What:  "It was longer than the gateway reads, so it was not looked at. Nothing was changed.",
		Do:    "Go back to the app that sent you and try again. If it happens again, tell its makers.",
	})
}

// Internal is the 500: our fault.
func (p *Pages) Internal(w http.ResponseWriter, r *http.Request) {
	p.Error(w, r, http.StatusInternalServerError, Error{
		Title: "Something broke on our side",
		What:  "The gateway ran into a fault of its own. You did nothing wrong.",
		Do:    "Try again in a moment. If it stays, give your administrator the request number below.",
	})
}

// Unavailable is the 503: something that the gateway needs does not answer.
func (p *Pages) Unavailable(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "10")
	p.Error(w, r, http.StatusServiceUnavailable, Error{
		Title: "The gateway is not available right now",
		What:  "Something that it needs does not answer. Nothing was changed.",
		Do:    "Try again in a minute. If it stays, give your administrator the request number below.",
	})
}

// The errors of signing in and connecting, in words that the rooms share. "again" is a path of
// the gateway where the person can start over; empty for none.

// SignInExpired says that the person took longer than a sign-in waits, or came back twice.
func SignInExpired(again string) Error {
	return Error{
		Title:  "This sign-in has expired",
		What:   "It was left open for too long, or was already finished in this browser. That protects you: a sign-in link works once, and for a few minutes.",
		Do:     "Sign in again. It takes a moment if you are still signed in at your company.",
		Action: tryAgain("Sign in again", again),
	}
}

// SignInForeign says that an answer of the IdP came to a browser that never asked.
func SignInForeign(again string) Error {
	return Error{
		Title:  "This sign-in was not started here",
		What:   "The answer belongs to a sign-in of another browser, another window in private mode, or a link that somebody sent you. You are not signed in by it.",
		Do:     "If you want to sign in, start from here. If somebody sent you a link, do not follow it again.",
		Action: tryAgain("Sign in here", again),
	}
}

// SignInRefused says that the IdP itself did not let the person in.
func SignInRefused(upstream, again string) Error {
	return Error{
		Title:  "You were not signed in",
		What:   upstream + " did not sign you in. Either you canceled, or you may not use this application there.",
		Do:     "Try again, or ask your administrator to give you access to this application in " + upstream + ".",
		Action: tryAgain("Try again", again),
	}
}

// UpstreamDown says that the IdP does not answer.
func UpstreamDown(upstream, again string) Error {
	return Error{
		Title:  upstream + " does not answer",
		What:   "The gateway asks " + upstream + " who you are, and could not reach it. Nothing was changed.",
		Do:     "Try again in a minute. If it stays, tell your administrator, with the request number below.",
		Action: tryAgain("Try again", again),
	}
}

// DatabaseUserTaken says that the person would become a database user who is somebody else.
func DatabaseUserTaken() Error {
	return Error{
		Title: "Your Redshift user belongs to another account",
		What:  "Your company's sign-in gives you the name of a Redshift user that is already tied to somebody else's account, or to an earlier account of yours. Two people must never share one, so you were not signed in.",
		Do:    "Ask your administrator to look at this. The request number below tells them where.",
	}
}

// NoDatabaseUser says that the IdP told no database user that the gateway may use.
func NoDatabaseUser() Error {
	return Error{
		Title: "You have no Redshift user yet",
		What:  "You signed in, but your company's sign-in does not say which Redshift user you are, or names one that nobody may be.",
		Do:    "Ask your administrator to set your Redshift user. The request number below helps them.",
	}
}

// PersonDisabled says that the administrator switched the person off.
func PersonDisabled() Error {
	return Error{
		Title: "Your access is switched off",
		What:  "Your administrator has disabled your account at this gateway. Apps that you connected have no access either.",
		Do:    "If you think this is a mistake, ask your administrator.",
	}
}

// AppUnknown says that the app of an authorization request is not registered, or is disabled.
func AppUnknown() Error {
	return Error{
		Title: "This app is not known here",
		What:  "A link sent you here for an app that is not registered with this gateway, or is switched off. You were not sent on, because there is no telling where it leads.",
		Do:    "Go back and check where the link came from. If you make the app: its client_id must be one that your administrator registered.",
	}
}

// RedirectUnknown says that the app asked to be answered at an address that is not its own.
func RedirectUnknown(app string) Error {
	return Error{
		Title: "This link does not lead back to " + app,
		What:  "It asks to send your answer to an address that is not registered for " + app + ". That may be a mistake of its makers, or somebody trying to read along. You were not sent on.",
		Do:    "Start again from the app itself. If you make the app: redirect_uri must equal a registered one, character for character.",
	}
}

// ConsentExpired says that the answer came too late, twice, or from another sign-in.
func ConsentExpired() Error {
	return Error{
		Title: "This page was open for too long",
		What:  "Your answer came after the request had expired, had been answered already, or you have signed in as somebody else since. Nothing was allowed.",
		Do:    "Go back to the app and connect again.",
	}
}

func tryAgain(label, path string) *Action {
	if path == "" {
		return nil
	}
	return &Action{Label: label, URL: path}
}
