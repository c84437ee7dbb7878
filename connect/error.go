package connect

import (
	"errors"
	"fmt"
	"html"
	"net/http"
)

// A Kind says which way a sign-in failed, for choosing words and a status.
type Kind int

// The kinds.
const (
	// Refused: the issuer, or a check of its answer, said no. Err says which.
	Refused Kind = iota
	// Denied: the person said no, or their company does.
	Denied
	// Expired: the sign-in took too long, or its answer came a second time.
	Expired
	// Foreign: the answer belongs to a sign-in that this browser did not begin, or so long ago that
	// it has forgotten.
	Foreign
	// Unavailable: the issuer, or the session store, does not answer. Trying again may help.
	Unavailable
	// TooLong: the path to return to does not fit into a cookie.
	TooLong
)

// An Error is a sign-in that failed. Its text is for logs: what people see should be words of
// the app's own, because parts of it come from the URL.
type Error struct {
	Kind Kind
	// ReturnTo is where the person wanted to go, for trying again; "" where that is not known.
	ReturnTo string
	Err      error
}

func (e *Error) Error() string { return fmt.Sprintf("sign-in failed: %v", e.Err) }
func (e *Error) Unwrap() error { return e.Err }

var (
	errReplayed = errors.New("the answer was used before")
	errExpired  = errors.New("the sign-in took longer than ten minutes")
	errForeign  = errors.New("this browser knows no sign-in with this state")
	errIssuer   = errors.New("the answer does not come from the expected issuer (iss)")
	errTooLong  = errors.New("the path to return to is too long for a cookie")
)

// fail answers a failed sign-in.
func (c *Client) fail(w http.ResponseWriter, r *http.Request, failure *Error) {
	c.logger.Info("sign-in failed", "issuer", c.config.Issuer, "error", failure.Err)
	if c.config.OnError != nil {
		c.config.OnError(w, r, failure)
		return
	}
	page := plainPages[failure.Kind]
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(page.status)
	again := ""
	if failure.ReturnTo != "" {
		again = fmt.Sprintf(`<p><a href="%s">Go back</a></p>`, html.EscapeString(c.config.AfterLogin))
	}
	fmt.Fprintf(w, `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>%[1]s</title><main><h1>%[1]s</h1><p>%[2]s</p>%[3]s</main></html>`,
		page.title, page.text, again)
}

// plainPages are fixed texts: nothing of the request is shown.
var plainPages = map[Kind]struct {
	status      int
	title, text string
}{
	Refused:     {http.StatusBadGateway, "You could not be signed in", "The answer could not be accepted. Please start again; if it happens again, tell the makers of this app."},
	Denied:      {http.StatusForbidden, "Access was denied", "Nothing was connected. You can start again if you change your mind."},
	Expired:     {http.StatusBadRequest, "This sign-in has expired", "It took too long, or was finished before. Please start again."},
	Foreign:     {http.StatusBadRequest, "This sign-in is not known here", "It belongs to another browser, to a link that somebody sent you, or to more than an hour ago. Please start again from this app."},
	Unavailable: {http.StatusServiceUnavailable, "The sign-in service does not answer", "Nothing was changed. Please try again in a minute."},
	TooLong:     {http.StatusRequestURITooLong, "This link is too long", "Please start again from the front page."},
}
