package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// canonicalRequest is the text whose hash is signed: method, path, query, headers, the list of
// signed headers, and the payload's hash.
func canonicalRequest(r *http.Request, signed []string, payloadHash string) string {
	var text strings.Builder
	text.WriteString(r.Method + "\n")
	text.WriteString(canonicalPath(r.URL) + "\n")
	text.WriteString(canonicalQuery(r.URL.RawQuery) + "\n")
	for _, name := range signed {
		text.WriteString(name + ":" + canonicalValue(headerValues(r, name)) + "\n")
	}
	text.WriteString("\n" + strings.Join(signed, ";") + "\n" + payloadHash)
	return text.String()
}

// canonicalPath escapes the path that came over the wire once more: every service but S3
// wants it escaped twice.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		return "/"
	}
	return escape(path, true)
}

// canonicalQuery sorts by name, then by value, both as they are escaped.
func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var pairs [][2]string
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, [2]string{reescape(name), reescape(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if order := strings.Compare(a[0], b[0]); order != 0 {
			return order
		}
		return strings.Compare(a[1], b[1])
	})
	parts := make([]string, len(pairs))
	for i, pair := range pairs {
		parts[i] = pair[0] + "=" + pair[1]
	}
	return strings.Join(parts, "&")
}

// reescape brings a query component into the one form of RFC 3986. What cannot be unescaped
// stays as it came: then the signature will not match.
func reescape(component string) string {
	plain, err := url.QueryUnescape(component)
	if err != nil {
		return component
	}
	return escape(plain, false)
}

// escape writes every byte but the unreserved ones of RFC 3986 as %XX.
func escape(text string, keepSlash bool) string {
	const digits = "0123456789ABCDEF"
	var escaped strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '/' && keepSlash:
			escaped.WriteByte(c)
		default:
			escaped.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return escaped.String()
}

// headerValues also finds the two headers that net/http keeps elsewhere.
func headerValues(r *http.Request, name string) []string {
	switch name {
	case "host":
		return []string{r.Host}
	case "content-length":
		return []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	return r.Header.Values(name)
}

// canonicalValue trims each value and makes runs of spaces one.
func canonicalValue(values []string) string {
	trimmed := make([]string, len(values))
	for i, value := range values {
		trimmed[i] = strings.Join(strings.FieldsFunc(value, func(c rune) bool { return c == ' ' }), " ")
	}
	return strings.Join(trimmed, ",")
}
