package grant

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ErrRedirectURI is wrapped by every refusal of a redirect URI.
var ErrRedirectURI = errors.New("invalid redirect URI")

// CheckRedirectURI says whether a redirect URI may be registered: a complete URI without
// fragment, user or wildcard; https, http on a loopback address, or a private-use scheme
// with a period in it (RFC 8252 §7.1, OAuth 2.1 §2.3).
func CheckRedirectURI(uri string) error {
	refuse := func(why string) error { return fmt.Errorf("%w: %s", ErrRedirectURI, why) }
	for i := range len(uri) {
		if c := uri[i]; c <= 0x20 || c >= 0x7f || c == '\\' || c == '*' {
			return refuse("use only printable ASCII, without spaces, backslashes or wildcards")
		}
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return refuse("give the complete URI, with its scheme")
	}
	if strings.Contains(uri, "#") {
		return refuse("leave out the fragment (#…)")
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !isLoopback(u.Hostname()) {
			return refuse("http is allowed for 127.0.0.1, [::1] and localhost only; use https")
		}
	default:
		if !strings.Contains(u.Scheme, ".") {
			return refuse("a private-use scheme needs a period, such as com.example.app")
		}
		return nil
	}
	switch {
	case u.Host == "" || u.Opaque != "":
		return refuse("give the host, as in https://app.example/callback")
	case u.User != nil || strings.Contains(u.Host, "@"):
		return refuse("leave out user and password")
	case hasDotSegment(u.Path):
		return refuse("write the path without . and .. segments")
	}
	return nil
}

// CheckHomepage says whether people can be shown where an app comes from: by an http or https URL
// with a host, or not at all.
func CheckHomepage(homepage string) error {
	if homepage == "" {
		return nil
	}
	u, err := url.Parse(homepage)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("give the URL of the app's own site, such as https://app.example")
	}
	return nil
}

func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// MatchRedirectURI reports whether a requested redirect URI is one of those registered: by
// simple string comparison, where only the port of a loopback URI may differ (RFC 9700 §2.1,
// RFC 8252 §7.3).
func MatchRedirectURI(registered []string, requested string) bool {
	if slices.Contains(registered, requested) {
		return true
	}
	prefix, rest, ok := splitLoopback(requested)
	if !ok {
		return false
	}
	return slices.ContainsFunc(registered, func(uri string) bool {
		p, r, ok := splitLoopback(uri)
		return ok && p == prefix && r == rest
	})
}

// splitLoopback cuts a loopback URI at its port: "http://127.0.0.1", "/cb?x=y". It works on
// the text, because a parser that repairs or decodes would compare something else than what
// the browser follows.
func splitLoopback(uri string) (prefix, rest string, ok bool) {
	for _, origin := range []string{"http://127.0.0.1", "http://[::1]", "http://localhost"} {
		after, found := strings.CutPrefix(uri, origin)
		if !found {
			continue
		}
		if port, hasPort := strings.CutPrefix(after, ":"); hasPort {
			end := len(port) - len(strings.TrimLeft(port, "0123456789"))
			number, err := strconv.ParseUint(port[:end], 10, 16)
			if err != nil || number == 0 || port[0] == '0' {
				return "", "", false
			}
			after = port[end:]
		}
		if after != "" && after[0] != '/' && after[0] != '?' {
			return "", "", false
		}
		return origin, after, true
	}
	return "", "", false
}

func isLoopback(host string) bool {
	return host == "127.0.0.1" || host == "::1" || host == "localhost"
}

// IsLoopbackURI reports whether a redirect leads to the person's own machine, where any
// program may be listening: such an app's identity is never assured (OAuth 2.1 §7.3.1).
func IsLoopbackURI(uri string) bool {
	_, _, ok := splitLoopback(uri)
	return ok
}
