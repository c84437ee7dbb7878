package connect

import (
	"net/http"
	"strings"
	"time"
)

// cookies names and makes the cookies: __Host- with Secure on https; plain names only on
// loopback http, where browsers would refuse them (RFC 6265bis §4.1.3.2).
type cookies struct {
	prefix string
	secure bool
}

func (c cookies) name(name string) string {
	if c.secure {
		return "__Host-" + name
	}
	return name
}

func (c cookies) session() string { return c.name(c.prefix) }

// transaction names the cookie of one sign-in, so that two tabs have two.
func (c cookies) transaction(id string) string { return c.name(c.prefix + "_tx_" + id) }

func (c cookies) set(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life.Seconds()),
		Secure: c.secure, HttpOnly: true,
		// Lax, because the person comes back from another site.
		SameSite: http.SameSiteLaxMode,
	})
}

func (c cookies) remove(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// transactions lists the names of the sign-ins that this browser has open.
func (c cookies) transactions(r *http.Request) []string {
	var names []string
	for _, cookie := range r.Cookies() {
		if strings.HasPrefix(cookie.Name, c.transaction("")) {
			names = append(names, cookie.Name)
		}
	}
	return names
}
